"""Sampling and scoring from Python: any callable, refused arguments, images without labels."""

import numpy as np
import pytest
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
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"metrics": "fdi"}, "no metric called 'fdi'"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"metrics": ","}, "metrics names nothing"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"extractors": []}, "extractors names nothing"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(images, labels, settings, says):
    with pytest.raises(LtbenchError, match=says):
        lt.score(images, labels, lt.load_dataset("digits_lt"), device="cpu", **settings)


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
