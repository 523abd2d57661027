"""Loss weights over time and tempered draws by closed formulas."""

from pathlib import Path

import numpy as np
import torch

ARRAYS = dict(np.load(Path(__file__).parents[1] / "goldens" / "weights_guidance_k10.npz"))
ABAR = torch.from_numpy(ARRAYS["alphas_bar"])
SNR = ABAR / (1 - ABAR)
