"""Verifying prepared folders: their arrays, labels and original files against their manifests."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ltbench.data.images import content_sha256
from ltbench.data.prepare.convert import cores, with_digests
from ltbench.data.prepare.folder import PreparedFolder, SourceImage
from ltbench.data.prepare.prepare import prepared_source
from ltbench.data.source import default_data_root
from ltbench.errors import DataCorrupt, DataMissing

Progress = Callable[[int, int], None]


def verify(
    name: str, data_root: Path | None = None, progress: Progress | None = None
) -> list[PreparedFolder]:
    """Read every prepared folder of a source again and compare all of it with its manifest.

    Parameters
    ----------
    name
        A source that is prepared, as folder_lt.
    data_root
        Default: `default_data_root`.
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
    source = prepared_source(name)
    root = default_data_root() if data_root is None else Path(data_root)
    folders = source.candidates(root, None)
    if not folders:
        raise DataMissing(f"{name} is not prepared under {root}: {source.advice(root)}")
    pairs = [(folder, set_name) for folder in folders for set_name in folder.identity["sets"]]
    for done, (folder, set_name) in enumerate(pairs):
        if progress is not None:
            progress(done, len(pairs))
        stated, stored = folder.identity["sets"][set_name], folder.image_set(set_name)
        counts = np.bincount(stored.labels, minlength=len(stated["counts"])).tolist()
        if counts != stated["counts"] or content_sha256(stored.images, stored.labels) != stated["sha256"]:
            path = folder.folder / f"{set_name}.npy"
            raise DataCorrupt(
                f"{path} was changed since it was made: delete {folder.folder} and prepare it again"
            )
        if folder.source_list_sha256 != folder.source_list:
            path = folder.folder / "source_list.csv"
            raise DataCorrupt(
                f"{path} was changed or is missing: delete {folder.folder} and prepare it again"
            )
    for folder in folders:
        _compare_source(folder)
    if progress is not None:
        progress(len(pairs), len(pairs))
    return folders


def _compare_source(folder: PreparedFolder) -> None:
    """Raise `DataCorrupt` where the files that a folder was prepared from lie where they did and have changed."""
    made = folder.manifest["made"]
    root = Path(made.get("root", ""))
    if "root" not in made or not root.exists():
        return  # prepared by an earlier version, or the originals were put away
    rows = csv.DictReader((folder.folder / "source_list.csv").read_text(encoding="utf-8").splitlines())
    # a name with what cannot be printed is written with escapes, and which file it was nobody can tell
    stated = {row["file"]: row["sha256"] for row in rows if "\\" not in row["file"]}
    images = [SourceImage(file, 0) for file in stated]
    digested, failed = with_digests(root, made["prefix"], images, cores())
    changed = [image.file for image in digested if image.sha256 != stated[image.file]]
    if changed or failed:
        first = f"{root / changed[0]} has other content" if changed else str(failed[0]).partition(":")[0]
        raise DataCorrupt(
            f"{folder.folder} is whole, but {len(changed) + len(failed)} of the {len(stated)} files it was prepared "
            f"from have changed since ({first}): prepare them again to use them as they are now"
        )
