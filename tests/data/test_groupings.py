"""Groupings by name: the papers' label lists, and pooled distances against drawn features."""

from pathlib import Path

import numpy as np
import pytest

from ltbench.data import longtail
from ltbench.data.groupings import Group, check_grouping, find_groups, labels_text
from ltbench.errors import UsageError
from ltbench.metrics.registry import get_metric

GOLDEN = np.load(Path(__file__).parents[1] / "goldens" / "group_metrics_k6.npz")


def found(name, k, order=None, counts=None):
    ranked = tuple(range(k)) if order is None else order
    counts = np.arange(k, 0, -1) if counts is None else counts
    return find_groups((name,), longtail.thirds(ranked), ranked, counts)


@pytest.mark.parametrize(
    ("name", "k", "names", "labels"),
    [
        ("thirds", 10, "head middle tail", "0-2 3-6 7-9"),
        ("thirds", 100, "head middle tail", "0-32 33-66 67-99"),
        ("cm", 10, "cm:many cm:medium cm:few", "0-2 3-5 6-9"),
        ("cm", 100, "cm:many cm:medium cm:few", "0-32 33-65 66-99"),
        ("ccua", 10, "ccua:head ccua:body ccua:tail", "0-2 4,5 7-9"),
        ("ccua", 100, "ccua:head ccua:body ccua:tail", "0-32 34-65 67-99"),
        ("ccua", 1000, "ccua:head ccua:body ccua:tail", "0-332 333-666 667-999"),
        ("utlo", 10, "utlo:many utlo:medium utlo:few", "0-2 3-5 6-9"),
        ("utlo", 100, "utlo:many utlo:medium utlo:few", "0-34 35-69 70-99"),
        ("auto", 10, "head middle tail", "0-2 3-6 7-9"),
    ],
)
def test_a_grouping_has_its_papers_labels(name, k, names, labels):
    groups = found(name, k)
    assert [g.name for g in groups] == names.split()
    assert [g.labels_text for g in groups] == [text.replace(",", " ") for text in labels.split()]


def test_groups_go_by_rank_and_not_by_label():
    groups = found("cm", 10, order=tuple(range(9, -1, -1)))
    assert [g.labels for g in groups] == [(7, 8, 9), (4, 5, 6), (0, 1, 2, 3)]


def test_shots_go_by_training_images_and_leave_out_an_empty_group():
    counts = np.array([500, 101, 100, 20, 19, 5])
    assert [(g.name, g.labels) for g in found("shots", 6, counts=counts)] == [
        ("shots:many", (0, 1)),
        ("shots:medium", (2, 3)),
        ("shots:few", (4, 5)),
    ]
    assert [g.name for g in found("shots", 3, counts=[5, 5, 5])] == ["shots:few"]


def test_several_groupings_stand_side_by_side_and_none_is_none():
    groups = find_groups(("auto", "thirds", "cm", "none"), longtail.thirds(range(6)), range(6), [6] * 6)
    assert [g.grouping for g in groups] == ["thirds"] * 3 + ["cm"] * 3
    assert find_groups(("none",), {}, (), ()) == []


def test_an_unknown_grouping_is_named_with_the_nearest():
    with pytest.raises(UsageError, match="no grouping called 'third'; did you mean 'thirds'"):
        check_grouping("third")


def test_labels_are_stated_in_short():
    assert labels_text((0, 1, 2, 4, 5, 9)) == "0-2 4 5 9"
    assert labels_text(()) == ""
    assert labels_text((7,)) == "7"
    assert Group("tail", (7, 8, 9), "thirds").labels_text == "7-9"


@pytest.mark.parametrize(
    ("grouping", "names"), [("thirds", ("many", "medium", "few")), ("ccua", ("head", "body", "tail"))]
)
@pytest.mark.parametrize("metric", ["frechet", "kid"])
def test_pooled_distances_are_the_goldens(grouping, names, metric):
    own = {name: tuple(GOLDEN[f"group_thirds_{name}"].tolist()) for name in ("many", "medium", "few")}
    if grouping == "thirds":
        groups = [Group(name, own[name], "thirds") for name in names]
    else:
        groups = find_groups(("ccua",), own, tuple(range(6)), GOLDEN["counts"])
    for group, name in zip(groups, names, strict=True):
        labels = GOLDEN[f"group_{grouping}_{name}"].tolist()
        assert list(group.labels) == labels
        real = GOLDEN["reference"][np.isin(GOLDEN["reference_labels"], labels)].astype(np.float64)
        fake = GOLDEN["generated"][np.isin(GOLDEN["generated_labels"], labels)].astype(np.float64)
        value = get_metric(metric)(reference=real, generated=fake)[metric]
        key = {"frechet": "fid", "kid": "kid"}[metric]
        assert value == pytest.approx(float(GOLDEN[f"pooled_{key}_{grouping}_{name}"]), abs=1e-10)
