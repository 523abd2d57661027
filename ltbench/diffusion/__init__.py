"""Diffusion: the U-Net, the forward process and the samplers."""
