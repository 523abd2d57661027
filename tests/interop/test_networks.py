"""A study's folders of weaker networks become hashes of weights: which, kept where, and what is refused."""

import hashlib

import pytest
import torch
from tiny_runs import lively_model, make_spec

from ltbench.errors import CheckpointError, UsageError
from ltbench.interop.networks import with_networks
from ltbench.runs.layout import weights_path
from ltbench.runs.networks import network_path, network_spec, network_weights
from ltbench.runs.spec_files import open_folder
from ltbench.runs.weights import load_weights, save_weights
from ltbench.specs import DataSpec, train_key
from ltbench.training.model import state_of

AUTO = {"sampler": "dpmsolver++", "steps": 3, "per_class": 2, "guidance": 1.0, "rule": "auto"}


@pytest.fixture
def trained(tmp_path):
    """Write a run that keeps the weights of steps 2 and 4; return its folder and their states."""
    spec = make_spec(steps=4, seed=3)
    folder, states = open_folder(spec, tmp_path / "other"), {}
    for step in (2, 4):
        states[step] = state_of(lively_model(spec, seed=step))
        save_weights(weights_path(folder, step), states[step], {}, train_key(spec), step, lambda: None)
    return folder, states


def guided(name, seed=0, **sample):
    return make_spec(seed=seed, sample={**AUTO, "bad_weights": str(name), **sample})


def test_runs_without_a_weaker_network_come_back_as_they_are(tmp_path):
    runs = (make_spec(), make_spec(seed=1, sample={**AUTO, "bad_step": 1}))
    assert with_networks(runs, tmp_path / "out", None) == (runs, {})
    assert not (tmp_path / "out").exists()


def test_a_folder_becomes_the_hash_of_its_last_averaged_weights_which_are_kept(tmp_path, trained):
    folder, states = trained
    root = tmp_path / "out"
    (plain, named), specs = with_networks((make_spec(), guided(folder)), root, None)
    digest = named.sample.bad_weights
    assert plain == make_spec()
    assert named == guided(digest)  # nothing else of the run has changed
    assert specs == {digest: network_spec(root, digest)}
    assert (specs[digest].train.steps, specs[digest].train_seed) == (4, 3)
    kept = network_weights(root, digest)
    assert kept.keys() == states[4].keys()
    assert all(torch.equal(kept[name], states[4][name]) for name in kept)
    given, copied = weights_path(folder, 4), network_path(root, digest)
    assert hashlib.sha256(copied.read_bytes()).digest() == hashlib.sha256(given.read_bytes()).digest()


def test_an_earlier_step_is_another_network_and_is_named_by_its_hash_alone(tmp_path, trained):
    folder, states = trained
    runs = (guided(folder), guided(folder, bad_step=2), guided(folder, seed=1, bad_step=2))
    (last, early, other_seed), specs = with_networks(runs, tmp_path / "out", None)
    assert early.sample.bad_weights != last.sample.bad_weights
    assert early.sample.bad_weights == other_seed.sample.bad_weights
    assert early.sample.bad_step is None
    assert {spec.train.steps for spec in specs.values()} == {2, 4}
    kept = network_weights(tmp_path / "out", early.sample.bad_weights)
    assert all(torch.equal(kept[name], states[2][name]) for name in kept)


def test_what_was_kept_is_found_by_its_hash_when_the_folder_is_gone(tmp_path, trained):
    folder, _ = trained
    (named,), specs = with_networks((guided(folder),), tmp_path / "out", None)
    folder.rename(tmp_path / "moved")
    assert with_networks((named,), tmp_path / "out", None) == ((named,), specs)
    with pytest.raises(
        CheckpointError, match="put the file back, or run with sample.bad_weights=FOLDER again"
    ):
        with_networks((named,), tmp_path / "elsewhere", None)


def test_a_plan_writes_nothing(tmp_path, trained):
    (named,), specs = with_networks((guided(trained[0]),), tmp_path / "out", None, keep=False)
    assert list(specs) == [named.sample.bad_weights]
    assert not (tmp_path / "out").exists()


def test_a_network_must_fit_the_data_of_the_run_that_it_guides(tmp_path, trained):
    other = DataSpec(dataset="fashion_mnist_lt", imbalance_ratio=0.1)
    run = guided(trained[0]).model_copy(update={"data": other})
    with pytest.raises(
        CheckpointError, match="does not fit fashion_mnist_lt .* name a run of the same classes"
    ):
        with_networks((run,), tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_what_names_no_network_is_one_sentence(tmp_path, trained):
    folder, _ = trained
    for run, says in (
        (guided(tmp_path / "gone"), "there is no such folder; give a run's folder, or the hash of weights"),
        (guided(folder, bad_step=3), r"keeps no weights of step 3: there are 2, 4"),
        (guided(open_folder(make_spec(seed=9), tmp_path)), "has no weights yet: finish its training first"),
    ):
        with pytest.raises(UsageError, match=says):
            with_networks((run,), tmp_path / "out", None)


def test_weights_that_were_changed_since_are_refused(tmp_path, trained):
    (named,), _ = with_networks((guided(trained[0]),), tmp_path / "out", None)
    path = network_path(tmp_path / "out", named.sample.bad_weights)
    state = dict(load_weights(path, "ema"))
    first = next(iter(state))
    state[first] = state[first] + 1
    save_weights(path, state, {}, "", 4, lambda: None)
    with pytest.raises(CheckpointError, match="were changed since they were kept"):
        with_networks((named,), tmp_path / "out", None)
