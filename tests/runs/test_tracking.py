"""Trackers: what TensorBoard's event file and W&B's offline run hold, and that numbers never change."""

import json
import os
import subprocess
import sys

import pytest

from ltbench.environment import Environment
from ltbench.errors import UsageError
from ltbench.pipeline import run_stage, stages
from ltbench.runs.layout import folder_name, sample_folder
from ltbench.runs.tracking import Tracking, check_trackers
from ltbench.specs import RunSpec

pytest.importorskip("accelerate")
SPEC = RunSpec.model_validate(
    {
        "data": {"dataset": "digits_lt", "imbalance_ratio": 0.1},
        "model": {"size": "tiny", "dropout": 0.0},
        "method": {"name": "cbdm"},
        "train": {"steps": 100, "batch_size": 4, "warmup_steps": 0, "ema_decay": 0.0, "flip": False},
        "sample": {"sampler": "dpmsolver++", "steps": 2, "per_class": 4, "clip": True},
        "score": {"metrics": ("frechet",), "floor_draws": 1},
    }
)


def make(root, **settings):
    for stage in stages(SPEC):
        run_stage(stage, root, Environment(**settings))
    return root / folder_name(SPEC)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    pytest.importorskip("tensorboard")
    return make(tmp_path_factory.mktemp("tracked"), track="tensorboard")


def test_tensorboards_file_holds_the_log_the_scores_and_the_sheet(tracked):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tracked.parent / "tracking" / "tensorboard" / tracked.name))
    events.Reload()
    tags = events.Tags()
    logged = {line.split(",")[0]: line for line in (tracked / "train.csv").read_text().splitlines()[1:]}
    loss = events.Scalars("train/loss")
    assert [point.step for point in loss] == [50, 100] == [int(step) for step in logged]
    column = (tracked / "train.csv").read_text().splitlines()[0].split(",").index("loss")
    for point in loss:
        assert point.value == pytest.approx(float(logged[str(point.step)].split(",")[column]), rel=1e-6)
    assert {"train/cbdm.consistency", "train/images_per_second", "train/grad_norm"} <= set(tags["scalars"])
    scores = [tag for tag in tags["scalars"] if tag.startswith("scores/") and "/frechet/overall" in tag]
    assert len(scores) == 1
    assert events.Scalars(scores[0])[0].step == 100
    assert [events.Images(tag)[0].step for tag in tags["images"]] == [100]


def test_no_number_is_another_for_being_tracked(plain, tracked):
    for name in ("train.csv", sample_folder(SPEC).relative_to(folder_name(SPEC)) / "images.npy"):
        assert (plain / name).read_bytes() == (tracked / name).read_bytes()
    scores = sample_folder(SPEC).relative_to(folder_name(SPEC)) / "scores.csv"
    assert (plain / scores).read_bytes() == (tracked / scores).read_bytes()


def test_wandb_writes_an_offline_run_that_each_stage_goes_on_with(tmp_path, plain):
    pytest.importorskip("wandb")
    code = f"""
from pathlib import Path
from ltbench.environment import Environment
from ltbench.pipeline import run_stage, stages
from ltbench.specs import RunSpec
spec = RunSpec.model_validate_json({SPEC.model_dump_json()!r})
for stage in stages(spec):
    run_stage(stage, Path({str(tmp_path)!r}), Environment(track="wandb"))
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")} | {
        "WANDB_SILENT": "true"
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    files = list((tmp_path / "tracking" / "wandb").glob("offline-run-*/*.wandb"))
    assert files
    assert "the run goes on" not in done.stderr
    content = b"".join(path.read_bytes() for path in files)
    assert b"train/loss" in content
    assert b"frechet" in content
    assert (tmp_path / folder_name(SPEC) / "train.csv").read_bytes() == (plain / "train.csv").read_bytes()


class Broken:
    """A tracker that fails at everything."""

    def log(self, *_, **__):
        raise RuntimeError("the server is away")

    log_images = finish = log


def test_a_tracker_that_fails_is_left_out_and_stops_nothing(tmp_path, caplog):
    tracker = Tracking([], tmp_path, "run", SPEC)
    tracker.trackers = {"broken": Broken()}
    tracker.row(50, {"step": 50, "loss": 1.0})
    assert tracker.trackers == {}
    assert "the server is away" in caplog.text
    tracker.row(100, {"step": 100, "loss": 1.0})
    tracker.samples(tmp_path)  # no sheet there
    tracker.finish()


def test_a_tracker_that_cannot_start_stops_nothing(tmp_path, caplog):
    (tmp_path / "tracking").write_text("a file where the folder should be")
    assert make(tmp_path, track="tensorboard").is_dir()
    assert "cannot be started" in caplog.text


@pytest.mark.parametrize(
    ("name", "part"), [("tensorbord", "did you mean 'tensorboard'"), ("aim", "its package is not installed")]
)
def test_a_tracker_that_is_not_there_is_told_at_once(name, part):
    with pytest.raises(UsageError, match=part):
        check_trackers([name])


def test_settings_with_trackers_pass_to_workers_as_json():
    from ltbench.environment import Settings

    settings = Settings(track="tensorboard,wandb")
    assert Settings.from_json(json.loads(json.dumps(settings.as_json()))) == settings
