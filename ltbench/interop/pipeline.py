"""A diffusers pipeline for exported networks: class labels to images, with classifier-free guidance.

pipeline = ClassConditionalPipeline.from_pretrained("FOLDER")          # what `ltbench export --to FOLDER` wrote
images = pipeline([0, 0, 9], guidance_scale=1.0, num_inference_steps=20).images
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput

from ltbench.diffusion.guidance import make_omega, needs_network
from ltbench.errors import UsageError
from ltbench.specs import SampleSpec

_Pipeline: Any = DiffusionPipeline  # which mypy takes for a placeholder: diffusers loads its own parts lazily


class ClassConditionalPipeline(_Pipeline):  # type: ignore[misc]
    """Draw images of given classes.

    Parameters
    ----------
    unet
        A `UNet2DModel` whose last class row is the null label, as `ltbench export` writes it.
    scheduler
        Any scheduler of diffusers that predicts noise; exports bring DPM-Solver++ with steps in log-SNR.
    """

    def __init__(self, unet: Any, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        class_labels: Sequence[int] | torch.Tensor,
        *,
        guidance_scale: float | Callable[[int], float] = 0.0,
        num_inference_steps: int = 20,
        generator: torch.Generator | None = None,
        noise: torch.Tensor | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Draw one image a label.

        Parameters
        ----------
        class_labels
            (N,) labels in 0..K-1.
        guidance_scale
            omega in eps_c + omega (eps_c - eps_u): 0 is plain conditional sampling. A function gives it at each time
            step, as the rules ``interval`` and ``schedule`` do: see `omega_of_time`.
        num_inference_steps
            Steps of the scheduler.
        generator
            Of the initial noise and of a stochastic scheduler's; on the CPU for equal numbers everywhere.
        noise
            (N,C,H,W) initial noise in place of drawn one.
        output_type
            ``pil``, or ``np`` for (N,H,W,C) in [0, 1].

        Raises
        ------
        UsageError
            A label is none of the network's.
        """
        unet, scheduler, device = self.unet, self.scheduler, self.device
        null = unet.config.num_class_embeds - 1
        labels = torch.as_tensor(class_labels, dtype=torch.long)
        if labels.ndim != 1 or not len(labels) or bool((labels < 0).any()) or bool((labels >= null).any()):
            raise UsageError(f"class_labels must be a list of labels from 0 to {null - 1}")
        labels = labels.to(device)
        if noise is None:
            shape = (len(labels), unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
            noise = torch.randn(shape, generator=generator)
        scheduler.set_timesteps(num_inference_steps, device=device)
        x = noise.to(device, unet.dtype) * scheduler.init_noise_sigma
        for t in self.progress_bar(scheduler.timesteps):
            at = scheduler.scale_model_input(x, t)
            eps = unet(at, t, labels).sample
            omega = guidance_scale(int(t)) if callable(guidance_scale) else guidance_scale
            if omega:
                eps = eps + omega * (eps - unet(at, t, torch.full_like(labels, null)).sample)
            x = scheduler.step(eps, t, x).prev_sample
        images = ((x.clamp(-1, 1) + 1) / 2).permute(0, 2, 3, 1).float().cpu().numpy()
        return ImagePipelineOutput(images=images if output_type == "np" else _pictures(images))


def omega_of_time(rule: str, guidance: float, **settings: Any) -> Callable[[int], float]:
    """Return omega at each time step by a rule that goes by the noise alone, for the pipeline's ``guidance_scale``.

    Parameters
    ----------
    rule, guidance, settings
        As ``sample.rule``, ``sample.guidance`` and the rule's own settings:
        ``omega_of_time("interval", 1.5, sigma_low=0.3, sigma_high=2.9)``.

    Raises
    ------
    UsageError
        The rule goes by the class or by another network, which an exported folder does not hold.
    """
    spec = SampleSpec.model_validate({"rule": rule, "guidance": guidance, **settings})
    if needs_network(spec) or rule == "per_class":
        raise UsageError(
            f"the rule {rule} goes by more than the noise, which an exported folder does not hold"
        )
    omega, nothing = make_omega(spec), np.zeros(1, np.int64)
    return lambda t: float(omega(t, nothing))


def _pictures(images: np.ndarray) -> list[Any]:
    from PIL import Image

    pixels = (images * 255).round().astype(np.uint8)
    return [Image.fromarray(p[..., 0] if p.shape[-1] == 1 else p) for p in pixels]
