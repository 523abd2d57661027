"""What every source of images is: its facts, where its files lie, and the three sets it declares."""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ltbench.data.images import ImageSet
from ltbench.errors import DataCorrupt, UsageError
from ltbench.files import storage_errors, user_path
from ltbench.specs import DataSpec


@dataclass(frozen=True, eq=False)
class Splits:
    """What a source gives: the pool the long-tailed set is drawn from, what scores compare with, and
    real images for floors and memorisation; with what identifies the files they came from.

    `heldout_in_reference` is True where no third set exists: then held-out images are in the reference too,
    and a floor must compare one part of them with the other. `unscorable` says in a sentence why scores against
    the reference would mean nothing; "" where they mean something. `own_name` is what the user called the images, "" of a
    source that has a name itself.
    """

    pool: ImageSet
    reference: ImageSet
    heldout: ImageSet
    class_names: tuple[str, ...]
    provenance: dict[str, Any]
    heldout_in_reference: bool = False
    unscorable: str = ""
    own_name: str = ""


READ_FROM = "read_from"
"""Key of a provenance that says which files held the content; no part of a manifest's hash, as the content itself is."""


@dataclass(frozen=True)
class Status:
    """Whether a source's files are there, and every place that was looked at."""

    found: bool
    looked: tuple[Path, ...]
    at: Path | None = None


@dataclass(frozen=True)
class Source:
    """A source of labelled images; subclasses say how its files are found and read.

    Attributes
    ----------
    name
        The name in a spec.
    title
        For people.
    num_classes, class_names, pool
        K, the names and the pool's images by label; 0 and empty where only
        the prepared files tell (`folder_lt`).
    channels
        1 or 3.
    default_size, sizes
        Pixels a side when none is asked for; all that are possible.
    flip_allowed
        Whether a mirrored image is still a plausible image of its class.
    licence, how_to_get
        One line each; DATA_ROOT stands for the data root.
    default_profile
        The profile of the source's published cell.
    grouping
        ``thirds`` by rank, or ``shots`` by training count.
    """

    name: str
    title: str
    num_classes: int
    class_names: tuple[str, ...]
    pool: tuple[int, ...]
    channels: int
    default_size: int
    sizes: tuple[int, ...]
    flip_allowed: bool
    licence: str
    how_to_get: str
    default_profile: str = "exponential"
    grouping: Literal["thirds", "shots"] = "thirds"

    def size(self, image_size: int | None) -> int:
        """Return the pixels a side for a requested size (None: the default), or refuse an impossible one."""
        if image_size is None:
            return self.default_size
        if image_size not in self.sizes:
            allowed = f"{self.sizes[0]}" if len(self.sizes) == 1 else f"{self.sizes[0]}..{self.sizes[-1]}"
            raise UsageError(f"{self.name} has no image size {image_size}: use {allowed}")
        return image_size

    def advice(self, data_root: Path) -> str:
        """Return what to do where the files are missing; ends an error's sentence."""
        return self.how_to_get.replace("DATA_ROOT", str(data_root))

    def pool_sizes(self, data_root: Path | None = None) -> tuple[int, ...] | None:
        """Return the pool's images by label, or None where only absent files would tell."""
        return self.pool

    def resolve(self, data: DataSpec, data_root: Path) -> DataSpec:
        """Return the spec with what only the files tell; a source that is what its name says adds nothing."""
        if ":" in data.dataset:
            raise UsageError(f"{data.dataset}: {self.name} has no folders of its own names, as folder_lt has")
        if data.content is not None:
            raise UsageError(
                f"data.content chooses among prepared folders of folder_lt; {data.dataset} has none"
            )
        return data

    def prepared(self, data_root: Path) -> tuple[str, ...]:
        """Return one line for each prepared folder: its name in a spec, size and classes; others have none."""
        return ()

    def status(self, data_root: Path) -> Status:
        """Look for the files, without reading them."""
        raise NotImplementedError

    def load(self, data_root: Path, image_size: int | None = None, content: str | None = None) -> Splits:
        """Read the three sets.

        Parameters
        ----------
        data_root
            Where files lie and are downloaded to.
        image_size
            Pixels a side; default: the source's own.
        content
            Hash, or its beginning, of the prepared folder to read, where there may be several.

        Raises
        ------
        DataMissing, DataCorrupt
            Files are absent, or are not what their name says.
        """
        raise NotImplementedError


def default_data_root() -> Path:
    """Return ``$LTBENCH_DATA``, or ``./data``."""
    return user_path(os.environ.get("LTBENCH_DATA") or "data")


OTHER_ROOT = "choose another folder with --data-root"


def writing(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turn write errors below the data root into one sentence naming `path`; see `files.storage_errors`."""
    return storage_errors(path, OTHER_ROOT)


def file_md5(path: Path) -> str:
    """Return a file's MD5: the checksum that torchvision and the data sets' authors publish."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


def check_md5(path: Path, expected: str) -> None:
    """Raise `DataCorrupt` naming `path` unless its MD5 is `expected`.

    Raises
    ------
    DataCorrupt
        The file is another one, or was cut.
    """
    digest = file_md5(path)
    if digest != expected:
        raise DataCorrupt(
            f"{path} is truncated or not the original (md5 {digest}, expected {expected}): "
            "delete it and get it again"
        )
