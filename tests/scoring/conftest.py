"""What tests of scoring share: a cache, samples ever noisier towards the tail, and their scores."""

import pytest
from scored_digits import CELL, REQUEST, noisy_samples
from tiny_runs import make_spec

from ltbench.scoring.score import score_samples


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def noisy():
    """30 images a class, ever noisier towards the tail."""
    return noisy_samples()


@pytest.fixture(scope="session")
def table(cache, noisy):
    return score_samples(CELL, *noisy, make_spec("coral+t2h", score=REQUEST), cache)
