"""A file's first bytes -> what it really is, whatever its name says: for messages about files that cannot be used."""

from __future__ import annotations

import codecs
import tarfile
import zipfile
from pathlib import Path

ARCHIVE = "an archive"

_HEADS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", ARCHIVE),
    (b"PK\x05\x06", ARCHIVE),  # a ZIP of nothing
    (b"\x1f\x8b", ARCHIVE),  # gzip
    (b"BZh", ARCHIVE),
    (b"\xfd7zXZ\x00", ARCHIVE),
    (b"\x28\xb5\x2f\xfd", ARCHIVE),  # Zstandard
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (b"Rar!\x1a\x07", ARCHIVE),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"%PDF-", "a PDF"),
    (b"%!PS", "an EPS drawing"),
    (b"\xc5\xd0\xd3\xc6", "an EPS drawing"),  # with a preview
    (b"\xd7\xcd\xc6\x9a\x00\x00", "a WMF drawing"),
    (b"PAR1", "a Parquet table"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"version https://git-lfs", "a pointer of Git LFS, whose file was not fetched"),
)
_BRANDS = {  # of ISO base media files: "....ftypBRAND"
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "a HEIC image"),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF image"),
}
_TAR = slice(257, 262)
_PYTORCH = ("/data.pkl", "/constants.pkl")  # what torch.save's ZIP holds


def kind_of(head: bytes) -> str | None:
    """Return what a file is by its first 512 bytes, as ``an archive`` or ``HTML``; None where they do not tell.

    Parameters
    ----------
    head
        The first bytes; 512 are enough.
    """
    for mark, kind in _HEADS:
        if head.startswith(mark):
            return kind
    if head[_TAR] == b"ustar":
        return ARCHIVE
    if head[:4] == b"\x01\x00\x00\x00" and head[40:44] == b" EMF":
        return "an EMF drawing"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video")
    text = _text(head)
    if text is None:
        return None
    start = text.lstrip("\ufeff \t\r\n").casefold()
    if start.startswith(("<!doctype html", "<html")):
        return "an HTML page"
    if start.startswith("<svg") or (start.startswith("<?xml") and "<svg" in start):
        return "an SVG drawing"
    return "text"


def kind_of_file(path: Path) -> str | None:
    """Return what a regular file is by its content; a checkpoint of PyTorch, a ZIP itself, is no archive.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as handle:
        head = handle.read(512)
    kind = kind_of(head)
    if kind == ARCHIVE and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            return kind
        if any(name.endswith(_PYTORCH) for name in names):
            return "a PyTorch file"
        if any(name.endswith(".npy") for name in names):
            return "NumPy arrays"
    return ARCHIVE if kind is None and _old_tar(head) else kind


def _old_tar(head: bytes) -> bool:
    """Tell whether a file's first 512 bytes begin a tar of before 1988, which has no mark but its checksum."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _text(head: bytes) -> str | None:
    """Return bytes as text, a letter cut at their end left out; None where they are none."""
    if b"\x00" in head or not head:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head)  # waits for the rest of a cut letter
    except UnicodeDecodeError:
        return None
