"""The ``spec.json`` of a training and of a sample set: from a run to its folders, opened by key, and back to the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ltbench.errors import CheckpointError, UsageError
from ltbench.files import read_object, write_json
from ltbench.runs.layout import SAMPLES, SPEC, folder_name, sample_folder
from ltbench.specs import DataSpec, RunSpec, sample_key, train_key

_TRAINING = {"data", "model", "method", "train", "train_seed"}  # fields of a RunSpec that are the training's


def read_trained(folder: Path, purpose: str) -> RunSpec:
    """Return the spec of a training that this harness made or imported, for a `purpose` such as ``export``.

    Raises
    ------
    UsageError
        It is no training's folder, or holds images made elsewhere.
    CheckpointError
        The spec is truncated or of another version.
    """
    if not (folder / SPEC).is_file():
        raise UsageError(f"{folder} is no training's folder: give one that `ltbench run` made")
    content = read_spec(folder)
    if content.get("origin") == "external":
        raise UsageError(f"{folder} holds images made elsewhere: there is no network to {purpose}")
    spec = spec_of(folder, content)
    check_key(folder, content, "train_key", train_key(spec))
    return spec


def check_specs(root: Path) -> None:
    """Compare the keys of the specs of every training directly below `root` with their settings; errors as `read_run`."""
    for path in sorted(root.glob(f"*/{SPEC}")):
        content = read_spec(path.parent)
        if "data" in content and content.get("origin") != "external":
            check_key(path.parent, content, "train_key", train_key(spec_of(path.parent, content)))


def read_spec(folder: Path) -> dict[str, Any]:
    """Return what a folder's ``spec.json`` holds, {} where there is none."""
    path = folder / SPEC
    if not path.is_file():
        return {}
    return read_object(path)


def spec_of(folder: Path, content: Mapping[str, Any]) -> RunSpec:
    """Return the `RunSpec` that the content of a folder's ``spec.json`` states.

    Raises
    ------
    CheckpointError
        The content states no run of this version.
    """
    try:
        return RunSpec.stored(content)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"{folder / SPEC} is no run of this version of ltbench ({name}: {first['msg']}): "
            "read it with the version that wrote it"
        ) from error


def spec_of_samples(folder: Path, training: RunSpec) -> RunSpec:
    """Return the run's spec with the step and the sampling that a sample set's folder records."""
    content = read_spec(folder)
    recorded = training.model_dump(mode="json")
    if "step" in content:
        recorded["train"] = recorded["train"] | {"steps": content["step"]}
    if "sample" in content:
        recorded["sample"] = content["sample"]
    return spec_of(folder, recorded)


def checked_spec_of_samples(folder: Path, training: RunSpec) -> RunSpec:
    """As `spec_of_samples`; a spec whose settings have another key than it states is a `CheckpointError`."""
    spec = spec_of_samples(folder, training)
    check_key(folder, read_spec(folder), "sample_key", sample_key(spec))
    return spec


def check_key(folder: Path, content: Mapping[str, Any], name: str, key: str) -> None:
    """Compare the key that a ``spec.json`` states with that of the settings it states."""
    if name in content and content[name] != key:
        raise CheckpointError(
            f"{folder / SPEC} was changed since it was written: its settings have another {name} ({key[:8]}) than it "
            f"states ({str(content[name])[:8]}): restore it, or delete that folder and run again"
        )


def open_folder(spec: RunSpec, root: Path, guard: Callable[[], None] | None = None) -> Path:
    """Create a training's folder below `root`, or check by its full key that it is this training's; return it.

    Raises
    ------
    CheckpointError
        The folder belongs to another spec.
    """
    folder, key = root / folder_name(spec), train_key(spec)
    if (folder / SPEC).exists():
        recorded = read_spec(folder).get("train_key")
        if recorded != key:
            raise CheckpointError(
                f"{folder} belongs to another spec (key {str(recorded)[:16]}, wanted {key[:16]}): use another --out"
            )
        return folder
    content = {"train_key": key, **spec.model_dump(mode="json", include=_TRAINING)}
    write_json(folder / SPEC, content, guard)
    return folder


def open_samples(spec: RunSpec, root: Path, nfe: float, guard: Callable[[], None] | None = None) -> Path:
    """Create a sample set's folder below `root`, or check by its full key that it is this one's; return it.

    Parameters
    ----------
    spec
        The run.
    root
        The output folder.
    nfe
        Network evaluations an image, for the record.
    guard
        Called before the file is published; may withhold it.

    Raises
    ------
    CheckpointError
        The folder belongs to another spec.
    """
    folder, key = root / sample_folder(spec), sample_key(spec)
    recorded = read_spec(folder)
    if recorded and recorded.get("sample_key") != key:
        raise CheckpointError(f"{folder} belongs to another spec: use another --out")
    content = {"sample_key": key, "train_key": train_key(spec), "step": spec.train.steps}
    content |= {"sample": spec.sample.model_dump(mode="json"), "nfe": nfe}
    write_json(folder / SPEC, content, guard)
    return folder


def open_external(folder: Path, key: str, data: DataSpec, columns: Mapping[str, Any]) -> Path:
    """Write the specs of images made elsewhere, which are their own training; return the sample set's folder."""
    samples = folder / SAMPLES / key[:8]
    content = {"origin": "external", "train_key": key, "data": data.model_dump(mode="json")}
    write_json(folder / SPEC, content | {"columns": dict(columns)})
    write_json(samples / SPEC, {"sample_key": key, "train_key": key})
    return samples
