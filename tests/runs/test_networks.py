"""Networks that images are guided away from: kept by what their weights are, copied, and refused when changed."""

import pytest
import torch
from tiny_runs import make_spec

from ltbench.errors import CheckpointError, UsageError
from ltbench.runs.layout import weights_path
from ltbench.runs.networks import (
    copy_network,
    keep_network,
    network_path,
    network_spec,
    network_weights,
    read_network,
)
from ltbench.runs.spec_files import open_folder
from ltbench.runs.weights import save_weights, tensors_sha256
from ltbench.specs import train_key

SPEC = make_spec(steps=4)


def save(folder, step, value):
    state = {"w": torch.full((2,), value)}
    save_weights(weights_path(folder, step), state, {"w": -state["w"]}, train_key(SPEC), step, lambda: None)


@pytest.fixture
def folder(tmp_path):
    folder = open_folder(SPEC, tmp_path / "runs")
    for step in (2, 4):
        save(folder, step, float(step))
    return folder


def test_the_last_step_is_meant_and_its_averaged_weights_are_hashed(folder):
    for step, meant in ((None, 4), (2, 2)):
        spec, digest = read_network(folder, step)
        assert spec.train.steps == meant
        assert digest == tensors_sha256({"w": torch.full((2,), float(meant))})
    assert read_network(folder)[1] != read_network(folder, 2)[1]


def test_a_kept_network_goes_from_place_to_place(folder, tmp_path):
    spec, digest = read_network(folder, 2)
    keep_network(tmp_path / "a", folder, spec, digest)
    copy_network(tmp_path / "a", tmp_path / "b", digest)
    assert network_spec(tmp_path / "b", digest) == spec
    assert tensors_sha256(network_weights(tmp_path / "b", digest)) == digest
    with pytest.raises(CheckpointError, match=r"is missing, .* whose weights have the hash 00000000"):
        copy_network(tmp_path / "a", tmp_path / "c", "0" * 64)


def test_other_weights_under_that_hash_are_refused(folder, tmp_path):
    _, digest = read_network(folder, 2)
    other, _ = read_network(folder, 4)
    keep_network(tmp_path, folder, other, digest)
    with pytest.raises(CheckpointError, match="were changed since they were kept"):
        network_weights(tmp_path, digest)
    network_path(tmp_path, digest).with_suffix(".json").write_text('{"train": 1}')
    with pytest.raises(CheckpointError, match="no spec of this version"):
        network_spec(tmp_path, digest)
    for read in (network_spec, network_weights):
        with pytest.raises(CheckpointError, match="is missing"):
            read(tmp_path / "empty", digest)


def test_a_run_without_that_step_says_which_there_are(folder, tmp_path):
    with pytest.raises(UsageError, match="keeps no weights of step 3: there are 2, 4"):
        read_network(folder, 3)
    with pytest.raises(UsageError, match="no weights yet"):
        read_network(open_folder(SPEC, tmp_path / "new"))
