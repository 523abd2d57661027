"""Arithmetic of a forward pass: fp32, TF32 or bf16 autocast; part of what a result is."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def precision(name: str, device: torch.device | str) -> Iterator[None]:
    """Run the block in the named precision and restore the global switches after it.

    Parameters
    ----------
    name
        ``fp32``: IEEE single everywhere (PyTorch's default lets convolutions use TF32). ``tf32``:
        tensor-core products of single-precision inputs, on GPUs that have them; elsewhere equal to
        fp32. ``bf16``: autocast to bfloat16; weights stay in single precision.
    device
        Where the block computes.
    """
    autocast = torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=name == "bf16")
    with products(tf32=name == "tf32"), autocast:
        yield


@contextlib.contextmanager
def products(tf32: bool) -> Iterator[None]:
    """Run the block with TF32 or IEEE single products on GPUs and restore the global switches after it.

    It opens no autocast, whose cache of cast weights would outlive each pass of the network inside the block.
    """
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution
