"""The shipped networks for digits and clothes: records, accuracy, what they take."""

import json

import numpy as np
import pytest
from extractor_images import SIDES, noise

from ltbench.data import default_data_root, get_source, load_dataset
from ltbench.data.resample import area_resample
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.extractors import cnn, train
from ltbench.extractors.registry import get_extractor
from ltbench.extractors.weights import file_hash
from ltbench.metrics.frechet import frechet_distance
from ltbench.specs import DataSpec


@pytest.fixture(scope="module")
def digits():
    return load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=1.0))


@pytest.mark.parametrize(("name", "least"), [("digits_cnn", 0.97), ("fashion_mnist_cnn", 0.90)])
def test_shipped_files_match_their_record(name, least):
    weights, record_path = cnn.shipped_files(name)
    record = json.loads(record_path.read_text())
    extractor = get_extractor(name)
    assert weights.stat().st_size < 1_000_000
    assert record["weights_sha256"] == file_hash(weights)
    assert record["hash"] == extractor.hash
    assert len(extractor.hash) == 16
    assert record["heldout_accuracy"][str(SIDES[name])] >= least
    assert record["recipe"] == vars(train.RECIPES[name])
    assert extractor.title == f"FD ({name})"
    assert extractor.classifies == record["dataset"]
    assert extractor.has_logits


@pytest.mark.parametrize("name", sorted(cnn.SHIPPED))
def test_recorded_heldout_accuracy_and_data_are_reproduced(name):
    dataset = cnn.SHIPPED[name].dataset
    if not get_source(dataset).status(default_data_root()).found:
        pytest.skip(f"the files of {dataset} are not on this machine")
    record = json.loads(cnn.shipped_files(name)[1].read_text())
    largest = cnn.SHIPPED[name].sizes[1]
    cell = load_dataset(DataSpec(dataset=dataset, imbalance_ratio=1.0, image_size=largest))
    assert record["dataset_manifest"] == cell.manifest_hash
    predicted = get_extractor(name)(area_resample(cell.heldout.images, SIDES[name])).logits.argmax(1)
    accuracy = (predicted == cell.heldout.labels).mean()
    assert accuracy == pytest.approx(record["heldout_accuracy"][str(SIDES[name])], abs=2e-4)


def test_fashion_takes_every_size_by_area():
    extractor = get_extractor("fashion_mnist_cnn")
    small = noise(4, 16)
    np.testing.assert_allclose(
        extractor(small.repeat(2, 2).repeat(2, 3)).features, extractor(small).features, rtol=0, atol=1e-5
    )
    for side in range(8, 33):
        assert extractor(noise(1, side)).features.shape == (1, 64)


def test_features_are_standardised_and_tell_noise_from_digits(digits):
    extractor = get_extractor("digits_cnn")
    reference = extractor(digits.reference.images).features
    assert np.abs(reference.mean(0)).max() < 0.35
    assert np.abs(reference.std(0) - 1).max() < 0.35
    assert 0.3 < (reference < 0).mean() < 0.7  # two-sided: taken before the ReLU
    random = np.random.default_rng(0).standard_normal(digits.heldout.images.shape)
    distances = [
        frechet_distance(
            reference,
            extractor(np.clip(digits.heldout.images + s * random, 0, 255).astype(np.uint8)).features,
        )
        for s in (0, 16, 32, 64, 128)
    ]
    assert distances == sorted(distances)
    assert distances[-1] > 10 * distances[0]


def test_pool_and_heldout_digits_are_as_far_apart_as_two_halves_of_the_pool(digits):
    """An extractor that knew its pool by heart would call new real images distant."""
    extractor = get_extractor("digits_cnn")
    pool = extractor(digits.reference.images).features
    heldout = extractor(digits.heldout.images).features
    order = np.random.default_rng(0).permutation(len(pool))
    halves = frechet_distance(pool[order[:597]], pool[order[597:1194]])
    assert frechet_distance(pool[order[:597]], heldout) < 2.5 * halves


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (noise(2, 16), "takes 8x8 images of 1 channel"),
        (noise(2, 8, 3), "not 8x8 of 3"),
        (noise(2, 8)[:, :, :4], "not 4x8 of 1"),
        (noise(0, 8), "no images"),
        (noise(2, 8).astype(np.float32), "uint8"),
        (noise(2, 8)[0], "uint8 images"),
    ],
)
def test_images_it_does_not_take_are_refused(images, words):
    with pytest.raises(UsageError, match=words):
        get_extractor("digits_cnn")(images)


def test_fashion_refuses_other_sizes():
    with pytest.raises(UsageError, match=r"square 8\.\.32 pixel images of 1 channel"):
        get_extractor("fashion_mnist_cnn")(noise(1, 33))


def test_broken_shipped_weights_are_told(tmp_path, monkeypatch):
    weights, record = cnn.shipped_files("digits_cnn")
    broken = tmp_path / weights.name
    broken.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(DataCorrupt, match="does not hold the weights of digits_cnn"):
        get_extractor("digits_cnn", weights=broken)
    with pytest.raises(DataMissing, match="cannot read the weights"):
        get_extractor("digits_cnn", weights=tmp_path / "absent")
    monkeypatch.setattr(cnn, "shipped_files", lambda _: (broken, record))
    with pytest.raises(DataCorrupt, match="not the file its record"):
        get_extractor("digits_cnn")
