"""Decoding image files into rows of a uint8 array, a chunk of images at a time, in several processes.

Each process writes its chunk's rows itself and flushes them before the chunk counts as done, so memory is
bounded by the chunks in work, whatever the size of the data set.
"""

import hashlib
import io
import multiprocessing
import os
import signal
import zipfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ltbench.data.prepare.folder import FORMAT, RESAMPLING, Entry
from ltbench.data.source import writing
from ltbench.errors import DataCorrupt, DataMissing, OutOfMemory


@lru_cache(maxsize=1)
def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataCorrupt(f"{path} is truncated or no zip file ({error}): get it again") from error


def convert(content: bytes, name: str, size: int, channels: int) -> NDArray[np.uint8]:
    """Decode an image file, cut its central square and resample it.

    Returns
    -------
    (C,size,size) uint8

    Raises
    ------
    DataCorrupt
        Names the file: it is truncated, no image, or has more than 8 bits a channel.
    """
    try:
        with Image.open(io.BytesIO(content)) as file:
            if file.mode.startswith(("I", "F")):
                raise DataCorrupt(f"{name} has more than 8 bits a channel: convert it to 8 bits")
            image = file.convert("RGB" if channels == 3 else "L")
    except (DataCorrupt, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on broken input
        reason = str(error).partition("<")[0].strip() or type(error).__name__
        raise DataCorrupt(f"{name} is truncated or no image ({reason}): mend or remove it") from error
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    pixels = np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
    return pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]


@dataclass(frozen=True)
class Chunk:
    """Rows start .. start + len(entries) of one array file, and the images that go there."""

    set_name: str
    start: int
    entries: tuple[Entry, ...]
    root: Path
    prefix: str
    target: Path
    offset: int
    size: int
    channels: int

    @property
    def key(self) -> str:
        """Name of the chunk within its preparation."""
        return f"{self.set_name}:{self.start}"

    @property
    def digest(self) -> str:
        """Digest of what the rows are made from: settings, file names, labels and sizes."""
        settings = (FORMAT, RESAMPLING, self.size, self.channels, self.entries)
        return hashlib.sha256(repr(settings).encode()).hexdigest()[:32]

    def run(self) -> "Chunk":
        """Convert the images and write their rows."""
        rows = np.empty((len(self.entries), self.channels, self.size, self.size), np.uint8)
        for row, entry in zip(rows, self.entries, strict=True):
            name = self.prefix + entry.file
            row[:] = convert(self._read(name), str(self.root / name), self.size, self.channels)
        with writing(self.target), open(self.target, "r+b") as handle:
            handle.seek(self.offset + self.start * rows[0].nbytes)
            handle.write(rows.data)
            handle.flush()
            os.fsync(handle.fileno())
        return self

    def _read(self, name: str) -> bytes:
        path = self.root / name
        try:
            return _zip(self.root).read(name) if self.root.is_file() else path.read_bytes()
        except (KeyError, FileNotFoundError) as error:
            raise DataMissing(f"{path} is missing: get it again") from error
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise DataCorrupt(f"{path} cannot be read ({error}): get it again") from error


def _run(chunk: Chunk) -> Chunk:
    return chunk.run()


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops the others


def converted(chunks: list[Chunk], workers: int) -> Iterator[Chunk]:
    """Run the chunks and yield each when its rows are on disk."""
    if workers == 1 or len(chunks) < 2:
        yield from map(_run, chunks)
        return
    # Spawned, not forked: the caller may hold threads (torch, rich).
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), context, initializer=_ignore_interrupt)
    try:
        waiting = iter(chunks)
        pending: set[Future[Chunk]] = set()
        while True:
            while len(pending) < 2 * workers and (chunk := next(waiting, None)) is not None:
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
