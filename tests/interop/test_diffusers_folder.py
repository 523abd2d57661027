"""An exported folder is what diffusers loads, and predicts what our denoiser predicts."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DModel

from ltbench.diffusion.samplers import sample_batch
from ltbench.errors import CheckpointError, StorageError, UsageError
from ltbench.interop.diffusers_folder import export_diffusers, load_diffusers
from ltbench.interop.official import load_official
from ltbench.interop.pipeline import ClassConditionalPipeline
from ltbench.specs import SampleSpec

GOLDENS = Path(__file__).parents[1] / "goldens"


def test_round_trip_through_diffusers(tmp_path: Path) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    folder = tmp_path / "new" / "export"
    for _ in range(2):  # a second export replaces the first
        export_diffusers(denoiser, folder, card="# CBDM\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "model_index.json",
        "scheduler",
        "unet",
    ]
    assert (folder / "README.md").read_text() == "# CBDM\n"
    assert json.loads((folder / "config.json").read_text())["_class_name"] == "UNet2DModel"

    unet, report = UNet2DModel.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    x = torch.randn(11, *denoiser.shape, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0, 999, 11).long()
    label = torch.arange(11)  # the last one is the null label
    with torch.no_grad():
        torch.testing.assert_close(unet(x, t, label).sample, denoiser(x, t, label).eps, atol=1e-5, rtol=1e-5)
    assert not unet.class_embedding.weight[-1].any()


def test_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="cannot write"):
        export_diffusers(denoiser, tmp_path / "taken", card="")


def test_what_is_exported_is_read_back_to_the_bit(tmp_path: Path) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    export_diffusers(denoiser, tmp_path / "export", card="")
    back = load_diffusers(tmp_path / "export")
    assert back.config == dataclasses.replace(denoiser.config, dropout=back.config.dropout)
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in denoiser.state_dict().items())
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        (tmp_path / "export" / name).unlink()  # a folder as pipelines keep it
    assert torch.equal(load_diffusers(tmp_path / "export").unet.conv_in.weight, denoiser.unet.conv_in.weight)


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"[]"),
        ("config.json", b'{"down_block_types": 5}'),
        ("config.json", b"{}"),
        ("diffusion_pytorch_model.safetensors", b""),
        ("diffusion_pytorch_model.safetensors", b"\xff" * 100),
    ],
)
def test_folders_that_are_none_are_refused_in_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    export_diffusers(denoiser, tmp_path / "export", card="")
    (tmp_path / "export" / name).unlink()
    (tmp_path / "export" / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_diffusers(tmp_path / "export")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "export") in str(caught.value)
    with pytest.raises(CheckpointError, match="holds no config.json"):
        load_diffusers(tmp_path)
