"""A checkpoint's file -> its tables of tensors, by the names that trainers and wrappers give them; no code of it runs."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ltbench.data.file_kind import kind_of_file
from ltbench.errors import CheckpointError

_COUNTERS = ("n_averaged", "initted", "step")  # beside the weights: torch's AveragedModel, ema_pytorch's EMA


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
        elif _is_state(content.get("state_dict")) and not _averages(content):  # as other trainers name it
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
            models[name] = _without_prefixes(_of_one_network(path, content[name]))
    if not models:
        raise CheckpointError(_without_weights(path, content))
    return {str(k): v for k, v in content.items() if k not in ("ema_model", "net_model")} | models


def _without_weights(path: Path, content: Mapping[Any, Any]) -> str:
    """Return what a file without weights under their official names holds, and how to give them these."""
    tables = [str(name) for name, value in content.items() if _is_state(value)]
    if not tables:
        return (
            f"{path} holds no ema_model or net_model weights, so it is not an official checkpoint: "
            "give the ckpt_STEP.pt that the authors' code wrote"
        )
    averages = _averages(content)
    tables = list(dict.fromkeys([*tables, *averages]))
    meant = (averages or tables)[-1][:40]
    shown = ", ".join(repr(name[:40]) for name in tables[:5])
    return (
        f"{path} holds weights as {shown} and none as 'ema_model' or 'net_model': say which are the averaged ones by "
        f"saving it again, as torch.save({{'ema_model': ckpt[{meant!r}], 'step': STEP}}, 'ckpt_STEP.pt')"
    )


def _averages(content: Mapping[Any, Any]) -> list[str]:
    """Return the names of what a file holds as averaged weights: tables, or tensors kept in another way."""
    return [str(name) for name, value in content.items() if _says_averaged(str(name)) and _has_arrays(value)]


def _says_averaged(name: str) -> bool:
    return "ema" in re.split(r"[._-]", name.lower())


def _has_arrays(value: Any) -> bool:
    """Say whether a table or a list holds a tensor that is no single number, at any depth."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(_has_arrays(part) or (isinstance(part, Tensor) and part.ndim > 0) for part in inner)


def _of_one_network(path: Path, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return a table's weights of one network, without an averager's counters and the network that it averages.

    Raises
    ------
    CheckpointError
        It holds several networks, and nothing says which is meant.
    """
    state = {name: value for name, value in state.items() if name not in _COUNTERS}
    heads = [name.removesuffix("head.weight") for name in state if name.endswith("head.weight")]
    if len(heads) < 2:
        return state
    averaged = [head for head in heads if _says_averaged(head)]
    if len(averaged) != 1:
        raise CheckpointError(
            f"{path} holds {len(heads)} networks in one table, {', '.join(repr(head[:40]) for head in heads[:5])}: save "
            "the averaged one alone"
        )
    return {name: value for name, value in state.items() if name.startswith(averaged[0])}


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
        if _is_safetensors(path):
            return load_file(path)
        if zipfile.is_zipfile(path):
            _check_sums(path)
        with path.open("rb") as handle, warnings.catch_warnings():  # of a path torch goes by the ending
            warnings.simplefilter("ignore")  # of other formats than expected, which errors tell
            return torch.load(handle, map_location="cpu", weights_only=True)
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
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{path} is a TorchScript program, which is not run: save the state_dict() of its network"
            ) from error
        if (kind := kind_of_file(path)) and kind not in ("a PyTorch file", "a Python pickle", "an archive"):
            raise CheckpointError(
                f"{path} is {kind}, no checkpoint: give the file that training wrote"
            ) from error
        raise CheckpointError(
            f"{path} is truncated, damaged or no PyTorch checkpoint of plain tensors: give the ckpt_STEP.pt that "
            "the authors' code wrote, copied whole"
        ) from error


def _is_safetensors(path: Path) -> bool:
    """Tell by its content, whatever the ending: a header's length, then JSON."""
    with path.open("rb") as handle:
        head = handle.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8


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
