"""The catalogue of metrics: protocols are their settings, entries fit their functions."""

import inspect

import pytest
from group_golden import GOLDEN
from metric_sets import normal

from ltbench.metrics.manifold import precision_recall
from ltbench.metrics.registry import REGISTRY, get_metric


def test_named_protocols_are_their_settings():
    x, y = normal(0), normal(1, shift=0.5)
    cbdm = precision_recall(x, y, k=5, strict=True)
    got = get_metric("precision_recall_cbdm")(reference=x, generated=y)
    assert got == {"precision_cbdm": cbdm["precision"], "recall_cbdm": cbdm["recall"]}
    assert get_metric("precision_recall_cbdm").extractor == "inception"
    coral = get_metric("precision_recall_coral")
    assert (coral.extractor, coral.settings["k"]) == ("vgg16", 3)
    assert coral(reference=x, generated=y)["recall_coral"] == precision_recall(x, y, k=3)["recall"]


@pytest.mark.parametrize("metric", REGISTRY.values(), ids=lambda m: m.name)
def test_every_metric_takes_the_inputs_and_settings_its_entry_names(metric):
    parameters = inspect.signature(metric.function).parameters
    assert {*metric.inputs, *metric.settings} <= set(parameters)


def test_ccuas_recall_of_the_golden():
    metric = get_metric("precision_recall_ccua")
    assert metric.extractor == "inception"
    assert dict(metric.settings) == {"k": 3, "strict": True}
    found = metric(reference=GOLDEN["reference"], generated=GOLDEN["generated"])
    assert found["recall_ccua"] == pytest.approx(float(GOLDEN["fld_recall_k3_strict"]), abs=1e-6)
    assert found["precision_ccua"] == pytest.approx(float(GOLDEN["fld_precision_k3_strict"]), abs=1e-6)
