"""Pixels as features: the values by hand, and what is refused."""

import numpy as np
import pytest

from ltbench.errors import UsageError
from ltbench.extractors.pixels import describe, load_pixels


def test_values_by_hand():
    images = np.array([[[[0, 255], [51, 204]]]], np.uint8)  # one grey image of 2x2
    out = load_pixels("pixels")(images)
    np.testing.assert_allclose(out.features, [[-1, 1, -0.6, 0.6]], rtol=1e-6)
    assert out.logits is None


def test_large_images_and_weights_are_refused(tmp_path):
    with pytest.raises(UsageError, match="16"):
        load_pixels("pixels")(np.zeros((1, 1, 17, 17), np.uint8))
    with pytest.raises(UsageError, match="no weights file"):
        load_pixels("pixels", tmp_path / "w")
    assert describe().found
