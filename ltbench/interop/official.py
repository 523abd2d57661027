"""Reading the checkpoints that the official code of DDPM (pytorch-ddpm), CBDM, T2H and CORAL writes.

A ``ckpt_{step}.pt`` holds net_model, ema_model, sched, optim, step and fixed_x_T. All four share one U-Net
and one naming, so the architecture is read off the tensors' shapes and the keys are renamed to diffusers'.
The method is not in the file (only in ``flagfile.txt`` beside it); a CORAL checkpoint alone betrays itself by
the projection heads ``mean_proj`` and ``logvar_proj``, the second of which its code never uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ltbench.diffusion.unet import Denoiser, UNetConfig
from ltbench.errors import CheckpointError, UsageError
from ltbench.interop.checkpoint_content import read_content

_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_STEM = {
    "head": "conv_in",
    "tail.0": "conv_norm_out",
    "tail.2": "conv_out",
    "time_embedding.timembedding.1": "time_embedding.linear_1",
    "time_embedding.timembedding.3": "time_embedding.linear_2",
    "label_embedding": "class_embedding",
}
# Module of an official residual block -> (its list in diffusers' block, module in that list's entry).
_IN_BLOCK = {
    "block1.0": ("resnets", "norm1"),
    "block1.2": ("resnets", "conv1"),
    "temb_proj.1": ("resnets", "time_emb_proj"),
    "block2.0": ("resnets", "norm2"),
    "block2.3": ("resnets", "conv2"),
    "shortcut": ("resnets", "conv_shortcut"),
    "attn.group_norm": ("attentions", "group_norm"),
    "attn.proj_q": ("attentions", "to_q"),
    "attn.proj_k": ("attentions", "to_k"),
    "attn.proj_v": ("attentions", "to_v"),
    "attn.proj": ("attentions", "to_out.0"),
}
_NOT_IN_UNET = ("time_embedding.timembedding.0", "mean_proj", "logvar_proj")  # sine table, CORAL's heads


def load_official(path: Path | str, which: Literal["ema", "net"] = "ema") -> tuple[Denoiser, dict[str, Any]]:
    """Read an official checkpoint.

    Parameters
    ----------
    path
        A ``ckpt_{step}.pt``; read with ``weights_only=True``, so it can run no code.
    which
        ``ema``, the averaged weights that the papers sample from, or ``net``, the last ones.

    Returns
    -------
    denoiser
        In eval mode on the CPU; dropout is set to the released 0.1.
    extras
        ``step`` (int or None); ``mean_proj``: CORAL's head as ``{"weight": (D, Cb), "bias": (D,)}``, a
        Linear on the pooled bottleneck, or None; ``size_known``: the file says how large its images are.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is not such a checkpoint, or was trained without labels.
    """
    if which not in ("ema", "net"):
        raise UsageError(f"an official checkpoint holds 'ema' and 'net' weights, not {which!r}")
    content = read_content(Path(path))
    if f"{which}_model" not in content:
        raise CheckpointError(
            f"{path} holds no {which}_model weights, so it is not an official checkpoint: "
            "give the ckpt_STEP.pt that the authors' code wrote"
        )
    state = content[f"{which}_model"]
    if "head.weight" not in state:
        raise CheckpointError(
            f"{path} has other tensors than the official U-Net (no head.weight): only checkpoints of "
            "DDPM, CBDM, T2H and CORAL as released can be imported"
        )
    if not any(name.endswith("label_embedding.weight") for name in state):
        raise CheckpointError(
            f"{path} was trained without labels: only class-conditional checkpoints can be compared"
        )
    odd = [name for name, value in state.items() if not _is_plain(value)]
    if odd:
        raise CheckpointError(
            f"{path} holds {len(odd)} tensors that are no plain real numbers (first: {odd[0]}, {_kind(state[odd[0]])}): "
            "save it again as dense floating-point tensors"
        )
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointError(
            f"{path} has NaN or infinite numbers in {len(broken)} of {len(state)} tensors (first: {broken[0]}): "
            "that training diverged, give an earlier checkpoint"
        )
    noise = content.get("fixed_x_T")
    if noise is not None and not (
        isinstance(noise, Tensor) and noise.ndim == 4 and noise.shape[2] == noise.shape[3]
    ):
        what = f"of shape {tuple(noise.shape)}" if isinstance(noise, Tensor) else f"a {type(noise).__name__}"
        raise CheckpointError(
            f"{path} holds fixed_x_T {what}, which says the images' size as noise (N, C, H, H): leave it out"
        )
    try:
        denoiser = Denoiser(_architecture(state, noise))
        denoiser.unet.load_state_dict(_renamed(state))
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError, UsageError) as error:
        raise CheckpointError(
            f"{path} has other tensors than the official U-Net ({_summary(error)}): only checkpoints of DDPM, "
            "CBDM, T2H and CORAL as released can be imported"
        ) from error
    head = {name: state[f"mean_proj.{name}"] for name in ("weight", "bias") if f"mean_proj.{name}" in state}
    extras = {"step": content.get("step"), "mean_proj": head or None, "size_known": noise is not None}
    return denoiser.eval(), extras


def _is_plain(value: Tensor) -> bool:
    return value.dtype in _REAL and value.layout is torch.strided and not value.is_meta


def _kind(value: Tensor) -> str:
    named = "without values" if value.is_meta else str(value.layout).removeprefix("torch.")
    return f"{str(value.dtype).removeprefix('torch.')}, {named}"


def _summary(error: Exception) -> str:
    """The first informative line of an exception; load_state_dict puts a heading before it."""
    lines = [line.strip(" \t'\"") for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)][:160] if lines else type(error).__name__


def _places(state: Mapping[str, Tensor]) -> dict[str, tuple[str, int, int]]:
    """Return official block -> (side, level, position in the level), for ``side.N`` numbered flat over levels.

    A block with a ``main`` convolution is the down- or upsampler that ends its level.
    """
    places = {}
    for side in ("downblocks", "upblocks"):
        level = position = 0
        numbers = {int(key.split(".")[1]) for key in state if key.startswith(f"{side}.")}
        for number in sorted(numbers):
            places[f"{side}.{number}"] = (side, level, position)
            position += 1
            if f"{side}.{number}.main.weight" in state:
                level, position = level + 1, 0
    return places


def _architecture(state: Mapping[str, Tensor], fixed_x_t: Tensor | None) -> UNetConfig:
    """Read the architecture off the shapes; the image size is that of the noise kept for previews, else the papers' 32."""
    channels: dict[int, int] = {}
    attention: set[int] = set()
    first_level = 0
    for block, (side, level, _) in _places(state).items():
        if side == "downblocks" and f"{block}.main.weight" not in state:
            channels[level] = state[f"{block}.block1.2.weight"].shape[0]
            first_level += level == 0
            if f"{block}.attn.proj.weight" in state:
                attention.add(level)
    return UNetConfig(
        channels=tuple(channels[level] for level in range(len(channels))),
        attention=tuple(sorted(attention)),
        res_blocks=first_level,
        norm_groups=32,
        image_size=32 if fixed_x_t is None else fixed_x_t.shape[-1],
        image_channels=state["head.weight"].shape[1],
        num_classes=state["label_embedding.weight"].shape[0],
    )


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the U-Net's tensors under diffusers' names and in its layout."""
    places = _places(state)
    renamed = {}
    for key, tensor in state.items():
        module, _, kind = key.rpartition(".")
        if module in _NOT_IN_UNET:
            continue
        try:
            target = _STEM.get(module) or _block_target(module, places)
        except (LookupError, ValueError) as error:
            raise LookupError(f"it has none called {key}") from error
        if kind == "weight" and target == "time_embedding.linear_1":
            # The official table interleaves sines and cosines; diffusers' has all sines first.
            tensor = torch.cat([tensor[:, 0::2], tensor[:, 1::2]], dim=1)
        elif kind == "weight" and target.endswith(("to_q", "to_k", "to_v", "to_out.0")):
            tensor = tensor.flatten(1)  # a 1x1 convolution becomes a Linear
        renamed[f"{target}.{kind}"] = tensor
    return renamed


def _block_target(module: str, places: Mapping[str, tuple[str, int, int]]) -> str:
    """Return diffusers' name of a module inside an official down-, middle or up-block."""
    side, number, inner = module.split(".", 2)
    if side == "middleblocks":
        parent, entry = "mid_block", number
    else:
        _, level, position = places[f"{side}.{number}"]
        parent, entry = f"{side.removesuffix('blocks')}_blocks.{level}", str(position)
        if inner == "main":
            return f"{parent}.{side.removesuffix('blocks')}samplers.0.conv"
    group, name = _IN_BLOCK[inner]
    return f"{parent}.{group}.{entry}.{name}"
