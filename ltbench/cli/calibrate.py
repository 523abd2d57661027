"""What `ltbench doctor --calibrate` prints: each sampler's settings beside what they make of a known distribution."""

from __future__ import annotations

from ltbench.cli.console import make_console, styled
from ltbench.diffusion.calibration import SDS, TOLERANCE, Calibration, calibration_table
from ltbench.diffusion.registry import SAMPLERS
from ltbench.environment import usable_device

console = make_console()
_WIDTHS = (18, 6, 10, 6)


def show_calibration(samplers: str | None, device: str | None) -> None:
    """Print the table, a row as soon as it is measured; `samplers` are names separated by commas, None: all."""
    names = [] if samplers is None else [name.strip() for name in samplers.split(",") if name.strip()]
    chosen = usable_device(device)
    for name in names or SAMPLERS.all():
        if limits := SAMPLERS[name].limits:
            console.print(f"{name}: {limits}", soft_wrap=True)
    console.print(
        "Pixels of known standard deviation, sampled with their exact denoiser, without guidance "
        f"({chosen}; standard error .6 %). Too small a spread is too smooth an image.",
        soft_wrap=True,
    )
    cells = [_padded(("sampler", "order", "spacing", "steps"))]
    cells += [f"{f'true {sd:g}':>10}{'error':>9}" for sd in SDS]
    console.print(styled(("".join(cells), "bold")), soft_wrap=True)
    for row in calibration_table(names, chosen):
        _print(row)


def _padded(texts: tuple[str, ...]) -> str:
    return "".join(text.ljust(width) for text, width in zip(texts, _WIDTHS, strict=True))


def _print(row: Calibration) -> None:
    sample, sampler = row.sample, SAMPLERS[row.sample.sampler]
    order = str(sample.order) if sampler.orders else "-"
    spacing = sample.spacing if sampler.steps is None else "all"
    parts: list[str | tuple[str, str]] = [_padded((sample.sampler, order, spacing, str(sample.steps)))]
    for sd, error in zip(row.sds, row.errors, strict=True):
        parts.append(f"{sd:>10.4f}")
        text = f"{100 * error:>+7.1f} %"
        parts.append(text if abs(error) <= TOLERANCE else (text, "red"))
    parts.append("" if row.fit else f"  off by more than {100 * TOLERANCE:g} %")
    console.print(styled(*parts), soft_wrap=True)
