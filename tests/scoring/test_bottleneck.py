"""The probe's features and their picture: a network whose bottleneck is its input, so that every number is by hand."""

import csv
import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_runs import digits, make_spec

from ltbench import rng
from ltbench.diffusion.schedule import alpha_bar
from ltbench.environment import Environment
from ltbench.errors import UsageError
from ltbench.metrics.registry import METRICS, Metric, Output
from ltbench.plugins import Extension
from ltbench.scoring import bottleneck as probes
from ltbench.scoring.bottleneck import COLUMNS, PROBE_SEED, bottleneck, probe
from ltbench.specs import train_key

IMAGES = np.repeat(np.array([0, 51, 102, 204, 255], np.uint8), 4).reshape(5, 1, 2, 2)
LABELS = np.array([0, 1, 2, 1, 0])


class Through(torch.nn.Module):
    """Bottleneck channels: the image, the label and the time."""

    num_classes = 3

    def forward(self, x, t, label):
        planes = [
            x,
            label.float()[:, None, None, None].expand_as(x),
            t.float()[:, None, None, None].expand_as(x),
        ]
        return SimpleNamespace(bottleneck=torch.cat(planes, dim=1))


@pytest.mark.parametrize("sample_batch", [2, 5, 100])
def test_clean_features_are_the_scaled_image_with_its_label(sample_batch):
    found = bottleneck(Through(), IMAGES, LABELS, "clean", 0, Environment(sample_batch=sample_batch))
    assert found[:, 0] == pytest.approx([-1, -0.6, -0.2, 0.6, 1])  # x / 127.5 - 1
    assert found[:, 1].tolist() == LABELS.tolist()
    assert found.shape == (5, 3)


@pytest.mark.parametrize("sample_batch", [2, 100])
def test_noised_features_have_the_null_label_and_each_images_own_noise(sample_batch):
    found = bottleneck(Through(), IMAGES, LABELS, "noised", 250, Environment(sample_batch=sample_batch))
    noise = [
        float(torch.randn(1, 2, 2, generator=rng.generator(PROBE_SEED, "probe", i)).mean()) for i in range(5)
    ]
    a = float(np.asarray(alpha_bar())[250])
    expected = np.sqrt(a) * np.array([-1, -0.6, -0.2, 0.6, 1]) + np.sqrt(1 - a) * np.array(noise)
    assert found[:, 0] == pytest.approx(expected, abs=1e-5)
    assert found[:, 1].tolist() == [3] * 5
    assert found[:, 2].tolist() == [250] * 5


@pytest.fixture
def few(monkeypatch):
    """Return fifty held-out images, five of every class: as few as the figures allow."""
    monkeypatch.setattr(probes, "PER_CLASS", 5)
    return probes.probe_images(digits())


def test_as_many_held_out_images_of_each_class_are_probed_whoever_asks(few):
    images, labels = few
    assert np.bincount(labels).tolist() == [5] * 10
    held = {image.tobytes() for image in digits().heldout.images}
    assert all(image.tobytes() in held for image in images)
    again, _ = probes.probe_images(digits())
    assert np.array_equal(images, again)


def test_a_probe_keeps_every_figure_and_the_features_they_are_of(few, tmp_path):
    images, labels = few
    spec, steps = make_spec(), []
    env = Environment(progress=lambda state: steps.append((state["step"], state["total"])))
    path = tmp_path / "probes" / "step-00000002"
    path.parent.mkdir()
    probes.probe(Through(), digits(), spec, path, env)
    table = pd.read_csv(path.with_suffix(".csv"))
    assert list(table.columns) == list(probes.COLUMNS)
    noised = [("noised", t) for t in probes.NOISE_LEVELS]
    assert list(dict.fromkeys(zip(table["protocol"], table["t"], strict=True))) == [*noised, ("clean", 0)]
    assert set(table["n_images"]) == {50}
    assert set(table["train_key"]) == {train_key(spec)}
    assert np.isfinite(table["value"]).all()
    with np.load(path.with_suffix(".npz")) as arrays:
        assert arrays["labels"].tolist() == labels.tolist()
        clean = bottleneck(Through(), images, labels, "clean", 0, Environment())
        assert np.array_equal(arrays["clean_0"], clean.astype(np.float16))
    assert steps == [(i, 6) for i in range(1, 7)]


@pytest.mark.usefixtures("few")
def test_a_packages_metric_that_fails_is_told_once_and_leaves_the_others_figures(
    tmp_path, monkeypatch, caplog
):
    """It ended the whole stage, and with it what had been measured at every level before."""
    levels = iter(range(6))

    def sometimes(features):  # noqa: ARG001 - a metric's signature
        level = next(levels)
        if level == 2:
            raise ValueError("boom")
        return np.nan if level == 5 else 1.0

    bad = Metric("x", "bottleneck", ("features",), sometimes, (Output("x_v", None),), "", "", floor=False)
    monkeypatch.setitem(METRICS.extensions(), "x", Extension("x", bad, "package evil 1.0", True))
    path = tmp_path / "probes" / "step-00000002"
    probes.probe(Through(), digits(), make_spec(), path, Environment())
    found = pd.read_csv(path.with_suffix(".csv")).groupby("metric")["t"].agg(list)
    assert found.pop("x_v") == [0, 100, 500, 750]
    assert set(map(len, found)) == {6}
    assert [record.getMessage() for record in caplog.records] == [
        "metric x (package evil 1.0) failed: ValueError: boom; 2 of its 6 measurements are left out: mend it, delete "
        f"{path.parent} and run again"
    ]


@pytest.mark.usefixtures("few")
def test_a_fault_of_the_trees_own_metrics_ends_the_probe(tmp_path, monkeypatch):
    def faulty(**_):
        raise UsageError("too few")

    bad = Metric("x", "bottleneck", ("features",), faulty, (Output("x_v", None),), "", "", floor=False)
    monkeypatch.setitem(METRICS.extensions(), "x", Extension("x", bad, "ltbench.metrics"))
    with pytest.raises(UsageError, match="^too few$"):
        probes.probe(Through(), digits(), make_spec(), tmp_path / "probes" / "step", Environment())


def test_a_probes_table_states_every_level_of_noise_and_nothing_else(tmp_path):
    """The levels are part of what the curves over noise mean: 0, 100, 250, 500 and 750, and once without noise."""
    cell = digits()
    few = np.concatenate([np.flatnonzero(cell.heldout.labels == k)[:8] for k in range(10)])
    cell = dataclasses.replace(cell, heldout=cell.heldout.take(few))
    network = Through()
    network.num_classes = 10
    probe(network, cell, make_spec(), tmp_path / "run" / "probes" / "step", Environment())
    header, *rows = csv.reader((tmp_path / "run" / "probes" / "step.csv").read_text().splitlines())
    assert header == list(COLUMNS)
    protocol, time = header.index("protocol"), header.index("t")
    assert list(dict.fromkeys((row[protocol], row[time]) for row in rows)) == [
        *(("noised", t) for t in ("0", "100", "250", "500", "750")),
        ("clean", "0"),
    ]
    assert {row[header.index("n_images")] for row in rows} == {"80"}
