"""ltbench: the fair comparison of diffusion models trained on long-tailed data."""

__version__ = "0.1.0"
