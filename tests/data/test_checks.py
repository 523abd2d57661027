"""Data sets of other packages: what one gives that cannot be used is a sentence that names it and the package."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from ltbench.data.dataset import list_sources, load_dataset
from ltbench.data.images import ImageSet
from ltbench.data.registry import SOURCES
from ltbench.data.source import Source, Splits, Status
from ltbench.errors import DataCorrupt
from ltbench.plugins import Extension
from ltbench.specs import DataSpec


def images(shape=(1, 8, 8), labels=(0, 1) * 10):
    return ImageSet(np.zeros((len(labels), *shape), np.uint8), np.array(labels, np.int64))


GOOD = Splits(images(), images(), images(), ("cat", "dog"), {"version": 1})


@dataclass(frozen=True)
class Strange(Source):
    """A package's source that gives what a test wants."""

    given: Any = field(default=None, kw_only=True)

    def status(self, _root):
        return Status(True, ()) if self.given != "no status" else None

    def load(self, *_how):
        return self.given() if callable(self.given) else self.given


@pytest.fixture
def strange(monkeypatch):
    """Return a function that makes a package's source known and loads it."""

    def load(given, **facts):
        source = Strange(
            "strange_lt", "t", 2, ("cat", "dog"), (10, 10), 1, 8, (8,), False, "l", "h", given=given
        )
        extension = Extension("strange_lt", replace(source, **facts), "package strange 1.0", True)
        monkeypatch.setitem(SOURCES.extensions(), "strange_lt", extension)
        return load_dataset(DataSpec(dataset="strange_lt", imbalance_ratio=0.5))

    return load


def test_a_package_whose_sets_fit_is_taken(strange):
    assert strange(GOOD).counts.tolist() == [10, 5]
    assert len(strange(replace(GOOD, heldout=images(labels=()), unscorable="no other images")).heldout) == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda: 1 // 0, r"by package strange 1\.0: ZeroDivisionError: .*, in test_checks\.py line \d+$"),
        (
            lambda: ImageSet(np.zeros((2, 1, 8, 8)), np.zeros(2, np.int64)),
            "by package strange 1.0: ValueError: an ImageSet is uint8",
        ),
        (None, "its load returned a NoneType, and Splits are wanted"),
        (replace(GOOD, pool=np.zeros((2, 1, 8, 8))), "its pool is a ndarray, and an ImageSet is wanted"),
        (
            replace(GOOD, reference=images(labels=(0, 1, 2))),
            r"labels of its reference are 0\.\.2, and 2 class",
        ),
        (replace(GOOD, heldout=images(labels=(-1, 1))), r"labels of its heldout are -1\.\.1"),
        (
            replace(GOOD, reference=images((1, 9, 9))),
            r"reference are \(1, 9, 9\), and those of its pool \(1, 8",
        ),
        (replace(GOOD, heldout=images((3, 8, 8))), r"heldout are \(3, 8, 8\), and those of its pool \(1, 8"),
        (replace(GOOD, pool=images((1, 8, 6))), r"its pool are \(1, 8, 6\), and square images are wanted"),
        (replace(GOOD, reference=images(labels=())), "its reference has no images"),
        (replace(GOOD, pool=images(labels=()), unscorable="why"), "its pool has no images"),
        (replace(GOOD, class_names=("cat",)), "declares 2 classes and has 1 class names"),
        (replace(GOOD, class_names=(0, 1)), "its class names are not all text"),
        (replace(GOOD, provenance={"n": np.int64(3)}), "its provenance cannot be written as JSON"),
    ],
)
def test_what_a_package_gives_and_cannot_be_used_is_one_sentence(strange, given, says):
    with pytest.raises(DataCorrupt, match=says) as caught:
        strange(given)
    assert "strange_lt" in str(caught.value)
    assert "package strange 1.0" in str(caught.value)


def test_a_faulty_package_hides_no_other_source(strange, tmp_path):
    with pytest.raises(DataCorrupt):
        strange("no status")
    rows = {row.source.name: row for row in list_sources(0.1, tmp_path)}
    assert rows["strange_lt"].note.startswith("faulty in package strange 1.0 (AttributeError: ")
    assert rows["digits_lt"].found
