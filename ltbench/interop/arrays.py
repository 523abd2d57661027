"""Array files from outside (.npy, .npz, .safetensors) -> arrays by name, headers checked before anything is read.

Only the arrays that are asked for are read. What a header claims is compared with what the file holds and with
this machine's memory, so that a few bytes cannot ask for terabytes.
"""

from __future__ import annotations

import contextlib
import math
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from ltbench.data.class_folders import ARCHIVES, no_folder
from ltbench.data.file_kind import ARCHIVE, kind_of_file
from ltbench.data.image_file import printable
from ltbench.errors import DataCorrupt, DataMissing, OutOfMemory, UsageError
from ltbench.files import check_regular, decoding, memory_bytes

SUFFIXES = (".npy", ".npz", ".safetensors")


class ArrayFile:
    """The arrays of one file; ``names`` says which, `read` reads one.

    A ``.npy`` file's only array is called ``images`` and stays a memory map.
    """

    def __init__(self, path: Path) -> None:
        check_regular(path, DataMissing)
        self.path, self._kind = path, path.suffix.lower()
        if self._kind in ARCHIVES:
            packed = Path(path.stem).suffix.lower() in SUFFIXES  # samples.npy.gz
            raise UsageError(
                f"{printable(path)} is packed: unpack it, and give {path.stem}" if packed else no_folder(path)
            )
        if self._kind not in SUFFIXES:
            raise UsageError(_other_kind(path))
        with self._errors():
            if self._kind != ".safetensors":
                with path.open("rb") as handle:  # a file's own word counts, as numpy's reader has it
                    self._kind = ".npz" if handle.read(2) == b"PK" else ".npy"
            if self._kind != ".npz" and kind_of_file(path) == ARCHIVE:
                raise UsageError(no_folder(path))
            self.names = self._names()
            if self._kind == ".npz" and self.names and kind_of_file(path) == ARCHIVE:
                raise UsageError(no_folder(path))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        what = f"{printable(self.path)} is truncated or no {self.path.suffix} file of plain arrays"
        with decoding(what, "save the samples again", DataCorrupt):
            yield

    def _names(self) -> tuple[str, ...]:
        if self._kind == ".npz":
            with zipfile.ZipFile(self.path) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
            twice = next((name for name, count in Counter(names).items() if count > 1), None)
            if twice is not None:
                raise DataCorrupt(
                    f"{printable(self.path)} holds the name {twice!r} twice: save the samples again"
                )
            return tuple(names)
        if self._kind == ".npy":
            with self.path.open("rb") as handle:
                self._check("images", *_header(handle), self.path.stat().st_size)
            return ("images",)
        with safe_open(self.path, framework="np") as handle:
            return tuple(handle.keys())

    def read(self, name: str) -> NDArray[Any]:
        """Return one array.

        Raises
        ------
        DataCorrupt
            The file is broken, holds Python objects, or claims more than it holds.
        OutOfMemory
            The array is larger than this machine's memory.
        """
        with self._errors():
            if self._kind == ".npy":
                result: NDArray[Any] = np.load(self.path, mmap_mode="r", allow_pickle=False)
                return result
            if self._kind == ".npz":
                return self._read_member(name)
            with safe_open(self.path, framework="np") as handle:
                part = handle.get_slice(name)
                shape, stored = part.get_shape(), part.get_dtype()
                if not re.fullmatch("BOOL|[FIUC][0-9]+", stored):  # BF16, F8_E4M3, ...
                    raise DataCorrupt(
                        f"{printable(self.path)}: array {name!r} holds {stored} values, which NumPy cannot hold: "
                        "save it as float32 or uint8"
                    )
                self._fits(name, math.prod(shape))
                value: NDArray[Any] = handle.get_tensor(name)
                return value

    def _read_member(self, name: str) -> NDArray[Any]:
        with zipfile.ZipFile(self.path) as archive:
            member = name if name in archive.namelist() else f"{name}.npy"
            with archive.open(member) as handle:
                shape, dtype = _header(handle)
            self._check(name, shape, dtype, archive.getinfo(member).file_size)
            with archive.open(member) as handle:
                return np.lib.format.read_array(handle, allow_pickle=False)

    def _check(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], held: int) -> None:
        claimed = math.prod(shape) * dtype.itemsize
        if claimed > held:
            raise DataCorrupt(
                f"{printable(self.path)}: array {name!r} claims {size_text(claimed)}, the file holds "
                f"{size_text(held)}: save the samples again"
            )
        if self._kind == ".npz":
            self._fits(name, claimed)

    def _fits(self, name: str, claimed: int) -> None:
        if claimed > 0.9 * memory_bytes():
            raise OutOfMemory(
                f"{printable(self.path)}: array {name!r} has {size_text(claimed)}, this machine "
                f"{size_text(memory_bytes())} of memory: save it as .npy, which is read a piece at a time"
            )


def _other_kind(path: Path) -> str:
    """Return what a file with another ending is, and how it becomes an array file."""
    kind, shown = kind_of_file(path), printable(path)
    if kind == ARCHIVE:
        return no_folder(path)
    if kind in ("a PyTorch file", "a Python pickle"):
        return (
            f"{shown} is {kind}, which could run code when it is read: where it was made, save its arrays by "
            "numpy.savez('samples.npz', images=images.cpu().numpy(), labels=labels.cpu().numpy())"
        )
    if kind in ("HDF5", "a MATLAB file"):
        return (
            f"{shown} is {kind}: save its arrays by numpy.savez('samples.npz', images=images, labels=labels)"
        )
    return f"{shown} is none of {', '.join(SUFFIXES)} and no folder: save the samples as one"


def _header(handle: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of a .npy file's header; Python objects are refused."""
    version = np.lib.format.read_magic(handle)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(handle)
    if dtype.hasobject:
        raise ValueError("Python objects")
    return shape, dtype


def size_text(count: int) -> str:
    """Return a number of bytes in the largest unit that leaves a digit before the point."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count = count / 1000  # type: ignore[assignment]
    return f"{count:.3g} TB"
