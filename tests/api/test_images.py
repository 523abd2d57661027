"""Sampling and scoring from Python: any callable, refused arguments, images without labels."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from towards_label import TowardsLabel

import ltbench as lt
from ltbench.errors import LtbenchError, UsageError


def test_any_callable_is_sampled_and_gives_the_images_it_knows():
    images = lt.sample(TowardsLabel(), [0, 1, 2], steps=10, device="cpu")
    assert images.dtype == np.uint8
    assert images.shape == (3, 1, 4, 4)
    expected = np.array([-0.5, 0.0, 0.5]) * 127.5 + 127.5
    assert np.abs(images.mean((1, 2, 3)) - expected).max() <= 1


@pytest.mark.parametrize(
    ("model", "labels", "settings", "says"),
    [
        (lambda x, _t, _y: x, [0], {}, r"must be a callable .* with shape \(C, H, W\) and num_classes"),
        (TowardsLabel(), [0, 3], {}, r"labels must be 0\.\.2, not 0\.\.3"),
        (TowardsLabel(), [-1], {}, r"labels must be 0\.\.2"),
        (TowardsLabel(), [0.5], {}, "labels must be whole numbers"),
        (TowardsLabel(), [[0]], {}, "labels must be whole numbers"),
        (TowardsLabel(), [True], {}, "labels must be whole numbers"),
        (TowardsLabel(), ["a"], {}, "labels must be whole numbers"),
        (TowardsLabel(), [[0], [0, 1]], {}, "labels are no array"),
        (TowardsLabel(), np.ma.masked_array([0, 1], [False, True]), {}, "labels have 1 masked entries"),
        (TowardsLabel(), [0], {"steps": 0}, "sample: steps"),
        (TowardsLabel(), [0], {"sampler": "dpm"}, "dpm"),
        (TowardsLabel(), [0], {"device": "tpu"}, "device 'tpu' cannot be used here"),
    ],
)
def test_what_cannot_be_sampled_is_one_sentence(model, labels, settings, says):
    with pytest.raises(UsageError, match=says):
        lt.sample(model, labels, **{"device": "cpu", **settings})


@pytest.mark.parametrize("returned", [None, "a", float("nan"), np.ones(3), np.ones((2, 1))])
def test_a_rule_of_ones_own_must_return_numbers(returned):
    with pytest.raises(UsageError, match="must return a finite number, or one for each image"):
        lt.sample(TowardsLabel(), [0, 1], guidance=lambda _t, _labels: returned, device="cpu")


@pytest.mark.parametrize("other", [{"shape": (3, 4, 4)}, {"num_classes": 2}])
def test_a_weaker_network_is_of_the_same_images_and_classes(other):
    weaker = type("Weaker", (TowardsLabel,), other)()
    with pytest.raises(UsageError, match=r"away_from has images .* the model \(1, 4, 4\) of 3"):
        lt.sample(
            TowardsLabel(), [0], guidance={"rule": "auto", "guidance": 1}, away_from=weaker, device="cpu"
        )


def test_no_labels_are_no_images():
    assert lt.sample(TowardsLabel(), [], steps=1, device="cpu").shape == (0, 1, 4, 4)


@pytest.mark.parametrize(
    ("images", "labels", "settings", "says"),
    [
        (np.zeros((10, 1, 8, 8)), np.arange(10), {}, "images must be uint8"),
        (np.zeros((10, 8, 8), np.uint8), np.arange(10), {}, "images must be uint8"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(9), {}, "one for each of the 10 images"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10) + 1, {}, r"labels must be 0\.\.9, not 1\.\.10"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10) / 2, {}, "labels must be whole numbers"),
        ([[1], [1, 2]], np.arange(10), {}, "images are no array"),
        (np.ma.masked_equal(np.zeros((10, 1, 8, 8), np.uint8), 0), np.arange(10), {}, "640 masked entries"),
        (np.zeros((9, 1, 8, 8), np.uint8), np.arange(9), {}, "9 of 10 classes"),
        (np.zeros((10, 1, 9, 9), np.uint8), np.arange(10), {}, "the data set's images"),
        (np.zeros((10, 8, 8, 1), np.uint8), np.arange(10), {}, r"images\.transpose\(0, 3, 1, 2\)"),
        (np.zeros((10, 8, 8), np.uint8), np.arange(10), {}, r"their channel, images\[:, None\]"),
        ([Image.new("L", (8, 8))] * 10, np.arange(10), {}, r"their channel, images\[:, None\]"),
        (np.zeros((10, 1, 8, 8), np.int64), np.arange(10), {}, r"if they are 0\.\.255, by images\.astype"),
        (np.zeros((10, 1, 8, 8), bool), np.arange(10), {}, "if True is white"),
        (np.full((10, 1, 8, 8), np.nan), np.arange(10), {}, "hold NaN or infinite values"),
        (torch.zeros((10, 1, 8, 8), dtype=torch.bfloat16), np.arange(10), {}, r"from \[0, 1\] by"),
        (
            torch.zeros((10, 1, 8, 8), requires_grad=True),
            np.arange(10),
            {},
            r"not float32 .* from \[0, 1\] by",
        ),
        ((np.zeros((1, 8, 8), np.uint8) for _ in range(10)), np.arange(10), {}, "are a generator, which is"),
        ({"images": 1}, np.arange(10), {}, "are a dict, which is no array"),
        (None, np.arange(10), {}, "are a NoneType, which is no array"),
        (np.zeros((0, 1, 8, 8), np.uint8), None, {}, "images are empty"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.eye(10), {}, r"labels\.argmax\(1\)"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10.0), {}, r"give labels\.astype\(int\)"),
        (np.zeros((10, 1, 8, 8), np.uint8), list("0123456789"), {}, r"class_names\.index"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10)[:, None], {}, r"the one column, labels\[:, 0\]"),
        (
            np.zeros((10, 1, 8, 8), np.uint8),
            np.arange(10),
            {"metrics": None},
            "metrics must be names, not None",
        ),
        (
            np.zeros((10, 1, 8, 8), np.uint8),
            np.arange(10),
            {"extractors": [3]},
            "extractors must be a name, not 3",
        ),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"bootstrap": -1}, "bootstrap: .*greater than or"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"bootstrap": 1}, "one replicate has no spread"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"bootstrap": "x"}, "bootstrap: .*valid integer"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"cache": 3}, "cache must be a path, not 3"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"device": 3}, "device '3' cannot be used"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"metrics": "fdi"}, "no metric called 'fdi'"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"metrics": ","}, "metrics names nothing"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"extractors": []}, "extractors names nothing"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(images, labels, settings, says):
    with pytest.raises(LtbenchError, match=says):
        lt.score(images, labels, lt.load_dataset("digits_lt"), **{"device": "cpu", **settings})


def test_a_data_set_is_not_its_name():
    with pytest.raises(UsageError, match="dataset must be what load_dataset returns, not a str"):
        lt.score(np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), "digits_lt", device="cpu")


def _forms(images, labels):
    """Yield the forms in which notebooks hold the same images and labels."""
    tensor = torch.from_numpy(images)
    yield tensor, torch.from_numpy(labels)
    yield tensor.to(memory_format=torch.channels_last), labels.tolist()
    yield list(tensor), pd.Series(labels, index=range(len(labels))[::-1])
    yield list(images), labels.astype(np.uint8)
    yield np.repeat(images, 2, axis=3)[..., ::2], pd.Series(labels, dtype="Int64")
    yield images[::-1][::-1], torch.from_numpy(labels).to(torch.int32)


def test_the_same_images_in_any_form_have_the_same_number():
    data = lt.load_dataset("digits_lt", imbalance_ratio=0.1)
    real = data.heldout
    first = np.concatenate([np.flatnonzero(real.labels == k)[:4] for k in range(10)])
    images, labels = real.images[first], real.labels[first]
    tables = [
        lt.score(a, b, data, metrics="frechet", device=torch.device("cpu"))
        for a, b in [(images, labels), *_forms(images, labels)]
    ]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], check_exact=True)


@pytest.mark.parametrize("runs", [None, 3, [3], "a\0b"])
def test_runs_are_named_by_paths(runs):
    with pytest.raises(UsageError, match="runs, and each of them, must be a path"):
        lt.evaluate(runs, metrics="kid")


def test_images_without_labels_are_scored_as_one_set():
    data = lt.load_dataset("digits_lt", imbalance_ratio=0.1)
    real = data.heldout
    with_labels, without = (
        lt.score(real.images, labels, data, metrics="frechet", device="cpu", bootstrap=0)
        for labels in (real.labels, None)
    )
    overall = [
        t[(t["scope"] == "overall") & (t["metric"] == "frechet")]["value"].item()
        for t in (with_labels, without)
    ]
    assert overall[0] == overall[1]
    classes = without[(without["scope"] == "class") & (without["metric"] == "frechet")]
    assert len(classes) == 10
    assert classes["value"].isna().all()


@pytest.mark.parametrize("runs", [np.array([]), iter(()), []])
def test_no_run_at_all_is_one_sentence(runs):
    with pytest.raises(UsageError, match="evaluate was given no run"):
        lt.evaluate(runs, metrics="kid")
