"""Places: from a path that a user gives to the folders of runs it stands for, bundles unpacked on the way.

A folder of runs may have bundles beside its run folders, be a bundle itself, or be a bundle's zip file: whoever
reads runs asks here where they are, and so takes a bundle where it takes a folder. The unpacked copies are a
cache, one a content, which may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ltbench.errors import LtbenchError, StorageError, UsageError
from ltbench.files import locked, sha256, user_folder, user_path
from ltbench.runs.bundle import Bundle, file_of, is_bundle, materialise, read_bundle, unpack
from ltbench.runs.bundle_format import INDEX
from ltbench.runs.layout import files_below
from ltbench.runs.pack import pack
from ltbench.temporary import make_scratch
from ltbench.text import command


def cache_folder() -> Path:
    """Return where copies are kept: ``$LTBENCH_CACHE``, or ``ltbench`` in the user's cache folder.

    Raises
    ------
    UsageError
        The user has neither.
    """
    if folder := os.environ.get("LTBENCH_CACHE"):
        return user_path(folder)
    cache = user_folder("XDG_CACHE_HOME", ".cache")
    if cache is None:
        raise UsageError("there is no home folder to keep copies in: set HOME, or LTBENCH_CACHE to a folder")
    return cache / "ltbench"


def places(root: Path) -> tuple[Path, ...]:
    """Return the folders of runs that `root` stands for: itself, and a copy of each bundle that it is or holds.

    Raises
    ------
    DataCorrupt
        A bundle was changed or cut.
    StorageError, DiskFull
        It cannot be unpacked in the cache.
    """
    if root.is_file():
        return (_copy(root),)
    return (root, *(_copy(bundle) for bundle in bundles_in(root)))


def bundles_in(root: Path) -> tuple[Path, ...]:
    """Return the bundles that a path is or directly holds, in order of their names."""
    if not root.is_dir():
        return (root,) if is_bundle(root) else ()
    return tuple(path for path in (root, *sorted(root.iterdir())) if is_bundle(path))


def _copy(bundle: Path) -> Path:
    index = file_of(bundle, INDEX) if bundle.is_dir() else bundle
    return _copy_of(
        bundle.resolve(), cache_folder() / "bundles", index.stat().st_mtime_ns, index.stat().st_size
    )


@functools.lru_cache(maxsize=64)  # a sweep asks for each of its stages
def _copy_of(bundle: Path, cache: Path, _changed: int, _size: int) -> Path:
    content = read_bundle(bundle)
    try:
        return materialise(content, cache)
    except (StorageError, OSError) as error:
        kind = type(error) if isinstance(error, StorageError) else StorageError
        raise kind(
            f"cannot unpack {bundle} in the cache {cache}: set LTBENCH_CACHE to a folder that can be written and has space"
        ) from error


@contextlib.contextmanager
def opened(root: Path) -> Iterator[Path]:
    """Yield a folder of runs that may be written to; where `root` is a bundle, it is packed again at the end.

    A bundle to which nothing is added keeps its bytes, and any its compression. Where it cannot be packed, as on a
    full disk, it stays as it was, and the error says where the folder is kept.

    Raises
    ------
    UsageError
        `root` is neither a folder nor a bundle.
    StorageError, DiskFull
        The bundle cannot be written, or another command wrote it meanwhile.
    """
    if not is_bundle(root):
        if not root.is_dir():
            raise UsageError(
                f"no folder or bundle at {root}: give what `ltbench run --out` or `ltbench pack` wrote"
            )
        yield root
        return
    bundle = read_bundle(root)
    with contextlib.ExitStack() as stack:
        temporary = make_scratch()
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        folder = temporary / "runs"
        unpack(bundle, folder)
        before = _contents(folder)
        try:
            yield folder
        finally:  # of what was stopped too: what it has added is whole
            if _contents(folder) != before:
                try:
                    _pack_again(folder, bundle)
                except LtbenchError:
                    stack.pop_all()  # the error says where it is
                    raise


def _pack_again(folder: Path, bundle: Bundle) -> None:
    root, way = bundle.path, {"--images": "all", "--weights": "all", "--compression": bundle.compression}
    advice = command(
        "ltbench", "pack", folder, "--out", root, *(word for pair in way.items() for word in pair)
    )
    try:
        with locked(root) if root.is_dir() else contextlib.nullcontext():
            if read_bundle(root).digest != bundle.digest:
                other = root.with_name(f"{root.stem}-merged{root.suffix}")
                advice = command("ltbench", "merge", root, folder, "--out", other)
                raise StorageError(f"{root} was packed by another command meanwhile")
            pack([folder], root, keep_arrays=None, keep_weights=None, compression=bundle.compression)
    except LtbenchError as error:
        raise type(error)(f"{error}; what was added is kept, and `{advice}` packs it") from error


def _contents(folder: Path) -> dict[Path, str]:
    return {path: sha256(path) for path in files_below(folder)}
