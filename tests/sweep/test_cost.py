"""What a study will cost: counted by hand from the network's own operations, and nothing for what is done."""

import math

import pytest
from tiny_runs import DATA, digits, make_spec

from ltbench.cli.study import _plan_row
from ltbench.diffusion.unet import count_parameters, flops
from ltbench.environment import Environment
from ltbench.errors import DataMissing
from ltbench.pipeline import run_stage, stages
from ltbench.specs import DataSpec
from ltbench.sweep.cost import Plan, RunCost, make_plan
from ltbench.training.model import plain_denoiser


def planned(runs, root, **options):
    return make_plan(runs, root, None, "cpu", 1, **options)


def run_of(seconds):
    return RunCost(make_spec(), 1, 1, 1.0, 1, seconds)


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [((10, 10, 10, 10), 2, 20), ((10, 2, 2), 2, 10), ((10, 2, 2), 1, 14), ((), 3, 0)],
)
def test_workers_share_the_time_but_not_one_run(seconds, workers, expected):
    assert Plan(tuple(map(run_of, seconds)), 1, workers).seconds == expected


def test_a_runs_cost_is_that_of_its_passes(tmp_path):
    """2 steps of 8 images, a pass forth and two back each, and 10 classes of 2 images at 2 evaluations each."""
    spec = make_spec("ddpm")
    network = plain_denoiser(spec, digits())
    (cost,) = planned([spec], tmp_path).runs
    assert (cost.steps, cost.images, cost.nfe) == (2, 20, 2)
    assert cost.flops == pytest.approx((3 * 2 * 8 + 20 * 2) * flops(network))
    assert cost.sample_flops == pytest.approx(20 * 2 * flops(network))
    assert cost.disk == 24 * count_parameters(network) + 20 * 64
    assert cost.seconds > 0
    assert planned([spec], tmp_path).parameters == count_parameters(network)


def test_a_method_of_two_passes_trains_at_twice_the_cost(tmp_path):
    plain, twice = planned([make_spec("ddpm"), make_spec("cbdm")], tmp_path).runs
    assert twice.flops - twice.sample_flops == pytest.approx(2 * (plain.flops - plain.sample_flops))


def test_runs_of_one_training_train_it_once(tmp_path):
    runs = [make_spec(sample={"guidance": guidance}) for guidance in (0.0, 1.0)]
    first, second = planned(runs, tmp_path).runs
    assert (first.steps, second.steps) == (2, 0)
    assert second.flops == second.sample_flops > first.sample_flops  # guidance doubles the evaluations
    assert second.disk == 20 * 64


def test_a_longer_run_goes_on_from_a_shorter_one(tmp_path):
    shorter, longer = planned([make_spec(steps=3), make_spec(steps=10)], tmp_path).runs
    assert (shorter.steps, longer.steps) == (3, 7)


def test_what_is_done_costs_nothing(tmp_path):
    spec = make_spec()
    for stage in stages(spec)[:2]:
        run_stage(stage, tmp_path, Environment())
    (cost,) = planned([spec], tmp_path).runs
    assert (cost.steps, cost.images, cost.flops, cost.disk, cost.seconds) == (0, 0, 0, 0, 0)


def test_a_plan_tells_what_is_left_of_a_run_that_is_sampled(tmp_path):
    """Scores and probes cost no step and no image: a plan called a run done that still had to be probed."""
    spec = make_spec(score={"metrics": ["frechet"], "floor_draws": 2, "probes": True})
    assert planned([spec], tmp_path).runs[0].left == ("train", "sample", "score", "probe")
    for stage in stages(spec)[:2]:
        run_stage(stage, tmp_path, Environment())
    first, again = planned([spec, spec], tmp_path).runs
    assert (first.left, again.left) == (("score", "probe"), ())
    assert _plan_row(first, ())[-1] == "score, probe"
    assert _plan_row(again, ())[-1] == "done"


def test_files_that_are_missing_are_named_or_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("ltbench.data.download.reachable", lambda _: False)
    spec = make_spec().model_copy(update={"data": DataSpec(dataset="cifar10_lt")})
    plan = planned([spec], tmp_path, need_files=False)
    assert "cifar" in " ".join(plan.missing).lower()
    assert plan.runs[0].images == 20
    assert math.isfinite(plan.seconds)
    with pytest.raises(DataMissing):
        planned([spec], tmp_path)
    assert planned([make_spec()], tmp_path).missing == ()
    assert make_spec().data == DATA
