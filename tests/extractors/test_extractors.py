"""The extractor interface: shipped CNNs, cache, users' networks, training command."""

import json
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ltbench.data import default_data_root, get_source, load_dataset
from ltbench.data.resample import area_resample
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.extractors import cnn, train
from ltbench.extractors.cache import images_hash
from ltbench.extractors.registry import (
    EXTRACTORS,
    Extractor,
    ExtractorRow,
    ExtractorSource,
    auto_extractors,
    cached_features,
    get_extractor,
    known_extractors,
)
from ltbench.extractors.weights import file_hash
from ltbench.metrics.frechet import frechet_distance
from ltbench.specs import DataSpec

SIDES = {"digits_cnn": 8, "fashion_mnist_cnn": 16}


def noise(count=7, side=8, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


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


@pytest.mark.parametrize("name", sorted(cnn.SHIPPED))
def test_features_do_not_depend_on_batches_order_or_container(name):
    extractor = get_extractor(name)
    images = noise(33, SIDES[name])
    whole = extractor(images)
    assert whole.features.dtype == np.float32
    assert whole.features.shape == (33, 64)
    assert whole.logits.dtype == np.float32
    assert whole.logits.shape == (33, 10)
    for batch_size in (1, 7):
        parts = extractor(images, batch_size)
        np.testing.assert_allclose(parts.features, whole.features, rtol=0, atol=1e-5)
        np.testing.assert_allclose(parts.logits, whole.logits, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(get_extractor(name)(torch.from_numpy(images)).features, whole.features)
    np.testing.assert_allclose(extractor(images[::-1]).features[::-1], whole.features, rtol=0, atol=1e-5)


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


def test_names():
    assert auto_extractors("digits_lt") == ("digits_cnn",)
    assert auto_extractors("fashion_mnist_lt") == ("fashion_mnist_cnn",)
    assert auto_extractors("cifar10_lt") in (("inception",), ("efficientnet_lite0",))  # what is here
    with pytest.raises(UsageError, match="did you mean 'digits_cnn'"):
        get_extractor("digit_cnn")


def test_known_extractors_tell_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    rows = {row.name: row for row in known_extractors()}
    assert {"digits_cnn", "inception", "inception_clean", "vgg16", "clip-vit-b-32"} < set(rows)
    assert rows["digits_cnn"].found
    assert rows["inception"].title == "FID"
    assert rows["inception_clean"].title == "FID (clean)"
    for name, row in rows.items():
        if name in cnn.SHIPPED or name in ("efficientnet_lite0", "pixels"):  # weights in packages, or none
            continue
        assert not row.found
        assert row.looked[0] == tmp_path
        assert str(tmp_path) in row.advice
        with pytest.raises(DataMissing, match="get it with `curl") as raised:
            get_extractor(name)
        assert row.advice in str(raised.value)
        assert "\n" not in str(raised.value)
    (tmp_path / "inception-2015-12-05.pt").write_bytes(b"truncated")
    assert {row.name: row.at for row in known_extractors()}["inception_clean"] == (
        tmp_path / "inception-2015-12-05.pt"
    )
    with pytest.raises(DataCorrupt, match="truncated or is not the published file"):
        get_extractor("inception_clean")


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


class Counting(nn.Module):
    """Mean and maximum of each image; counts its calls."""

    def __init__(self, logits=True, value=0.0):
        super().__init__()
        self.calls, self.logits, self.value = 0, logits, value

    def forward(self, images):
        self.calls += 1
        x = images.float().flatten(1) + self.value
        features = torch.stack([x.mean(1), x.amax(1)], 1)
        return features, x[:, :3] if self.logits else None


def counting(**options):
    return Extractor("counting", Counting(**options), weights_hash="0", preprocessing="none/1")


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(UsageError, match="not finite"):
        counting(value=float("nan"))(noise())


def test_hash_names_weights_and_preprocessing():
    def digest(weights, preprocessing):
        return Extractor("x", Counting(), weights_hash=weights, preprocessing=preprocessing).hash

    assert len({digest(w, p) for w in ("0", "1") for p in ("a/1", "a/2")}) == 4
    assert digest("0", "a/1") == digest("0", "a/1")


@pytest.mark.parametrize("logits", [True, False])
def test_cache_computes_once(tmp_path, logits):
    extractor, images = counting(logits=logits), noise(5)
    first = cached_features(extractor, images, tmp_path / "features")
    second = cached_features(extractor, torch.from_numpy(images), tmp_path / "features")
    assert extractor.network.calls == 1
    np.testing.assert_array_equal(first.features, second.features)
    assert (second.logits is None) is (not logits)
    if logits:
        np.testing.assert_array_equal(first.logits, second.logits)
    (file,) = (tmp_path / "features").iterdir()
    assert set(safetensors.numpy.load_file(file)) == ({"features", "logits"} if logits else {"features"})


def test_cache_knows_other_images_other_extractors_and_broken_files(tmp_path):
    extractor, images = counting(), noise(5)
    expected = cached_features(extractor, images, tmp_path).features
    other = images.copy()
    other[4, 0, 7, 7] ^= 1
    cached_features(extractor, other, tmp_path)
    cached_features(Extractor("b", Counting(), weights_hash="1", preprocessing="none/1"), images, tmp_path)
    assert extractor.network.calls == 2
    assert len(list(tmp_path.iterdir())) == 3
    file = tmp_path / f"{images_hash(images)}-{extractor.hash}.safetensors"
    file.write_bytes(file.read_bytes()[:30])
    np.testing.assert_array_equal(cached_features(extractor, images, tmp_path).features, expected)
    assert extractor.network.calls == 3
    cached_features(extractor, images, tmp_path)
    assert extractor.network.calls == 3


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_images_hash_tells_shapes_apart(n, h, w):
    flat = np.arange(n * h * w, dtype=np.uint8)
    shapes = {(n, 1, h, w), (1, n, h, w), (n, 1, w, h), (n * h, 1, 1, w)}
    assert len({images_hash(flat.reshape(s)) for s in shapes}) == len(shapes)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2), st.integers(0, 2**31))
def test_shift_moves_whole_pixels_and_fills_with_black(limit, seed):
    images = torch.from_numpy(noise(6, 8, seed=seed)).clamp(min=1)
    out = train.shifted(images, limit, torch.Generator().manual_seed(seed))
    for before, after in zip(images[:, 0], out[:, 0], strict=True):
        padded = nn.functional.pad(before, (limit,) * 4)
        crops = [padded[i : i + 8, j : j + 8] for i in range(2 * limit + 1) for j in range(2 * limit + 1)]
        assert sum(torch.equal(after, crop) for crop in crops) == 1


def test_training_command_is_reproducible_and_its_weights_load(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(train.RECIPES, "digits_cnn", train.Recipe(2, 64, 3e-3, 0.5, shift=1, resized=0.0))
    for folder, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert train.main(["digits_cnn", "--seed", seed, "--out", str(tmp_path / folder)]) == 0
    assert "held-out accuracy" in capsys.readouterr().out
    hashes = [file_hash(tmp_path / folder / "digits_cnn.safetensors") for folder in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]
    record = json.loads((tmp_path / "a" / "digits_cnn.json").read_text())
    extractor = get_extractor("digits_cnn", weights=tmp_path / "a" / "digits_cnn.safetensors")
    assert extractor.hash == record["hash"] != get_extractor("digits_cnn").hash
    assert 0.2 < record["heldout_accuracy"]["8"] < 0.97


def test_training_command_tells_missing_data_in_one_sentence(tmp_path, monkeypatch, capsys):
    def missing(*_):
        raise DataMissing("put the files there")

    monkeypatch.setattr(train, "load_dataset", missing)
    assert train.main(["fashion_mnist_cnn", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: put the files there\n"


@pytest.mark.slow
def test_shipped_digits_weights_come_from_their_command(tmp_path):
    record = train.train("digits_cnn", 0, tmp_path)
    shipped = json.loads(cnn.shipped_files("digits_cnn")[1].read_text())
    assert record["heldout_accuracy"]["8"] == pytest.approx(shipped["heldout_accuracy"]["8"], abs=0.01)


class Pixels(nn.Module):
    def forward(self, images: torch.Tensor):
        return images.float().flatten(1)


class PixelsAndLogits(nn.Module):
    def forward(self, images: torch.Tensor):
        x = images.float().flatten(1)
        return x, x[:, :3]


class NotFlat(nn.Module):
    def forward(self, images: torch.Tensor):
        return images.float()


class OnlyLarge(nn.Module):
    def forward(self, images: torch.Tensor):
        return images.float().flatten(1).reshape(-1, 999)


@pytest.fixture
def script(tmp_path):
    def save(module):
        path = tmp_path / f"{type(module).__name__}.pt"
        torch.jit.script(module).save(str(path))
        return path

    return save


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_users_networks(script):
    images = noise(5, 8, 3)
    plain = get_extractor(f"torchscript:{script(Pixels())}")
    assert (plain.name, plain.title) == ("torchscript:Pixels", "FD (torchscript:Pixels)")
    assert not plain.has_logits
    assert plain(images).logits is None
    np.testing.assert_array_equal(plain(images, 2).features, images.reshape(5, -1).astype(np.float32))
    both = get_extractor(f"torchscript:{script(PixelsAndLogits())}")
    assert both.has_logits
    assert both.classifies is None
    assert both.hash != plain.hash
    np.testing.assert_array_equal(both(images).logits, both(images).features[:, :3])


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_mistakes_in_users_networks_are_one_sentence(script, tmp_path):
    with pytest.raises(UsageError, match=r"must return features \(N,d\)"):
        get_extractor(f"torchscript:{script(NotFlat())}")(noise())
    with pytest.raises(UsageError, match=r"OnlyLarge\.pt failed on uint8 images of shape 7x1x8x8") as raised:
        get_extractor(f"torchscript:{script(OnlyLarge())}")(noise())
    assert "\n" not in str(raised.value)
    with pytest.raises(DataMissing, match="cannot read the weights"):
        get_extractor(f"torchscript:{tmp_path / 'absent.pt'}")
    text = tmp_path / "text.pt"
    text.write_text("no archive")
    with pytest.raises(UsageError, match="not a TorchScript archive"):
        get_extractor(f"torchscript:{text}")
    with pytest.raises(UsageError, match="holds its own weights"):
        get_extractor(f"torchscript:{text}", weights=text)


# -- other people's extractors ----------------------------------------------------------------------


class MeanColour(torch.nn.Module):
    def forward(self, images):
        return images.float().mean((2, 3)), None


def mean_colour(name, _weights, device):
    return Extractor(name, MeanColour(), weights_hash="none", preprocessing="mean/1", device=device)


@pytest.fixture
def plugin(monkeypatch):
    """Install entry points of the extractors' group for one test."""

    def install(**objects):
        entries = [
            SimpleNamespace(
                name=name,
                value=f"other:{name}",
                load=lambda item=item: item,
                dist=SimpleNamespace(name="other-extractors", version="0.3"),
            )
            for name, item in objects.items()
        ]
        monkeypatch.setattr(
            metadata, "entry_points", lambda group: entries if group == "ltbench.extractors" else []
        )
        EXTRACTORS.forget()

    yield install
    monkeypatch.undo()
    EXTRACTORS.forget()


def test_a_packages_extractor_is_listed_loaded_and_says_where_it_comes_from(plugin):
    row = ExtractorRow("mean_colour", "FD (mean_colour)", True, None, (), "")
    plugin(mean_colour=ExtractorSource("mean_colour", mean_colour, lambda _: row))
    assert known_extractors()[-1] is row
    assert EXTRACTORS.origin("mean_colour") == "package other-extractors 0.3"
    assert get_extractor("mean_colour")(noise(2, 8, 3)).features.shape == (2, 3)
    with pytest.raises(UsageError, match="did you mean 'mean_colour'"):
        get_extractor("mean_color")


def test_a_packages_unusable_extractor_says_why_when_it_is_asked_for(plugin):
    row = ExtractorRow("digits_cnn", "", True, None, (), "")
    plugin(wrong=mean_colour, taken=ExtractorSource("digits_cnn", mean_colour, lambda _: row))
    assert EXTRACTORS.origin("digits_cnn") == "ltbench.extractors"
    with pytest.raises(UsageError, match="could not be loaded from .*is no ltbench.extractors.base"):
        get_extractor("wrong")
    with pytest.raises(UsageError, match="is taken by ltbench.extractors"):
        get_extractor("taken")
