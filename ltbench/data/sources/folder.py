"""folder_lt: any folder of class folders, at any size.

Two layouts are understood. With ``train/CLASS/...`` beside ``val/`` or ``test/`` (in any of their usual spellings):
the pool is train, reference and held-out set are all the others together. With ``CLASS/...`` alone: a fifth of the
smallest class goes to the reference from every class, as many are held out, the rest is the pool; which, the hash of
each file's content decides, so that no draw, name or order does. Reference and training images are never the same.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ltbench.data.class_folders import (
    HELD_OUT_NAMES,
    TRAIN_NAMES,
    Scan,
    class_names,
    images_below,
    is_junk,
    is_split,
    no_folder,
    plain,
    read_level,
)
from ltbench.data.image_file import printable, wrong_with
from ltbench.data.lists import labelled, read_list
from ltbench.data.prepare.folder import Listing, PreparedSource, SourceImage
from ltbench.data.source import Status
from ltbench.errors import DataMissing, UsageError
from ltbench.specs import DataSpec

SHARE = 5  # a fifth of the smallest class is reference, a fifth is held out
SMALL = 10  # reference images a class below which distances are said to be noisy
LEAST = 3  # images of a class: one to train on, one as reference, one held out
_MOST_GROUPS = 3  # groups of classes that share images, named in one note
_SHARED = (
    "{copies:,} reference or held-out images are copies of training images, and without them a class has none: "
    "train on them, but scores against them are refused"
)
SPLIT = (
    "each class's files in the order of the SHA-256 of their content: the first {n} are the reference, the next {n} "
    "held out, the others the training pool; exact copies of those two are left out"
)


@dataclass(frozen=True)
class FolderLt(PreparedSource):
    """A user's own images; the class names are the folders' names in alphabetical order."""

    def folder_stem(self, path: Path, name: str | None = None) -> str:
        """Return ``folder_lt-`` and the user's or the source folder's name."""
        if name is not None and not re.fullmatch(r"(?!\.+$)[A-Za-z0-9_.][A-Za-z0-9_.-]*", name):
            raise UsageError(f"--name {name!r} must be letters, digits and - _ . : it names a folder")
        return f"{self.name}-{name or re.sub(r'[^A-Za-z0-9_.]+', '_', path.resolve().name) or 'root'}"

    def other_stem(self, stem: str, digest: str) -> str | None:
        """Return a name for other images of a folder of the same name, or for one whose images have changed."""
        return f"{stem}-{digest[:4]}"

    def status(self, data_root: Path) -> Status:
        """Look for a prepared folder of any name."""
        unprepared = super().status(data_root)
        return replace(unprepared, looked=(data_root / "prepared" / f"{self.name}-*",))

    def default_image_size(self, image_size: int | None) -> int | None:
        """Return the size asked for; None: whichever is prepared."""
        return None if image_size is None else self.size(image_size)

    def resolve(self, data: DataSpec, data_root: Path) -> DataSpec:
        """Return the spec with the prepared folder's full hash, its size and, for the profile asis, its ratio."""
        _, _, own_name = data.dataset.partition(":")
        folder = self.choose(data_root, data.image_size, data.content, own_name or None)
        update: dict[str, Any] = {
            "dataset": self.name,
            "content": folder.hash,
            "image_size": folder.image_size,
        }
        if data.profile == "asis":
            counts = folder.counts("pool")
            update["imbalance_ratio"] = float(f"{min(counts) / max(counts):.4g}")
        return data.model_copy(update=update)

    def listing(self, path: Path, lists: Path | None) -> Listing:
        """List the images of either layout."""
        if not path.is_dir():
            raise UsageError(no_folder(path))
        if lists is not None:
            return self._listed(path, lists)
        scan = Scan()
        top = read_level(path, Scan())
        parts = [name for name in top.folders if is_split(path, name, TRAIN_NAMES)]
        others = [name for name in top.folders if is_split(path, name, HELD_OUT_NAMES)]
        if len(top.folders) == 1 or (not parts and not others):
            return self._whole(path, scan)
        if len(parts) != 1 or not others or len(others) + 1 != len(top.folders):
            raise UsageError(
                f"{printable(path)} has the folders {', '.join(map(printable, top.folders))}: give one folder of "
                "class folders, or train beside val and test"
            )
        return self._split(path, parts[0], others, scan)

    def _listed(self, path: Path, lists: Path) -> Listing:
        """List the images that a file of ``PATH LABEL`` names, or a folder with one for training and others."""
        if lists.is_dir():
            files = sorted(file for file in lists.glob("*.txt") if not is_junk(file.name, is_folder=False))
            train = [file for file in files if plain(file.stem).find("train") >= 0]
            if len(train) != 1 or len(files) < 2:
                raise DataMissing(
                    f"{printable(lists)} has {len(files)} lists (*.txt), {len(train)} of them named train: give one file "
                    "with --list, or a folder with one list named train beside one named val"
                )
            files = [train[0], *(file for file in files if file != train[0])]
        else:
            files = [lists]
        rows, names = labelled(files[0], [read_list(file) for file in files])
        scan = Scan()
        wrong = {file: wrong_with(path / file) for part in rows for file, _ in part}
        for file, what in wrong.items():
            if what:
                scan.problem(path / file, what)
        sets = [tuple(SourceImage(file, label) for file, label in part if not wrong[file]) for part in rows]
        note = f"images by {', '.join(printable(file.name) for file in files)}, paths below {printable(path)}"
        if len(sets) == 1:
            return Listing(path, {"all": sets[0]}, {}, names, {}, scan=scan, notes=(note,))
        roles = {"pool": "train", "reference": "heldout", "heldout": "heldout"}
        heldout = tuple(image for part in sets[1:] for image in part)
        facts = {"split": " | ".join(printable(file.name) for file in files)}
        return Listing(
            path, {"train": sets[0], "heldout": heldout}, roles, names, facts, scan=scan, notes=(note,)
        )

    def _images(self, path: Path, folder: Path, names: Sequence[str], scan: Scan) -> list[SourceImage]:
        images, empty = [], []
        for label, name in enumerate(names):
            before = len(scan.problems)
            files = images_below(folder / name, scan)
            images += [SourceImage(str(file.relative_to(path)), label) for file in files]
            if not files and len(scan.problems) == before:
                empty.append(printable(folder / name))
        if empty:
            raise DataMissing(f"{', '.join(empty)} holds no image: every class folder needs some")
        return images

    def _split(self, path: Path, train: str, others: list[str], scan: Scan) -> Listing:
        scan.loose += len(read_level(path, scan).files)
        names = class_names(path / train, scan)
        heldout: list[SourceImage] = []
        for other in others:
            level = read_level(path / other, scan)
            scan.loose += len(level.files)
            odd = sorted(set(level.folders) ^ set(names))
            if odd:
                raise UsageError(
                    f"{printable(path)} has class folder {printable(odd[0])} in only one of {train} and {other}: "
                    "both need it"
                )
            heldout += self._images(path, path / other, names, scan)
        sets = {"train": tuple(self._images(path, path / train, names, scan)), "heldout": tuple(heldout)}
        roles = {"pool": "train", "reference": "heldout", "heldout": "heldout"}
        facts = {"split": f"{train} | {' + '.join(others)}"}
        note = f"training images from {train}, reference and held-out images from {' and '.join(others)}"
        notes = (note, *scan.left_out(), *_numbering(names))
        return Listing(path, sets, roles, names, facts, scan=scan, notes=notes)

    def _whole(self, path: Path, scan: Scan) -> Listing:
        names = class_names(path, scan)
        images = tuple(self._images(path, path, names, scan))
        notes = (*scan.left_out(), *_numbering(names))
        return Listing(path, {"all": images}, {}, names, {}, scan=scan, notes=notes)

    def arrange(self, listing: Listing) -> Listing:
        """Order the images by class and content, and split them by content where there is no val folder."""
        sets = {
            name: sorted(images, key=lambda i: (i.label, i.sha256)) for name, images in listing.sets.items()
        }
        listing = replace(listing, notes=(*listing.notes, *_in_several_classes(listing)))
        if "all" in sets:
            return self._split_by_content(listing, sets["all"])
        trained = {image.sha256 for image in sets["train"]}
        untrained = [image for image in sets["heldout"] if image.sha256 not in trained]
        copies = len(sets["heldout"]) - len(untrained)
        facts, notes = dict(listing.facts), listing.notes
        if copies and _has_every_class(listing, untrained):
            facts["copies_left_out"] = copies
            notes += (f"{copies:,} held-out images are training images too and are left out",)
            sets["heldout"] = untrained
        elif copies:
            facts["copies_shared"] = copies
            notes += (_SHARED.format(copies=copies),)
        return replace(
            listing, sets={k: tuple(images) for k, images in sets.items()}, facts=facts, notes=notes
        )

    def _split_by_content(self, listing: Listing, images: list[SourceImage]) -> Listing:
        """Make training pool, reference and held-out set of one set of images."""
        n = self._a_class(listing, images)
        sets, copies = _without_copies(listing, images, n), 0
        if sets is None:  # hardly anything but copies: part them as files, and say that scores mean nothing
            sets, copies = _as_files(images, n)
        facts: dict[str, Any] = {"split": SPLIT.format(n=n)}
        notes = [
            f"no val folder: of each class {_images_in_words(n)} {'is' if n == 1 else 'are'} reference and as many "
            "held out, chosen by the hash "
            "of their content; for a split of your own make the folders train and val, each with all class folders",
            *listing.notes,
        ]
        if copies:
            facts["copies_shared"] = copies
            notes.append(_SHARED.format(copies=copies))
        elif left := len(images) - sum(map(len, sets.values())):
            facts["copies_left_out"] = left
            notes.append(f"{left:,} exact copies of reference or held-out images are left out")
        if n < SMALL:
            notes.append(
                f"the reference has {n} a class: distances to so few are noisy, differences between methods hardly "
                "show; more images in the smallest class, or a val folder, make them better"
            )
        roles = {"pool": "train", "reference": "reference", "heldout": "heldout"}
        return replace(listing, sets=sets, roles=roles, facts=facts, notes=tuple(notes))

    def _a_class(self, listing: Listing, images: Sequence[SourceImage]) -> int:
        """Return how many images of a class the reference gets."""
        counts = Counter(image.label for image in images)
        label, smallest = min(counts.items(), key=lambda item: item[1])
        if smallest < LEAST:
            raise UsageError(
                f"{printable(listing.root)}/{printable(listing.class_names[label])} has {_images_in_words(smallest)}, "
                f"and without a val folder {LEAST} are needed, to train on, as reference and held out, for a model must "
                "not be compared with its own training images: add images, leave the class out, or make the folders "
                "train and val, each with all class folders"
            )
        return max(1, smallest // SHARE)


def _without_copies(
    listing: Listing, images: Sequence[SourceImage], n: int
) -> dict[str, tuple[SourceImage, ...]] | None:
    """Split so that no two sets share a content; None where that leaves a set without a class."""
    taken: dict[str, tuple[str, int]] = {}  # content -> the set and the class it goes to
    for role in ("reference", "heldout"):
        for label in range(len(listing.class_names)):
            contents = dict.fromkeys(i.sha256 for i in images if i.label == label and i.sha256 not in taken)
            taken |= dict.fromkeys(list(contents)[:n], (role, label))
    out: dict[str, list[SourceImage]] = {"train": [], "reference": [], "heldout": []}
    seen: set[str] = set()
    for image in images:
        role, label = taken.get(image.sha256, ("train", image.label))
        if role == "train" or (label == image.label and image.sha256 not in seen):
            out[role].append(image)
            seen.add(image.sha256)
    if not all(_has_every_class(listing, members) for members in out.values()):
        return None
    return {name: tuple(members) for name, members in out.items()}


def _as_files(images: Sequence[SourceImage], n: int) -> tuple[dict[str, tuple[SourceImage, ...]], int]:
    """Split by position, copies or not; return the sets and how many of reference and held-out are training images."""
    rank: Counter[int] = Counter()
    out: dict[str, list[SourceImage]] = {"train": [], "reference": [], "heldout": []}
    for image in images:
        position = rank[image.label]
        out["reference" if position < n else "heldout" if position < 2 * n else "train"].append(image)
        rank[image.label] += 1
    trained = {image.sha256 for image in out["train"]}
    copies = sum(image.sha256 in trained for image in (*out["reference"], *out["heldout"]))
    return {name: tuple(members) for name, members in out.items()}, max(1, copies)


def _has_every_class(listing: Listing, images: Sequence[SourceImage]) -> bool:
    return {image.label for image in images} == set(range(len(listing.class_names)))


def _in_several_classes(listing: Listing) -> tuple[str, ...]:
    """Say which images stand in several classes, as where a class folder is a link to another."""
    labels: dict[str, set[int]] = {}
    for images in listing.sets.values():
        for image in images:
            labels.setdefault(image.sha256, set()).add(image.label)
    shared = Counter(tuple(sorted(found)) for found in labels.values() if len(found) > 1)
    if not shared:
        return ()
    n = shared.total()
    named = [
        f"{count:,} in {' and '.join(printable(listing.class_names[label]) for label in found)}"
        for found, count in shared.most_common(_MOST_GROUPS)
    ] + ["..."] * (len(shared) > _MOST_GROUPS)
    return (
        f"{_images_in_words(n)} {'is' if n == 1 else 'are'} in more than one class ({', '.join(named)}): remove "
        f"{'it' if n == 1 else 'them'} from all but one, or leave a class out",
    )


def _images_in_words(n: int) -> str:
    return "one image" if n == 1 else f"{n} images"


def _numbering(names: Sequence[str]) -> tuple[str, ...]:
    """Say where numbered folders are labelled by number and not as text, as torchvision's ImageFolder does."""
    if tuple(sorted(names)) == tuple(names):
        return ()
    return (
        "class folders are numbered, so labels follow the numbers (torchvision's ImageFolder sorts them as text)",
    )


FOLDER_LT = FolderLt(
    name="folder_lt",
    title="your own folder of class folders, colour",
    num_classes=0,
    class_names=(),
    pool=(),
    channels=3,
    default_size=32,
    sizes=tuple(range(8, 257)),
    flip_allowed=True,
    licence="yours",
    how_to_get="run `ltbench data prepare folder_lt --source FOLDER`",
    default_profile="asis",
)
SOURCE = FOLDER_LT
