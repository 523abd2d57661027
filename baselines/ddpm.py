"""Class-conditional DDPM: the control every other method is a difference from.

Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models, NeurIPS 2020.

    L = mean (eps - eps_theta(x_t, t, y))^2

The label is dropped in a tenth of the batches (classifier-free guidance, Ho and Salimans 2022); that and
the optimiser are the trainer's, the same for all methods.
"""

from ltbench.method import Method


class DDPM(Method):
    """Plain denoising: overrides nothing."""

    name = "ddpm"
    paper = "Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020"
