"""Reading the checkpoints that the official code of DDPM (pytorch-ddpm), CBDM, T2H and CORAL writes.

A ``ckpt_{step}.pt`` holds net_model, ema_model, sched, optim, step and fixed_x_T. All four share one U-Net
and one naming, so the architecture is read off the tensors' shapes and the keys are renamed to diffusers'.
The method is not in the file (only in ``flagfile.txt`` beside it); a CORAL checkpoint alone betrays itself by
the projection heads ``mean_proj`` and ``logvar_proj``, the second of which its code never uses.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from ltbench.diffusion.unet import Denoiser, UNetConfig
from ltbench.errors import CheckpointError, UsageError

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
        ``step`` (int or None) and ``mean_proj``: CORAL's head as ``{"weight": (D, Cb), "bias": (D,)}``, a
        Linear on the pooled bottleneck, or None.

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
    try:
        denoiser = Denoiser(_architecture(state, content.get("fixed_x_T")))
        denoiser.unet.load_state_dict(_renamed(state))
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError, UsageError) as error:
        raise CheckpointError(
            f"{path} has other tensors than the official U-Net ({_summary(error)}): only checkpoints of DDPM, "
            "CBDM, T2H and CORAL as released can be imported"
        ) from error
    head = {name: state[f"mean_proj.{name}"] for name in ("weight", "bias") if f"mean_proj.{name}" in state}
    return denoiser.eval(), {"step": content.get("step"), "mean_proj": head or None}


def read_content(path: Path) -> dict[str, Any]:
    """Read an official file's content: ``ema_model`` and ``net_model`` as far as it has them, and the rest.

    A file of bare weights (``.pt`` or ``.safetensors``) holds averaged ones, which are what people share; the
    prefixes that DataParallel and torch.compile put before every name are taken off.

    Raises
    ------
    CheckpointError
        The file cannot be read, or holds no weights.
    """
    content = _read(path)
    if isinstance(content, Mapping) and not any(f"{which}_model" in content for which in ("ema", "net")):
        roots = {key.partition(".")[0] for key in content if isinstance(key, str)}
        if roots & {"ema_model", "net_model"}:  # a flat file of both: "ema_model.head.weight"
            content = {
                name: {k.partition(".")[2]: v for k, v in content.items() if k.startswith(f"{name}.")}
                for name in sorted(roots & {"ema_model", "net_model"})
            }
        elif _is_state(content):
            content = {"ema_model": content}
        elif _is_state(content.get("state_dict")):  # as other trainers name it
            content = {
                "ema_model": content["state_dict"],
                "step": content.get("step", content.get("global_step")),
            }
    if not isinstance(content, Mapping):
        content = {}
    models = {}
    for name in ("ema_model", "net_model"):
        if content.get(name):  # some save None for what they did not keep
            if not _is_state(content[name]):
                raise CheckpointError(
                    f"{path} holds {name} as something else than a table from names to tensors: save {name}.state_dict()"
                )
            models[name] = _without_prefixes(content[name])
    if not models:
        raise CheckpointError(
            f"{path} holds no ema_model or net_model weights, so it is not an official checkpoint: "
            "give the ckpt_STEP.pt that the authors' code wrote"
        )
    return {str(k): v for k, v in content.items() if k not in ("ema_model", "net_model")} | models


def _without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state without what wrappers put before every name (``module.``, ``_orig_mod.``, ``model.``, ...).

    The official U-Net has many parts at its top, so that a first part which all names share is a wrapper's.
    """
    names = list(state)
    while (
        "head.weight" not in names
        and names
        and len({name.partition(".")[0] for name in names}) == 1
        and all("." in n for n in names)
    ):
        names = [name.partition(".")[2] for name in names]
    return dict(zip(names, state.values(), strict=True))


def _read(path: Path) -> Any:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise CheckpointError(
            f"{path} is no regular file: give the ckpt_STEP.pt that the authors' code wrote"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if zipfile.is_zipfile(path):
            _check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise CheckpointError(f"cannot read {path} ({error.strerror}): check the path") from error
    except Exception as error:  # torch lets through whatever a damaged file makes its parsers raise
        if foreign := re.search(
            r"(?:GLOBAL|Unsupported class|global:?) ?`?([A-Za-z_][\w.]*\.\w+)", str(error)
        ):
            raise CheckpointError(
                f"{path} holds a {foreign[1]} beside its tensors, which could run code and is not loaded: where the file "
                f"was made, save it again without, as torch.save({{'ema_model': ckpt['ema_model'], 'net_model': "
                "ckpt['net_model'], 'step': ckpt['step'], 'fixed_x_T': ckpt['fixed_x_T']}, 'ckpt_STEP.pt')"
            ) from error
        raise CheckpointError(
            f"{path} is truncated, damaged or no PyTorch checkpoint of plain tensors: give the ckpt_STEP.pt that "
            "the authors' code wrote, copied whole"
        ) from error


def _check_sums(path: Path) -> None:
    """Raise BadZipFile where an array of the file does not match its checksum, which torch does not compare.

    A file that was written without checksums matches none of them, and says nothing.
    """
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.file_size]
        damaged = 0
        for member in members:
            try:
                with archive.open(member) as handle:
                    while handle.read(1 << 20):
                        pass
            except zipfile.BadZipFile:
                damaged += 1
    if 0 < damaged < len(members):
        raise zipfile.BadZipFile(f"{damaged} of {len(members)} parts do not match their checksums")


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def _is_plain(value: Tensor) -> bool:
    return value.is_floating_point() and value.layout is torch.strided and not value.is_meta


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
