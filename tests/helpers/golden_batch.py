"""A mini-batch out of a golden's arrays."""

import torch

from ltbench.method import Batch


def golden_batch(array, alpha_bar, classes, dropped):
    """Return the batch whose parts `array` returns by name, labels dropped where `dropped` (B,) says.

    `alpha_bar` is (T,), in the precision that the golden's code worked in.
    """
    y, t = array("y"), array("t")
    return Batch(
        x0=array("x0"),
        y=y,
        t=t,
        alpha_bar=alpha_bar[t],
        num_timesteps=1000,
        noise=array("noise"),
        x_t=array("x_t"),
        label=torch.where(dropped, classes, y),
        dropped=dropped,
        prior=array("prior"),
        draw_prior=array("prior"),
        any_label=not bool(dropped.all()),
    )
