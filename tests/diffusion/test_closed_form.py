"""The exact denoiser and its fine integrations, against sums over draws, closed formulas and each other."""

import math

import pytest
import torch
from exact_trajectories import exact_diffusion, exact_flow

from ltbench.diffusion.closed_form import ClosedForm
from ltbench.diffusion.schedule import alpha_bar

ABAR = alpha_bar()
TWO = ClosedForm([-0.5, 0.4], [0.1, 0.3], [0.9, 0.1], (1, 8, 8))


def start(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("t", [0, 30, 200, 600, 999])
def test_the_noise_is_the_conditional_mean_of_what_was_added(t: int) -> None:
    """E[eps | x_t] by self-normalised weights over a million draws of the data, one pixel."""
    model = ClosedForm([-0.5, 0.4], [0.1, 0.3], [0.9, 0.1], (1, 1, 1))
    generator = torch.Generator().manual_seed(1)
    n = 1_000_000
    label = (torch.rand(n, generator=generator) < 0.1).long()
    x0 = model.means[label].flatten() + model.sds[label] * torch.randn(n, generator=generator).double()
    a = ABAR[t]
    for x in (-0.45, 0.1, 0.5):
        eps = (x - a.sqrt() * x0) / (1 - a).sqrt()
        for asked, among in ((0, label == 0), (1, label == 1), (2, label >= 0)):
            weight = torch.exp(-(eps**2) / 2) * among
            if (weight > 0.1).sum() < 30:
                continue  # the class has no draws there to average
            expected = (weight * eps).sum() / weight.sum()
            spread = ((weight * (eps - expected)) ** 2).sum().sqrt() / weight.sum()
            made = model(torch.full((1, 1, 1, 1), x).double(), torch.tensor([t]), torch.tensor([asked])).eps
            assert made.item() == pytest.approx(expected.item(), abs=6 * spread.item() + 1e-6)


def test_the_posterior_is_the_prior_in_noise_and_certain_in_the_data() -> None:
    x = torch.cat([TWO.means[:1], TWO.means[1:]]).double()
    noisy, clean = TWO.posterior(x * 0, ABAR[[999, 999]]), TWO.posterior(x, ABAR[[0, 0]])
    torch.testing.assert_close(noisy, TWO.prior.expand(2, 2), atol=0.01, rtol=0)
    torch.testing.assert_close(clean, torch.eye(2).double(), atol=1e-9, rtol=0)


def test_without_guidance_the_flow_is_the_known_line() -> None:
    """x_0 - m = s z / sqrt(abar_T s^2 + 1 - abar_T), exactly, for one Gaussian."""
    one = ClosedForm([0.4], [0.1], [1.0], (1, 8, 8))
    x = start(16)
    made = exact_flow(lambda x, a: one.guided(x, a, torch.zeros(16, dtype=torch.long), 0.0), x, 2000)
    last, first = ABAR[-1], ABAR[0]
    z = (x - last.sqrt() * 0.4) / (last * 0.01 + 1 - last).sqrt()
    # the last jump is the expected data: its spread is smaller by sqrt(abar_0 s^2 / (abar_0 s^2 + 1 - abar_0))
    shrunk = 0.1 * (first * 0.01 / (first * 0.01 + 1 - first)).sqrt()
    torch.testing.assert_close(made, 0.4 + shrunk * z, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("omega", "flow", "diffusion"), [(0.0, (0.4, 0.3), (0.4, 0.3)), (1.0, (0.773, 0.206), (0.611, 0.253))]
)
def test_one_scale_of_guidance_is_two_things(omega: float, flow: tuple, diffusion: tuple) -> None:
    """Images of one pixel, the rare class: mean .773, sd .206 along the ODE, .611 and .253 along the SDE."""
    model = ClosedForm([-0.5, 0.4], [0.1, 0.3], [0.9, 0.1], (1, 1, 1))
    labels, pixels = torch.ones(6400, dtype=torch.long), start(100).view(-1, 1, 1, 1)

    def guided(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return model.guided(x, a, labels, omega)

    ode = exact_flow(guided, pixels, 300)
    sde = exact_diffusion(guided, pixels, torch.Generator().manual_seed(3), 300)
    for made, (mean, sd) in ((ode, flow), (sde, diffusion)):
        assert made.mean().item() == pytest.approx(mean, abs=0.015)
        assert made.std().item() == pytest.approx(sd, rel=0.03)


def test_finer_steps_change_the_flow_by_their_square() -> None:
    labels = torch.ones(20, dtype=torch.long)
    made = [exact_flow(lambda x, a: TWO.guided(x, a, labels, 1.0), start(20), n) for n in (250, 500, 2000)]
    errors = [(x - made[2]).square().mean().sqrt().item() for x in made[:2]]
    assert errors[1] < 1e-3
    assert math.log2(errors[0] / errors[1]) > 1.8


def test_sizes_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ValueError, match="as many classes"):
        ClosedForm([0.0, 1.0], [0.1], [1.0], (1, 8, 8))
    with pytest.raises(ValueError, match="above 0"):
        ClosedForm([0.0], [0.0], [1.0], (1, 8, 8))
