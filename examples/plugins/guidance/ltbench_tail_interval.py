"""Guidance in an interval that is wider for rare classes: from noise level and class to omega.

Kynkaanniemi, Aittala, Karras, Laine, Aila, Lehtinen: Applying Guidance in a Limited Interval Improves Sample and
Distribution Quality in Diffusion Models, NeurIPS 2024, with an upper end for each class.
"""

import numpy as np

from ltbench.diffusion.guidance import Rule


def tail_interval(facts):
    """Return ``omega(t, labels)``: guidance up to sigma = ``head`` for the largest class, ``tail`` for the smallest."""
    rarity = -np.log(facts.prior)
    share = (rarity - rarity.min()) / max(
        np.ptp(rarity), 1e-12
    )  # (K,), 0 for the largest class, 1 for the smallest
    ends = facts.values["head"] ** (1 - share) * facts.values["tail"] ** share
    return lambda t, labels: np.where(facts.sigma(t) <= ends[labels], facts.sample.guidance, 0.0)


TAIL_INTERVAL = Rule(
    name="tail_interval",
    make=tail_interval,
    title="a limited interval that is wider for rare classes",
    values={"head": 1.0, "tail": 5.0},
)
