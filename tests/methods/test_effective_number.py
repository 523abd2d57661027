"""The effective number of images against its geometric sum."""

import torch

from ltbench.baselines import effective_number


def test_effective_number_is_the_geometric_sum():
    counts = torch.tensor([1, 2, 5, 4000])
    for beta in (0.0, 0.5, 0.99):
        naive = torch.tensor([sum(beta**j for j in range(int(n))) for n in counts], dtype=torch.float64)
        torch.testing.assert_close(effective_number.effective_number(counts, beta), naive)
    almost = effective_number.effective_number(counts, 1 - 1e-9)
    torch.testing.assert_close(almost, counts.double(), rtol=1e-5, atol=0)
