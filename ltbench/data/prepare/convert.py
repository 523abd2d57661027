"""Decoding image files into rows of a uint8 array, a chunk of images at a time, in several processes.

Each process writes its chunk's rows itself and flushes them before the chunk counts as done, so memory is
bounded by the chunks in work, whatever the size of the data set.
"""

import contextlib
import hashlib
import io
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltbench.data.image_file import GROUND, Tally, central_square, decode, pixels_of, printable
from ltbench.data.prepare.folder import FORMAT, RESAMPLING, SourceImage
from ltbench.data.source import writing
from ltbench.errors import DataCorrupt, DataMissing, LtbenchError, OutOfMemory
from ltbench.files import decoding

HASHED = 64  # files a task when contents are hashed


@lru_cache(maxsize=1)
def _zip(path: Path) -> zipfile.ZipFile:
    with decoding(f"{printable(path)} is truncated or no zip file", "get it again", DataCorrupt):
        return zipfile.ZipFile(path)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_content(root: Path, name: str) -> bytes:
    """Return the bytes of a file below a folder, or of a member of a zip file.

    Raises
    ------
    DataMissing, DataCorrupt
        The file is absent, or cannot be read.
    """
    path = root / name
    with decoding(f"{printable(path)} cannot be read", "get it again", DataCorrupt):
        try:
            return _zip(root).read(name) if root.is_file() else path.read_bytes()
        except (KeyError, FileNotFoundError) as error:
            raise DataMissing(f"{printable(path)} is missing: get it again") from error


def with_digests(
    root: Path,
    prefix: str,
    images: Sequence[SourceImage],
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[SourceImage], list[LtbenchError]]:
    """Read every file once; return the images with size and SHA-256, and what could not be read."""

    def read(part: Sequence[SourceImage]) -> list[SourceImage | LtbenchError]:
        out: list[SourceImage | LtbenchError] = []
        for image in part:
            try:
                content = read_content(root, prefix + image.file)
            except LtbenchError as error:
                out.append(error)
                continue
            digest = hashlib.sha256(content).hexdigest()
            out.append(image._replace(bytes=len(content), sha256=digest))
        return out

    parts = [images[start : start + HASHED] for start in range(0, len(images), HASHED)]
    digested: list[SourceImage] = []
    failed: list[LtbenchError] = []
    with ThreadPoolExecutor(1 if root.is_file() else workers) as pool:  # a zip file has one reading position
        for part in pool.map(read, parts):
            for item in part:
                if isinstance(item, LtbenchError):
                    failed.append(item)
                else:
                    digested.append(item)
            if progress is not None:
                progress(len(digested) + len(failed), len(images))
    return digested, failed


def convert(
    content: bytes,
    name: str,
    size: int,
    channels: int,
    ground: str = GROUND,
    tally: Tally | None = None,
) -> NDArray[np.uint8]:
    """Decode an image file, cut its central square and resample it.

    Parameters
    ----------
    content
        The file's bytes, of any format that Pillow reads.
    name
        The file's name, for messages.
    size
        Pixels a side of the result.
    channels
        C: 1 (grey) or 3 (colour).
    ground
        Colour that transparent parts are laid on.
    tally
        Counts what was done to the image.

    Returns
    -------
    (C,size,size) uint8

    Raises
    ------
    DataCorrupt
        Names the file: it is truncated, no image, or has more than 8 bits a channel.
    """
    decoded = decode(content, name, channels, ground)
    if tally is not None:
        tally.add(decoded)
    return pixels_of(central_square(decoded.image, size))


def array_header(shape: tuple[int, ...]) -> bytes:
    """Return how a .npy file of uint8 `shape` begins."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": tuple(int(n) for n in shape)}
    )
    return header.getvalue()


def begins_with(path: Path, header: bytes, total: int) -> bool:
    """Tell whether a file of an earlier run is the .npy file of this header and size."""
    with writing(path):
        if not path.is_file() or path.stat().st_size != total:
            return False
        with path.open("rb") as handle:
            return handle.read(len(header)) == header


def reserve(path: Path, header: bytes, total: int) -> None:
    """Make a .npy file anew, its space reserved at once: a disk too small is noticed before hours of decoding."""
    with writing(path), path.open("wb") as handle:
        handle.write(header)
        handle.flush()
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle.fileno(), 0, total)
        else:
            handle.truncate(total)


@dataclass(frozen=True)
class Chunk:
    """Rows start .. start + len(entries) of one array file, and the images that go there."""

    set_name: str
    start: int
    entries: tuple[SourceImage, ...]
    root: Path
    prefix: str
    target: Path
    offset: int
    size: int
    channels: int
    ground: str

    @property
    def key(self) -> str:
        """Name of the chunk within its preparation."""
        return f"{self.set_name}:{self.start}"

    @property
    def digest(self) -> str:
        """Digest of what the rows are made from: settings and the content of the files."""
        contents = [entry.sha256 for entry in self.entries]
        settings = (FORMAT, RESAMPLING, self.size, self.channels, self.ground, contents)
        return hashlib.sha256(repr(settings).encode()).hexdigest()[:32]

    def run(self) -> "Result":
        """Convert the images and write their rows; what cannot be read is returned, not raised."""
        rows = np.empty((len(self.entries), self.channels, self.size, self.size), np.uint8)
        tally, problems = Tally(), []
        for row, entry in zip(rows, self.entries, strict=True):
            name = printable(self.root / (self.prefix + entry.file))
            try:
                content = read_content(self.root, self.prefix + entry.file)
                if hashlib.sha256(content).hexdigest() != entry.sha256:
                    raise DataCorrupt(f"{name} was changed meanwhile: run the same command again")
                row[:] = convert(content, name, self.size, self.channels, self.ground, tally)
            except (DataCorrupt, DataMissing) as error:
                problems.append(str(error))
        if problems:
            return Result(self, {}, tuple(problems))
        with writing(self.target), self.target.open("r+b") as handle:
            handle.seek(self.offset + self.start * rows[0].nbytes)
            handle.write(rows.data)
            handle.flush()
            os.fsync(handle.fileno())
        return Result(self, tally.as_dict())


@dataclass(frozen=True)
class Result:
    """A chunk that was worked on: its tally, or the sentences on the files that stopped it."""

    chunk: Chunk
    tally: dict[str, dict[str, int]]
    problems: tuple[str, ...] = ()


def _run(chunk: Chunk) -> Result:
    return chunk.run()


def _bound_to_parent() -> None:
    """Leave Ctrl-C to the parent, which stops the others, and end when it was killed and stops nobody."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that do not run the caller's script again.

    A spawned process imports the main module, so a script without the guard `if __name__ == "__main__"` would run in
    every one, and the pool break. What these processes do is this package's alone.
    """
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update(kept)


def converted(chunks: list[Chunk], workers: int) -> Iterator[Result]:
    """Run the chunks and yield each result when its rows are on disk."""
    if workers == 1 or len(chunks) < 2:
        yield from map(_run, chunks)
        return
    # Spawned, not forked: the caller may hold threads (torch, rich).
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), context, initializer=_bound_to_parent)
    try:
        waiting = iter(chunks)
        pending: set[Future[Result]] = set()
        while True:
            while len(pending) < 2 * workers and (chunk := next(waiting, None)) is not None:
                with _without_main():  # the first call starts the processes
                    pending.add(pool.submit(_run, chunk))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise OutOfMemory(
            "a worker process died, perhaps for want of memory: run the same command with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
