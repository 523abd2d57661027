"""Sampling on fake `cuda` tensors: no step mixes devices or waits, whatever the sampler and the guidance."""

import contextlib
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_gpu import Waits, fake_mode, on_fake_cuda
from tiny_runs import lively_model, make_spec
from torch.utils._python_dispatch import _disable_current_modes

from ltbench import rng
from ltbench.diffusion import noise, samplers, solvers
from ltbench.diffusion.guidance import make_omega
from ltbench.diffusion.registry import SAMPLERS
from ltbench.diffusion.samplers import Guided, sample_batch
from ltbench.specs import SampleSpec

IMAGES, STEPS = 6, 10


def fake_sampling(monkeypatch, spec, denoiser=None, change=lambda x: x, guided=lambda x: x):
    """Sample a batch on a fake GPU; return what waited at each evaluation of the network, and in all."""
    model = denoiser or lively_model(make_spec())["denoiser"]
    mode = fake_mode()
    drawn = torch.randn(IMAGES, *model.shape)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)  # not there for fake tensors
    monkeypatch.setattr(noise.StepNoise, "draw", lambda *_: drawn)  # a generator's state is a tensor
    monkeypatch.setattr(
        samplers,
        "step_noise",
        lambda g, shape, device, **_: contextlib.nullcontext(noise.StepNoise(g, shape, device)),
    )
    generators, marks = [rng.generator(0, "sample", i) for i in range(IMAGES)], []
    path, scheduler = samplers.make_path(spec), solvers._scheduler

    def on_host(path, algorithm, order):  # its tables are the host's: numbers, not fake ones
        with _disable_current_modes():
            made = scheduler(path, algorithm, order)
            made._init_step_index(path.timesteps[0])
            return made

    monkeypatch.setattr(samplers, "make_path", lambda *_: path)
    monkeypatch.setattr(solvers, "_scheduler", on_host)
    classes = np.arange(IMAGES) % 10  # a rule reads the labels on the host, where fake ones have no values
    monkeypatch.setattr(torch.Tensor, "cpu", lambda _: SimpleNamespace(numpy=lambda: classes))
    with mode:
        model = on_fake_cuda(model, mode)
        forward = model.forward

        def watched(*args, **kwargs):
            marks.append(len(waits.found))
            return change(forward(*args, **kwargs))

        model.forward = watched
        labels = torch.arange(IMAGES) % 10
        with Waits() as waits:
            x = sample_batch(guided(model), labels, spec, generators, "cuda")
        assert x.device.type == "cuda"
        assert x.shape == (IMAGES, *model.shape)
    return waits, marks


EVERY = [(name, order) for name in SAMPLERS.all() for order in SAMPLERS[name].orders or (2,)]


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("guidance", [0.0, 1.5])
@pytest.mark.parametrize(("sampler", "order"), EVERY)
def test_no_step_of_a_sampler_mixes_devices_or_waits(sampler, order, guidance, clip, monkeypatch):
    steps = SAMPLERS[sampler].steps or STEPS
    if steps > STEPS:  # all steps of the ancestral sampler are alike: its last ones are run
        monkeypatch.setattr(samplers, "make_path", _first_steps(samplers.make_path))
    spec = SampleSpec(sampler=sampler, order=order, steps=steps, guidance=guidance, clip=clip)
    waits, marks = fake_sampling(monkeypatch, spec)
    assert len(marks) == STEPS
    # The labels are copied once, before the first step; nothing else makes the host wait.
    assert waits.found == ["blocking copy {'cpu'} -> cuda:0"]
    assert marks == [1] * STEPS
    stochastic = SAMPLERS[sampler].kind == "stochastic"
    assert waits.copies >= 1 + (STEPS - 1 if stochastic else 1)


PRIOR = np.arange(10, 0, -1) / 55
RULES = {
    "interval": {"rule": "interval", "sigma_low": 0.3, "sigma_high": 3.0},
    "schedule": {"rule": "schedule", "schedule": "linear"},
    "per_class": {"rule": "per_class", "omega_power": -0.5},
    "per_class, some": {"rule": "per_class", "omega_factors": (0.0, 2.0) * 5},
    "auto": {"rule": "auto", "bad_step": 1},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sampler", ["dpmsolver++", "sde-dpmsolver++"])
def test_no_rule_of_guidance_mixes_devices_or_waits(sampler, rule, monkeypatch):
    spec = SampleSpec.model_validate({"sampler": sampler, "steps": STEPS, "guidance": 1.5, **RULES[rule]})
    omega, auto = make_omega(spec, PRIOR), rule == "auto"
    waits, marks = fake_sampling(
        monkeypatch, spec, guided=lambda model: Guided(model, omega, model if auto else None)
    )
    passes = 2 * STEPS if auto else STEPS  # the other network's are passes of their own
    assert len(marks) == passes
    assert waits.found == ["blocking copy {'cpu'} -> cuda:0"]
    assert marks == [1] * passes


def _first_steps(make_path):
    return lambda spec: dataclasses.replace(make_path(spec), timesteps=tuple(range(STEPS - 1, -1, -1)))


def test_the_stand_in_sees_a_step_that_reads_a_value(monkeypatch):
    spec = SampleSpec(sampler="ddim", steps=STEPS)

    def careless(prediction):
        prediction.eps.mean().item()
        return prediction

    with pytest.raises(Exception, match="local_scalar_dense"):
        fake_sampling(monkeypatch, spec, change=careless)
