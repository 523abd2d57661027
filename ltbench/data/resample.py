"""Area resampling of small images, exact to the last bit on every machine."""

import numpy as np
from numpy.typing import NDArray


def pad_square(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Centre (N,C,H,W) images on a black square of `size` pixels a side."""
    top, left = (size - images.shape[2]) // 2, (size - images.shape[3]) // 2
    bottom, right = size - images.shape[2] - top, size - images.shape[3] - left
    return np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)))


def area_resample(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Shrink square images by averaging the area each new pixel covers.

    Parameters
    ----------
    images
        (N,C,S,S) uint8
    size
        New pixels a side, at most S.

    Returns
    -------
    (N,C,size,size) uint8
        Means rounded half up. Overlaps are counted in units of 1/size of an old pixel, so every sum is
        an integer of at most 255 S^2 (< 2^24 for S <= 256): float32 products are exact.
    """
    old = images.shape[-1]
    if images.shape[-2] != old or not 1 <= size <= old <= 256:
        raise ValueError(f"cannot shrink {images.shape[-2]}x{old} to {size}x{size}")
    if size == old:
        return images
    start, cell = np.arange(size)[:, None] * old, np.arange(old)[None, :] * size
    overlap = np.clip(np.minimum(start + old, cell + size) - np.maximum(start, cell), 0, None).astype(
        np.float32
    )
    out = np.empty((*images.shape[:2], size, size), np.uint8)
    for i in range(0, len(images), 4096):
        total = overlap @ images[i : i + 4096].astype(np.float32) @ overlap.T
        out[i : i + 4096] = np.floor((2 * total.astype(np.int64) + old**2) / (2 * old**2))
    return out
