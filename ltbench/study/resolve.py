"""What a command or a notebook names: from a preset, settings and a data set's name to a study or one data cell.

A data set named alone means its default preset, and nothing at all the demo. What only prepared files tell
(a folder's content, its own imbalance ratio) is filled in, so that keys are the same whoever asks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ltbench.data import resolve_data
from ltbench.errors import UsageError
from ltbench.files import user_path
from ltbench.specs import DataSpec
from ltbench.study.file import Study, asked, load_study
from ltbench.study.presets import default_preset, load_all
from ltbench.study.quick import FOLDERS, QUICK, choose_prepared, is_folder, prepare_and_choose

_UNHEEDED = {"imbalance_ratio": 1.0, "class_order": "identity", "split_seed": 0}
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
    that was prepared before (``folder_lt:NAME``), and each data set beside it gets its own; `say` is told what.
    """
    names = _data_sets(flags.get("dataset") or "")
    name = names[0] if names else ""
    folders = [each for each in names if is_folder(each)]
    if len(names) > 1 and preset is None and any(each in folders or _is_prepared(each) for each in names):
        studies = [resolve_study(None, sets, {**flags, "dataset": [each]}, data_root, say) for each in names]
        every = dict.fromkeys(run for study in studies for run in study.runs)
        return dataclasses.replace(studies[0], runs=tuple(every))
    choices = {each: prepare_and_choose(each, data_root, _image_size(sets, flags)) for each in folders}
    if choices:
        flags = {**flags, "dataset": [choices[each].dataset if each in choices else each for each in names]}
        for folder, choice in choices.items():
            if say is not None:
                say(f"{choice.dataset} is prepared from {folder}" if preset else choice.sentence)
    if choices and preset is None:
        preset, sets = QUICK, (*choices[name].settings, *sets)
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
    cells = {run.data: as_asked(run.data, sets, flags) for run in study.runs}
    _refuse_equal(cells.values())
    if say is not None:
        for name in {cell.dataset: 0 for given, cell in cells.items() if cell.profile != given.profile}:
            say(
                f"{name} is cut by the imbalance ratio, with data.profile=exponential; without one it keeps every image"
            )
    runs = tuple(
        run.model_copy(update={"data": resolve_data(cells[run.data], data_root)}) for run in study.runs
    )
    return dataclasses.replace(study, runs=runs)


def _data_sets(dataset: Any) -> list[str]:
    """Return the names that ``--dataset`` lists: text with commas, unless a folder has that name, or a sequence."""
    if not isinstance(dataset, str | Path):
        return [str(each).strip() for each in dataset]
    text = str(dataset).strip()
    if is_folder(text) and user_path(text).is_dir():
        return [text]
    return [name.strip() for name in text.split(",") if name.strip()]


def _is_prepared(dataset: str) -> bool:
    return dataset.partition(":")[0] == FOLDERS


def as_asked(data: DataSpec, sets: Sequence[str], flags: Mapping[str, Any]) -> DataSpec:
    """Return a cell as flags and settings mean it: a ratio given beside a file's or default ``asis`` cuts the set.

    Raises
    ------
    UsageError
        What is given says how to cut the set, and the profile asis, which keeps every image, is asked for too.
    """
    if data.profile != "asis":
        return data
    cut = bool(asked("data.imbalance_ratio", sets, flags)) and not _is_own_ratio(data)
    if cut and not asked("data.profile", sets, flags):
        return data.model_copy(update={"profile": "exponential"})
    idle = {
        "imbalance_ratio": cut,
        "class_order": data.class_order != "identity" and bool(asked("data.class_order", sets, flags)),
        "split_seed": data.split_seed != 0 and bool(asked("data.split_seed", sets, flags)),
    }
    for key in (key for key, given in idle.items() if given):
        raise UsageError(
            f"data.{key}={getattr(data, key)}: {data.dataset} keeps every image with data.profile=asis, whatever it is: "
            "leave it out, or cut the set by an imbalance ratio with data.profile=exponential"
        )
    return data


def _is_own_ratio(data: DataSpec) -> bool:
    """Tell whether a ratio is the one that a data set has as it is, which presets state for names and tables."""
    stated = [content.get("data", {}) for content in load_all().values()]
    return any(
        (each.get("dataset"), each.get("profile"), each.get("imbalance_ratio"))
        == (data.dataset, "asis", data.imbalance_ratio)
        for each in stated
    )


def _refuse_equal(cells: Iterable[DataSpec]) -> None:
    """Refuse cells that differ in nothing but what the profile asis does not heed: each would be trained again."""
    first: dict[DataSpec, DataSpec] = {}
    for cell in cells:
        if cell.profile != "asis":
            continue
        same = first.setdefault(cell.model_copy(update=_UNHEEDED), cell)
        for key in (key for key in _UNHEEDED if getattr(same, key) != getattr(cell, key)):
            raise UsageError(
                f"data.{key}={getattr(same, key)},{getattr(cell, key)}: {cell.dataset} keeps every image with "
                "data.profile=asis, so these are one cell: leave them out, or set data.profile=exponential"
            )


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
    runs = load_study(default_preset(dataset), sets, {**flags, "dataset": dataset}).runs
    cells = {as_asked(run.data, sets, flags): None for run in runs}
    if len(cells) > 1:
        raise UsageError(f"{len(cells)} data cells are asked for: samples are compared with one")
    return resolve_data(next(iter(cells)), data_root)
