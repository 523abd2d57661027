"""Sampling away from a weaker network: an earlier snapshot or another run's, kept by its hash, through every door."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_runs import digits, lively_model, make_spec

import ltbench as lt
from ltbench.data.facts import DatasetFacts
from ltbench.diffusion.guidance import evaluations
from ltbench.diffusion.samplers import Guided, guide, sample
from ltbench.environment import Environment, Settings
from ltbench.errors import CheckpointError, UsageError
from ltbench.interop.export import export_run
from ltbench.interop.networks import with_networks
from ltbench.interop.verify import REPRODUCED, SELF_REPORTED, verify
from ltbench.pipeline import run_stage, stages
from ltbench.runs.layout import folder_name, weights_path
from ltbench.runs.networks import network_path
from ltbench.runs.progress import passed_snapshots
from ltbench.runs.samples import load_samples
from ltbench.runs.scores import read_scores
from ltbench.runs.weights import load_weights, save_weights
from ltbench.specs import DataSpec, ModelSpec, SampleSpec, sample_key, train_key
from ltbench.sweep.cost import make_plan
from ltbench.sweep.reproduce import reproduce
from ltbench.sweep.tasks import build_tasks
from ltbench.training.guiding import fitted, load_other
from ltbench.training.model import load_model, state_of

FEW = {"sampler": "dpmsolver++", "steps": 3, "per_class": 2, "guidance": 1.0}
SCORE = {"metrics": ["frechet"], "floor_draws": 1}
EARLY = make_spec(steps=4, score=SCORE, sample={**FEW, "rule": "auto", "bad_step": 2})
LABELS = torch.arange(10).repeat_interleave(2)


def run(root, *runs):
    """Do the runs' stages as a sweep would, in its order."""
    for task in build_tasks(runs):
        run_stage(task.stage, root, Environment())
    return root / folder_name(runs[0])


def images_of(folder, spec):
    return load_samples(folder / "samples" / sample_key(spec)[:8])[0]


@pytest.fixture(scope="module")
def early(tmp_path_factory):
    root = tmp_path_factory.mktemp("early")
    return root, run(root, EARLY)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another run: one of a smaller network with weights that say something."""
    spec = make_spec(seed=3).model_copy(
        update={"model": ModelSpec(size="tiny", widths=(16, 16), res_blocks=1)}
    )
    root = tmp_path_factory.mktemp("other")
    folder = run(root, spec)
    save(folder, spec, lively_model(spec))
    return folder, spec


def save(folder, spec, model):
    state = state_of(model)
    path = weights_path(folder, spec.train.steps)
    save_weights(path, state, state, train_key(spec), spec.train.steps, lambda: None)


def by_other(folder, **sampling):
    return make_spec(score=SCORE, sample={**FEW, "rule": "auto", "bad_weights": str(folder), **sampling})


def test_the_training_keeps_the_step_that_its_sampling_needs(early):
    _, folder = early
    assert weights_path(folder, 2).exists()
    assert weights_path(folder, 4).exists()
    assert not EARLY.train.snapshots


def test_images_are_guided_away_from_the_snapshot(early):
    _, folder = early
    at = {s: EARLY.model_copy(update={"train": EARLY.train.model_copy(update={"steps": s})}) for s in (2, 4)}
    now, before = (load_model(at[step], folder, digits())["denoiser"] for step in (4, 2))
    wanted = sample(Guided(now, 1.0, before), LABELS, sampler=EARLY.sample, batch_size=250).numpy()
    assert np.array_equal(images_of(folder, EARLY), wanted)


def test_scores_state_both_networks_passes_and_the_rule(early):
    _, folder = early
    table = read_scores(folder / "samples" / sample_key(EARLY)[:8] / "scores.csv")
    assert set(table["nfe"]) == {6}
    assert set(table["rule"]) == {"auto (bad_step 2)"}


def test_a_step_that_is_not_kept_is_said_in_the_plan_and_in_one_sentence(early):
    root, _ = early
    late = EARLY.model_copy(update={"sample": EARLY.sample.model_copy(update={"bad_step": 3})})
    assert passed_snapshots(late, root) == [3]
    assert passed_snapshots(EARLY, root) == []
    with pytest.raises(
        CheckpointError, match="keeps no weights of step 3, which sample.bad_step names: there are 2, 4"
    ):
        load_other(late, root, digits())


def test_another_runs_network_is_kept_by_what_its_weights_are(tmp_path, other):
    folder, spec = other
    (named,), specs = with_networks([by_other(folder)], tmp_path, None)
    digest = named.sample.bad_weights
    assert len(digest) == 64
    assert {key: train_key(found) for key, found in specs.items()} == {digest: train_key(spec)}
    assert network_path(tmp_path, digest).exists()
    again, _ = with_networks([named, by_other(folder, bad_step=2)], tmp_path, None)
    assert {sample_key(found) for found in again} == {sample_key(named)}
    copied = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    assert with_networks([by_other(copied)], tmp_path, None, keep=False)[0] == (named,)
    made = run(tmp_path, named)
    network, weaker = (load_model(*which, digits())["denoiser"] for which in ((named, made), (spec, folder)))
    wanted = sample(guide(network, named.sample, other=weaker), LABELS, sampler=named.sample).numpy()
    assert np.array_equal(images_of(made, named), wanted)
    unguided = sample(Guided(network, 0.0), LABELS, sampler=named.sample).numpy()
    assert not np.array_equal(wanted, unguided)


def test_a_plan_writes_nothing_and_counts_the_weaker_networks_flops(tmp_path, other):
    folder, _ = other
    (named,), specs = with_networks([by_other(folder)], tmp_path, None, keep=False)
    plain = named.model_copy(update={"sample": SampleSpec(**FEW)})
    costs = {}
    for one in (named, plain):
        (cost,) = make_plan([one], tmp_path, None, "cpu", 1, networks=specs).runs
        costs[one.sample.rule] = cost
    assert costs["auto"].nfe == costs["cfg"].nfe == 6
    (small,) = make_plan(
        [other[1]], tmp_path / "none", None, "cpu", 1
    ).runs  # 2 steps x 20 images, no guidance
    expected = costs["cfg"].sample_flops / 2 + small.sample_flops / (2 * 20) * 3 * 20
    assert costs["auto"].sample_flops == pytest.approx(expected)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_network_for_the_data_is_refused_before_anything_trains(tmp_path, other):
    folder, _ = other
    with pytest.raises(UsageError, match=r"sample.bad_weights=.*none: there is no such folder"):
        with_networks([by_other(tmp_path / "none")], tmp_path, None)
    with pytest.raises(CheckpointError, match="is missing, the network that images are guided away from"):
        with_networks([by_other("ab" * 32)], tmp_path, None)
    with pytest.raises(UsageError, match="keeps no weights of step 7: there are 2"):
        with_networks([by_other(folder, bad_step=7)], tmp_path, None)
    (tmp_path / "no_run").mkdir()
    with pytest.raises(UsageError, match="is no training's folder"):
        with_networks([by_other(tmp_path / "no_run")], tmp_path, None)
    for data in (DataSpec(), DataSpec(dataset="cifar100_lt")):
        unlike = by_other(folder).model_copy(update={"data": data})
        with pytest.raises(
            CheckpointError, match=f"does not fit {data.dataset} .*same classes and image size"
        ):
            with_networks([unlike], tmp_path, None)


def test_a_network_of_smaller_images_is_refused_though_its_weights_would_fit(other):
    folder, spec = other
    larger = make_spec().model_copy(update={"data": DataSpec(dataset="fashion_mnist_lt", image_size=16)})
    facts = DatasetFacts((1, 16, 16), np.full(10, 0.1), flip_allowed=False)
    weights = load_weights(weights_path(folder, 2), "ema")
    assert fitted(spec, weights, make_spec(), digits())
    with pytest.raises(CheckpointError, match="trained on images of 8 x 8, not 16 x 16"):
        fitted(spec, weights, larger, facts)


def test_a_network_that_was_changed_is_not_sampled(tmp_path, other):
    folder, spec = other
    (named,), _ = with_networks([by_other(folder)], tmp_path, None)
    changed = lively_model(spec, seed=6)
    (tmp_path / "scratch" / "weights").mkdir(parents=True)
    save(tmp_path / "scratch", spec, changed)
    shutil.move(weights_path(tmp_path / "scratch", 2), network_path(tmp_path, named.sample.bad_weights))
    with pytest.raises(CheckpointError, match="were changed since they were kept"):
        load_other(named, tmp_path, digits())


def test_a_run_that_a_snapshot_guided_is_reproduced_to_the_bit(tmp_path, early):
    _, folder = early
    result = reproduce(folder, tmp_path / "again", Settings())
    assert result.reproduced
    assert any(item.what.endswith("images.npy") for item in result.comparisons)


def test_a_run_that_another_guided_is_reproduced_and_drawn_again_where_that_network_is(tmp_path, other):
    (named,), _ = with_networks([by_other(other[0])], tmp_path / "runs", None)
    folder = run(tmp_path / "runs", named)
    assert reproduce(folder, tmp_path / "again", Settings()).reproduced
    found = verify(tmp_path / "runs", redraw=True)
    assert found.holds
    assert found.counts[REPRODUCED] == len(found.rows)
    kept = network_path(tmp_path / "runs", named.sample.bad_weights)
    shutil.move(kept, tmp_path / "away")
    with pytest.raises(CheckpointError, match="is missing, the network that images are guided away from"):
        reproduce(folder, tmp_path / "third", Settings())
    found = verify(tmp_path / "runs", redraw=True)
    assert found.holds
    assert found.counts[REPRODUCED] == 0
    assert found.counts[SELF_REPORTED] == 0
    assert any("the weaker network" in note for note in found.notes)


def test_an_export_says_which_rule_its_scores_were_made_by(tmp_path, early):
    _, folder = early
    export_run(folder, tmp_path / "diffusers")
    card = (tmp_path / "diffusers" / "README.md").read_text()
    assert "1, auto (bad_step 2)" in card
    assert "This folder's pipeline does plain guidance" in card
    assert "guidance_rule: auto (bad_step 2)" in card


def test_where_a_rule_spares_some_classes_scores_state_the_mean(tmp_path):
    factors = (0.0,) * 7 + (1.0, 2.0, 3.0)
    spec = make_spec(score=SCORE, sample={**FEW, "rule": "per_class", "omega_factors": factors})
    folder = run(tmp_path, spec)
    path = folder / "samples" / sample_key(spec)[:8] / "scores.csv"
    assert set(read_scores(path)["nfe"]) == {3.9} == {evaluations(spec.sample).nfe}
    assert set(pd.read_csv(path)["nfe"]) == {3.9}
    assert verify(tmp_path).holds


def test_a_notebook_samples_by_a_rule_a_function_or_away_from_a_network():
    model, weaker = lively_model(make_spec())["denoiser"], lively_model(make_spec(), seed=6)["denoiser"]
    few = {"sampler": "dpmsolver++", "steps": 3, "device": "cpu"}
    plain = lt.sample(model, LABELS, guidance=1.0, **few)
    assert np.array_equal(
        lt.sample(model, LABELS, guidance={"rule": "interval", "guidance": 1.0}, **few), plain
    )
    assert np.array_equal(lt.sample(model, LABELS, guidance=lambda _t, _labels: 1.0, **few), plain)
    by_class = lt.sample(model, LABELS, guidance=lambda _t, labels: np.where(labels < 5, 0.0, 1.0), **few)
    assert np.abs(by_class[10:].astype(int) - plain[10:]).max() <= 1
    counts = digits().counts
    powered = {"rule": "per_class", "omega_power": -0.5, "guidance": 1.0}
    assert not np.array_equal(lt.sample(model, LABELS, guidance={**powered, "counts": counts}, **few), plain)
    auto = lt.sample(model, LABELS, guidance={"rule": "auto", "guidance": 1.0}, away_from=weaker, **few)
    assert np.array_equal(
        auto, lt.sample(model, LABELS, guidance=lambda _t, _labels: 1.0, away_from=weaker, **few)
    )
    for wrong, says in (
        ({"guidance": powered}, "numbers of training images"),
        ({"guidance": {"rule": "auto", "guidance": 1.0}}, "guides away from a weaker network: give one"),
        ({"guidance": 1.0, "away_from": weaker}, "away_from goes with the rule auto"),
        ({"guidance": {"rule": "interval", "sigma": 1.0}}, "sample: sigma"),
    ):
        with pytest.raises(UsageError, match=says):
            lt.sample(model, LABELS, **wrong, **few)


def test_the_stages_of_a_run_know_its_images_by_rule():
    other_rule = EARLY.model_copy(update={"sample": SampleSpec(**FEW)})
    assert [a.key == b.key for a, b in zip(stages(EARLY), stages(other_rule), strict=True)] == [
        True,
        False,
        False,
    ]
