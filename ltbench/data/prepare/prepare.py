"""Preparing: a source's image files -> memory-mapped arrays in one folder, made once (`ltbench data prepare`).

Every file is read twice: first its content is hashed, which is what it is known by, then it is decoded. A run that
was stopped goes on after its last logged chunk. A chunk is logged, once its rows are on disk, with a digest of its
inputs (settings and contents), so what has changed since is converted again.
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ltbench.data.image_file import (
    GROUND,
    Tally,
    all_at_once,
    decode,
    ground_colour,
    printable,
)
from ltbench.data.prepare.convert import (
    Chunk,
    array_header,
    begins_with,
    converted,
    cores,
    read_content,
    reserve,
    with_digests,
)
from ltbench.data.prepare.folder import (
    Listing,
    PreparedFolder,
    PreparedSource,
    SourceImage,
)
from ltbench.data.prepare.manifest import content_digest, printable_names, write_manifest
from ltbench.data.registry import get_source
from ltbench.data.source import OTHER_ROOT, default_data_root, writing
from ltbench.errors import DataMissing, Interrupted, LtbenchError, UsageError
from ltbench.files import user_path, write_text

CHUNK = 256  # images a task: half a second's work, 3 MB at 64x64

Progress = Callable[[int, int], None]


Tallies = dict[str, dict[str, int]]


def _logged(log: Path) -> dict[str, tuple[str, Tallies]]:
    """Return chunk -> (digest, tally) of an earlier run; a line that a crash cut short is none."""
    chunks = {}
    if log.is_file():
        for line in log.read_text(encoding="utf-8").splitlines():
            key, _, rest = line.partition(" ")
            digest, _, tally = rest.partition(" ")
            with contextlib.suppress(ValueError):
                chunks[key] = (digest, json.loads(tally))
    return chunks


def _line(chunk: Chunk, tally: Tallies) -> str:
    return f"{chunk.key} {chunk.digest} {json.dumps(tally)}\n"


def _chunks(
    listing: Listing, partial: Path, size: int, channels: int, ground: str
) -> tuple[list[Chunk], Tally]:
    """Reserve the arrays; return the chunks still to convert and the tally of those that are done.

    The log forgets the others before anything is overwritten, or a run stopped here would leave it wrong.
    """
    log = partial / "progress.log"
    logged = _logged(log)
    todo, done, anew, tally = [], [], [], Tally()
    for name, entries in listing.sets.items():
        path, shape = partial / f"{name}.npy", (len(entries), channels, size, size)
        header = array_header(shape)
        total = len(header) + math.prod(shape)
        kept = begins_with(path, header, total)
        if not kept:
            anew.append((path, header, total))
        for start in range(0, len(entries), CHUNK):
            part = entries[start : start + CHUNK]
            chunk = Chunk(
                name, start, part, listing.root, listing.prefix, path, len(header), size, channels, ground
            )
            digest, counted = logged.get(chunk.key, ("", {}))
            if kept and digest == chunk.digest:
                tally.merge(counted)
                done.append(_line(chunk, counted))
            else:
                todo.append(chunk)
    write_text(log, "".join(done), advice=OTHER_ROOT)
    for each in anew:
        reserve(*each)
    return todo, tally


def _read_all(source: PreparedSource, listing: Listing, workers: int, reading: Progress | None) -> Listing:
    """Return the listing with every file's content known and the sets arranged; name all unusable files at once."""
    flat = [(name, image) for name, images in listing.sets.items() for image in images]
    images = [image for _, image in flat]
    digested, failed = with_digests(listing.root, listing.prefix, images, workers, reading)
    problems = [*listing.scan.problems, *map(str, failed)]
    if problems:  # name those that are no images too, so that one mending is enough
        problems += _no_images(listing, digested, source.channels)
        error = all_at_once(sorted(problems))
        assert error is not None
        raise error
    sets: dict[str, list[SourceImage]] = {name: [] for name in listing.sets}
    for (name, _), image in zip(flat, digested, strict=True):
        sets[name].append(image)
    complete = replace(listing, sets={name: tuple(images) for name, images in sets.items()})
    return source.arrange(complete)


def _no_images(listing: Listing, images: list[SourceImage], channels: int) -> list[str]:
    problems = []
    for image in images:
        try:
            content = read_content(listing.root, listing.prefix + image.file)
            decode(content, printable(listing.root / (listing.prefix + image.file)), channels)
        except LtbenchError as error:
            problems.append(str(error))
    return problems


def prepare(  # noqa: PLR0913 -- options, given by name
    name: str,
    source_path: Path,
    data_root: Path | None = None,
    *,
    image_size: int | None = None,
    lists: Path | None = None,
    workers: int | None = None,
    ground: str = GROUND,
    own_name: str | None = None,
    progress: Progress | None = None,
    reading: Progress | None = None,
) -> PreparedFolder:
    """Turn a source's image files into ``DATA_ROOT/prepared/NAME-SIZE/``; skip what is done already.

    One process does it at a time; the others wait for it, and find it done.

    Parameters
    ----------
    name
        A source that needs preparing, as folder_lt.
    source_path
        The folder or zip file with the images.
    data_root
        Default: `default_data_root`.
    image_size
        Pixels a side; default: the source's own.
    lists
        Folder or file of lists, for sources that have them; default: looked for at `source_path`.
    workers
        Processes; default: one for each core this process may use.
    ground
        Colour that transparent images are laid on.
    own_name
        What a folder of one's own is called; default: the folder's name.
    progress
        Called with (images done, images in all), first with what an earlier run has left.
    reading
        Called with (files read, files in all) while contents are compared.

    Raises
    ------
    UsageError
        The source needs no preparing, or the name is taken by other images.
    DataMissing, DataCorrupt
        Images or lists are missing or broken; all are named, and what is done is kept.
    Interrupted
        Ctrl-C; running again goes on from there.
    """
    source = prepared_source(name)
    size = source.size(image_size)
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers} is not a positive number of processes")
    ground_colour(ground)
    source_path = user_path(source_path)
    if not source_path.exists():
        raise DataMissing(
            f"{printable(source_path)} does not exist: give the folder or zip file that holds the images"
        )
    root = default_data_root() if data_root is None else Path(data_root)
    stem = source.folder_stem(source_path, own_name)
    listing = source.listing(source_path, lists)
    with _alone(root / "prepared" / f".{stem}-{size}.lock"):
        listing = _read_all(source, listing, workers or cores(), reading)
        digest = content_digest(listing)
        target, existing = _target(source, root, stem, size, listing, digest, ground, own_name is not None)
        if existing is not None:
            if progress is not None:
                progress(*[sum(map(len, listing.sets.values()))] * 2)
            return existing
        partial = target.with_name(f".{target.name}.partial")
        tally = _convert_all(listing, partial, size, source.channels, ground, workers or cores(), progress)
        write_manifest(source, listing, partial, size, ground, digest, tally, source_path)
        with writing(target):
            (partial / "progress.log").unlink()
            shutil.rmtree(target, ignore_errors=True)  # holds no manifest: no prepared folder
            partial.rename(target)
        return PreparedFolder.open(target)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process at a time into the block, the others wait; the file goes with the last of them.

    A kill lets the next one in. Where a file system knows no locks, or nothing can be written, nobody waits.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            lock.parent.mkdir(parents=True, exist_ok=True)
            while True:
                handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)  # network file systems lock no folders
                held.callback(os.close, handle)
                fcntl.flock(handle, fcntl.LOCK_EX)
                if os.fstat(handle).st_nlink:  # else whoever had it has deleted it, and others lock a new one
                    break
            held.callback(_release, handle, lock)
        yield


def _release(handle: int, lock: Path) -> None:
    with contextlib.suppress(OSError):
        lock.unlink()
        fcntl.flock(handle, fcntl.LOCK_UN)  # closing frees it only with the copies that forks hold


def prepared_source(name: str) -> PreparedSource:
    """Return the source called `name`, which must be one that is prepared first.

    Raises
    ------
    UsageError
        No such source, or one that needs no preparing.
    """
    source = get_source(name)
    if not isinstance(source, PreparedSource):
        raise UsageError(
            f"{name} is not prepared, it needs no preparing: its files are checked whenever they are read"
        )
    return source


def _target(
    source: PreparedSource,
    root: Path,
    stem: str,
    size: int,
    listing: Listing,
    digest: str,
    ground: str,
    named: bool,
) -> tuple[Path, PreparedFolder | None]:
    """Return the folder to prepare into, and the prepared one where it holds these very images already."""
    wanted = {"content": digest, "ground": ground, "class_names": printable_names(listing)}
    more = hashlib.sha256(repr(wanted).encode()).hexdigest()  # for the same images, otherwise named or laid
    stems = [stem]
    if not named:
        stems += [other for each in (digest, more) if (other := source.other_stem(stem, each))]
    for candidate in stems:
        target = root / "prepared" / f"{candidate}-{size}"
        if not (target / "manifest.json").is_file():
            return target, None
        existing = PreparedFolder.open(target)
        if {key: existing.identity.get(key) for key in wanted} == wanted:
            return target, existing
    advice = "give another --name, or delete it first" if named or len(stems) > 1 else "delete it first"
    same = existing.identity.get("content") == digest
    what = "with other names of classes or another ground" if same else "from other images than these"
    raise UsageError(f"{target} was prepared {what}: {advice}")


def _convert_all(
    listing: Listing,
    partial: Path,
    size: int,
    channels: int,
    ground: str,
    workers: int,
    progress: Progress | None,
) -> Tally:
    """Convert every image that is not done; what cannot be read is named together, at the end."""
    total = sum(map(len, listing.sets.values()))
    todo, tally = _chunks(listing, partial, size, channels, ground)
    done = total - sum(len(chunk.entries) for chunk in todo)
    if progress is not None:
        progress(done, total)
    log = partial / "progress.log"
    problems: list[str] = []
    try:
        with writing(log), log.open("a", encoding="utf-8") as handle:
            for result in converted(todo, workers):
                if result.problems:
                    problems += result.problems
                    continue
                tally.merge(result.tally)
                handle.write(_line(result.chunk, result.tally))
                handle.flush()
                done += len(result.chunk.entries)
                if progress is not None:
                    progress(done, total)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped after {done} of {total} images: the same command goes on from there"
        ) from None
    if error := all_at_once(sorted(problems)):
        raise error
    return tally


def settings_for(folder: PreparedFolder, data_root: Path | None = None) -> tuple[str, ...]:
    """Return the ``KEY=VALUE`` settings a spec needs, beside the data set's name, to mean this folder."""
    source = prepared_source(folder.identity["source"])
    size = source.default_image_size(None)
    if size not in (None, folder.image_size):
        return (f"data.image_size={folder.image_size}",)
    root = default_data_root() if data_root is None else Path(data_root)
    alike = [f for f in source.candidates(root, size) if f.name == folder.name]
    return () if len(alike) == 1 else (f"data.image_size={folder.image_size}",)
