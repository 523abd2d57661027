"""A batch's noise: each image's own, the same made ahead by a thread, and no thread left behind."""

import contextlib
import threading

import pytest
import torch

from ltbench import rng
from ltbench.diffusion import samplers
from ltbench.diffusion.closed_form import ClosedForm
from ltbench.diffusion.noise import NoiseAhead, StepNoise, step_noise
from ltbench.diffusion.registry import SAMPLERS
from ltbench.specs import SampleSpec

SHAPE = (2, 3, 4)


def generators(count=5):
    return [rng.generator(7, "sample", i) for i in range(count)]


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("noise")]


def test_noise_made_ahead_is_the_same_bit_for_bit():
    plain, ahead = StepNoise(generators(), SHAPE, "cpu"), NoiseAhead(StepNoise(generators(), SHAPE, "cpu"))
    drawn = [plain() for _ in range(6)]
    assert all(torch.equal(one, ahead()) for one in drawn)
    ahead.close()
    alone = rng.generator(7, "sample", 3)  # image 3 does not depend on the others
    assert all(torch.equal(noise[3], torch.randn(SHAPE, generator=alone)) for noise in drawn)
    assert not torch.equal(drawn[0], drawn[1])
    assert threads() == []


def test_the_next_noise_is_made_while_the_step_runs(monkeypatch):
    source, second = StepNoise(generators(), SHAPE, "cpu"), threading.Event()
    draw, calls = source.draw, []

    def watched():
        calls.append(threading.current_thread() is threading.main_thread())
        if len(calls) == 2:
            second.set()
        return draw()

    monkeypatch.setattr(source, "draw", watched)
    ahead = NoiseAhead(source)
    ahead()
    assert second.wait(10)  # without anybody asking for it
    ahead.close()
    assert calls == [False, False]


def test_what_goes_wrong_in_the_thread_is_raised_where_the_noise_is_asked_for(monkeypatch):
    source = StepNoise(generators(), SHAPE, "cpu")
    monkeypatch.setattr(source, "draw", lambda: 1 / 0)
    ahead = NoiseAhead(source)
    with pytest.raises(ZeroDivisionError):
        ahead()
    ahead.close()


def test_a_cpu_has_no_thread_and_a_gpu_where_every_step_draws(monkeypatch):
    with step_noise(generators(), SHAPE, "cpu", ahead=True) as noise:
        assert isinstance(noise, StepNoise)
    monkeypatch.setattr(torch.cuda, "Stream", lambda *_: None)
    with step_noise(generators(), SHAPE, "cuda", ahead=False) as noise:
        assert isinstance(noise, StepNoise)
    with step_noise(generators(), SHAPE, "cuda", ahead=True) as noise:
        assert isinstance(noise, NoiseAhead)
        noise._thread.submit(int).result()  # the thread runs
        assert threads()
    assert threads() == []

    def interrupted():
        with step_noise(generators(), SHAPE, "cuda", ahead=True) as noise:
            noise._thread.submit(int).result()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert threads() == []


@pytest.mark.parametrize("sampler", list(SAMPLERS.all()))
def test_images_sampled_with_noise_ahead_are_the_same(sampler, monkeypatch):
    model, labels = ClosedForm([0.2], [0.1], [1.0], (1, 4, 4)), torch.zeros(3, dtype=torch.long)
    spec = SampleSpec(sampler=sampler, steps=SAMPLERS[sampler].steps or 10)
    plain = samplers.sample_batch(model, labels, spec, generators(3), "cpu")

    def ahead(generators, shape, device, **_):
        return contextlib.closing(NoiseAhead(StepNoise(generators, shape, device)))

    monkeypatch.setattr(samplers, "step_noise", ahead)
    assert torch.equal(plain, samplers.sample_batch(model, labels, spec, generators(3), "cpu"))
