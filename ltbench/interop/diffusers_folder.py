"""Exporting a denoiser as a folder that ``diffusers.UNet2DModel.from_pretrained`` loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ltbench import files
from ltbench.diffusion.unet import Denoiser


def export_diffusers(denoiser: Denoiser, folder: Path | str, card: str) -> None:
    """Write ``config.json``, ``diffusion_pytorch_model.safetensors`` and ``README.md`` into `folder`.

    The exported class table has K + 1 rows; row K, the null label, is zero, so that ``unet(x, t, K)`` is
    the unconditional prediction. Weights are float32.

    Parameters
    ----------
    denoiser
        The network whose weights are written.
    folder
        Created when missing; files of these names in it are replaced.
    card
        Text of the model card (Markdown).
    """
    folder = Path(folder)
    state = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in denoiser.unet.state_dict().items()
    }
    table = state["class_embedding.weight"]
    state["class_embedding.weight"] = torch.cat([table, torch.zeros_like(table[:1])])
    with torch.device("meta"):
        exported: Any = replace(denoiser.config, num_classes=denoiser.num_classes + 1).unet()
    with files.replacing(folder / "diffusion_pytorch_model.safetensors") as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    files.write_text(folder / "config.json", exported.to_json_string())
    files.write_text(folder / "README.md", card)
