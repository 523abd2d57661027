"""Turning a source's image files into memory-mapped arrays, once: `ltbench data prepare` and `verify`.

A run that was stopped goes on after its last logged chunk. A chunk is logged, once its rows are on disk, with
a digest of its inputs (settings, file names, labels, sizes), so what has changed since is converted again.
"""

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import PIL

from ltbench.data.images import content_sha256
from ltbench.data.registry import get_source
from ltbench.data.prepare.convert import Chunk, converted
from ltbench.data.prepare.folder import (
    FORMAT,
    RESAMPLING,
    Entry,
    Listing,
    PreparedFolder,
    PreparedSource,
    identity_hash,
)
from ltbench.data.source import default_data_root, writing
from ltbench.errors import DataCorrupt, DataMissing, Interrupted, UsageError
from ltbench.files import replacing, write_json, write_text

CHUNK = 256  # images a task: half a second's work, 3 MB at 64x64

Progress = Callable[[int, int], None]


def _reserve(path: Path, shape: tuple[int, ...]) -> tuple[int, bool]:
    """Create or keep a .npy file of uint8 `shape`; return where its data start and whether it was kept.

    Its space is reserved at once, so that a disk too small is noticed before hours of decoding.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": tuple(int(n) for n in shape)}
    )
    start, total = header.tell(), header.tell() + int(np.prod(shape))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.stat().st_size == total:
            with open(path, "rb") as handle:
                if handle.read(start) == header.getvalue():
                    return start, True
        with open(path, "wb") as handle:
            handle.write(header.getvalue())
            handle.flush()
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle.fileno(), 0, total)
            else:
                handle.truncate(total)
    return start, False


def _chunks(listing: Listing, partial: Path, size: int, channels: int) -> tuple[list[Chunk], int]:
    """Reserve the arrays; return the chunks still to convert and how many images are done."""
    log = partial / "progress.log"
    logged: dict[str, str] = {}
    if log.is_file():  # a line cut short by a crash matches no digest; a chunk's last line counts
        logged = dict(line.split(" ", 1) for line in log.read_text().splitlines() if " " in line)
    todo, done = [], 0
    for name, entries in listing.sets.items():
        path = partial / f"{name}.npy"
        offset, kept = _reserve(path, (len(entries), channels, size, size))
        for start in range(0, len(entries), CHUNK):
            part = entries[start : start + CHUNK]
            chunk = Chunk(name, start, part, listing.root, listing.prefix, path, offset, size, channels)
            if kept and logged.get(chunk.key) == chunk.digest:
                done += len(part)
            else:
                todo.append(chunk)
    return todo, done


def _source_list(listing: Listing) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("set", *Entry._fields))
    for name, entries in listing.sets.items():
        writer.writerows((name, *entry) for entry in entries)
    return text.getvalue()


def prepare(
    name: str,
    source_path: Path,
    data_root: Path | None = None,
    *,
    image_size: int | None = None,
    lists: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PreparedFolder:
    """Turn a source's image files into ``DATA_ROOT/prepared/NAME-SIZE/``; skip what is done already.

    Parameters
    ----------
    name
        A source that needs preparing: celeba5, imagenet_lt or folder_lt.
    source_path
        The folder or zip file with the images.
    data_root
        Default: `default_data_root`.
    image_size
        Pixels a side; default: the source's own.
    lists
        Folder with official lists (imagenet_lt); default: looked for at `source_path`.
    workers
        Processes; default: one for each core this process may use.
    progress
        Called with (images done, images in all), first with what an earlier run has left.

    Raises
    ------
    UsageError
        The source needs no preparing, or the folder already holds other images.
    DataMissing, DataCorrupt
        An image or list is missing or broken; the sentence names it, and what is done is kept.
    Interrupted
        Ctrl-C; running again goes on from there.
    """
    source = get_source(name)
    if not isinstance(source, PreparedSource):
        raise UsageError(f"{name} needs no preparing: its files are read as they are")
    size = source.size(image_size)
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers} is not a positive number of processes")
    source_path = Path(source_path).expanduser()
    if not source_path.exists():
        raise DataMissing(f"{source_path} does not exist: give the folder or zip file that holds the images")
    root = default_data_root() if data_root is None else Path(data_root)
    target = root / "prepared" / f"{source.folder_stem(source_path)}-{size}"
    partial = target.with_name(f".{target.name}.partial")

    listing = source.listing(source_path, lists)
    source_list = _source_list(listing)
    source_list_sha256 = hashlib.sha256(source_list.encode()).hexdigest()
    total = sum(map(len, listing.sets.values()))
    if (target / "manifest.json").is_file():
        existing = PreparedFolder.open(target)
        if existing.identity["source_list_sha256"] != source_list_sha256:
            raise UsageError(
                f"{target} was prepared from other files than {source_path} now has: delete it first"
            )
        if progress is not None:
            progress(total, total)
        return existing

    todo, done = _chunks(listing, partial, size, source.channels)
    if progress is not None:
        progress(done, total)
    log = partial / "progress.log"
    try:
        with writing(log), open(log, "a") as handle:
            handle.write("\n")  # ends a line that a crash cut short
            for chunk in converted(todo, workers or _cores()):
                handle.write(f"{chunk.key} {chunk.digest}\n")
                handle.flush()
                done += len(chunk.entries)
                if progress is not None:
                    progress(done, total)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped after {done} of {total} images: the same command goes on from there"
        ) from None

    sets = {}
    for set_name, entries in listing.sets.items():
        labels = np.array([entry.label for entry in entries], np.int64)
        with replacing(partial / f"{set_name}.labels.npy") as temporary, open(temporary, "wb") as handle:
            np.save(handle, labels)
        images = np.load(partial / f"{set_name}.npy", mmap_mode="r")
        counts = np.bincount(labels, minlength=len(listing.class_names)).tolist()
        sets[set_name] = {"n": len(labels), "counts": counts, "sha256": content_sha256(images, labels)}
    identity = {
        "source": name,
        "image_size": size,
        "channels": source.channels,
        "resampling": RESAMPLING,
        "class_names": list(listing.class_names),
        "sets": sets,
        "roles": listing.roles,
        "heldout_in_reference": _shares_images(listing),
        "facts": listing.facts,
        "source_list_sha256": source_list_sha256,
    }
    made = {
        "from": str(source_path.resolve()),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "pillow": PIL.__version__,
    }
    write_text(partial / "source_list.csv", source_list)
    manifest = {"format": FORMAT, "identity": identity, "hash": identity_hash(identity), "made": made}
    write_json(partial / "manifest.json", manifest)
    with writing(target):
        log.unlink()
        shutil.rmtree(target, ignore_errors=True)  # holds no manifest: no prepared folder
        partial.rename(target)
    return PreparedFolder.open(target)


def settings_for(folder: PreparedFolder, data_root: Path | None = None) -> tuple[str, ...]:
    """Return the ``KEY=VALUE`` settings a spec needs, beside the data set's name, to mean this folder."""
    source = get_source(folder.identity["source"])
    assert isinstance(source, PreparedSource)
    size = source.default_image_size(None)
    if size not in (None, folder.image_size):
        return (f"data.image_size={folder.image_size}",)
    root = default_data_root() if data_root is None else Path(data_root)
    alone = len(source.candidates(root, size)) == 1
    return () if alone else (f"data.content={folder.hash[:8]}",)


def _shares_images(listing: Listing) -> bool:
    """Return whether held-out images are also in the reference."""
    heldout, reference = (listing.sets.get(listing.roles[role], ()) for role in ("heldout", "reference"))
    return not {entry.file for entry in heldout}.isdisjoint(entry.file for entry in reference)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def verify(
    name: str, data_root: Path | None = None, progress: Progress | None = None
) -> list[PreparedFolder]:
    """Read every prepared folder of a source again and compare all of it with its manifest.

    Parameters
    ----------
    progress
        Called with (sets checked, sets in all).

    Returns
    -------
    list of PreparedFolder
        The folders, all whole.

    Raises
    ------
    DataMissing
        Nothing is prepared, or a file has gone.
    DataCorrupt
        Names the file that differs.
    """
    source = get_source(name)
    if not isinstance(source, PreparedSource):
        raise UsageError(f"{name} is not prepared: its files are checked whenever they are read")
    root = default_data_root() if data_root is None else Path(data_root)
    folders = source.candidates(root, None)
    if not folders:
        raise DataMissing(f"{name} is not prepared under {root}: {source.advice(root)}")
    pairs = [(folder, set_name) for folder in folders for set_name in folder.identity["sets"]]
    for done, (folder, set_name) in enumerate(pairs):
        if progress is not None:
            progress(done, len(pairs))
        stated, found = folder.identity["sets"][set_name], folder.image_set(set_name)
        counts = np.bincount(found.labels, minlength=len(stated["counts"])).tolist()
        if counts != stated["counts"] or content_sha256(found.images, found.labels) != stated["sha256"]:
            path = folder.folder / f"{set_name}.npy"
            raise DataCorrupt(
                f"{path} was changed since it was made: delete {folder.folder} and prepare it again"
            )
        if folder.source_list_sha256 != folder.identity["source_list_sha256"]:
            path = folder.folder / "source_list.csv"
            raise DataCorrupt(
                f"{path} was changed or is missing: delete {folder.folder} and prepare it again"
            )
    if progress is not None:
        progress(len(pairs), len(pairs))
    return folders
