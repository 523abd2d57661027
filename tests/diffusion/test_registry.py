"""What the registry says of a sampler: its kind, against whether it draws noise after its start."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from ltbench import rng
from ltbench.diffusion.registry import kind
from ltbench.diffusion.samplers import sample_batch
from ltbench.method import Prediction
from ltbench.spec import SampleSpec


class Blind(nn.Module):
    """A network that predicts no noise at all, so that the images show which noise a sampler adds."""

    shape = (1, 4, 4)
    num_classes = 1

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Prediction:
        return Prediction(torch.zeros_like(x), x)


@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpmsolver++", "sde-dpmsolver++"])
def test_a_deterministic_sampler_reads_its_stream_once(name: str) -> None:
    """Two streams that agree in the first draw only give equal images exactly where no more is drawn."""
    spec = SampleSpec(sampler=name) if name == "ancestral" else SampleSpec(sampler=name, steps=5)
    states = []
    for _ in range(2):
        generators = [rng.generator(0, "sample", 0)]
        sample_batch(Blind(), torch.zeros(1, dtype=torch.long), spec, generators, "cpu")
        states.append(generators[0].get_state())
    once = rng.generator(0, "sample", 0)
    torch.randn(Blind.shape, generator=once)
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], once.get_state()) == (kind(name) == "deterministic")


def test_a_foreign_sampler_has_no_known_kind() -> None:
    assert kind("heun-edm") == kind("") == "unknown"


def test_asking_for_a_kind_loads_no_heavy_library() -> None:
    code = (
        "import sys; from ltbench.diffusion.registry import kind; kind('ddim'); "
        "print('torch' in sys.modules, 'diffusers' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]
