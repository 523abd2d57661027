"""What a sampler makes of a distribution that is known: from its settings to the spread of what it makes.

A sampler that agrees with a library's is not thereby right. Here its images are compared with the truth: the
exact denoiser of Gaussian classes stands in for the network, so that whatever is wrong is the sampler's.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import torch

from ltbench import rng
from ltbench.diffusion.closed_form import ClosedForm
from ltbench.diffusion.registry import SAMPLERS, Sampler
from ltbench.diffusion.samplers import sample_batch
from ltbench.errors import UsageError
from ltbench.method.double import require_float64
from ltbench.specs import SampleSpec

SDS = (0.1, 0.3)
"""True standard deviations of a pixel, of values in [-1, 1]: a smooth image class and a rough one."""

STEPS = (10, 20, 50, 100)
SPACINGS: tuple[str, ...] = get_args(SampleSpec.model_fields["spacing"].annotation)
TOLERANCE = 0.05
"""Relative error of a standard deviation above which settings are called unfit."""

_SHAPE, _IMAGES = (1, 16, 16), 64  # 16,384 pixels a class: the standard error of a spread is .55 %


@dataclass(frozen=True)
class Calibration:
    """What one setting of a sampler makes of classes whose pixels are known.

    Attributes
    ----------
    sample
        The settings.
    sds
        Standard deviations of the pixels made, one for each of `SDS`.
    """

    sample: SampleSpec
    sds: tuple[float, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        """Relative error of each spread: negative where images are too smooth."""
        return tuple(made / true - 1 for made, true in zip(self.sds, SDS, strict=True))

    @property
    def fit(self) -> bool:
        """Whether no spread is further off than `TOLERANCE`."""
        return all(abs(error) <= TOLERANCE for error in self.errors)


def calibrate(sample: SampleSpec, device: str | torch.device = "cpu") -> Calibration:
    """Sample the known classes with these settings, without guidance and clipping, and measure their spread."""
    require_float64(device, "the calibration")
    plain = SampleSpec(sampler=sample.sampler, steps=sample.steps, order=sample.order, spacing=sample.spacing)
    classes = len(SDS)
    truth = ClosedForm([-0.2, 0.2][:classes], SDS, [1.0] * classes, _SHAPE).to(device)
    labels = torch.arange(classes).repeat_interleave(_IMAGES)
    generators = [rng.generator(0, "calibrate", i) for i in range(len(labels))]
    images = sample_batch(truth, labels, plain, generators, device).cpu().double()
    return Calibration(sample, tuple(images[labels == k].std().item() for k in range(classes)))


def settings_of(sampler: Sampler, steps: Sequence[int] = STEPS) -> Iterator[SampleSpec]:
    """Yield what is offered of a sampler: every spacing, order and number of steps."""
    if sampler.steps is not None:
        yield SampleSpec(sampler=sampler.name, steps=sampler.steps)
        return
    for order in sampler.orders or (2,):
        for spacing in SPACINGS:
            for count in steps:
                yield SampleSpec(sampler=sampler.name, steps=count, order=order, spacing=spacing)


def calibration_table(
    names: Sequence[str] = (), device: str | torch.device = "cpu", steps: Sequence[int] = STEPS
) -> Iterator[Calibration]:
    """Calibrate every setting of the named samplers (default: all that are known), one at a time."""
    for sampler in [SAMPLERS[name] for name in names] if names else SAMPLERS.all().values():
        for settings in settings_of(sampler, steps):
            yield calibrate(settings, device)


@functools.lru_cache(maxsize=256)
def _unfit(sampler: str, steps: int, order: int, spacing: str) -> str | None:
    sample = SampleSpec(sampler=sampler, steps=steps, order=order, spacing=spacing)
    try:
        calibration = calibrate(sample)
    except UsageError:  # refused elsewhere, in words of its own
        return None
    if calibration.fit:
        return None
    worst = max(range(len(SDS)), key=lambda i: abs(calibration.errors[i]))
    how = "smooth" if calibration.errors[worst] < 0 else "rough"
    chosen = f", order {order}" if SAMPLERS[sampler].orders else ""
    return (
        f"{sampler} at {steps} steps ({spacing}{chosen}) makes images that are too {how}, also with a perfect network: "
        f"pixels spread by {calibration.sds[worst]:.3f} where {SDS[worst]:g} is true "
        f"({100 * calibration.errors[worst]:+.0f} %); "
        "take more steps, or dpmsolver++ of order 2 with sample.spacing=logsnr"
    )


def unfit(sample: SampleSpec) -> str | None:
    """Return one sentence where a fast sampler's settings distort a known distribution, or None."""
    if SAMPLERS[sample.sampler].steps is not None:
        return None
    return _unfit(sample.sampler, sample.steps, sample.order, sample.spacing)
