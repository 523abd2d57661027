"""Tempered resampling: any draw between the natural and the balanced one.

Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, eq. 1:

    p(class k) = n_k^power / sum_j n_j^power

power 1 is the natural draw (and stays the epochs of the shuffled set, without replacement), 1/2 the square-root
one, 0 the balanced one. ``smallest_draw`` = f asks for the power ln f / ln(n_min / n_max) instead, with which the
smallest class comes up f times as often as the largest: at ratio .01 f = .1 is the square-root draw.
"""

from dataclasses import dataclass, field
from typing import Any

from ltbench.method import DrawRatio, Method, Needs


@dataclass(frozen=True)
class Hyperparameters:
    """How far the draw is from the natural one."""

    power: float = field(default=0.75, metadata={"help": "classes are drawn in proportion to n_k^power"})
    smallest_draw: float | None = field(
        default=None,
        metadata={"help": "draw the smallest class this often for once the largest; none: by power"},
    )

    def __post_init__(self) -> None:
        if not 0 <= self.power <= 1:
            raise ValueError("power must be in [0, 1]")
        if self.smallest_draw is not None and not 0 < self.smallest_draw <= 1:
            raise ValueError("smallest_draw must be in (0, 1]")
        if self.smallest_draw is not None and self.power != Hyperparameters.power:
            raise ValueError(
                "smallest_draw sets the power, so that a power beside it is not read: give one of them"
            )


class Tempered(Method):
    """Draws classes in proportion to a power of their count."""

    name = "tempered"
    paper = "Kang et al., Decoupling Representation and Classifier, ICLR 2020 (eq. 1)"
    Hyperparameters = Hyperparameters

    def __init__(self, hyperparameters: Any = None) -> None:
        super().__init__(hyperparameters)
        ratio = self.hp.smallest_draw
        self.needs = Needs(draw=self.hp.power if ratio is None else DrawRatio(ratio))
