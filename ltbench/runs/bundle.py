"""A bundle: from folders of runs to one small folder or zip file that travels, and back to the same bytes.

    bundle.json        format, what is inside, and the SHA-256 of every other file
    study/*.toml       the study files
    runs.jsonl         a line a training: its folder's name and the content of its JSON files (specs, provenance, requests)
    scores.csv.gz      every number, with the sample set's folder in the column `file`; so train.csv.gz, step.csv.gz
                       (probes) and confusion.csv.gz; or .csv.xz, where they were packed with xz: two thirds of the
                       bytes, ten times the time to write
    files.zip          what is no table: sheets, nearest pairs; images, features and weights of the training seeds asked for

A table or JSON file that does not come back byte for byte from these is kept as it is in ``files.zip``. The same
runs give the same bytes. A bundle is a stranger's file: nothing in it is executed, names and sizes are checked
before anything is written, and only kinds of files that hold no code are taken.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ltbench.errors import DataCorrupt, StorageError, UsageError
from ltbench.files import locked, storage_errors
from ltbench.runs.bundle_format import (
    COMPRESSIONS,
    FILES,
    FORMAT,
    INDEX,
    LARGEST,
    RUNS,
    STAGED,
    STUDIES,
    VERSION,
    belongs,
    checked_name,
    expand,
    is_table,
    is_zip,
    json_bytes,
    parse_json,
    sha256,
    split_tables,
    unzip,
)
from ltbench.runs.layout import IMAGES
from ltbench.temporary import unpacking


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose files are whole.

    Attributes
    ----------
    path
        The folder or zip file.
    index
        The content of ``bundle.json``.
    contents
        File name -> bytes, of all but the index.
    """

    path: Path
    index: Mapping[str, Any]
    contents: Mapping[str, bytes] = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 over the names and digests of all files: equal bundles have equal ones."""
        return sha256(json.dumps(self.index["files"], sort_keys=True).encode())

    @property
    def compression(self) -> str:
        """How its tables are compressed, "gz" or "xz"."""
        suffixes = {PurePosixPath(name).suffix.removeprefix(".") for name in self.contents if is_table(name)}
        return next((each for each in COMPRESSIONS if each in suffixes), COMPRESSIONS[0])

    @property
    def studies(self) -> dict[str, bytes]:
        """The study files' bytes by name."""
        prefix = f"{STUDIES}/"
        return {
            name.removeprefix(prefix): content
            for name, content in self.contents.items()
            if name.startswith(prefix)
        }

    def runs(self) -> Iterator[dict[str, Any]]:
        """Yield each training: ``folder`` and ``files`` (relative path -> parsed JSON)."""
        for line in self.contents[RUNS].splitlines():
            run = parse_json(line, f"{self.path}/{RUNS}")
            named = isinstance(run, dict) and isinstance(run.get("folder"), str)
            if not named or not isinstance(run.get("files"), dict):
                raise DataCorrupt(f"{self.path}/{RUNS} is no list of runs: get the bundle again")
            checked_name(run["folder"], self.path)
            yield run


def file_of(folder: Path, name: str) -> Path:
    """Return where a file of a bundle's folder lies: a packing that is putting its files in place may hold it still."""
    staged = folder / STAGED
    return staged / name if (staged / INDEX).is_file() and (staged / name).is_file() else folder / name


def is_bundle(path: Path) -> bool:
    """Tell whether a path is a bundle: a folder with an index, or a zip file with one."""
    if path.is_dir():
        return file_of(path, INDEX).is_file()
    if not is_zip(path) or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return INDEX in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def read_index(content: bytes, bundle: Path) -> dict[str, Any]:
    """Return what ``bundle.json`` of a bundle says.

    Raises
    ------
    DataCorrupt
        It is no index.
    """
    index = parse_json(content, f"{bundle}/{INDEX}")
    if (
        not isinstance(index, dict)
        or index.get("format") != FORMAT
        or not isinstance(index.get("files"), dict)
    ):
        raise DataCorrupt(f"{bundle}/{INDEX} is no index of a bundle: get the bundle again")
    return index


def read_bundle(path: Path) -> Bundle:
    """Open a bundle and check every file against its digest.

    Raises
    ------
    UsageError
        It is no bundle, or of a later version.
    DataCorrupt
        A file is missing, was changed, or is none that belongs there.
    """
    if not is_bundle(path):
        raise UsageError(f"{path} is no bundle: give what `ltbench pack` wrote")
    with locked(path) if path.is_dir() else contextlib.nullcontext():  # none of its files moves meanwhile
        return _read_bundle(path)


def _read_bundle(path: Path) -> Bundle:
    raw = unzip(path.read_bytes(), str(path)) if path.is_file() else None
    index = read_index(raw[INDEX] if raw else file_of(path, INDEX).read_bytes(), path)
    if index.get("version") != VERSION:
        raise UsageError(
            f"{path} is a bundle of version {index.get('version')}, this ltbench reads {VERSION}: upgrade ltbench"
        )
    contents: dict[str, bytes] = {}
    for name, digest in index["files"].items():
        checked_name(name, path, kinds=None)
        if not belongs(name):
            raise DataCorrupt(f"{path} holds {name[:80]!r}, which no bundle has: get the bundle again")
        if raw is None and not file_of(path, name).is_file():
            raise DataCorrupt(f"{path / name} is missing: get the bundle again")
        if raw is not None and name not in raw:
            raise DataCorrupt(f"{path} lacks {name}: get the bundle again")
        content = raw[name] if raw is not None else file_of(path, name).read_bytes()
        if sha256(content) != digest:
            raise DataCorrupt(
                f"{path / name} is not what {INDEX} says it is: it was changed or cut; get the bundle again"
            )
        contents[name] = content
    if RUNS not in contents:
        raise DataCorrupt(f"{path} lists no runs: get the bundle again")
    return Bundle(path, index, contents)


def run_files(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the run folders as (path below the root, bytes), names and sizes checked."""
    seen: set[str] = set()
    total = 0
    for name, content in _members(bundle):
        checked_name(name, bundle.path)
        if name in seen:
            raise DataCorrupt(f"{bundle.path} holds {name} twice: get the bundle again")
        seen.add(name)
        total += len(content)
        if total > LARGEST:
            raise DataCorrupt(
                f"{bundle.path} grows to more than {LARGEST / 2**30:.2g} GiB: it is not unpacked"
            )
        yield name, content


def _members(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    for run in bundle.runs():
        for name, content in run["files"].items():
            yield f"{run['folder']}/{name}", json_bytes(content, f"{bundle.path}/{RUNS}")
    for name, content in bundle.contents.items():
        if is_table(name):
            yield from split_tables(expand(content, name, str(bundle.path)), f"{bundle.path}/{name}")
    if FILES in bundle.contents:
        yield from unzip(bundle.contents[FILES], f"{bundle.path}/{FILES}").items()


def unpack(bundle: Bundle, target: Path) -> list[Path]:
    """Write a bundle's run folders and study files below `target`; return the run folders.

    Raises
    ------
    StorageError
        A file is there already with another content; nothing is written then.
    DataCorrupt
        As `run_files`.
    """
    files = dict(run_files(bundle)) | bundle.studies
    for name, content in files.items():
        path = target / name
        if path.exists() and (not path.is_file() or path.read_bytes() != content):
            raise StorageError(f"{path} is there with another content: unpack into another folder")
    with _new_folder(target) as temporary:
        for name, content in files.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(content)
        for name in sorted(files, key=lambda name: (PurePosixPath(name).name == IMAGES, name)):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).replace(
                target / name
            )  # images last, because they mean that a sample set is there
    return [target / run["folder"] for run in bundle.runs()]


def materialise(bundle: Bundle, cache: Path) -> Path:
    """Return a folder of the bundle's runs below `cache`, unpacked once a content."""
    target = cache / bundle.digest[:32]
    if not target.is_dir():
        with _new_folder(cache) as temporary:
            unpack(bundle, temporary / "runs")
            try:
                (temporary / "runs").rename(target)
            except OSError:  # another process was first
                if not target.is_dir():
                    raise
    return target


@contextlib.contextmanager
def _new_folder(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder in `parent`, which is made where it is not there."""
    with storage_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        with unpacking(parent) as temporary:
            yield temporary
