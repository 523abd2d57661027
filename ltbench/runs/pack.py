"""Packing: from folders of runs to a bundle, the same runs to the same bytes."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ltbench
from ltbench.errors import DataCorrupt, StorageError, UsageError
from ltbench.files import locked, replacing, storage_errors
from ltbench.runs.bundle import Bundle, is_bundle, read_index, run_files
from ltbench.runs.bundle_format import (
    COMPRESSIONS,
    FILES,
    FORMAT,
    INDEX,
    RUNS,
    STAGED,
    STUDIES,
    VERSION,
    belongs,
    compress,
    is_safe,
    is_table,
    is_zip,
    join_tables,
    json_bytes,
    parse_json,
    rows_come_back,
    sha256,
    table_of,
    zip_bytes,
)
from ltbench.runs.layout import NEAREST, SAMPLES, SHEET, SPEC, files_below, travelling
from ltbench.runs.run import check_run
from ltbench.text import slug


def pack(
    roots: Sequence[Path],
    target: Path,
    *,
    studies: Sequence[Path] = (),
    keep_arrays: Iterable[int] | None = (),
    keep_weights: Iterable[int] | None = (),
    sheets: bool = True,
    only: Iterable[str] | None = None,
    compression: str = "gz",
) -> Bundle:
    """Write the runs below `roots` as one bundle, and return it.

    Parameters
    ----------
    roots
        Output folders of ``ltbench run``, or run folders.
    target
        A folder, or a file whose name ends in ``.zip``, to make or replace; only an older bundle is replaced.
    studies
        Study files to put in; those that lie in the roots are put in anyway.
    keep_arrays
        Training seeds whose images, labels and bottleneck features are kept; None: all.
    keep_weights
        Training seeds whose weights are kept; None: all.
    sheets
        Keep the pictures: contact sheets, and the pairs of generated and nearest training images.
    only
        Names of run folders to take, or of sample sets of a run (``RUN/samples/KEY8``), of which the run's other
        sets are left; default: all.
    compression
        "gz", or "xz": two thirds of the bytes, and ten times the time to write.

    Raises
    ------
    UsageError
        There is no run, or none of those named, below the roots, two roots hold different runs under one name, or
        there is no such compression.
    CheckpointError
        A spec or file of a run was changed since it was written.
    StorageError, DiskFull
        The target cannot be written, or is there and is no bundle.
    """
    if compression not in COMPRESSIONS:
        raise UsageError(f"no compression {compression!r}: choose {' or '.join(COMPRESSIONS)}")
    writer = _Writer(_seeds(keep_arrays), _seeds(keep_weights), sheets)
    sets: dict[str, set[str]] = {}
    for name in only or ():
        folder_name, _, sample_set = name.partition("/")
        sets.setdefault(folder_name, set()).add(sample_set)
    folders = _run_folders(roots)
    for folder in folders:
        if only is None:
            writer.add(folder)
        elif folder.name in sets:
            writer.add(folder, sets[folder.name] if all(sets[folder.name]) else None)
    places = " or ".join(map(str, roots))
    if not folders:
        raise UsageError(f"no runs in {places}: give the folder that `ltbench run --out` wrote")
    if not writer.runs:
        raise UsageError(
            f"none of the {len(sets)} runs asked for is in {places}, where there are {len(folders)} others: give the "
            "study, and the folder of the data sets, with which they were made"
        )
    files = writer.contents(compression)
    files |= {f"{STUDIES}/{name}": content for name, content in _study_files(roots, studies).items()}
    try:
        for _ in run_files(Bundle(target, {}, files)):
            pass
    except DataCorrupt as error:
        raise UsageError(
            f"no bundle is written, for none could be read again: {error}; take fewer images or runs"
        ) from error
    return write_bundle(target, files, {"trainings": len(writer.runs), "numbers": writer.numbers})


def write_bundle(target: Path, files: Mapping[str, bytes], about: Mapping[str, Any]) -> Bundle:
    """Write `files` (name -> bytes) and their index at `target`; errors as `pack`."""
    index = {
        "format": FORMAT,
        "version": VERSION,
        "ltbench": ltbench.__version__,
        **about,
        "files": {name: sha256(files[name]) for name in sorted(files)},
    }
    everything = {INDEX: (json.dumps(index, indent=2, sort_keys=True) + "\n").encode(), **files}
    _refuse_others(target)
    if is_zip(target):
        with replacing(target) as temporary:
            temporary.write_bytes(zip_bytes(everything))
    else:
        _replace_folder(target, everything)
    return Bundle(target, index, dict(files))


def _refuse_others(target: Path) -> None:
    ours = is_bundle(target) or (target.is_dir() and (not any(target.iterdir()) or _is_half(target)))
    if target.exists() and not ours:
        raise StorageError(f"{target} is there and is no bundle: give -o another name")


def _replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write all files beside the older ones and put them in their place; other things in a bundle's folder stay.

    What is killed or finds the disk full leaves the older bundle; from the staged index on it leaves the new one.
    """
    with storage_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        with locked(target):
            _put_in_place(target)  # what an earlier packing could not finish
            try:
                for name in sorted(files, key=lambda name: name == INDEX):  # the index last
                    with replacing(target / STAGED / name) as temporary:
                        temporary.write_bytes(files[name])
            except BaseException:
                _discard_staged(target)
                raise
            _put_in_place(target)


def _put_in_place(target: Path) -> None:
    """Move staged files into a bundle's folder and delete what its new index does not name; drop half a staging."""
    staged = target / STAGED
    if (staged / INDEX).is_file():
        index = read_index((staged / INDEX).read_bytes(), target)
        for path in files_below(staged):
            if path != staged / INDEX:
                place = target / path.relative_to(staged)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
        tables = [path for path in target.iterdir() if is_table(path.name)]
        for path in (target / FILES, *tables, *(target / STUDIES).glob("*.toml")):
            if path.relative_to(target).as_posix() not in index["files"]:
                path.unlink(missing_ok=True)
        (staged / INDEX).replace(target / INDEX)
    _discard_staged(target)


def _discard_staged(target: Path) -> None:
    (target / STAGED / INDEX).unlink(missing_ok=True)  # first: without it the rest is nothing
    shutil.rmtree(target / STAGED, ignore_errors=True)


def _is_half(target: Path) -> bool:
    """Tell whether a folder is what a packing left that was stopped: a bundle's files without the index, and no others."""
    names = [path.relative_to(target).as_posix() for path in files_below(target) if path.suffix != ".tmp"]
    return (RUNS in names or (target / STAGED).is_dir()) and all(map(belongs, names))


def run_folders(root: Path) -> list[Path]:
    """Return the training folders at or below a folder, sorted."""
    if (root / SPEC).is_file():
        return [root.resolve()]  # "." has no name
    return [spec.parent for spec in files_below(root, SPEC) if spec.parent.parent.name != SAMPLES]


def _run_folders(roots: Sequence[Path]) -> list[Path]:
    """Return the training folders at or below the roots by name; a name twice must be one folder."""
    found: dict[str, Path] = {}
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"no folder at {root}: give the folder that `ltbench run --out` wrote")
        for folder in run_folders(root):
            known = found.setdefault(folder.name, folder)
            if known.resolve() != folder.resolve():
                raise UsageError(
                    f"{known} and {folder} have one name: pack them one by one and join them with `ltbench merge`"
                )
    return [found[name] for name in sorted(found)]


def _study_files(roots: Sequence[Path], studies: Sequence[Path]) -> dict[str, bytes]:
    """Return the study files by the names that they get in a bundle: one name and content once, another content beside."""
    found: dict[str, bytes] = {}
    beside = [path for root in roots for path in sorted(root.glob("*.toml")) if path.is_file()]
    for path in (*studies, *beside):
        fits = is_safe(path.name) and belongs(f"{STUDIES}/{path.name}")
        stem, content = path.stem if fits else slug(path.stem), path.read_bytes()
        name = f"{stem}.toml"
        for number in itertools.count(2):
            if found.setdefault(name, content) == content:
                break
            name = f"{stem}-{number}.toml"
    return found


def _seeds(asked: Iterable[int] | None) -> Callable[[object], bool]:
    """Return the test whether a training seed was asked for."""
    wanted = None if asked is None else frozenset(asked)
    return lambda seed: wanted is None or seed in wanted


class _Writer:
    """Collects run folders; `contents` are a bundle's files without the index."""

    def __init__(
        self, arrays: Callable[[object], bool], weights: Callable[[object], bool], sheets: bool
    ) -> None:
        self.arrays, self.weights, self.sheets = arrays, weights, sheets
        self.runs: list[dict[str, Any]] = []
        self.tables: dict[str, dict[str, bytes]] = {}
        self.verbatim: dict[str, bytes] = {}
        self.numbers = 0

    def add(self, folder: Path, sets: Collection[str] | None = None) -> None:
        """Collect a run's files; of its sample sets those named in `sets` (default: all)."""
        if not is_safe(folder.name):
            raise UsageError(
                f"cannot pack {folder}: in a bundle a folder's name is letters without accents, digits and . _ + = , @ - : "
                "rename it"
            )
        check_run(folder)
        spec = parse_json((folder / SPEC).read_bytes(), str(folder / SPEC))
        stated = spec.get("columns") if spec.get("origin") == "external" else spec
        seed = stated.get("train_seed") if isinstance(stated, dict) else None
        documents: dict[str, Any] = {}
        for path in travelling(folder):
            relative = path.relative_to(folder)
            if not self._wanted(relative, seed):
                continue
            if sets is not None and relative.parts[0] == SAMPLES and "/".join(relative.parts[:2]) not in sets:
                continue
            content, name = path.read_bytes(), f"{folder.name}/{relative.as_posix()}"
            if (
                path.suffix == ".json"
                and json_bytes(parsed := parse_json(content, str(path)), path) == content
            ):
                documents[relative.as_posix()] = parsed
            elif path.suffix == ".csv" and rows_come_back(content):
                self.tables.setdefault(table_of(relative), {})[name] = content
            else:
                self.verbatim[name] = content
        self.runs.append({"folder": folder.name, "files": documents})

    def _wanted(self, relative: Path, seed: object) -> bool:
        if relative.name in (SHEET, NEAREST):
            return self.sheets
        if relative.suffix in (".npy", ".npz"):
            return self.arrays(seed)
        return relative.suffix != ".safetensors" or self.weights(seed)

    def contents(self, compression: str) -> dict[str, bytes]:
        lines = [json.dumps(run, sort_keys=True, separators=(",", ":")) + "\n" for run in self.runs]
        files = {RUNS: "".join(lines).encode()}
        for table, parts in sorted(self.tables.items()):
            content, rows = join_tables(parts)
            files[f"{table}.csv.{compression}"] = compress(content, compression)
            self.numbers += rows if table == "scores" else 0
        if self.verbatim:
            files[FILES] = zip_bytes(self.verbatim)
        return files
