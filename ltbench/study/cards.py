"""Hours on a named GPU: from a plan's FLOPs and a table of stated peaks to a range of seconds.

The table is ``cards.toml``: peak FLOP/s with their source, and what a measured card reached of it, or the share that
is assumed to be reached.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.errors import UsageError, nearest
from ltbench.specs import RunSpec


@dataclass(frozen=True)
class Card:
    """A GPU and what it computes.

    Attributes
    ----------
    key, name
        As ``--on`` takes it, and in full.
    memory
        GB; None where only a speed was given.
    speed
        Precision -> (least, most) FLOP/s that are expected to be sustained.
    source
        Where the speed was measured; or where the peak is stated, and the assumed share of it.
    """

    key: str
    name: str
    memory: float | None
    speed: Mapping[str, tuple[float, float]]
    source: str

    def seconds(self, flops: float, precision: str) -> tuple[float, float]:
        """Return the least and the most seconds that so many FLOPs of a precision take.

        Raises
        ------
        UsageError
            The card does not have that precision.
        """
        if precision not in self.speed:
            raise UsageError(
                f"{self.name} has no {precision}: add --set train.precision=fp32 --set sample.precision=fp32"
            )
        slow, fast = self.speed[precision]
        return flops / fast, flops / slow


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("cards.toml").read_text(encoding="utf-8"))


def known_cards() -> dict[str, Card]:
    """Return the cards of the table by name."""
    shares = _table()["utilisation"]
    cards = {}
    for key, card in _table()["cards"].items():
        if "reached" in card:
            speed = {p: (low * 1e12, high * 1e12) for p, (low, high) in card["reached"].items()}
            source = f"measured: {card['measured']}"
        else:
            speed = _assumed(card["peak"], shares)
            assumed = ", ".join(f"{p} {shares[p][0]:.0%} to {shares[p][1]:.0%}" for p in speed)
            source = f"peak stated in {card['source']}; assumed to be reached: {assumed}"
        cards[key] = Card(key, card["name"], card["memory"], speed, source)
    return cards


def _assumed(
    peaks: Mapping[str, float], shares: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return peak times share by precision, from fp32 on: a faster mode is never expected to be slower."""
    speed: dict[str, tuple[float, float]] = {}
    before = (0.0, 0.0)
    for precision, peak in peaks.items():
        low, high = (peak * 1e12 * share for share in shares[precision])
        before = speed[precision] = (max(low, before[0]), max(high, before[1]))
    return speed


def get_card(text: str) -> Card:
    """Return the card that ``--on`` names; a number is the TFLOP/s that a card was measured to sustain.

    Raises
    ------
    UsageError
        No such card, or a speed that is not above 0.
    """
    key = (
        text.strip().lower().replace(" ", "").replace("_", "-").removeprefix("nvidia-").removeprefix("nvidia")
    )
    cards = known_cards()
    if key in cards:
        return cards[key]
    try:
        speed = float(key.removesuffix("tflops"))
    except ValueError:
        raise UsageError(
            f"--on {text}: unknown card{nearest(key, cards)}; for another one give the TFLOP/s it sustains, as in --on 30"
        ) from None
    if not (speed > 0 and math.isfinite(speed)):
        raise UsageError(f"--on {text}: TFLOP/s must be above 0")
    same = dict.fromkeys(("fp32", "tf32", "bf16"), (speed * 1e12, speed * 1e12))
    return Card(key, f"a card that sustains {speed:g} TFLOP/s", None, same, "given with --on")


def seconds_of(card: Card, spec: RunSpec, train_flops: float, sample_flops: float) -> tuple[float, float]:
    """Return the least and the most seconds that a run's training and sampling take on one card."""
    training = card.seconds(train_flops, spec.train.precision)
    sampling = card.seconds(sample_flops, spec.sample.precision)
    return training[0] + sampling[0], training[1] + sampling[1]
