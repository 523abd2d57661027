"""The command as a person meets it: what it prints, and one sentence for everything that can be wrong."""

import os
import re
import subprocess
import sys

import pytest
from app_settings import tree

from ltbench.cli import app as cli
from ltbench.sweep import cost as plan


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


def test_a_python_that_a_command_starts_imports_nothing_from_the_current_folder(here, monkeypatch):
    """Conversions and figures are done by other processes: spawned, or joblib's."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    (here / "random.py").write_text("raise SystemExit('a file of the current folder was run')")

    def starts(_):
        subprocess.run([sys.executable, "-c", "import random"], check=True)

    monkeypatch.setattr("ltbench.cli.tree.app", starts)
    cli.main(["presets"])
    assert "PYTHONSAFEPATH" not in os.environ


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


@pytest.mark.parametrize("width", ["0", "-5", "abc", ""])
def test_a_terminal_of_no_width_is_printed_on(ltbench, monkeypatch, width):
    """At COLUMNS=0 every command ended well and printed nothing."""
    monkeypatch.setenv("COLUMNS", width)
    code, out, _ = ltbench("samplers")
    assert code == 0
    assert "ancestral" in out


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("SOURCE_DATE_EPOCH", "nonsense", None),
        ("SOURCE_DATE_EPOCH", "0", "0"),
        ("MPLBACKEND", "nonsense", "Agg"),
        ("LINES", "0", None),
        ("COLUMNS", "72", "72"),
    ],
)
def test_variables_that_end_a_report_in_matplotlib_are_left_out(ltbench, monkeypatch, name, value, left):
    monkeypatch.setenv(name, value)
    assert ltbench("samplers")[0] == 0
    assert os.environ.get(name) == left
