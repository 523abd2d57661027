"""Sources whose images are turned once into memory-mapped uint8 files by `ltbench data prepare`.

A prepared folder, ``DATA_ROOT/prepared/NAME-SIZE/``, holds for each set ``SET.npy`` (N,C,H,W) uint8 and
``SET.labels.npy`` (N,) int64, ``source_list.csv`` (set, file, label, bytes, sha256: row by row where each image
came from) and ``manifest.json``. The manifest's ``identity`` says what the images are, and its hash is in every
result: the content of the files counts, never their names. ``found`` counts what was done to them, ``made`` says
where and with what they were made; both change nothing. Folders of format 1 knew files by names and sizes; they
stay readable.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ltbench.data.class_folders import Scan, skipped_in_words
from ltbench.data.images import ImageSet
from ltbench.data.source import Source, Splits, Status
from ltbench.errors import DataCorrupt, DataMissing, UsageError, nearest
from ltbench.files import decoding

FORMAT = 2
READABLE = (1, 2)
RESAMPLING = "centre crop to a square, Pillow Lanczos"


class SourceImage(NamedTuple):
    """One image to prepare: its path below the listing's root, its label; once read, its size and SHA-256."""

    file: str
    label: int
    bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Listing:
    """Every image that a source's prepared sets are made of, in order.

    Attributes
    ----------
    root
        The folder or zip file with the images.
    prefix
        What stands before the entries' paths inside a zip file.
    sets
        Set name -> entries.
    roles
        ``pool``, ``reference`` and ``heldout`` -> set name.
    facts
        What else identifies the sets: the official lists' digests, how a split was made.
    scan
        Files that cannot be used and junk that was skipped.
    notes
        Sentences for the user on what was decided.
    """

    root: Path
    sets: dict[str, tuple[SourceImage, ...]]
    roles: dict[str, str]
    class_names: tuple[str, ...]
    facts: dict[str, Any]
    prefix: str = ""
    scan: Scan = field(default_factory=Scan)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparedSource(Source):
    """A source that must be prepared once; subclasses list the images."""

    def listing(self, path: Path, lists: Path | None) -> Listing:
        """List the images found at `path`; `lists` is a folder with official lists, where there are any."""
        raise NotImplementedError

    def arrange(self, listing: Listing) -> Listing:
        """Return the listing once every file's content is known; a source that splits by content does it here."""
        return listing

    def folder_stem(self, path: Path, name: str | None = None) -> str:
        """Return the prepared folder's name without the size; `name` is the user's own."""
        if name is not None:
            raise UsageError(f"--name is for folders of your own: {self.name} has one name")
        return self.name

    def other_stem(self, stem: str, digest: str) -> str | None:
        """Return the name for images that are not those prepared as `stem`; None: a source has one content."""
        return None

    def candidates(self, data_root: Path, image_size: int | None) -> "list[PreparedFolder]":
        """Return the prepared folders of this source and size."""
        folders = sorted((data_root / "prepared").glob(f"{self.name}-*/manifest.json"))
        opened = [PreparedFolder.open(manifest.parent) for manifest in folders]
        return [folder for folder in opened if image_size in (None, folder.image_size)]

    def prepared(self, data_root: Path) -> tuple[str, ...]:
        """Return one line for each prepared folder: its name in a spec, size, classes and images."""
        lines = []
        for folder in self.candidates(data_root, None):
            counts, side = folder.counts("pool"), folder.image_size
            lines.append(
                f"{folder.spec_name}  {side}x{side}, {len(counts)} classes, {sum(counts):,} training images, "
                f"{max(counts):,} to {min(counts):,} a class"
            )
        return tuple(lines)

    def pool_sizes(self, data_root: Path | None = None) -> tuple[int, ...] | None:
        """Return the pool's images by label where they are known or exactly one folder is prepared."""
        if self.pool or data_root is None:
            return self.pool or None
        prepared = self.candidates(data_root, None)
        return prepared[0].counts("pool") if len(prepared) == 1 else None

    def status(self, data_root: Path) -> Status:
        """Look for a prepared folder."""
        prepared = self.candidates(data_root, None)
        looked = (data_root / "prepared" / f"{self.name}-{self.default_size}",)
        return Status(bool(prepared), looked, prepared[0].folder if prepared else None)

    def default_image_size(self, image_size: int | None) -> int | None:
        """Return the size to look for; None: any that is prepared."""
        return self.size(image_size)

    def choose(
        self, data_root: Path, image_size: int | None, content: str | None, own_name: str | None = None
    ) -> "PreparedFolder":
        """Return the prepared folder that a spec means, or say in one sentence what to do."""
        size = self.default_image_size(image_size)
        prepared = self.candidates(data_root, size)
        where = f"{self.name}{f' at {size}x{size}' if size else ''}"
        if not prepared:
            advice = self.advice(data_root)
            if image_size is not None:
                advice = f"{advice.removesuffix('`')} --image-size {size}`"
            raise DataMissing(f"{where} is not prepared under {data_root}: {advice}")
        names = ", ".join(f"{folder.hash[:8]} ({folder.spec_name})" for folder in prepared)
        if own_name is not None:
            called = [folder for folder in prepared if folder.name == own_name]
            if not called:
                close = nearest(own_name, {folder.name for folder in prepared})
                raise DataMissing(f"{where} has nothing prepared as {own_name!r} under {data_root}{close}")
            prepared = called
        chosen = [folder for folder in prepared if folder.hash.startswith(content or "")]
        if not chosen:
            raise DataMissing(
                f"{where} with content {content} is not prepared under {data_root}; there is {names}"
            )
        if len(chosen) > 1:
            ways = {
                f"by name (--dataset {chosen[0].spec_name})": len({f.name for f in chosen}),
                f"by size (--set data.image_size={chosen[0].image_size})": len(
                    {f.image_size for f in chosen}
                ),
                f"by content (--set data.content={chosen[0].hash[:8]})": len({f.hash for f in chosen}),
            }
            telling = " or ".join(way for way, kinds in ways.items() if kinds > 1)
            there = ", ".join(f"{f.spec_name} at {f.image_size} pixels, {f.hash[:8]}" for f in chosen)
            raise UsageError(f"{where} is prepared more than once, choose {telling}: there is {there}")
        return chosen[0]

    def load(self, data_root: Path, image_size: int | None = None, content: str | None = None) -> Splits:
        """Open the memory maps; the digests are the manifest's, which `ltbench data verify` checks."""
        folder = self.choose(data_root, image_size, content)
        sets = {name: folder.image_set(name) for name in folder.identity["sets"]}
        roles = folder.identity["roles"]
        pool = sets[roles["pool"]]
        unscorable = ""
        if roles["reference"] not in sets:
            unscorable = (
                f"{folder.folder} was prepared by an earlier version, whose reference are training images, so scores "
                "would compare a model with what it was trained on: prepare it again under another --name"
            )
        elif copies := folder.identity["facts"].get("copies_shared"):
            unscorable = (
                f"{copies} reference or held-out images of {folder.folder} are copies of training images, so scores "
                "would compare a model with what it was trained on: prepare it from different images"
            )
        reference = sets.get(roles["reference"], sets[roles["heldout"]])
        provenance = {
            "prepared": folder.hash,
            "resampling": folder.identity["resampling"],
            "ground": folder.identity.get("ground", ""),
            "source_list": folder.source_list,
        }
        names = tuple(folder.identity["class_names"])
        shared = folder.identity["heldout_in_reference"]
        own_name = folder.name if ":" in folder.spec_name else ""
        return Splits(
            pool, reference, sets[roles["heldout"]], names, provenance, shared, unscorable, own_name
        )


def identity_hash(identity: dict[str, Any]) -> str:
    """Return SHA-256 of a manifest's identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class PreparedFolder:
    """A prepared folder whose manifest has been read and found whole."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "PreparedFolder":
        """Read the manifest; the hash it states must be its identity's."""
        path = folder / "manifest.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            intact = manifest["hash"] == identity_hash(manifest["identity"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataCorrupt(
                f"{path} cannot be read ({error}): delete {folder} and prepare it again"
            ) from error
        if not intact or manifest.get("format") not in READABLE:
            raise DataCorrupt(
                f"{path} was changed or is of another version: delete {folder} and prepare it again"
            )
        return cls(folder, manifest)

    @property
    def identity(self) -> dict[str, Any]:
        """What the images are: source, size, resampling, classes, each set's counts and SHA-256."""
        return dict(self.manifest["identity"])

    @property
    def hash(self) -> str:
        """The manifest's hash, 64 hex digits."""
        return str(self.manifest["hash"])

    @property
    def name(self) -> str:
        """The folder's name without source and size: what ``-d folder_lt:NAME`` asks for."""
        stem = self.folder.name.removesuffix(f"-{self.image_size}")
        return stem.removeprefix(f"{self.identity['source']}-")

    @property
    def spec_name(self) -> str:
        """What a spec calls it: ``folder_lt:NAME``, or the source's name where there is but one."""
        source = str(self.identity["source"])
        return f"{source}:{self.name}" if self.folder.name.startswith(f"{source}-{self.name}") else source

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the images were read and split."""
        recorded = self.manifest.get("found", {})
        return (*recorded.get("notes", ()), *skipped_in_words(recorded.get("skipped", {})))

    @property
    def source_list(self) -> str:
        """SHA-256 that the source list must have."""
        stated = self.identity if self.manifest["format"] == 1 else self.manifest
        return str(stated["source_list_sha256"])

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return int(self.identity["image_size"])

    def counts(self, role: str) -> tuple[int, ...]:
        """Return the images by label of the set in a role."""
        return tuple(self.identity["sets"][self.identity["roles"][role]]["counts"])

    def image_set(self, name: str) -> ImageSet:
        """Open a set as a read-only memory map."""
        stated = self.identity["sets"][name]
        side = self.image_size
        images = self._array(f"{name}.npy", (stated["n"], self.identity["channels"], side, side), np.uint8)
        labels = self._array(f"{name}.labels.npy", (stated["n"],), np.int64)
        return ImageSet(images, np.array(labels), recorded_sha256=stated["sha256"])

    def _array(self, name: str, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        path = self.folder / name
        if not path.is_file():
            raise DataMissing(f"{path} is missing: delete {self.folder} and prepare it again")
        with decoding(f"{path} is truncated", f"delete {self.folder} and prepare it again", DataCorrupt):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape != shape or array.dtype != dtype:
            raise DataCorrupt(
                f"{path} is not what its manifest states: delete {self.folder} and prepare it again"
            )
        result: NDArray[Any] = array
        return result

    @cached_property
    def source_list_sha256(self) -> str:
        """SHA-256 of the source list as it lies on disk."""
        path = self.folder / "source_list.csv"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
