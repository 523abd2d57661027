"""The pipeline for diffusers: the images of our sampler, refused labels, rules as functions of time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from official_files import GOLDENS

from ltbench.diffusion.samplers import sample_batch
from ltbench.errors import UsageError
from ltbench.interop.diffusers_folder import export_diffusers
from ltbench.interop.official import load_official
from ltbench.interop.pipeline import ClassConditionalPipeline, omega_of_time
from ltbench.specs import SampleSpec


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(3)]


@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_the_pipeline_draws_what_our_sampler_draws(tmp_path: Path, guidance: float) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    export_diffusers(denoiser, tmp_path / "export", card="")
    pipeline = ClassConditionalPipeline.from_pretrained(tmp_path / "export")
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.scheduler.config.use_lu_lambdas  # steps in log-SNR, at diffusers' own levels
    own = dict(pipeline.scheduler.config) | {"use_lu_lambdas": False, "timestep_spacing": "trailing"}
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(own)
    noise = torch.stack([torch.randn(denoiser.shape, generator=g) for g in generators()])
    labels = torch.tensor([0, 4, 9])
    images = pipeline(labels, guidance_scale=guidance, noise=noise, output_type="np").images
    settings = SampleSpec(sampler="dpmsolver++", steps=20, guidance=guidance, spacing="trailing")
    ours = sample_batch(denoiser, labels, settings, generators(), "cpu")
    ours = ((ours.clamp(-1, 1) + 1) / 2).permute(0, 2, 3, 1).numpy()
    difference = np.abs(images - ours)  # of 1; float32 over 20 steps of a network of random weights
    assert difference.mean() < 1e-4
    assert difference.max() < 2e-2
    assert pipeline([1, 2], generator=torch.Generator().manual_seed(1), num_inference_steps=2).images[
        0
    ].size == (16, 16)


@pytest.mark.parametrize("labels", [[10], [-1], [], [[1]]])
def test_labels_that_the_network_has_not_are_refused(tmp_path: Path, labels: list[int]) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    export_diffusers(denoiser, tmp_path / "export", card="")
    with pytest.raises(UsageError, match="labels from 0 to 9"):
        ClassConditionalPipeline.from_pretrained(tmp_path / "export")(labels)


def test_a_rule_that_goes_by_the_noise_is_a_function_of_time_for_pipelines():
    omega = omega_of_time("interval", 1.5, sigma_low=0.28, sigma_high=2.9)
    assert [omega(t) for t in (81, 82, 468, 469)] == [0.0, 1.5, 1.5, 0.0]
    for settings in ({"rule": "per_class"}, {"rule": "auto", "bad_step": 1}):
        with pytest.raises(UsageError, match="goes by more than the noise"):
            omega_of_time(guidance=1.0, **settings)
