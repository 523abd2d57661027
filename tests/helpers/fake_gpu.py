"""A stand-in for a GPU: fake `cuda` tensors that compute nothing, and what would make the host wait for them."""

import functools

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@functools.cache
def _lacking():
    """Return why this PyTorch can make no fake `cuda` tensors; empty where it can.

    Fake tensors register a device guard of CUDA's, for which the first backward pass of the process would start
    threads, and no fork of it could train any more: so one comes first.
    """
    torch.ones(1, requires_grad=True).sum().backward()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:  # outside it a driver would be asked for
            mode.from_tensor(torch.zeros(1)).to("cuda")
    except (RuntimeError, AssertionError) as error:  # built without CUDA, or too old to do without a driver
        return str(error).partition("\n")[0]
    return ""


def fake_mode():
    """Return the mode in which `cuda` tensors compute nothing; skip the test where this PyTorch has none."""
    if _lacking():
        pytest.skip(f"no fake CUDA tensors: {_lacking()}")
    return FakeTensorMode(allow_non_fake_inputs=True)


class Waits(TorchDispatchMode):
    """Records what makes the host wait for the device (reads of a value, and copies that are not asynchronous), and
    doubles that lie on a device other than the CPU.

    Parameters
    ----------
    answer : what a read of a value is answered with, and filled into copies to the host; an `any` is answered with
        False. None lets a read fail.
    """

    def __init__(self, answer=None):
        super().__init__()
        self.found, self.copies, self.answer, self.any, self.doubles = [], 0, answer, [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, str(function)
        devices = {
            leaf.device.type
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, torch.Tensor) and leaf.dim()
        }
        target = kwargs.get("device")
        answered = self.answer is not None and "cuda" in {
            leaf.device.type for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)
        }
        moves = (
            name.startswith("aten._to_copy")
            and target is not None
            and torch.device(target).type not in devices
        )
        if moves:
            self.copies += 1
            if not kwargs.get("non_blocking"):
                self.found.append(f"blocking copy {devices} -> {target}")
        elif len(devices) > 1:
            self.found.append(f"{name} mixes {sorted(devices)}")
        if name.startswith(
            ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.is_nonzero")
        ):
            self.found.append(name)
            if answered and name.startswith(("aten._local_scalar_dense", "aten.is_nonzero")):
                return self.answer and not any(args[0] is one for one in self.any)
        if answered and moves and torch.device(target).type == "cpu":
            with unset_fake_temporarily():
                return torch.full(args[0].shape, self.answer, dtype=kwargs.get("dtype") or args[0].dtype)
        result = function(*args, **kwargs)
        if name.startswith("aten.any"):  # whether something is wrong; `all` asks whether everything is right
            self.any.append(result)
        self.doubles += [
            name
            for leaf in tree_leaves(result)
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 and leaf.device.type != "cpu"
        ]
        return result


def on_fake_cuda(model, mode):
    """Put every tensor of a model on a fake GPU, parts that sit in two places once."""
    moved = {}

    def move(tensor):
        if id(tensor) not in moved:
            fake = mode.from_tensor(tensor.detach()).to("cuda")
            is_parameter = isinstance(tensor, nn.Parameter)
            moved[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if is_parameter else fake
        return moved[id(tensor)]

    for module in model.modules():
        for held in (module._parameters, module._buffers):
            held.update({name: move(tensor) for name, tensor in held.items() if tensor is not None})
    model.to = lambda _: model
    return model
