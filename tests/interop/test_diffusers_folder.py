"""An exported folder is what diffusers loads, and predicts what our denoiser predicts."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel

from ltbench.interop.diffusers_folder import export_diffusers
from ltbench.interop.official import load_official
from ltbench.errors import StorageError

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
    ]
    assert (folder / "README.md").read_text() == "# CBDM\n"
    assert json.loads((folder / "config.json").read_text())["_class_name"] == "UNet2DModel"

    unet, report = UNet2DModel.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
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
