"""Area resampling and padding of images, against exact pixel copies."""

import numpy as np
import pytest

from ltbench.data.resample import area_resample, pad_square


def test_area_resampling_against_pixel_copies():
    """Shrinking n -> m is repeating every pixel m times, then averaging blocks of n."""
    images = np.random.default_rng(3).integers(0, 256, (5, 3, 12, 12), dtype=np.uint8)
    for size in range(1, 13):
        big = images.repeat(size, 2).repeat(size, 3).astype(np.int64)
        exact = big.reshape(5, 3, size, 12, size, 12).sum((3, 5)) / 144
        assert np.array_equal(area_resample(images, size), np.floor(exact + 0.5))
    with pytest.raises(ValueError, match="cannot shrink"):
        area_resample(images, 13)
    assert pad_square(images, 16)[:, :, 2:14, 2:14].tobytes() == images.tobytes()
