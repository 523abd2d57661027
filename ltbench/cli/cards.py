"""What `ltbench plan --on CARD` prints: a study's hours on a named GPU, and the table they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from ltbench.cli.console import make_console
from ltbench.study.cards import Card, known_cards, seconds_of

if TYPE_CHECKING:
    from ltbench.sweep.cost import Plan

console = make_console()


def print_hours(card: Card, planned: Plan, names: Sequence[str]) -> None:
    """Print the card's hours for each run, called as the plan calls it, and for all of them, beside this machine's."""
    from ltbench.cli.console import hours

    table = Table("run", "PFLOP", f"on {card.key}", "here", box=None, header_style="bold")
    low = high = 0.0
    for cost, name in zip(planned.runs, names, strict=True):
        spec = cost.spec
        fast, slow = seconds_of(card, spec, cost.flops - cost.sample_flops, cost.sample_flops)
        low, high = low + fast, high + slow
        if cost.flops and len(planned.runs) <= 12:
            table.add_row(
                f"{name} ({spec.train.precision})",
                f"{cost.flops / 1e15:.3g}",
                _range(fast, slow),
                hours(cost.seconds),
            )
    if table.row_count > 1:
        console.print(table)
    console.print(
        f"on {card.name}: about {_range(low, high)} with one card; here about {hours(planned.seconds)}. "
        f"Training and sampling only. {card.source[0].upper()}{card.source[1:]}",
        soft_wrap=True,
    )
    if card.memory is not None and any(cost.spec.train.precision == "fp32" for cost in planned.runs):
        console.print("tensor cores: --set train.precision=tf32 (or bf16), which changes the runs' keys")


def _range(low: float, high: float) -> str:
    from ltbench.cli.console import hours

    a, b = hours(low), hours(high)
    return a if a == b else f"{a} to {b}"


def show_cards() -> None:
    """Print the cards that are known and what they are expected to sustain."""
    table = Table("card", "name", "memory", "TFLOP/s expected", "source", box=None, header_style="bold")
    for card in known_cards().values():
        speed = ", ".join(f"{p} {a / 1e12:.3g} to {b / 1e12:.3g}" for p, (a, b) in card.speed.items())
        table.add_row(card.key, card.name, f"{card.memory:g} GB", speed, card.source.partition(";")[0])
    console.print(table)
    console.print("another card: ltbench plan ... --on 30, the TFLOP/s that it sustains")
