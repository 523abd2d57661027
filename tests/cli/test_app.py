"""The command as a person meets it: what it prints, and one sentence for everything that can be wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import pytest
import torch
from command_line import call_main
from tiny_runs import in_processes

from ltbench.cli import study as commands
from ltbench.cli.app import main
from ltbench.method.registry import known_methods, legal_pairs
from ltbench.metrics.registry import REGISTRY
from ltbench.runs.scores import read_scores
from ltbench.scoring.evaluate import evaluate_sets
from ltbench.study.file import load_study
from ltbench.study.presets import preset_names
from ltbench.sweep import cost as plan
from ltbench.sweep.tasks import build_tasks

TINY = """
title = "Tiny"
default_for = []
[data]
dataset = "digits_lt"
imbalance_ratio = 0.1
[model]
size = "tiny"
dropout = 0.0
[train]
steps = 3
batch_size = 8
warmup_steps = 0
ema_decay = 0.0
flip = false
[sample]
sampler = "dpmsolver++"
steps = 2
per_class = 4
[score]
metrics = ["frechet"]
floor_draws = 1
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with the study file beside it."""
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("LTBENCH_DATA", raising=False)
    return tmp_path / "here"


@pytest.fixture
def ltbench(capfd):
    """Call the command in this process; return exit code, standard output and standard error."""

    return lambda *arguments: call_main(capfd, arguments)


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


# -- what the command imports and lists -------------------------------------------------------------


def test_help_imports_no_library_that_is_slow():
    """`ltbench --help` answers at once because nothing heavy is imported before a command needs it."""
    script = (
        "import sys\nfrom ltbench.cli.app import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "slow = {'torch', 'numpy', 'pandas', 'scipy', 'sklearn', 'diffusers', 'matplotlib', 'pydantic'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in (
        "run",
        "report",
        "evaluate",
        "datasets",
        "methods",
        "metrics",
        "presets",
        "plan",
        "status",
    ):
        assert re.search(rf"^\W+{command}\s", done.stdout, re.MULTILINE), command


def test_datasets_lists_classes_counts_files_and_where_they_were_looked_for(here, ltbench):
    code, out, _ = ltbench("datasets", "-r", "0.1", "--data-root", here)
    assert code == 0
    for name in ("digits_lt", "fashion_mnist_lt", "cifar10_lt", "cifar100_lt", "celeba5", "imagenet_lt"):
        assert re.search(rf"^{name} ", out, re.MULTILINE)
    assert "120 92 71 55 43 33 25 20 15 12" in out  # digits at 0.1
    assert f"not found in {here}" in out
    assert "cifar-10-python.tar.gz" in out
    assert "digits.csv.gz" in out


def test_methods_lists_papers_hyperparameters_and_pairs(ltbench):
    code, out, _ = ltbench("methods")
    assert code == 0
    assert "NeurIPS 2025" in out
    assert "CVPR 2023" in out
    assert "ICLR 2024" in out
    for name in known_methods():
        assert re.search(rf"^{name} ", out, re.MULTILINE)
    assert "coral.tau_sc = 0.1" in out
    assert "variant released (default)" in out
    assert all(pair in out for pair in legal_pairs())


def test_metrics_and_presets_are_listed_with_whole_names_in_a_pipe():
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    for command, names in (
        ("metrics", [m.definition for m in REGISTRY.values()]),
        ("presets", preset_names()),
    ):
        program = [sys.executable, "-m", "ltbench", command]
        out = subprocess.run(program, capture_output=True, text=True, env=environment, check=True).stdout
        assert all(name in out for name in names)


def test_version(ltbench):
    code, out, _ = ltbench("--version")
    name, built, system, libraries = out.splitlines()
    assert code == 0
    assert re.fullmatch(r"ltbench \d+\.\d+\.\d+", name)
    assert re.match(r"commit [0-9a-f]{12}|a release", built)
    assert system.startswith("Python 3.")
    assert re.search(rf"torch {re.escape(version('torch'))}\b", libraries)
    assert "numpy" in libraries


# -- bad input --------------------------------------------------------------------------------------

WRONG = [
    ("run --methods corall", "unknown method 'corall'; did you mean 'coral'?"),
    ("run --methods ddpm+coral", "ddpm adds nothing to"),
    ("run --methods class_balanced+sqrt_sampling", "cannot be combined"),
    ("run --dataset digit_lt", "unknown data set 'digit_lt'; did you mean 'digits_lt'?"),
    ("run --preset demoo", "unknown preset 'demoo'; did you mean 'demo'?"),
    ("run --preset ../missing.toml", "no study file ../missing.toml"),
    ("run --set train.stepz=3", "unknown key 'train.stepz'; did you mean 'train.steps'?"),
    ("run --set steps=3", "unknown key 'steps'; did you mean 'train.steps'?"),
    ("run --set coral.tau=3", "unknown hyper-parameter 'tau' of coral"),
    ("run --set train.steps", "write it as KEY=VALUE"),
    ("run --set coral.w=-1", "w must be 0 or more"),
    ("run --methods ddpm --set coral.w=1", "no run has method 'coral'"),
    ("run -r 0", "greater than 0, not '0'"),
    ("run -r 2", "less than or equal to 1, not '2'"),
    ("run -r nan", "data.imbalance_ratio must be a finite number, not 'nan'"),
    ("run -r many", "data.imbalance_ratio must be a number, not 'many'"),
    ("run -r 0.001", "the smallest ratio that works here is 0.008334"),
    ("run --set train.steps=0", "greater than or equal to 1, not 0"),
    ("run --set train.steps=-5", "greater than or equal to 1, not -5"),
    ("run --set train.steps=1.5", "train.steps takes whole numbers"),
    ("run --seeds a", "train_seed takes whole numbers, as in 0,1,2 or 0..4, not 'a'"),
    ("run --seeds 0,1.5", "not '1.5'"),
    ("run --seeds -1", "greater than or equal to 0, not -1"),
    ("run --guidance -1", "sample.guidance must be greater than or equal to 0"),
    (
        "run --sampler euler",
        "sample.sampler must be ancestral, ddim, dpmsolver++ or sde-dpmsolver++, not 'euler'",
    ),
    ("run --class-order sorted", "data.class_order must match"),
    ("run --workers 0", "--workers takes auto or a whole number from 1, not '0'"),
    ("run --device warp", "device 'warp' cannot be used here: try cpu, cuda or mps"),
    ("run --set train.flip=true", "train.flip must be false for digits_lt"),
    ("run --methods coral --set train.micro_batch=8", "leave train.micro_batch out"),
    ("run --methods ddpm --set train.micro_batch=7", "train.micro_batch 7 does not divide"),
    ("run --set train.steps=1000000000", "days: add --yes to start it"),
    ("plan demoo", "did you mean 'demo'?"),
    ("evaluate nowhere", "no finished sample set in nowhere"),
    ("report nowhere", "nowhere"),
    ("datasets -r x", "--imbalance-ratio 'x' is not a number in (0, 1]"),
    ("datasets -r nan", "(0, 1]"),
    ("run --method ddpm", "--methods"),
    ("rnu", "No such command 'rnu'"),
]


@pytest.mark.parametrize(("line", "sentence"), WRONG, ids=[line for line, _ in WRONG])
def test_a_mistake_is_one_sentence_and_nothing_is_lost_or_left(here, ltbench, line, sentence):
    code, _, err = ltbench(*line.split())
    assert code not in (0, None)
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", err).split())  # typer frames its own errors
    assert sentence in said
    assert err.startswith("error: ") == (code != 2 or "Usage" not in err)
    if err.startswith("error: "):
        assert err.count("\n") == 1
    assert not [path for path in here.rglob("*") if path.name != "runs"]


def test_missing_and_truncated_data_files_are_named(here, ltbench, monkeypatch):
    monkeypatch.setattr("ltbench.data.download.reachable", lambda _: False)
    code, _, err = ltbench("run", "--dataset", "cifar10_lt", "--data-root", here / "data")
    assert code == 1
    assert err.count("\n") == 1
    assert str(here / "data") in err
    assert "https://www.cs.toronto.edu" in err
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (here / f"{name}-ubyte.gz").write_bytes(b"\x1f\x8b\x08\x00cut short")
    before = tree(here)
    code, _, err = ltbench("run", "--dataset", "fashion_mnist_lt", "--data-root", here)
    assert code == 1
    assert err.count("\n") == 1
    assert f"{here}/train-images-idx3-ubyte.gz is truncated or not gzip" in err
    assert "delete it and get it again" in err
    assert tree(here) == before


def test_an_output_folder_that_cannot_be_written_is_refused_before_anything_runs(here, ltbench):
    (here / "file").write_text("kept")
    code, _, err = ltbench("run", "--out", here / "file")
    assert code == 1
    assert err.count("\n") == 1
    assert f"cannot write {here / 'file'}" in err
    assert "choose another folder with --out" in err
    assert tree(here) == {"file": b"kept"}


@pytest.mark.usefixtures("here")
def test_a_real_process_ends_with_the_sentence_and_the_code():
    done = subprocess.run(
        [sys.executable, "-m", "ltbench.cli.app", "run", "--methods", "corall"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.replace("... reading the study\n", "") == ""
    assert done.stderr == "error: --methods: unknown method 'corall'; did you mean 'coral'?\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["presets"],
        ["datasets"],
        ["data", "verify", "celeba5"],
        ["data", "prepare", "celeba5", "--source", "x"],
    ],
)
@pytest.mark.usefixtures("here")
def test_what_needs_no_network_waits_for_no_torch(arguments):
    """Importing torch and diffusers takes seconds and 1 GB, in every process that prepares a data set."""
    code = (
        "import sys; from ltbench.cli import app as cli\n"
        f"try: cli.main({arguments})\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False"
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("here")
def test_ctrl_c_while_planning_says_how_to_go_on(ltbench, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "make_plan", interrupted)
    code, _, err = ltbench("run")
    assert code == 130
    assert err == "stopped: what is done is kept; run the same command to go on\n"


# -- real runs --------------------------------------------------------------------------------------

RUN = ("run", "--preset", "../tiny.toml", "--workers", "1", "--device", "cpu", "--out", "runs")


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
