"""Class-balanced resampling: every class is drawn equally often, its images with replacement.

The usual control of the long-tail literature (Kang et al., Decoupling Representation and Classifier,
ICLR 2020, "class-balanced sampling", q = 0):

    p(class k) = 1 / K
"""

from ltbench.method import Method, Needs


class ClassBalanced(Method):
    """Draws training images uniformly over classes."""

    name = "class_balanced"
    paper = "Kang et al., Decoupling Representation and Classifier, ICLR 2020 (q = 0)"
    needs = Needs(draw="balanced")
