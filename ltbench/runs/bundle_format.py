"""A bundle's files as bytes: names that are safe, zip, gzip and xz of bounded size, and many CSV files as one table.

Everything that is read here is a stranger's: names and sizes are checked, and nothing is executed.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import lzma
import operator
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ltbench.errors import DataCorrupt
from ltbench.files import decoding, memory_bytes, parsing

INDEX = "bundle.json"
FORMAT = "ltbench bundle"
VERSION = 1
RUNS = "runs.jsonl"
FILES = "files.zip"
STUDIES = "study"
STAGED = ".packing"
"""Where a folder's next files lie until all are written; from its index on they are the bundle (`bundle.file_of`)."""

COMPRESSIONS = ("gz", "xz")

LARGEST = min(16 << 30, memory_bytes() // 4)
"""Bytes that a bundle may grow to when it is unpacked, which happens in memory."""

KINDS = {".json", ".csv", ".npy", ".npz", ".png", ".safetensors"}  # no pickles, no scripts, no TorchScript
_XZ_MEMORY = 256 << 20  # a stranger's file may ask for gigabytes; our own need 9 MiB
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=,@-]{0,199}")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DEEPEST = 6


# -- names and bytes --------------------------------------------------------------------------------------


def is_safe(name: str) -> bool:
    """Tell whether a name is one of plain letters that cannot leave its folder, and no deeper than a run's files."""
    parts = PurePosixPath(name).parts
    whole = 0 < len(parts) <= _DEEPEST and "/".join(parts) == name and ".." not in parts
    return whole and all(_PART.fullmatch(part) for part in parts)


def checked_name(name: str, where: Path, kinds: set[str] | None = KINDS) -> None:
    """Refuse a name that could leave the folder or is of a kind that does not belong in a run's folder."""
    parts = PurePosixPath(name).parts
    if not is_safe(name):
        raise DataCorrupt(
            f"{where} names a file {name[:80]!r}, which is no name of a run's file: it is not unpacked"
        )
    if kinds is not None and len(parts) > 1 and PurePosixPath(name).suffix not in kinds:
        raise DataCorrupt(f"{where} holds {name[:80]!r}, a kind of file that no run has: it is not unpacked")


def belongs(name: str) -> bool:
    """Say whether a name is one that a bundle itself can hold: no script, and nothing that lands in a run's folder."""
    parts = PurePosixPath(name).parts
    if len(parts) == 1:
        return name in (RUNS, FILES) or is_table(name)
    return len(parts) == 2 and parts[0] == STUDIES and name.endswith(".toml")


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes, as hex digits."""
    return hashlib.sha256(content).hexdigest()


def parse_json(content: bytes, where: str) -> Any:
    """Return what JSON of a file called `where` says; DataCorrupt where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataCorrupt(f"{where} is not valid JSON: get it again") from error


def json_bytes(value: Any, where: str | Path) -> bytes:
    """Return a value as ltbench writes JSON: indented, keys sorted; DataCorrupt where it is nested too deeply or grows."""
    text, size = io.StringIO(), 1
    with parsing(where, DataCorrupt, "get it again"):  # writing needs more depth than reading
        for piece in json.JSONEncoder(indent=2, sort_keys=True).iterencode(value):
            size += text.write(piece)
            if size > LARGEST:  # a line's indent is longer than what it holds, where lists are deep
                raise DataCorrupt(f"{where} grows to more than {LARGEST / 2**30:.2g} GiB: it is not unpacked")
    return (text.getvalue() + "\n").encode()


def is_table(name: str) -> bool:
    """Tell whether a name is that of a table of a bundle: CSV in gzip or in xz."""
    return name.endswith(tuple(f".csv.{suffix}" for suffix in COMPRESSIONS))


def is_zip(path: Path) -> bool:
    """Tell whether a bundle of this name is a zip file, and no folder."""
    return path.suffix.lower() == ".zip"


def compress(content: bytes, compression: str) -> bytes:
    """Compress bytes as gzip ("gz") or xz ("xz"), the same to the same: no time and no name in it."""
    return lzma.compress(content) if compression == "xz" else gzip.compress(content, 9, mtime=0)


def expand(content: bytes, name: str, where: str) -> bytes:
    """Expand a table called `name` in `where`; DataCorrupt where it is damaged or grows past `LARGEST`."""
    try:
        text = _unxz(content) if name.endswith(".xz") else _gunzip(content)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataCorrupt(f"{where}/{name} is truncated or damaged: get the bundle again") from error
    if len(text) > LARGEST:
        raise DataCorrupt(f"{where}/{name} grows to more than {LARGEST / 2**30:.2g} GiB: it is not unpacked")
    return text


def _gunzip(content: bytes) -> bytes:
    with gzip.open(io.BytesIO(content)) as handle:
        return handle.read(LARGEST + 1)


def _unxz(content: bytes) -> bytes:
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    text = reader.decompress(content, LARGEST + 1)
    if not reader.eof and len(text) <= LARGEST:
        raise EOFError
    return text


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return a zip file of names and bytes, the same to the same: sorted, and dated to one day."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files):
            packed = name.endswith((".png", ".gz", ".xz", ".zip"))
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name], compresslevel=None if packed else 9)
    return out.getvalue()


def unzip(content: bytes, where: str) -> dict[str, bytes]:
    """Return the files of a zip called `where`; DataCorrupt where it is damaged, ambiguous or grows past `LARGEST`."""
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


# -- tables -----------------------------------------------------------------------------------------------


def table_of(relative: Path) -> str:
    """Name the table that a CSV file goes to: its stem without a step's number."""
    return re.sub(r"[-_]?\d+$", "", relative.stem) or "table"


def _parse(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


def csv_bytes(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows as CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def rows_come_back(content: bytes) -> bool:
    """Tell whether a CSV file is a rectangle that `csv_bytes` writes again byte for byte."""
    try:
        rows = _parse(content)
    except (UnicodeDecodeError, csv.Error):
        return False
    rectangular = bool(rows) and bool(rows[0]) and all(len(row) == len(rows[0]) for row in rows)
    return (
        rectangular and len({"file", "columns", *rows[0]}) == len(rows[0]) + 2 and csv_bytes(rows) == content
    )


def join_tables(parts: Mapping[str, bytes]) -> tuple[bytes, int]:
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
    return csv_bytes(joined), count


def split_tables(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Yield (file, CSV bytes) of a joined table."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
        first, second, *header = next(reader, ["", ""])
        if (first, second) != ("file", "columns"):
            raise ValueError("its first columns are not file and columns")
        # Tuples of text, which the garbage collector leaves alone: it would walk a million lists again and again.
        assembled: dict[str, list[tuple[str, ...]]] = {}
        known: dict[str, Callable[[Sequence[str]], tuple[str, ...]]] = {}
        width = len(header) + 2
        names = (first, second, *header)
        for row in reader:
            if len(row) != width:
                raise ValueError("a row is not as long as the first")
            name, order = row[0], row[1]
            if order not in known:
                known[order] = _picker(_positions(order.removesuffix(" empty"), len(header)))
            if (table := assembled.get(name)) is None:
                checked_name(name, Path(where))
                table = assembled[name] = [known[order](names)]
            if not order.endswith(" empty"):
                table.append(known[order](row))
    except (ValueError, csv.Error) as error:
        raise DataCorrupt(f"{where} is no table of this kind ({error}): get the bundle again") from error
    for name, table in assembled.items():
        yield name, csv_bytes(table)


def _picker(places: Sequence[int]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Return what takes these columns from a row whose first two are not among them."""
    if len(places) > 1:
        return operator.itemgetter(*(place + 2 for place in places))
    return lambda row: tuple(row[place + 2] for place in places)


def _positions(order: str, width: int) -> list[int]:
    """Return which of `width` columns a row's ``columns`` states; ValueError for others, or for one twice."""
    if order.startswith(":"):
        places = [int(place) for place in order[1:].split()]
        if len(set(places)) == len(places) <= width and all(0 <= place < width for place in places):
            return places
    elif 0 <= int(order) <= width:  # before a list of that many is made
        return list(range(int(order)))
    raise ValueError(f"{order[:40]!r} are not columns of {width}")
