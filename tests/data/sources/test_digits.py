"""The digits of scikit-learn as a source: pixels, splits and the golden manifest."""

import json

import numpy as np

import ltbench.data.dataset as data
from ltbench.specs import DataSpec


def test_digits_cell():
    from sklearn.datasets import load_digits

    cell = data.load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=0.05))
    assert cell.shape == (1, 8, 8)
    assert cell.counts.tolist() == [120, 86, 61, 44, 31, 22, 16, 11, 8, 6]
    assert np.bincount(cell.train.labels).tolist() == cell.counts.tolist()
    assert np.bincount(cell.reference.labels).tolist() == [120] * 10
    assert len(cell.heldout) == 1797 - 1200
    assert np.isclose(cell.prior.sum(), 1)
    assert not cell.flip_allowed
    raw = {
        image.tobytes(): label
        for image, label in zip(*(load_digits()[k] for k in ("images", "target")), strict=True)
    }
    seen = set()
    for part in (cell.reference, cell.heldout):  # together: every digit once, grey level 0..16 -> 0..255
        for image, label in zip(part.images[:, 0], part.labels, strict=True):
            original = np.rint(image / 255 * 16)
            assert np.abs(image - original * 255 / 16).max() <= 0.5
            assert raw[original.tobytes()] == label
            seen.add(original.tobytes())
    assert len(seen) == len(raw)
    assert cell.reference.images[cell.train_positions].tobytes() == cell.train.images.tobytes()


def test_golden_manifest_of_digits():
    """Split, grey levels and selection never change: results are keyed by them."""
    cell = data.load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=0.05))
    assert cell.reference.sha256[:16] == "6848196bd2c25318"
    assert cell.train.sha256[:16] == "739e3181a12e60b3"
    assert cell.manifest["selection_sha256"] == "0495e800e5deb112"
    assert json.loads(json.dumps(cell.manifest)) == cell.manifest
    assert cell.manifest_hash == data.load_dataset(cell.spec).manifest_hash
