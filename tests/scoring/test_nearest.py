"""The samples nearest to training images, and the classifier's confusion."""

import numpy as np
from scored_digits import CELL

from ltbench.scoring.nearest import write_nearest_and_confusion


def test_the_five_samples_of_a_class_that_lie_nearest_to_training_images_are_kept(cache, noisy, tmp_path):
    write_nearest_and_confusion(tmp_path, CELL, *noisy, cache, "cpu", lambda: None, ("digits_cnn",))
    with np.load(tmp_path / "nearest.npz") as kept:
        assert kept["labels"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
        assert all(len(kept[name]) == 15 for name in ("generated", "training", "distance"))
        assert (np.diff(kept["distance"].reshape(3, 5)) >= 0).all()
