"""Groupings of classes by name: from a data cell's ranks and counts to lists of labels.

Papers mean different classes by "tail", so a group is stated with its grouping and its labels. With K classes
ranked by their number of training images, the largest first, a grouping's groups hold the ranks

| grouping | groups | 10 classes | 100 classes |
| --- | --- | --- | --- |
| thirds | head, middle, tail: K // 3 first, K // 3 last | 0-2, 3-6, 7-9 | 0-32, 33-66, 67-99 |
| shots | many > 100 training images, few < 20, medium between | | |
| cm | many, medium, few: K // 3, K // 3, the rest | 0-2, 3-5, 6-9 | 0-32, 33-65, 66-99 |
| ccua | head, body, tail: its U-Net code leaves out ranks K // 3 and 2 K // 3 | 0-2, 4-5, 7-9 | 0-32, 34-65, 67-99 |
| utlo | many, medium, few: 35 K // 100, as many again, the rest | 0-2, 3-5, 6-9 | 0-34, 35-69, 70-99 |

On 1,000 classes ccua is its transformer's evaluation, which leaves out none: 0-332, 333-666, 667-999.

Sources: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019 (shots); the released
code of CM (ICLR 2026), CCUA (2025) and UTLO (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ltbench.data import longtail
from ltbench.errors import UsageError, nearest


@dataclass(frozen=True)
class Group:
    """Some classes that are judged together.

    Attributes
    ----------
    name
        What ``class_or_group`` calls it: bare in the data set's own grouping (``tail``), else with the
        grouping's name before it (``cm:few``).
    labels
        Class labels, ascending.
    grouping
        Name of the grouping.
    """

    name: str
    labels: tuple[int, ...]
    grouping: str

    @property
    def labels_text(self) -> str:
        """The labels as ``scores.csv`` states them, runs shortened: ``0-2 7``."""
        return labels_text(self.labels)


def labels_text(labels: Sequence[int]) -> str:
    """Return labels as text, runs of three or more shortened: (0, 1, 2, 7) -> ``0-2 7``."""
    parts: list[str] = []
    run: list[int] = []
    for label in [*sorted(labels), -1]:
        if run and label != run[-1] + 1:
            parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run)
            run = []
        run.append(label)
    return " ".join(parts)


def _cut(names: str, first: int, second: int) -> Callable[[Sequence[int]], dict[str, Sequence[int]]]:
    def split(ranked: Sequence[int]) -> dict[str, Sequence[int]]:
        return dict(zip(names.split(), (ranked[:first], ranked[first:second], ranked[second:]), strict=True))

    return split


def _cm(ranked: Sequence[int]) -> dict[str, Sequence[int]]:
    third = len(ranked) // 3
    return _cut("many medium few", third, 2 * third)(ranked)


def _utlo(ranked: Sequence[int]) -> dict[str, Sequence[int]]:
    step = 35 * len(ranked) // 100
    return _cut("many medium few", step, 2 * step)(ranked)


def _ccua(ranked: Sequence[int]) -> dict[str, Sequence[int]]:
    k = len(ranked)
    first, second = k // 3, 2 * k // 3
    if k == 1000:
        return _cut("head body tail", first, second + 1)(ranked)
    return {"head": ranked[:first], "body": ranked[first + 1 : second], "tail": ranked[second + 1 :]}


_BY_RANK: dict[str, Callable[[Sequence[int]], dict[str, Sequence[int]]]] = {
    "thirds": lambda ranked: dict(longtail.thirds(ranked)),
    "cm": _cm,
    "ccua": _ccua,
    "utlo": _utlo,
}
NAMES = ("auto", "none", "thirds", "shots", "cm", "ccua", "utlo")
"""What `ScoreSpec.groups` may name; ``auto`` is the data set's own grouping, thirds or shots."""


def check_grouping(name: str) -> None:
    """Raise `UsageError` for a name that is no grouping.

    Raises
    ------
    UsageError
        No grouping has that name.
    """
    if name not in NAMES:
        raise UsageError(f"no grouping called {name!r}{nearest(name, NAMES)}: there are {', '.join(NAMES)}")


def own_grouping(groups: dict[str, tuple[int, ...]]) -> str:
    """Return the name of a data set's own grouping, told by what its groups are called."""
    return "shots" if set(groups) <= {"many", "medium", "few"} else "thirds"


def find_groups(
    names: Sequence[str],
    own: dict[str, tuple[int, ...]],
    head_to_tail: Sequence[int],
    counts: Sequence[int] | np.ndarray,
) -> list[Group]:
    """Return the groups of some groupings, in the order asked for, without empty ones.

    Parameters
    ----------
    names
        Of groupings, see `NAMES`.
    own
        The data set's own groups, name -> labels.
    head_to_tail
        (K,) labels by rank, the largest class first.
    counts
        (K,) training images by label.

    Raises
    ------
    UsageError
        An unknown name.
    """
    for name in names:
        check_grouping(name)
    default = own_grouping(own)
    groupings = dict.fromkeys(default if name == "auto" else name for name in names if name != "none")
    groups = []
    for grouping in groupings:
        if grouping == default:
            parts: dict[str, Sequence[int]] = dict(own)
        elif grouping == "shots":
            parts = dict(longtail.shots(np.asarray(counts), head_to_tail))
        else:
            parts = _BY_RANK[grouping](tuple(head_to_tail))
        for name, labels in parts.items():
            if len(labels):
                title = name if grouping == default else f"{grouping}:{name}"
                groups.append(Group(title, tuple(sorted(labels)), grouping))
    return groups
