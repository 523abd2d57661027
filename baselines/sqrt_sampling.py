"""Square-root resampling: halfway between the natural and the balanced draw.

Mahajan et al., ECCV 2018; Kang et al., ICLR 2020 (q = 1/2):

    p(class k) = sqrt(n_k) / sum_j sqrt(n_j)
"""

from ltbench.method import Method, Needs


class SqrtSampling(Method):
    """Draws classes in proportion to the square root of their count."""

    name = "sqrt_sampling"
    paper = "Mahajan et al., Exploring the Limits of Weakly Supervised Pretraining, ECCV 2018"
    needs = Needs(draw="sqrt")
