"""A folder of class folders -> its classes in label order and their image files: one way for all commands.

Labels follow the names: numbered folders (0, 1, 2, 10) in the order of their numbers, others as text. Junk that
operating systems leave behind is skipped and counted; nothing is passed over by its ending, for a file that is no
image must be noticed. Links are followed, loops are not, and those to a folder above are refused.
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ltbench.data.file_kind import ARCHIVE, kind_of_file
from ltbench.data.image_file import MEND, printable, wrong_with
from ltbench.errors import DataCorrupt, DataMissing, UsageError

JUNK = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "folder.htt"})
JUNK_FOLDERS = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
)
_WORD = r"(set|data|images?|imgs?|split)?[0-9]*"  # trainset, train_images, val2017
TRAIN_NAMES = re.compile(f"(train|training|trn){_WORD}")
HELD_OUT_NAMES = re.compile(
    f"(val|valid|validation|validate|dev|test|testing|tst|eval|evaluation|heldout|holdout){_WORD}"
)
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst", ".7z", ".rar"})
_SEEN = "links to folders already seen"
MOST_PROBLEMS = 1000  # after that many unusable files a folder is none of images


@dataclass
class Scan:
    """What looking through folders found beside images.

    Attributes
    ----------
    problems
        ``FILE is WHAT: ADVICE`` for each that cannot be used, to be raised together.
    skipped
        Name of what was skipped -> how often.
    loose
        How many files lie beside the class folders, in none of them.
    """

    problems: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    loose: int = 0

    def left_out(self) -> tuple[str, ...]:
        """Return a sentence about the files that lie in no class folder, if there are any."""
        return (f"{self.loose:,} files beside the class folders are not used",) if self.loose else ()

    def problem(self, path: Path | str, what: str) -> None:
        """Note an unusable file; a folder of nothing else is refused at once."""
        self.problems.append(f"{printable(path)} {what}{MEND}")
        if len(self.problems) > MOST_PROBLEMS:
            raise DataCorrupt(
                f"more than {MOST_PROBLEMS:,} files cannot be used, the first: {self.problems[0].removesuffix(MEND)}: "
                "give a folder of class folders with images"
            )


@dataclass(frozen=True)
class Level:
    """The entries of one folder, junk left out: sub-folders and files, sorted by name."""

    folders: tuple[str, ...]
    files: tuple[str, ...]


def skipped_in_words(skipped: Mapping[str, int]) -> tuple[str, ...]:
    """Return a sentence about the files, and one about the links, that a `Scan` or a manifest says were skipped."""
    links = skipped.get(_SEEN, 0)
    files = sum(skipped.values()) - links
    sentences = (
        f"{files:,} hidden or operating systems' files are skipped" if files else "",
        f"{links:,} links to folders already seen are not followed again" if links else "",
    )
    return tuple(filter(None, sentences))


def is_junk(name: str, is_folder: bool) -> bool:
    """Tell whether an entry is an operating system's or hidden, and never an image."""
    return name.startswith(".") or name.casefold() in (JUNK_FOLDERS if is_folder else JUNK)


def read_level(folder: Path, scan: Scan) -> Level:
    """List a folder; one that cannot be listed is a problem of the scan."""
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    is_folder = entry.is_dir()
                except OSError as error:  # a link to itself, or into a folder that may not be searched
                    scan.problem(folder / entry.name, f"cannot be read ({error.strerror})")
                    continue
                if is_junk(entry.name, is_folder):
                    scan.skipped["hidden files" if entry.name.startswith(".") else entry.name.strip()] += 1
                else:
                    (folders if is_folder else files).append(entry.name)
    except OSError as error:
        scan.problem(folder, f"cannot be read ({error.strerror})")
    return Level(tuple(sorted(folders)), tuple(sorted(files)))


def plain(name: str) -> str:
    """Return a name's letters and digits without case: ``Held-Out`` and ``heldout`` are one."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def label_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return class folders' names in label order: by number where all are different whole numbers, else as text."""
    numbers = [int(name) if re.fullmatch(r"[0-9]{1,18}", name) else None for name in names]
    if None not in numbers and len(set(numbers)) == len(names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def images_below(folder: Path, scan: Scan) -> list[Path]:
    """Return every usable file below a class folder, sub-folders included, sorted by path."""
    files: list[Path] = []
    above = {(status.st_dev, status.st_ino) for status in _statuses(folder.absolute().parents)}
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            status = here.stat()
        except OSError as error:
            scan.problem(here, f"cannot be read ({error.strerror})")
            continue
        if (status.st_dev, status.st_ino) in above:
            scan.problem(here, "is a link to a folder that holds this class and others")
            continue
        if (status.st_dev, status.st_ino) in seen:
            scan.skipped[_SEEN] += 1
            continue
        seen.add((status.st_dev, status.st_ino))
        level = read_level(here, scan)
        waiting += [here / name for name in level.folders]
        for name in level.files:
            wrong = wrong_with(here / name)
            if wrong:
                scan.problem(here / name, wrong)
            else:
                files.append(here / name)
    return sorted(files)


def _statuses(folders: Iterable[Path]) -> Iterator[os.stat_result]:
    for folder in folders:
        with contextlib.suppress(OSError):
            yield folder.stat()


def class_names(path: Path, scan: Scan) -> tuple[str, ...]:
    """Return the names of a folder's class folders in label order.

    Raises
    ------
    UsageError, DataMissing
        There are none or one; or they look like parts of a set and not like classes.
    """
    level = read_level(path, scan)
    names = level.folders
    shown = printable(path)
    if len(names) == 1 and not level.files:
        inside = read_level(path / names[0], Scan()).folders
        if len(inside) > 1:
            raise UsageError(
                f"{shown} holds the one folder {printable(names[0])}: give {shown}/{printable(names[0])}, "
                f"whose folders are {_some(inside)}"
            )
    if not names:
        if scan.problems:
            raise DataCorrupt(f"{scan.problems[0].removesuffix(MEND)}: give a folder of class folders")
        if level.files and all(Path(name).suffix.casefold() in ARCHIVES for name in level.files):
            raise DataMissing(
                f"{shown} has no class folders but archives ({_some(level.files)}): unpack each into a folder of its own"
            )
        loose = f" but {len(level.files):,} files" if level.files else ""
        raise DataMissing(
            f"{shown} has no class folders{loose}: put the images of each class into one of its own"
        )
    if len(names) < 2:
        raise UsageError(f"{shown} has {len(names)} class folders: at least two are needed")
    _refuse_parts(path, names)
    scan.loose += len(level.files)
    return label_order(names)


def _refuse_parts(path: Path, names: Sequence[str]) -> None:
    """Refuse "classes" whose images all lie in sub-folders that are named as in their siblings."""
    below: dict[str, set[str]] = {}
    for name in names:
        level = read_level(path / name, Scan())
        if level.folders and not level.files:
            below[name] = set(level.folders)
    shared = Counter(inner for inside in below.values() for inner in inside)
    alike = [name for name, inside in below.items() if any(shared[inner] > 1 for inner in inside)]
    if len(alike) < 2:
        return
    inner = sorted(inner for inner, count in shared.items() if count > 1)
    raise UsageError(
        f"the images of {_some([f'{printable(path)}/{n}' for n in sorted(alike)], 2)} lie in sub-folders of the same "
        f"names ({_some(inner)}), so these may be parts of a set and not classes: name parts train and val, and let "
        "each class folder hold its images itself"
    )


def is_split(path: Path, name: str, names: re.Pattern[str]) -> bool:
    """Tell whether a folder is a part of a set by its name, and holds class folders and no image itself.

    Other files beside its class folders, as a list of labels, leave it a part.
    """
    if not names.fullmatch(plain(name)):
        return False
    level, endings = read_level(path / name, Scan()), Image.registered_extensions()
    return bool(level.folders) and not any(Path(file).suffix.casefold() in endings for file in level.files)


def no_folder(path: Path) -> str:
    """Return what is wrong with a path that is no folder and should be one of class folders, and how to mend it."""
    kind = None
    with contextlib.suppress(OSError):
        kind = kind_of_file(path) if path.is_file() else None
    if kind == ARCHIVE or (path.is_file() and path.suffix.casefold() in ARCHIVES):
        return f"{printable(path)} is an archive: unpack it, and give the folder of class folders"
    what = f"is {kind} and no folder" if kind else "is no folder"
    return f"{printable(path)} {what}: give a folder of class folders"


def _some(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(printable(name) for name in names[:most])
    return shown + (f", ... ({len(names)})" if len(names) > most else "")
