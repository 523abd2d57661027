"""The registry: what a metric says of itself, other people's metrics, and a start without torch."""

import dataclasses
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from ltbench.errors import UsageError
from ltbench.metrics.base import Metric, Output
from ltbench.metrics.catalogue import CATALOGUE
from ltbench.metrics.registry import METRICS, REGISTRY, check, find_output, get_metric, requested_metrics


def test_registry_names_the_nearest():
    assert get_metric("frechet").definition == "frechet/1"
    with pytest.raises(UsageError, match="did you mean 'precision_recall'"):
        get_metric("precision_recal")
    outputs = [o.name for m in REGISTRY.values() for o in m.outputs]
    assert len(outputs) == len(set(outputs))


def test_what_a_registered_metric_states():
    """Fewest images and default bootstrap are part of what a stored number means."""
    fewest = {
        name: get_metric(name).minimum
        for name in ("frechet", "frechet_infinity", "kid_subsets", "sfid", "fld")
    }
    assert fewest == {"frechet": 2, "frechet_infinity": 200, "kid_subsets": 1000, "sfid": 2024, "fld": 20}
    assert {metric.name for metric in REGISTRY.values() if metric.quick} == {"agreement", "frechet"}


MEAN_GAP = Metric(
    "mean_gap",
    "features",
    ("reference", "generated"),
    lambda reference, generated: float(np.abs(reference.mean() - generated.mean())),
    (Output("mean_gap", "lower"),),
    "distance of mean features",
    "made up",
)


@pytest.fixture
def plugin(monkeypatch):
    """Install entry points of the metrics' group for one test."""

    def install(**objects):
        class Entry:
            def __init__(self, name, value):
                self.name, self.value, self._object = name, f"other:{name}", value
                self.dist = type("Dist", (), {"name": "other-metrics", "version": "1.2"})

            def load(self):
                return self._object

        entries = [Entry(name, value) for name, value in objects.items()]
        monkeypatch.setattr(
            metadata, "entry_points", lambda group: entries if group == "ltbench.metrics" else []
        )
        METRICS.forget()

    yield install
    monkeypatch.undo()
    METRICS.forget()


def test_asking_what_a_metric_is_called_imports_no_torch():
    code = (
        "import sys; from ltbench.metrics.registry import find_output;"
        "assert find_output('frechet').inception_title == 'FID';"
        "print([m for m in ('torch', 'scipy', 'sklearn') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("suffix", ["", "_cbdm", "_ccua"])
def test_precision_stands_right_after_its_recall(suffix):
    recall, precision = find_output(f"recall{suffix}"), find_output(f"precision{suffix}")
    assert 0 < recall.rank == precision.rank - 1


def test_a_packages_metric_stands_after_the_trees_and_says_where_it_comes_from(plugin):
    plugin(mine=MEAN_GAP)
    assert next(iter(REGISTRY)) == "frechet"
    assert list(REGISTRY)[-1] == "mean_gap"
    assert get_metric("mean_gap") is MEAN_GAP
    assert METRICS.origin("mean_gap") == "package other-metrics 1.2"
    assert METRICS.origin("frechet") == "ltbench.metrics"
    with pytest.raises(UsageError, match="did you mean 'mean_gap'"):
        get_metric("mean_gab")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (MEAN_GAP.name, "is no ltbench.metrics.base.Metric"),
        (Metric("x", "features", ("generated",), max, (Output("recall", "lower"),), "", ""), "is taken"),
        (Metric("x", "features", ("generated",), max, (Output("x.floor", "lower"),), "", ""), "holds a dot"),
        (Metric("kid", "features", ("generated",), max, (Output("x", "lower"),), "", ""), "is taken by"),
        (
            Metric("x", "features", ("generated",), max, (Output("x", "lower"),), "", "", scopes=("group",)),
            "scopes are",
        ),
    ],
)
def test_a_packages_unusable_metric_is_left_out_and_says_why(plugin, broken, why):
    plugin(x=broken)
    assert len(REGISTRY) == len({m.name for m in REGISTRY.values()})
    assert "frechet" in REGISTRY
    with pytest.raises(UsageError, match=why):
        get_metric("x")


def other(**changes):
    """A package's metric like the one above, of another name and number."""
    return dataclasses.replace(MEAN_GAP, **{"name": "x", "outputs": (Output("x_v", "lower"),)} | changes)


EACH = (Output("x_each", "lower", per_class=True),)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"needs": "featurs"},
            "x: nothing is called 'featurs' that a metric could need; did you mean 'features'",
        ),
        ({"inputs": ("reference", "genrated")}, "x takes 'genrated', .*; did you mean 'generated'"),
        ({"inputs": ("reference", "train_counts")}, "x takes 'train_counts', which .* not given"),
        ({"needs": "bottleneck"}, "x takes 'reference', which .* not given; known: features, labels, seed"),
        (
            {"function": lambda reference: 1.0},  # noqa: ARG005
            "x: its function cannot be called with reference, generated: got an unexpected keyword .*'generated'",
        ),
        (
            {"function": lambda reference, generated, k: 1.0},  # noqa: ARG005
            "x: its function cannot be called .*: missing a required argument: 'k'",
        ),
        (
            {"settings": {"k": 3}},
            "x: its function cannot be called with reference, generated, k: got an unexp",
        ),
        ({"prepare": lambda: 1.0}, "x: its prepare cannot be called with one reference: too many positional"),
        ({"prepare": 3}, "x: its prepare cannot be called"),
        ({"outputs": EACH, "scopes": ("overall",)}, "x_each is one number a class, .*: write floor=False"),
        ({"outputs": EACH, "floor": False}, r"x_each is one number a class, .*: write scopes=\('overall',\)"),
        (
            {
                "outputs": EACH,
                "needs": "bottleneck",
                "inputs": ("features",),
                "function": len,
            },
            "x_each is one number a class, which the probe does not keep",
        ),
        ({"outputs": (Output("a", None), Output("a", None))}, "x has two outputs of one name"),
        (
            {"inputs": ("heldout", "generated"), "function": lambda heldout, generated: 1.0},  # noqa: ARG005
            "x: its floor would compare the held-out images with themselves: take 'reference' .*, or write floor=False",
        ),
    ],
)
def test_a_packages_metric_that_could_not_be_computed_is_left_out_before_it_is(plugin, changes, why):
    plugin(x=other(**changes))
    with pytest.raises(UsageError, match=f"package other-metrics 1.2 .*{why}"):
        get_metric("x")


@pytest.mark.parametrize(
    "changes",
    [
        {"function": max},  # of a compiled function nothing is known
        {"function": lambda **given: len(given)},
        {"function": lambda reference, generated, k=3: k},  # noqa: ARG005
        {"outputs": EACH, "scopes": ("overall",), "floor": False},
        {"needs": "bottleneck", "inputs": ("features",), "function": lambda features: len(features)},
        {
            "inputs": ("heldout", "generated"),
            "function": lambda heldout, generated: len(heldout) - len(generated),
            "floor": False,
        },
    ],
)
def test_a_packages_metric_that_can_be_computed_is_taken(plugin, changes):
    plugin(x=other(**changes))
    assert get_metric("x").name == "x"


def test_two_packages_cannot_give_one_number(plugin):
    second = other(outputs=(Output("mean_gap", "higher"),))
    plugin(a=MEAN_GAP, x=second)
    assert find_output("mean_gap").better == "lower"
    with pytest.raises(
        UsageError, match=r"'mean_gap' is taken by metric mean_gap \(package other-metrics 1.2\)"
    ):
        get_metric("x")


def test_the_trees_metrics_pass_their_own_check_and_match_their_functions():
    for metric in CATALOGUE:
        check(dataclasses.replace(metric, function=metric.function.__wrapped__))


def test_all_metrics_need_no_extractor_but_the_chosen_ones():
    names = {metric.name for metric in requested_metrics(["all"])}
    assert {"frechet", "prd", "cas"} <= names
    assert "precision_recall_coral" not in names
    assert "precision_recall_coral" in {m.name for m in requested_metrics(["all", "precision_recall_coral"])}


def test_a_requests_words_are_compared_by_value():
    assert requested_metrics(["".join(["def", "ault"])]) == requested_metrics(["default"])
