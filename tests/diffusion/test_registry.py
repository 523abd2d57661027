"""What the registry says of a sampler: its kind, against whether it draws noise after its start."""

import subprocess
import sys
from importlib import metadata

import pytest
import torch
from torch import Tensor, nn

from ltbench import rng
from ltbench.diffusion.calibration import calibration_table
from ltbench.diffusion.registry import SAMPLERS, Sampler, kind
from ltbench.diffusion.samplers import sample, sample_batch
from ltbench.errors import UsageError
from ltbench.method import Prediction
from ltbench.specs import SampleSpec
from ltbench.study.file import load_study


class Blind(nn.Module):
    """A network that predicts no noise at all, so that the images show which noise a sampler adds."""

    shape = (1, 4, 4)
    num_classes = 1

    def forward(self, x: Tensor, _t: Tensor, _label: Tensor) -> Prediction:
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


def half(denoise, x, path, _noise):
    """A sampler of another package: one jump from half-way along its path."""
    for t in path.timesteps:
        eps = denoise(x, t)
    return (x - (1 - path.alpha_bar[t]) ** 0.5 * eps) / path.alpha_bar[t] ** 0.5


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Sampler:
    """The sampler ``half``, as if an installed package's entry point named it."""
    sampler = Sampler("half", "deterministic", half, "a test's")
    entry = metadata.EntryPoint("anything", "tests:HALF", SAMPLERS.group)
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda _: sampler)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [entry])
    monkeypatch.setattr(SAMPLERS, "_found", None)
    yield sampler
    SAMPLERS._found = None


@pytest.mark.usefixtures("plugin")
def test_a_package_adds_a_sampler() -> None:
    assert kind("half") == "deterministic"
    study = load_study(sets=["sample.sampler=half", "sample.steps=3"])
    assert study.runs[0].sample.label == "half"
    (row,) = [row for row in calibration_table(["half"], steps=(3,)) if row.sample.spacing == "logsnr"]
    assert not row.fit
    assert sample(Blind(), torch.zeros(2, dtype=torch.long), sampler=study.runs[0].sample).shape == (
        2,
        1,
        4,
        4,
    )


@pytest.mark.usefixtures("plugin")
def test_a_wrong_plugin_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda _: half)
    assert "half" not in SAMPLERS
    assert kind("ddim") == "deterministic"
    assert "no ltbench.diffusion.registry.Sampler" in next(iter(SAMPLERS.broken().values()))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["sample.sampler=dim"], ["must be ancestral, ddim", "did you mean 'ddim'"]),
        (["sample.sampler=dpmsolver++", "sample.steps=0"], ["sample.steps"]),
    ],
)
def test_what_a_sampler_has_not_is_refused_before_anything_runs(
    settings: list[str], words: list[str]
) -> None:
    with pytest.raises(UsageError) as error:
        load_study(sets=settings)
    assert all(word in str(error.value) for word in words)
