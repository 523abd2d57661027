"""CMMD: squared maximum mean discrepancy of CLIP embeddings with a wide Gaussian kernel, times 1000.

    k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), sigma = 10, on L2-normalised embeddings
    CMMD = 1000 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)), diagonals included

Since |x - y|^2 <= 4 the kernel is nearly linear: CMMD is 10 |m_x - m_y|^2 of the mean embeddings to 0.5 %. It
compares means and is blind to diversity, so it cannot see a class that collapsed: read it beside recall. It is
biased upwards by about 10 (s_x / n_x + s_y / n_y), s the summed variance of the embeddings (below 1): its floor
says by how much.

Source: Jayasumana et al., "Rethinking FID: Towards a Better Evaluation Metric for Image Generation", CVPR 2024.
"""

import torch
from torch import Tensor

from ltbench.errors import UsageError
from ltbench.metrics.features import Array, as_features, in_blocks, same_width

SIGMA = 10.0
_SCALE = 1000.0


def cmmd(reference: Array, generated: Array, *, sigma: float = SIGMA) -> float:
    """Return CMMD.

    Parameters
    ----------
    reference, generated
        (n, d) and (m, d) embeddings of any length; each is scaled to length 1.
    sigma
        Width of the kernel; the paper's 10.

    Returns
    -------
    float
        At least 0 up to rounding; 0 for equal sets.

    Raises
    ------
    UsageError
        An empty set, an embedding of length 0, NaN or infinite values, or unequal dimensions.
    """
    if not sigma > 0:
        raise UsageError(f"sigma must be above 0, got {sigma}")
    x, y = _unit(reference, "reference"), _unit(generated, "generated")
    same_width(x, y)
    gamma = 1 / (2 * sigma**2)
    return _SCALE * (_mean_kernel(x, x, gamma) + _mean_kernel(y, y, gamma) - 2 * _mean_kernel(x, y, gamma))


def _unit(features: Array, name: str) -> Tensor:
    x = as_features(features, name).double()
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if bool((length == 0).any()):
        raise UsageError(f"{name} holds embeddings of length 0, which have no direction: check the extractor")
    result: Tensor = x / length
    return result


def _mean_kernel(x: Tensor, y: Tensor, gamma: float) -> float:
    total = torch.zeros((), dtype=torch.float64, device=x.device)  # read once: a GPU is waited for
    for rows in in_blocks(len(x), 2000):
        squared = (2 - 2 * x[rows] @ y.T).clamp_min(0)
        total += squared.mul_(-gamma).exp_().sum()
    return float(total) / (len(x) * len(y))
