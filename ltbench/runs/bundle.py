"""A bundle: from folders of runs to one small folder or zip file that travels, and back to the same bytes.

    bundle.json        format, what is inside, and the SHA-256 of every other file
    study/*.toml       the study files
    runs.jsonl         a line a training: its folder's name and the content of its JSON files (specs, provenance, requests)
    scores.csv.gz      every number, with the sample set's folder in the column `file`; so train.csv.gz, step.csv.gz
                       (probes) and confusion.csv.gz
    files.zip          what is no table: sheets, nearest pairs; images, features and weights of the training seeds asked for

A table or JSON file that does not come back byte for byte from these is kept as it is in ``files.zip``. The same
runs give the same bytes. A bundle is a stranger's file: nothing in it is executed, names and sizes are checked
before anything is written, and only kinds of files that hold no code are taken.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import ltbench
from ltbench.errors import DataCorrupt, StorageError, UsageError
from ltbench.files import decoding, memory_bytes, parsing, replacing, storage_errors
from ltbench.runs.layout import IMAGES, NEAREST, PARTIAL, SAMPLES, SPEC
from ltbench.runs.run import check_run

INDEX = "bundle.json"
FORMAT = "ltbench bundle"
VERSION = 1
RUNS = "runs.jsonl"
FILES = "files.zip"
STUDIES = "study"

LARGEST = min(16 << 30, memory_bytes() // 4)
"""Bytes that a bundle may grow to when it is unpacked, which happens in memory."""

_KINDS = {".json", ".csv", ".npy", ".npz", ".png", ".safetensors"}  # no pickles, no scripts, no TorchScript
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=,@-]{0,199}")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DEEPEST = 6


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
        return _sha256(json.dumps(self.index["files"], sort_keys=True).encode())

    @property
    def studies(self) -> dict[str, str]:
        """The study files' texts by name."""
        prefix = f"{STUDIES}/"
        return {
            name.removeprefix(prefix): content.decode("utf-8", "replace")
            for name, content in self.contents.items()
            if name.startswith(prefix)
        }

    def runs(self) -> Iterator[dict[str, Any]]:
        """Yield each training: ``folder`` and ``files`` (relative path -> parsed JSON)."""
        for line in self.contents[RUNS].splitlines():
            run = _json(line, f"{self.path}/{RUNS}")
            named = isinstance(run, dict) and isinstance(run.get("folder"), str)
            if not named or not isinstance(run.get("files"), dict):
                raise DataCorrupt(f"{self.path}/{RUNS} is no list of runs: get the bundle again")
            _checked_name(run["folder"], self.path)
            yield run


# -- packing ----------------------------------------------------------------------------------------------


def pack(
    roots: Sequence[Path],
    target: Path,
    *,
    studies: Sequence[Path] = (),
    keep_arrays: Iterable[int] | None = (),
    keep_weights: Iterable[int] | None = (),
    sheets: bool = True,
    only: Iterable[str] | None = None,
) -> Bundle:
    """Write the runs below `roots` as one bundle, and return it.

    Parameters
    ----------
    roots
        Output folders of ``ltbench run``, or run folders.
    target
        A folder to make or replace (only an older bundle is replaced), or a file's name that ends in ``.zip``.
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

    Raises
    ------
    UsageError
        There is no run below the roots, or two roots hold different runs under one name.
    CheckpointError
        A spec or file of a run was changed since it was written.
    StorageError, DiskFull
        The target cannot be written, or is a folder that is no bundle.
    """
    writer = _Writer(_seeds(keep_arrays), _seeds(keep_weights), sheets)
    sets: dict[str, set[str]] = {}
    for name in only or ():
        folder_name, _, sample_set = name.partition("/")
        sets.setdefault(folder_name, set()).add(sample_set)
    for folder in _run_folders(roots):
        if only is None:
            writer.add(folder)
        elif folder.name in sets:
            writer.add(folder, sets[folder.name] if all(sets[folder.name]) else None)
    if not writer.runs:
        raise UsageError(
            f"no runs in {' or '.join(map(str, roots))}: give the folder that `ltbench run --out` wrote"
        )
    files = writer.contents()
    for path in _study_files(roots, studies):
        files[f"{STUDIES}/{path.name}"] = path.read_bytes()
    return write_bundle(target, files, {"trainings": len(writer.runs), "numbers": writer.numbers})


def write_bundle(target: Path, files: Mapping[str, bytes], about: Mapping[str, Any]) -> Bundle:
    """Write `files` (name -> bytes) and their index at `target`; errors as `pack`."""
    index = {
        "format": FORMAT,
        "version": VERSION,
        "ltbench": ltbench.__version__,
        **about,
        "files": {name: _sha256(files[name]) for name in sorted(files)},
    }
    everything = {INDEX: (json.dumps(index, indent=2, sort_keys=True) + "\n").encode(), **files}
    if target.suffix == ".zip":
        with replacing(target) as temporary:
            temporary.write_bytes(_zip(everything))
    else:
        _replace_folder(target, everything)
    return Bundle(target, index, dict(files))


def _replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder beside `target` and put it in its place; other things in an older bundle's folder stay."""
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not is_bundle(target))):
        raise StorageError(f"{target} is there and is no bundle: give -o another name")
    with storage_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        parts = [target / FILES, *target.glob("*.csv.gz"), *(target / STUDIES).glob("*.toml")]
        stale = [path for path in parts if path.relative_to(target).as_posix() not in files]
        for name in sorted(
            files, key=lambda name: name == INDEX
        ):  # the index last: it makes the folder a bundle
            with replacing(target / name) as temporary:
                temporary.write_bytes(files[name])
        for path in stale:
            path.unlink(missing_ok=True)


def _run_folders(roots: Sequence[Path]) -> list[Path]:
    """Return the training folders at or below the roots by name; a name twice must be one folder."""
    found: dict[str, Path] = {}
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"no folder at {root}: give the folder that `ltbench run --out` wrote")
        specs = [root / SPEC] if (root / SPEC).is_file() else sorted(root.rglob(SPEC))
        for spec in specs:
            folder = spec.parent
            inside = folder.relative_to(root).parts
            if folder.parent.name == SAMPLES or any(part.startswith(".") for part in inside):
                continue
            known = found.setdefault(folder.name, folder)
            if known.resolve() != folder.resolve():
                raise UsageError(
                    f"{known} and {folder} have one name: pack them one by one and join them with `ltbench merge`"
                )
    return [found[name] for name in sorted(found)]


def _study_files(roots: Sequence[Path], studies: Sequence[Path]) -> list[Path]:
    beside = [path for root in roots for path in sorted(root.glob("*.toml"))]
    return list({path.name: path for path in (*beside, *studies)}.values())


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
        _checked_name(folder.name, folder)
        check_run(folder)
        seed = _json((folder / SPEC).read_bytes(), str(folder / SPEC)).get("train_seed")
        documents: dict[str, Any] = {}
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if not path.is_file() or path.is_symlink() or not self._wanted(relative, seed):
                continue
            if sets is not None and relative.parts[0] == SAMPLES and "/".join(relative.parts[:2]) not in sets:
                continue
            content, name = path.read_bytes(), f"{folder.name}/{relative.as_posix()}"
            if path.suffix == ".json" and _as_text(parsed := _json(content, str(path)), path) == content:
                documents[relative.as_posix()] = parsed
            elif path.suffix == ".csv" and _rows_come_back(content):
                self.tables.setdefault(_table_of(relative), {})[name] = content
            else:
                self.verbatim[name] = content
        self.runs.append({"folder": folder.name, "files": documents})

    def _wanted(self, relative: Path, seed: object) -> bool:
        if any(part.startswith(".") for part in relative.parts) or PARTIAL in relative.parts:
            return False
        if relative.suffix in (".json", ".csv"):
            return True
        if relative.suffix == ".png" or relative.name == NEAREST:
            return self.sheets
        if relative.suffix in (".npy", ".npz"):
            return self.arrays(seed)
        return relative.suffix == ".safetensors" and self.weights(seed)

    def contents(self) -> dict[str, bytes]:
        lines = [json.dumps(run, sort_keys=True, separators=(",", ":")) + "\n" for run in self.runs]
        files = {RUNS: "".join(lines).encode()}
        for table, parts in sorted(self.tables.items()):
            content, rows = _join_tables(parts)
            files[f"{table}.csv.gz"] = _gzip(content)
            self.numbers += rows if table == "scores" else 0
        if self.verbatim:
            files[FILES] = _zip(self.verbatim)
        return files


def _table_of(relative: Path) -> str:
    """Name the table that a CSV file goes to: its stem without a step's number."""
    return re.sub(r"[-_]?\d+$", "", relative.stem) or "table"


def _parse(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


def _csv_text(rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def _rows_come_back(content: bytes) -> bool:
    try:
        rows = _parse(content)
    except (UnicodeDecodeError, csv.Error):
        return False
    rectangular = bool(rows) and bool(rows[0]) and all(len(row) == len(rows[0]) for row in rows)
    return (
        rectangular and len({"file", "columns", *rows[0]}) == len(rows[0]) + 2 and _csv_text(rows) == content
    )


def _join_tables(parts: Mapping[str, bytes]) -> tuple[bytes, int]:
    """Join CSV files to one, and count its rows; its first two columns say of which file a row is, and of which columns.

    Files of several versions differ in columns: the joined header has them all, and ``columns`` says how many of
    them, from the first, or at which positions (``: 0 2 1``), a row's file has, so that every file comes back.
    """
    parsed = {name: _parse(content) for name, content in parts.items()}
    header: list[str] = []
    for rows in parsed.values():
        header += [column for column in rows[0] if column not in header]
    place = {column: i for i, column in enumerate(header)}
    joined: list[list[str]] = [["file", "columns", *header]]
    count = 0
    for name in sorted(parsed):
        head, *body = parsed[name]
        order = " ".join(str(place[column]) for column in head)
        if order == " ".join(map(str, range(len(head)))):
            order = str(len(head))  # the usual case: the first so many
        else:
            order = f": {order}"
        for row in body or [[""] * len(head)]:
            full = [""] * len(header)
            for column, value in zip(head, row, strict=True):
                full[place[column]] = value
            joined.append([name, order if body else f"{order} empty", *full])
            count += bool(body)
    return _csv_text(joined), count


def _split_tables(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Yield (file, CSV bytes) of a joined table."""
    try:
        rows = _parse(content)
        header = rows[0][2:]
        assembled: dict[str, list[list[str]]] = {}
        for name, order, *values in rows[1:]:
            _checked_name(name, Path(where))
            empty = order.endswith(" empty")
            order = order.removesuffix(" empty")
            places = [int(p) for p in order[1:].split()] if order.startswith(":") else list(range(int(order)))
            table = assembled.setdefault(name, [[header[p] for p in places]])
            if not empty:
                table.append([values[p] for p in places])
    except (ValueError, IndexError, csv.Error, UnicodeDecodeError) as error:
        raise DataCorrupt(f"{where} is no table of this kind ({error}): get the bundle again") from error
    for name, table in assembled.items():
        yield name, _csv_text(table)


# -- reading ----------------------------------------------------------------------------------------------


def is_bundle(path: Path) -> bool:
    """Tell whether a path is a bundle: a folder with an index, or a zip file with one."""
    if path.is_dir():
        return (path / INDEX).is_file()
    if path.suffix != ".zip" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return INDEX in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


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
    raw = _read_zip(path.read_bytes(), str(path)) if path.is_file() else None
    index = _json(raw[INDEX] if raw else (path / INDEX).read_bytes(), f"{path}/{INDEX}")
    if (
        not isinstance(index, dict)
        or index.get("format") != FORMAT
        or not isinstance(index.get("files"), dict)
    ):
        raise DataCorrupt(f"{path}/{INDEX} is no index of a bundle: get the bundle again")
    if index.get("version") != VERSION:
        raise UsageError(
            f"{path} is a bundle of version {index.get('version')}, this ltbench reads {VERSION}: upgrade ltbench"
        )
    contents: dict[str, bytes] = {}
    for name, digest in index["files"].items():
        _checked_name(name, path, kinds=None)
        if not _belongs(name):
            raise DataCorrupt(f"{path} holds {name[:80]!r}, which no bundle has: get the bundle again")
        if raw is None and not (path / name).is_file():
            raise DataCorrupt(f"{path / name} is missing: get the bundle again")
        if raw is not None and name not in raw:
            raise DataCorrupt(f"{path} lacks {name}: get the bundle again")
        content = raw[name] if raw is not None else (path / name).read_bytes()
        if _sha256(content) != digest:
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
        _checked_name(name, bundle.path)
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
            yield f"{run['folder']}/{name}", _as_text(content, f"{bundle.path}/{RUNS}")
    for name, content in bundle.contents.items():
        if name.endswith(".csv.gz"):
            yield from _split_tables(_gunzip(content, f"{bundle.path}/{name}"), f"{bundle.path}/{name}")
    if FILES in bundle.contents:
        yield from _read_zip(bundle.contents[FILES], f"{bundle.path}/{FILES}").items()


def unpack(bundle: Bundle, target: Path) -> list[Path]:
    """Write a bundle's run folders and study files below `target`; return the run folders.

    Raises
    ------
    StorageError
        A file is there already with another content; nothing is written then.
    DataCorrupt
        As `run_files`.
    """
    files = dict(run_files(bundle)) | {name: text.encode() for name, text in bundle.studies.items()}
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
    """Yield a temporary folder in `parent`, which goes whatever happens."""
    with storage_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=parent))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


# -- bytes --------------------------------------------------------------------------------------------------


def _checked_name(name: str, where: Path, kinds: set[str] | None = _KINDS) -> None:
    """Refuse a name that could leave the folder or is of a kind that does not belong in a run's folder."""
    parts = PurePosixPath(name).parts
    safe = 0 < len(parts) <= _DEEPEST and "/".join(parts) == name and all(_PART.fullmatch(p) for p in parts)
    if not safe or ".." in parts:
        raise DataCorrupt(
            f"{where} names a file {name[:80]!r}, which is no name of a run's file: it is not unpacked"
        )
    if kinds is not None and len(parts) > 1 and PurePosixPath(name).suffix not in kinds:
        raise DataCorrupt(f"{where} holds {name[:80]!r}, a kind of file that no run has: it is not unpacked")


def _belongs(name: str) -> bool:
    """Say whether a name is one that a bundle itself can hold: no script, and nothing that lands in a run's folder."""
    parts = PurePosixPath(name).parts
    if len(parts) == 1:
        return name in (RUNS, FILES) or name.endswith(".csv.gz")
    return len(parts) == 2 and parts[0] == STUDIES and name.endswith(".toml")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataCorrupt(f"{where} is not valid JSON: get it again") from error


def _as_text(value: Any, where: str | Path) -> bytes:
    with parsing(where, DataCorrupt, "get it again"):  # writing needs more depth than reading
        return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=9, mtime=0)


def _gunzip(content: bytes, where: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as handle:
            text = handle.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataCorrupt(f"{where} is truncated or not gzip: get the bundle again") from error
    if len(text) > LARGEST:
        raise DataCorrupt(f"{where} grows to more than {LARGEST / 2**30:.2g} GiB: it is not unpacked")
    return text


def _zip(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files):
            packed = name.endswith((".png", ".gz", ".zip"))
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name], compresslevel=None if packed else 9)
    return out.getvalue()


def _read_zip(content: bytes, where: str) -> dict[str, bytes]:
    with (
        decoding(f"{where} is truncated or no zip file", "get the bundle again", DataCorrupt),
        zipfile.ZipFile(io.BytesIO(content)) as archive,
    ):
        members = archive.infolist()
        if sum(member.file_size for member in members) > LARGEST:
            raise DataCorrupt(f"{where} grows to more than {LARGEST / 2**30:.2g} GiB: it is not unpacked")
        if len({member.filename for member in members}) < len(members):
            raise DataCorrupt(f"{where} holds a name twice: get the bundle again")
        return {member.filename: archive.read(member) for member in members}
