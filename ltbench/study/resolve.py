"""What a command or a notebook names: from a preset, settings and a data set's name to a study or one data cell.

A data set named alone means its default preset, and nothing at all the demo. What only prepared files tell
(a folder's content, its own imbalance ratio) is filled in, so that keys are the same whoever asks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ltbench.data import get_source, resolve_data
from ltbench.errors import UsageError
from ltbench.specs import DataSpec
from ltbench.study.file import Study, asked, load_study
from ltbench.study.presets import default_preset
from ltbench.study.quick import QUICK, choose_prepared, is_folder, prepare_and_choose

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def resolve_study(
    preset: str | Path | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] = _NOTHING,
    data_root: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Study:
    """Return the study that is asked for, its data resolved; parameters and errors as `load_study`.

    A ``dataset`` that is a folder on disk is prepared. Without a preset a quick study is chosen for it, as for one
    that was prepared before (``folder_lt:NAME``); `say` is told what.
    """
    dataset = flags.get("dataset") or ""
    name = (dataset if isinstance(dataset, str) else dataset[0]).split(",")[0].strip()
    if is_folder(name):
        choice = prepare_and_choose(name, data_root, _image_size(sets, flags))
        flags = {**flags, "dataset": choice.dataset}
        if preset is None:
            preset, sets = QUICK, (*choice.settings, *sets)
        if say is not None:
            say(choice.sentence if preset == QUICK else f"{choice.dataset} is prepared from {name}")
    elif preset is None:
        ratios = asked("data.imbalance_ratio", sets, flags)
        prepared = choose_prepared(name, data_root, _image_size(sets, flags)) if name else None
        if prepared is not None:
            preset, sets = QUICK, (*prepared.settings, *sets)
            if say is not None:
                say(prepared.sentence)
        else:
            preset = default_preset(name, str(ratios[0]) if len(ratios) == 1 else None) if name else "demo"
    study = load_study(preset, sets, flags)
    runs = tuple(run.model_copy(update={"data": resolve_data(run.data, data_root)}) for run in study.runs)
    return dataclasses.replace(study, runs=runs)


def _image_size(sets: Sequence[str], flags: Mapping[str, Any]) -> int | None:
    """Return the image size that settings ask for, or None."""
    sizes = asked("data.image_size", sets, flags)
    if len(sizes) > 1 or not all(size is None or size > 0 for size in sizes):
        raise UsageError(
            f"data.image_size={','.join(map(str, sizes))}: a folder is prepared at one size, a whole number of pixels"
        )
    return sizes[0] if sizes else None


def resolve_cell(
    dataset: str,
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] = _NOTHING,
    data_root: Path | None = None,
) -> DataSpec:
    """Return the one data cell that a data set's default preset, ``data.*`` settings and flags describe.

    Raises
    ------
    UsageError
        A setting of something else than the data, or several cells.
    """
    for entry in sets:
        if not entry.startswith("data."):
            raise UsageError(f"--set {entry}: only data.* says what samples are compared with")
    given = [f"data.profile={get_source(dataset).default_profile}", *sets]
    runs = load_study(default_preset(dataset), given, {**flags, "dataset": dataset}).runs
    cells = {run.data: None for run in runs}
    if len(cells) > 1:
        raise UsageError(f"{len(cells)} data cells are asked for: samples are compared with one")
    return resolve_data(next(iter(cells)), data_root)
