"""What a metric states of its outputs, and what it says of a function that gives others."""

import numpy as np
import pytest
import torch

from ltbench.errors import Interrupted, OutOfMemory, UsageError
from ltbench.metrics.base import Metric, Output
from ltbench.metrics.catalogue import CATALOGUE
from ltbench.metrics.registry import METRICS, REGISTRY, find_output
from ltbench.plugins import Extension


def test_an_output_states_how_it_is_shown():
    recall, ceiling = find_output("recall"), find_output("coverage_ceiling")
    assert (recall.title, recall.better, recall.decimals, recall.auxiliary) == ("Recall", "higher", 3, False)
    assert ceiling.auxiliary
    assert ceiling.better is None
    assert Output("mean_gap", "lower").title == "Mean gap"
    outputs = {o.name: o for m in REGISTRY.values() for o in m.outputs}
    companions = [o.companion[0] for o in outputs.values() if o.companion]
    assert companions
    assert all(outputs[name].auxiliary for name in companions)
    assert find_output("no such number") is None


def made(function, *outputs, **options):
    named = [Output(o, None) if isinstance(o, str) else o for o in outputs or ("x_v",)]
    return Metric("x", "features", ("generated",), function, tuple(named), "made up", "", **options)


def returning(value):
    return lambda generated: value  # noqa: ARG005 - a metric's signature


def raising(error):
    def function(generated):  # noqa: ARG001 - a metric's signature
        raise error

    return function


def test_what_a_packages_metric_raises_is_one_sentence_that_names_the_package(monkeypatch):
    metric = made(raising(ValueError("boom,\n or worse")))
    with pytest.raises(UsageError, match="^metric x failed: ValueError: boom, or worse$"):
        metric(generated=0)
    monkeypatch.setitem(METRICS.extensions(), "x", Extension("x", metric, "package evil 1.0", True))
    with pytest.raises(
        UsageError, match=r"^metric x \(package evil 1.0\) failed: ValueError: boom"
    ) as raised:
        metric(generated=0)
    assert isinstance(raised.value.__cause__, ValueError)
    with pytest.raises(UsageError, match="failed: AssertionError$"):
        made(raising(AssertionError()))(generated=0)


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        MemoryError(),
        Interrupted("stopped"),
        OutOfMemory("none left"),
        UsageError("too dark to compare"),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_stop_and_the_want_of_memory_pass_a_metric_as_they_are(error):
    with pytest.raises(type(error)) as raised:
        made(raising(error))(generated=0)
    assert raised.value is error


def test_a_fault_of_the_trees_own_metrics_stays_a_traceback(monkeypatch):
    """Whether or not anyone has asked for a metric by name before."""
    frechet = next(metric for metric in CATALOGUE if metric.name == "frechet")
    with pytest.raises(KeyError):
        frechet(reference=np.ones((3, 2)))
    monkeypatch.setattr(METRICS, "_found", None)
    with pytest.raises(KeyError):
        frechet(reference=np.ones((3, 2)))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "NoneType"),
        ([1.0], r"an array of shape \(1,\)"),
        (np.ones(2), r"an array of shape \(2,\)"),
        ("1.5", "str"),
        (1 + 2j, "complex"),
        (object(), "object"),
        ([[1], [1, 2]], "list"),
    ],
)
def test_what_is_no_number_is_refused_and_named(value, said):
    with pytest.raises(UsageError, match=f"metric x returned {said} for x_v, where one number belongs"):
        made(returning(value))(generated=0)


@pytest.mark.parametrize(
    "value", [1.5, np.float32(1.5), np.array(1.5), torch.tensor(1.5, requires_grad=True)]
)
def test_a_number_of_any_kind_is_a_float(value):
    (found,) = made(returning(value))(generated=0).values()
    assert type(found) is float
    assert found == 1.5


def test_one_number_a_class_is_as_many_as_the_classes():
    each = Output("x_each", "higher", per_class=True)
    for value in ([1, 2, 3], np.array([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0])):
        found = made(returning(value), each)(generated=0, num_classes=3)["x_each"]
        np.testing.assert_array_equal(found, [1, 2, 3])
        with pytest.raises(
            UsageError, match=r"shape \(3,\) for x_each, where 10 numbers belong, one a class"
        ):
            made(returning(value), each)(generated=0, num_classes=10)
    with pytest.raises(UsageError, match="returned float for x_each, where 3 numbers belong, one a class"):
        made(returning(1.0), each)(generated=0, num_classes=3)


@pytest.mark.parametrize(
    "value",
    [
        {"x_b": 2, "x_a": 1},
        {"b": 2, "a": 1},
        {"x_a": 1, "x_b": 2},
        {"mean": 1, "std": 2},  # names of its own: in the outputs' order
        {"mean": 1, "b": 2},
    ],
)
def test_values_by_name_go_by_the_outputs_names(value):
    assert made(returning(value), "x_a", "x_b")(generated=0) == {"x_a": 1, "x_b": 2}


@pytest.mark.parametrize(
    "value",
    [
        {"x_a": 1, "y": 2},
        {"b": 2, "y": 1},
        {"y": 1, "a": 2},
        {"a": 1, "x_a": 1},
        {"x_a": 1, "b": 2},
        {"x_a": 1},
        {"x_a": 1, "x_b": 2, "x_c": 3},
    ],
)
def test_values_of_which_some_are_named_are_refused(value):
    with pytest.raises(UsageError, match="metric x returned .*, and its outputs are x_a, x_b: name them so"):
        made(returning(value), "x_a", "x_b")(generated=0)


@pytest.mark.parametrize("value", [{"u": 1}, 1.0, {"u": 1, "v": 2, "w": 3}])
def test_another_number_of_values_than_of_outputs_is_refused(value):
    with pytest.raises(UsageError, match=r"metric x returned [13] values? and has 2 outputs: x_a, x_b"):
        made(returning(value), "x_a", "x_b")(generated=0)
