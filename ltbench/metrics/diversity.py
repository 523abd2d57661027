"""Diversity within a class: the Vendi score, an effective number of different images.

    VS = exp( - sum_i l_i log l_i ),   l_i the eigenvalues of K / m,   K_ij = cosine(x_i - c, x_j - c)

Chosen over a mean pairwise distance because it sees what a tail class is prone to: a model that replays its
five training images keeps a wide mean distance, yet scores at most 5. The origin c is the reference's mean,
since all images of a class share a direction, which would drown the differences between them.
It grows with m, so compare it with the score of as many held-out real images (its floor).

Source: Friedman & Dieng, "The Vendi Score", TMLR 2023.
"""

import torch

from ltbench.metrics.features import Array, as_features, same_width


def vendi_score(reference: Array, generated: Array) -> float:
    """Return the generated set's Vendi score, cosines taken about the reference's mean.

    Parameters
    ----------
    reference
        (n, d) features of the class; only their mean is used.
    generated
        (m, d) features of the class.

    Returns
    -------
    float
        From 1 (all alike) to min(m, d) (all orthogonal).

    Raises
    ------
    UsageError
        An empty set, NaN or infinite values, or unequal dimensions.
    """
    real, fake = as_features(reference, "reference"), as_features(generated, "generated")
    same_width(real, fake)
    centre = real.mean(dim=0, dtype=torch.float64)
    x = fake.double() - centre
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    # images at the centre have no direction: they are alike, and unlike all others
    still = norm <= 1e-12 * torch.linalg.vector_norm(fake.double(), dim=1, keepdim=True)
    x = torch.cat([torch.where(still, 0.0, x / norm), still.double()], dim=1)
    gram = x @ x.T if len(x) <= x.shape[1] else x.T @ x
    shares = torch.linalg.eigvalsh(gram / len(x)).clamp_min(0)
    return float(torch.special.entr(shares).sum().exp())
