"""A model that knows its images: each is its label."""

import torch

from ltbench.method import Prediction


class TowardsLabel:
    """A network that knows the answer: the noise for which x_0 is constant and equal to its label's grey."""

    shape, num_classes = (1, 4, 4), 3

    def __call__(self, x_t, t, label):
        from ltbench.diffusion.schedule import alpha_bar

        abar = torch.as_tensor(alpha_bar(), dtype=torch.float32)[t].reshape(-1, 1, 1, 1)
        x0 = (label.float() / 2 - 0.5).reshape(-1, 1, 1, 1)
        return Prediction((x_t - abar.sqrt() * x0) / (1 - abar).sqrt(), torch.zeros(len(x_t), 1, 1, 1))
