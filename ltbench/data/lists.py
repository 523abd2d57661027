"""Lists of images, a line ``PATH LABEL``, as long-tailed benchmarks are published: text -> paths and labels.

Paths may hold spaces; the label is what stands after the last space, tab or comma. Labels are whole numbers
0..K-1, or names, which are put in label order.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ltbench.data.class_folders import label_order
from ltbench.data.image_file import printable
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.files import read_text

Rows = list[tuple[str, str]]


def read_list(path: Path) -> Rows:
    """Return (image's path, label) of every line; blank lines and comments (#) are none.

    Raises
    ------
    DataMissing, DataCorrupt
        The file is absent or no text; a line has no label; it lists nothing.
    """
    if not path.is_file():
        raise DataMissing(f"{printable(path)} is missing: give a text file with lines `PATH LABEL`")
    rows = []
    text = read_text(path, DataCorrupt)
    if "\0" in text:
        raise DataCorrupt(f"{printable(path)} is no text, or UTF-16 without a mark: save it as UTF-8")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = re.fullmatch(r"\s*(.*\S)[\s,;]+(\S+)\s*", line)
        if parts is None:
            raise DataCorrupt(f"{printable(path)}, line {number}: {line.strip()[:60]!r} is no `PATH LABEL`")
        rows.append((parts[1].rstrip(",;").strip('"'), parts[2].strip('"')))
    if not rows:
        raise DataCorrupt(f"{printable(path)} lists no image: give lines `PATH LABEL`")
    return rows


def labelled(path: Path, lists: Sequence[Rows]) -> tuple[list[list[tuple[str, int]]], tuple[str, ...]]:
    """Turn the labels of all lists of a set into 0..K-1 and name the classes.

    Numbered classes are named by the folder that holds their images where each class has one of its own, else by
    their number.

    Raises
    ------
    DataCorrupt
        Numbers that are not 0..K-1, or a class that the first list has no image of.
    """
    words = {label for rows in lists for _, label in rows}
    numbered = all(re.fullmatch(r"[0-9]{1,9}", word) for word in words)
    names = label_order(sorted(words)) if not numbered else ()
    index = {name: k for k, name in enumerate(names)}
    out = [[(file, int(label) if numbered else index[label]) for file, label in rows] for rows in lists]
    present = sorted({label for _, label in out[0]})
    count = max((label for rows in out for _, label in rows), default=-1) + 1
    if len(present) != count:
        missing = next(k for k, label in enumerate((*present, -1)) if k != label)
        raise DataCorrupt(
            f"{printable(path)} has no image of class {missing}: labels must be 0..K-1, each with an image to train on"
        )
    return out, names or _folder_names(out[0], count)


def _folder_names(rows: Sequence[tuple[str, int]], count: int) -> tuple[str, ...]:
    folders: list[set[str]] = [set() for _ in range(count)]
    for file, label in rows:
        folders[label].add(file.rpartition("/")[0].rpartition("/")[2])
    named = [next(iter(names)) if len(names) == 1 else "" for names in folders]
    if all(named) and len(set(named)) == count:
        return tuple(named)
    return tuple(map(str, range(count)))
