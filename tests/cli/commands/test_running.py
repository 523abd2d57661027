"""Running a study by the command: its end, its second time, its interruptions."""

import json
import os
import shutil
import signal
import sys
import time

import pytest
import torch
from app_settings import RUN
from tiny_runs import in_processes

from ltbench.cli import study as commands
from ltbench.cli.app import main
from ltbench.pipeline import is_done, stages
from ltbench.runs.scores import read_scores
from ltbench.scoring.evaluate import evaluate_sets
from ltbench.study.file import load_study
from ltbench.sweep.tasks import build_tasks


def folders(here, *sets):
    """Return the folder of each run's training, in order."""
    study = load_study(here.parent / "tiny.toml", sets)
    stages = [task.stage for task in build_tasks(study.runs)]
    return [here / "runs" / stage.folder for stage in stages if stage.kind == "train"]


def test_a_run_ends_with_a_table_and_paths_and_a_second_one_skips_what_is_done(here, ltbench, monkeypatch):
    code, out, err = ltbench(*RUN, "--methods", "ddpm,coral")
    assert code == 0, out + err
    assert "2 runs, 6 training steps, 80 images to generate" in out
    assert "about" in out
    assert "6 done of 6 stages" in out
    assert "report.md" in out
    table = out[out.index("6 done") :]
    assert "ddpm" in table.lower()
    assert "coral" in table.lower()
    report = here / "runs" / "report"
    assert (report / "report.md").exists()
    assert list(report.rglob("*.csv"))
    assert list(report.rglob("*.png"))
    before = {path: path.stat().st_mtime_ns for path in (here / "runs").rglob("weights/*")}
    monkeypatch.setattr(commands, "make_report", lambda *_, **__: None)
    code, out, _ = ltbench(*RUN, "--methods", "ddpm,coral")
    assert code == 0
    assert "0 training steps, 0 images to generate" in out
    assert {path: path.stat().st_mtime_ns for path in (here / "runs").rglob("weights/*")} == before
    # Another metric trains and samples nothing; a longer training goes on from the shorter one.
    code, out, _ = ltbench("evaluate", "runs", "--metrics", "agreement", "--device", "cpu")
    assert code == 0
    assert out.count("scores.csv") == 2
    for scores in (here / "runs").rglob("samples/*/scores.csv"):
        assert ",agreement," in scores.read_text()
        assert ",frechet," in scores.read_text()
    code, out, _ = ltbench("plan", "../tiny.toml", "--set", "train.steps=5", "--device", "cpu")
    assert code == 0
    assert "2 training steps" in out
    code, out, _ = ltbench("plan", "../tiny.toml", "--set", "train.steps=7,4,5", "--device", "cpu")
    assert code == 0
    assert "4 training steps" in out
    # Who clones finished results without weights and images makes nothing again, and a longer run whole.
    for heavy in [*(here / "runs").rglob("weights"), *(here / "runs").rglob("checkpoint.pt")]:
        shutil.rmtree(heavy) if heavy.is_dir() else heavy.unlink()
    for images in (here / "runs").rglob("images.npy"):
        images.unlink()
    code, out, _ = ltbench(*RUN, "--methods", "ddpm,coral")
    assert code == 0
    assert "0 training steps, 0 images to generate" in out
    assert "6 done of 6 stages" in out
    assert not list((here / "runs").rglob("weights/*.safetensors"))
    code, out, _ = ltbench("plan", "../tiny.toml", "--set", "train.steps=5", "--device", "cpu")
    assert code == 0
    assert "5 training steps" in out


def test_corrupt_and_foreign_checkpoints_are_named_kept_and_stop_nobody_else(here, ltbench, monkeypatch):
    monkeypatch.setattr(commands, "make_report", lambda *_, **__: None)
    corrupt, foreign, fine = folders(here, "seeds=0,1,2")
    for folder in (corrupt, foreign):
        folder.mkdir(parents=True)
    torch.save({"key": "0" * 64, "step": 2}, foreign / "checkpoint.pt")
    (corrupt / "checkpoint.pt").write_bytes((foreign / "checkpoint.pt").read_bytes()[:-100])
    before = [(folder / "checkpoint.pt").read_bytes() for folder in (corrupt, foreign)]
    code, out, _ = ltbench(*RUN, "--seeds", "0,1,2")
    said = " ".join(out.split())
    assert code == 1
    assert f"the checkpoint runs/{corrupt.name}/checkpoint.pt is broken or not ltbench's: delete it" in said
    assert f"the checkpoint runs/{foreign.name}/checkpoint.pt belongs to another spec" in said
    assert [(folder / "checkpoint.pt").read_bytes() for folder in (corrupt, foreign)] == before
    assert list(fine.glob("samples/*/scores.csv"))
    assert "to see why: ltbench logs" in said


def test_scores_that_evaluate_made_end_the_score_stage(here, ltbench):
    assert ltbench(*RUN, "--set", "score.metrics=agreement")[0] == 0
    (folder,) = folders(here)
    for name in (
        "scores.csv",
        "scored.json",
        "nearest.npz",
        "confusion.csv",
    ):  # as after a scoring that failed
        (path,) = folder.glob(f"samples/*/{name}")
        path.unlink()
    assert "2 done, 1 queued of 3 stages" in ltbench("status", "runs")[1]
    (study,) = load_study(here.parent / "tiny.toml", ["score.metrics=agreement"]).runs
    for _ in evaluate_sets([here / "runs"], study.score):
        pass
    code, out, _ = ltbench("status", "runs")
    assert (code, "3 done of 3 stages" in out) == (0, True)
    for name in ("nearest.npz", "confusion.csv"):  # all that the stage leaves
        assert next(folder.glob(f"samples/*/{name}")).exists()


def test_an_evaluation_vouches_for_no_request_whose_numbers_are_gone(here, ltbench):
    for metric in ("agreement", "frechet"):
        assert ltbench(*RUN, "--set", f"score.metrics={metric}")[0] == 0
    (scores,) = (here / "runs").glob("*/samples/*/scores.csv")
    scores.unlink()  # and the list of requests is left
    (study,) = load_study(here.parent / "tiny.toml", ["score.metrics=agreement"]).runs
    for _ in evaluate_sets([here / "runs"], study.score):
        pass
    assert set(read_scores(scores)["metric"].str.partition(".")[0]) == {"agreement"}
    assert (
        "3 done, 1 queued of 4 stages" in ltbench("status", "runs")[1]
    )  # Frechet distances are to be scored again


def test_requests_that_differ_in_their_metrics_alone_answer_one_together(here, ltbench):
    """What `ltbench evaluate` added to a finished study was measured again by a study that asks for both."""
    assert ltbench(*RUN, "--set", "score.metrics=agreement")[0] == 0
    root, preset = here / "runs", here.parent / "tiny.toml"
    *_, both = stages(load_study(preset, ["score.metrics=agreement,frechet"]).runs[0])
    *_, first = stages(load_study(preset, ["score.metrics=agreement"]).runs[0])
    *_, other = stages(load_study(preset, ["score.metrics=frechet", "score.bootstrap=7"]).runs[0])
    *_, second = stages(load_study(preset, ["score.metrics=frechet"]).runs[0])
    for stage, done in ((first, False), (other, False), (second, True)):
        for _ in evaluate_sets([root], stage.spec.score):
            pass
        assert is_done(stage, root)
        assert is_done(both, root) is done


def run_in_fork(_, log, *arguments):
    sys.stdout = sys.stderr = log.open("w", buffering=1)  # until this process ends
    main(list(arguments))


@pytest.mark.parametrize(("left", "code", "reported"), [("queued", 130, 0), ("failed", 1, 1), ("done", 0, 1)])
@pytest.mark.usefixtures("here")
def test_who_stops_a_run_waits_for_no_report(ltbench, monkeypatch, left, code, reported):
    from ltbench.sweep import local
    from ltbench.sweep.status import Row
    from ltbench.sweep.tasks import build_tasks

    def stopped(runs, *_):
        *before, score = build_tasks(runs)
        return [Row(score, "done"), Row(before[0], left)]

    made = []
    monkeypatch.setattr(local, "run_local", stopped)
    monkeypatch.setattr(commands, "make_report", lambda *_, **__: made.append(1))
    got, out, _ = ltbench(*RUN)
    assert (got, len(made)) == (code, reported)
    assert ("ltbench report runs shows what is done so far" in out) == (left == "queued")


def test_ctrl_c_keeps_the_state_says_how_to_go_on_and_the_same_command_does(here, ltbench, monkeypatch):
    monkeypatch.setattr(commands, "make_report", lambda *_, **__: None)
    command = (*RUN, "--set", "train.steps=60", "--set", "score.metrics=agreement")
    (process,) = in_processes(run_in_fork, here / "said", *command)
    (folder,) = folders(here, "train.steps=60")
    limit = time.monotonic() + 120
    while not (folder / "spec.json").exists():
        assert time.monotonic() < limit, (here / "said").read_text()
        assert process.is_alive(), (here / "said").read_text()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    process.join(120)
    said = (here / "said").read_text()
    assert process.exitcode == 130, said
    assert "stopping at the next checkpoint" in said
    assert "run the same command again to go on" in said
    assert "Traceback" not in said
    kept = torch.load(folder / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < kept < 60
    code, out, _ = ltbench(*command)
    assert code == 0
    assert "3 done of 3 stages" in out
    stages = json.loads((folder / "provenance.json").read_text())["stages"]
    assert [stage.get("interrupted", False) for stage in stages] == [True, False]
