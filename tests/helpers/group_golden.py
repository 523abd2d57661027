"""The golden of six classes' training, test and generated features, by the field's own code."""

from pathlib import Path

import numpy as np

GOLDEN = np.load(Path(__file__).parents[1] / "goldens" / "group_metrics_k6.npz")
TRAINING, TEST, GENERATED = (GOLDEN[name].astype(np.float64) for name in ("training", "test", "generated"))
