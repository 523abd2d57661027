"""What every extractor does: batches, finite features, a hash of weights and preprocessing."""

import numpy as np
import pytest
import torch
from extractor_images import SIDES, Counting, counting, noise

from ltbench.errors import UsageError
from ltbench.extractors import cnn
from ltbench.extractors.registry import Extractor, get_extractor


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


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(UsageError, match="not finite"):
        counting(value=float("nan"))(noise())


def test_hash_names_weights_and_preprocessing():
    def digest(weights, preprocessing):
        return Extractor("x", Counting(), weights_hash=weights, preprocessing=preprocessing).hash

    assert len({digest(w, p) for w in ("0", "1") for p in ("a/1", "a/2")}) == 4
    assert digest("0", "a/1") == digest("0", "a/1")
