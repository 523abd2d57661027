"""The manifest of a prepared folder: from its sources, their contents and its arrays to what it is known by."""

import csv
import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import PIL

from ltbench.data.image_file import READING, Tally, printable
from ltbench.data.images import content_sha256
from ltbench.data.prepare.folder import (
    FORMAT,
    RESAMPLING,
    Listing,
    PreparedSource,
    SourceImage,
    identity_hash,
)
from ltbench.data.source import OTHER_ROOT
from ltbench.files import replacing, write_json, write_text


def _source_list(listing: Listing) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("set", *SourceImage._fields))
    for name, entries in listing.sets.items():
        writer.writerows((name, printable(entry.file), *entry[1:]) for entry in entries)
    return text.getvalue()


def content_digest(listing: Listing) -> str:
    """Return SHA-256 of what the files hold and where it goes, whatever they are called."""
    rows = [(name, e.label, e.sha256) for name, entries in listing.sets.items() for e in entries]
    return hashlib.sha256(repr((rows, sorted(listing.roles.items()))).encode()).hexdigest()


def printable_names(listing: Listing) -> list[str]:
    """Return the classes' names as a manifest states them."""
    return [printable(name) for name in listing.class_names]


def write_manifest(
    source: PreparedSource,
    listing: Listing,
    partial: Path,
    size: int,
    ground: str,
    digest: str,
    tally: Tally,
    source_path: Path,
) -> None:
    """Write labels, source list and manifest beside the images."""
    sets = {}
    for set_name, entries in listing.sets.items():
        labels = np.array([entry.label for entry in entries], np.int64)
        path = partial / f"{set_name}.labels.npy"
        with replacing(path, advice=OTHER_ROOT) as temporary, temporary.open("wb") as handle:
            np.save(handle, labels)
        images = np.load(partial / f"{set_name}.npy", mmap_mode="r")
        counts = np.bincount(labels, minlength=len(listing.class_names)).tolist()
        sets[set_name] = {"n": len(labels), "counts": counts, "sha256": content_sha256(images, labels)}
    identity = {
        "source": source.name,
        "image_size": size,
        "channels": source.channels,
        "resampling": RESAMPLING,
        "reading": READING.format(ground=ground),
        "ground": ground,
        "class_names": printable_names(listing),
        "sets": sets,
        "roles": listing.roles,
        "heldout_in_reference": _shares_images(listing),
        "facts": listing.facts,
        "content": digest,
    }
    source_list = _source_list(listing)
    write_text(partial / "source_list.csv", source_list, advice=OTHER_ROOT)
    manifest = {
        "format": FORMAT,
        "identity": identity,
        "hash": identity_hash(identity),
        "source_list_sha256": hashlib.sha256(source_list.encode()).hexdigest(),
        "found": {
            **tally.as_dict(),
            "skipped": dict(listing.scan.skipped),
            "notes": [*listing.notes, *tally.sentences(ground)],
        },
        "made": {
            "from": printable(source_path.resolve()),
            "root": printable(listing.root.resolve()),
            "prefix": listing.prefix,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "pillow": PIL.__version__,
        },
    }
    write_json(partial / "manifest.json", manifest, advice=OTHER_ROOT)


def _shares_images(listing: Listing) -> bool:
    """Return whether held-out images are also in the reference."""
    heldout, reference = (listing.sets[listing.roles[role]] for role in ("heldout", "reference"))
    return not {entry.sha256 for entry in heldout}.isdisjoint(entry.sha256 for entry in reference)
