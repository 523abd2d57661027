"""What each sampler makes of a distribution that is known: the table behind the choice of a spacing."""

from ltbench.diffusion.calibration import SDS, SPACINGS, TOLERANCE, calibrate
from ltbench.diffusion.registry import SAMPLERS
from ltbench.specs import SampleSpec

STEPS = (10, 20, 50, 100)
FEW = 20


def measure(options) -> str:
    """Part ``calibration``: return the tables as Markdown."""
    truth = " and ".join(f"{sd:g}" for sd in SDS)
    lines = [
        f"Pixels of standard deviation {truth} (of values in [-1, 1]) sampled with their exact denoiser, no guidance: "
        f"the error of each spread in %. Negative is too smooth. **Bold**: off by more than {100 * TOLERANCE:g} %.",
        "",
        "In log-SNR, the default:",
        "",
        "| Sampler | Order | " + " | ".join(f"{n} steps" for n in STEPS) + " |",
        "| :-- | --: |" + " --: |" * len(STEPS),
    ]
    fast = [(s, order) for s in SAMPLERS.all().values() if s.steps is None for order in s.orders or (2,)]
    for sampler, order in fast:
        cells = [_errors(sampler.name, n, order, "logsnr", options.device) for n in STEPS]
        lines.append(f"| {sampler.name} | {order if sampler.orders else '-'} | {' | '.join(cells)} |")
    ancestral = calibrate(SampleSpec(), options.device)
    lines += ["", f"Ancestral, all 1000 steps: {_print(ancestral)}.", "", f"All spacings at {FEW} steps:", ""]
    lines += [
        "| Sampler | Order | " + " | ".join(SPACINGS) + " |",
        "| :-- | --: |" + " --: |" * len(SPACINGS),
    ]
    for sampler, order in fast:
        cells = [_errors(sampler.name, FEW, order, spacing, options.device) for spacing in SPACINGS]
        lines.append(f"| {sampler.name} | {order if sampler.orders else '-'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _errors(sampler: str, steps: int, order: int, spacing: str, device: str) -> str:
    return _print(calibrate(SampleSpec(sampler=sampler, steps=steps, order=order, spacing=spacing), device))


def _print(found) -> str:
    text = " / ".join(f"{100 * error:+.1f}" for error in found.errors)
    return text if found.fit else f"**{text}**"
