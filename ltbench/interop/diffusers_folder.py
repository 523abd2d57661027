"""A denoiser as a folder for diffusers, and back: network, scheduler, pipeline index and model card.

    config.json  diffusion_pytorch_model.safetensors    `UNet2DModel.from_pretrained(FOLDER)`
    model_index.json  unet/  scheduler/                 `ltbench.interop.pipeline.ClassConditionalPipeline`
    README.md                                           the model card

``unet/`` holds the network's two files again, as hard links where the file system has them: pipelines look there.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import UNet2DModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ltbench import files
from ltbench.diffusion.unet import Denoiser, UNetConfig
from ltbench.errors import CheckpointError, UsageError

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
PIPELINE_INDEX, PIPELINE = "model_index.json", "ClassConditionalPipeline"
SCHEDULER = {
    "_class_name": "DPMSolverMultistepScheduler",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "num_train_timesteps": 1000,
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "use_lu_lambdas": True,  # uniform in log-SNR
    "final_sigmas_type": "zero",
}
"""The papers' noise levels with the fast sampler; an exported folder may be sampled by any other of diffusers'."""


def export_diffusers(denoiser: Denoiser, folder: Path | str, card: str) -> None:
    """Write the network, its scheduler, the pipeline's index and the model card into `folder`.

    The exported class table has K + 1 rows; row K, the null label, is zero, so that ``unet(x, t, K)`` is
    the unconditional prediction. Weights are float32.

    Parameters
    ----------
    denoiser
        The network whose weights are written.
    folder
        Created when missing; an earlier export in it is replaced.
    card
        Text of the model card (Markdown).

    Raises
    ------
    UsageError
        The folder holds files that are no earlier export.
    StorageError, DiskFull
        The folder cannot be written.
    """
    folder = Path(folder)
    _refuse_others(folder)
    state = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in denoiser.unet.state_dict().items()
    }
    table = state["class_embedding.weight"]
    state["class_embedding.weight"] = torch.cat([table, torch.zeros_like(table[:1])])
    with torch.device("meta"):
        exported: Any = replace(denoiser.config, num_classes=denoiser.num_classes + 1).unet()
    files.write_json(  # first: by it what a killed export left is known as ours
        folder / PIPELINE_INDEX,
        {
            "_class_name": PIPELINE,
            "_diffusers_version": diffusers.__version__,
            "unet": ["diffusers", "UNet2DModel"],
            "scheduler": ["diffusers", SCHEDULER["_class_name"]],
        },
    )
    with files.replacing(folder / WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    files.write_text(folder / CONFIG, exported.to_json_string())
    for name in (CONFIG, WEIGHTS):
        _link(folder / name, folder / "unet" / name)
    files.write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    files.write_text(folder / "README.md", card)


def _refuse_others(folder: Path) -> None:
    """Raise where a folder has files and no earlier export; hidden ones, as a repository's own, do not count."""
    if not folder.is_dir() or all(path.name.startswith(".") for path in folder.iterdir()):
        return
    with contextlib.suppress(CheckpointError):
        if files.read_object(folder / PIPELINE_INDEX).get("_class_name") == PIPELINE:
            return
    raise UsageError(
        f"{folder} holds files that are no earlier export: give a new or an empty folder with --to"
    )


def _link(source: Path, target: Path) -> None:
    with files.replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # no hard links here
            shutil.copyfile(source, temporary)


def weights_file(folder: Path) -> Path:
    """Return the file of a folder's network: at its root, or in ``unet/`` as pipelines keep it.

    Raises
    ------
    CheckpointError
        The folder holds no network for diffusers.
    """
    places = [
        path for path in (folder, folder / "unet") if (path / CONFIG).is_file() and (path / WEIGHTS).is_file()
    ]
    if places:
        return places[0] / WEIGHTS
    stem = WEIGHTS.partition(".")[0]
    if other := next((p for path in (folder, folder / "unet") for p in sorted(path.glob(f"{stem}*"))), None):
        raise CheckpointError(
            f"{folder} keeps its network as {other.name} and not as {WEIGHTS}, in one file of full precision beside a "
            f'{CONFIG}: save it again with diffusers, as UNet2DModel.from_pretrained("{other.parent}"'
            f"""{_how_saved(other.name)}).save_pretrained(FOLDER, max_shard_size="100GB")"""
        )
    raise CheckpointError(
        f"{folder} holds no {CONFIG} and {WEIGHTS}: give a folder that `ltbench export` or diffusers wrote"
    )


def _how_saved(name: str) -> str:
    """Return what `from_pretrained` must be told about weights of a file name: a variant, or pickled ones."""
    variant = re.match(r"[^.]+\.([A-Za-z_]\w*?)(?:-\d+-of-\d+)?\.(?:safetensors|bin)$", name)
    told = f', variant="{variant[1]}"' if variant else ""
    return told + (", use_safetensors=False" if ".bin" in name else "")


_FREE = {"sample_size", "dropout", "num_class_embeds", "num_train_timesteps"}  # the last is for learned times


def _differing(settings: Mapping[str, Any], denoiser: Denoiser) -> list[str]:
    """Return the settings of a folder's network that make it another function than ours, with the values of both.

    Most of them change no tensor's name or shape: the weights would load, and mean something else.
    """
    config, defaults = denoiser.config, inspect.signature(UNet2DModel.__init__).parameters
    attended = {*(config.channels[level] for level in config.attention), config.channels[-1]}
    synonyms = {  # what ours leaves to diffusers, said in words
        "attention_head_dim": min(attended) if len(attended) == 1 else None,
        "act_fn": "swish",
        "attn_norm_num_groups": config.norm_groups,
        "time_embedding_dim": 4 * config.channels[0],
    }
    out = []
    for name, ours in denoiser.unet.config.items():
        if name.startswith("_") or name in _FREE:
            continue
        theirs = settings.get(name, defaults[name].default)
        theirs = tuple(theirs) if isinstance(theirs, list) else theirs
        if theirs not in (ours, synonyms.get(name, ours)):
            out.append(f"{name}={theirs!r} in place of {ours!r}")
    return out


def load_diffusers(folder: Path) -> Denoiser:
    """Read a folder's class-conditional `UNet2DModel` as our denoiser, in eval mode on the CPU.

    Raises
    ------
    CheckpointError
        It is no such folder, its network is none of this family, or its tensors are damaged.
    """
    weights = weights_file(folder)
    settings = files.read_json(weights.with_name(CONFIG))
    try:
        blocks = settings["down_block_types"]
        state = load_file(weights)
        table = state["class_embedding.weight"]
        dropped = not bool(table[-1].any())  # the null label's row, which ours has not
        config = UNetConfig(
            channels=tuple(settings["block_out_channels"]),
            attention=tuple(level for level, block in enumerate(blocks) if block == "AttnDownBlock2D"),
            res_blocks=int(settings["layers_per_block"]),
            norm_groups=int(settings["norm_num_groups"]),
            image_size=int(settings["sample_size"]),
            image_channels=int(settings["in_channels"]),
            num_classes=len(table) - dropped,
            dropout=float(settings.get("dropout", 0.0)),
        )
        denoiser = Denoiser(config)
        if differing := _differing(settings, denoiser):
            raise ValueError(", ".join(differing))
        denoiser.unet.load_state_dict(state | {"class_embedding.weight": table[: config.num_classes]})
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        OSError,
        SafetensorError,
        UsageError,
    ) as error:
        raise CheckpointError(
            f"{folder} holds no class-conditional UNet2DModel of the papers' kind ({str(error).splitlines()[0][:300]}): "
            "only networks that `ltbench export` wrote, or of that architecture, can be imported"
        ) from error
    odd = [name for name, value in state.items() if not value.is_floating_point()]
    if odd:  # quantised: they would be taken for the weights themselves
        raise CheckpointError(
            f"{folder} holds {str(state[odd[0]].dtype).removeprefix('torch.')} numbers in {odd[0]}: save it again as "
            "floating-point tensors"
        )
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise CheckpointError(f"{folder} has NaN or infinite weights: that training diverged")
    return denoiser.eval()
