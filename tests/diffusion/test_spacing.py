"""The time steps that a sampler visits."""

import numpy as np
from gaussian_classes import ode
from hypothesis import given
from hypothesis import strategies as st
from two_classes import TWO

from ltbench.diffusion.spacing import make_path, timesteps
from ltbench.specs import SampleSpec


@given(st.integers(1, 1000), st.sampled_from(["logsnr", "karras", "trailing", "leading", "linspace"]))
def test_timesteps_descend_without_repeats(steps: int, spacing: str) -> None:
    visited = timesteps(steps, spacing)
    assert len(visited) == steps
    assert visited.dtype == np.int64
    assert (np.diff(visited) < 0).all()
    assert visited[-1] >= 0
    assert visited[0] <= 999
    assert visited[0] == 999 or spacing == "leading"
    assert visited[-1] == 0 or spacing == "trailing" or steps == 1
    assert make_path(ode(steps, spacing=spacing)).timesteps == tuple(visited.tolist())


def test_ancestral_visits_every_step() -> None:
    assert make_path(SampleSpec()).timesteps == tuple(range(999, -1, -1))


def test_log_snr_is_uniform_where_whole_steps_allow_it() -> None:
    visited = timesteps(20, "logsnr")
    sigma = ((1 - TWO.levels) / TWO.levels).sqrt()[visited.copy()].log()
    gaps = -sigma.diff()
    assert visited[0] == 999
    assert visited[-1] == 0
    assert gaps[:14].std() / gaps.mean() < 0.02  # later ones are a few whole steps wide
    assert (timesteps(1000, "logsnr") == timesteps(1000, "trailing")).all()
    for name in (
        "logsnr",
        "karras",
        "trailing",
        "leading",
        "linspace",
    ):  # a name from a file is another object
        assert (timesteps(20, name) == timesteps(20, "".join(list(name)))).all()
