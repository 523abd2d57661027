"""Cached features: computed once, told apart by images and extractor."""

import numpy as np
import pytest
import safetensors.numpy
import torch
from extractor_images import Counting, counting, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from ltbench.extractors.cache import images_hash
from ltbench.extractors.registry import Extractor, cached_features


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
