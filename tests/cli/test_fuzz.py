"""A fuzz of the command line, ``--set``, TOML and files: every nonsense ends in one sentence and a non-zero exit.

Each example is a command that would work, with one value in it replaced by something that nobody can mean. An
internal error, a traceback or an exit of 0 is a failure. ``--commands 5000`` is a night's run.
"""

import io
import itertools
import os
import string
import sys
import tempfile
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from ltbench.cli import app
from ltbench.cli.console import INTERNAL

LONG = "x" * 5000
NUMBERS = [
    "²",
    "-1",
    "1e999",
    "9" * 5000,
    "abc",
    "0x10",
    "1;2",
    "१",
    "--",
    "1.5.1",
    "0.1f",
    "\x00"[:0] + "∞",
    "nan",
    "-inf",
]
NAMES = ["<script>", "[/red]", LONG, "\x1b[2J", "../../etc/passwd", "no_such_thing", "caf\udce9", "a b\tc", "=cmd|x", "$(id)",
         "{}", "%s%n", "\u202e", "[bold]", "'", '"', "\\", "coral+", "+coral", "coral+coral", ",,,", "*"]  # fmt: skip
PATHS = ["absent", "/dev/null", "/proc/self/mem", "/proc", "/", LONG, "caf\udce9", "[/red]", "a/" * 2500, "empty", "junk.npz",
         "junk.toml", "junk.pt", "folder", "pipe", "text.npy", "huge.npz", "."]  # fmt: skip
SETS = ["=", "a=", "=1", ".=1", "train.steps=²", "train.steps=-1", "train.steps=" + "9" * 5000, "seeds=0..999999999", "data=1",
        "train.steps=[[[", "train.steps", "sample.guidance=nan", "model.size=huge", "coral.weight=x", "x" * 5000 + "=1",
        "train.learning_rate=1e999", "data.class_order=permuted:²", "score.metrics=<script>", "train..steps=1", "\x1b=1",
        "train.flip=perhaps", "train.steps=1,2,x", "data.dataset=../../x", "method.name=coral+", "score.extractors=torchscript:"]  # fmt: skip
TOMLS = ["[" * 100_000, "x = " + "{a=" * 50_000, ".".join("a" * 20_000) + "=1", "seeds = " + "9" * 5000, "", "\0", "\ufeff", "=",
         "title = 5", "[train]\nsteps = -1", "grid = 1", "[for.nobody]\nx = 1", "[[grid]]\ntrain_seed = []", "dataset = 5",
         "[contrast]\nmethod = 1", "[select]\nkey = 1", "train = 1", '[train]\nsteps = "x"', "[train]\nsteps = inf", "a = 1979-05-27",
         '[data]\ndataset = "\\u001b[2J"', "[train]\nsteps = 0x" + "f" * 5000, "method = {name = 1}", "[sample]\nguidance = [1, 2]"]  # fmt: skip
ODD = st.text(min_size=1, max_size=30).filter(
    lambda text: (
        not set(text) <= set(string.ascii_letters + string.digits + "._+-,:/ ~") and not text.startswith("-")
    )
)
BYTES = st.binary(min_size=1, max_size=200).filter(lambda raw: any(byte > 127 or byte < 9 for byte in raw))


def of(values, odd=True):
    return st.one_of(st.sampled_from(values), ODD) if odd else st.sampled_from(values)


NUMBER, NAME, PATH, SET, TOML = (
    of(NUMBERS),
    of(NAMES),
    of(PATHS, odd=False),
    of(SETS, odd=False),
    of(TOMLS, odd=False),
)
DEVICE = of(
    ["meta", "gpu", "cuda:99", "cpu:x", "", "²", "mkldnn", "cuda:-1", LONG, "privateuseone", "xla", "[/red]"],
    odd=False,
)
FILE, HERE = "junk.toml", object()
COMMANDS = [
    (["plan", "demo", "--set", HERE], SET), (["plan", HERE], NAME), (["plan", "demo", "--workers", HERE], NUMBER),
    (["plan", "demo", "--device", HERE], DEVICE), (["plan", FILE], TOML), (["run", "--dry-run", "-p", FILE], TOML),
    (["run", "--dry-run", "-d", HERE], NAME), (["run", "--dry-run", "-m", HERE], NAME), (["run", "--dry-run", "-s", HERE], NUMBER),
    (["run", "--dry-run", "-r", HERE], NUMBER), (["run", "--dry-run", "-d", "digits_lt", "--guidance", HERE], NUMBER),
    (["run", "--dry-run", "--sampler", HERE], NAME), (["run", "--dry-run", "--class-order", HERE], NAME),
    (["run", "--slurm", HERE], NAME), (["run", "-d", "digits_lt", "--sample-batch", HERE], NUMBER),
    (["run", "-d", "digits_lt", "--init-from", HERE], PATH), (["run", "--trust", HERE], of(["absent", "folder", LONG, "/proc"], odd=False)),
    (["status", "--out", HERE], PATH), (["logs", HERE], NAME), (["logs", "x", "--out", HERE], PATH),
    (["retry", "--failed", "--out", HERE], PATH), (["retry", "--failed", "--workers", HERE], NUMBER), (["reproduce", HERE], PATH),
    (["reproduce", "folder", "--tolerance", HERE], NUMBER), (["report", HERE], PATH), (["report", "--compare", HERE, HERE], PATH),
    (["report", "folder", "--baseline", HERE], NAME), (["report", "folder", "--study", FILE], TOML), (["evaluate", HERE], PATH),
    (["evaluate", "folder", "--metrics", HERE], NAME), (["evaluate", "folder", "--extractors", HERE], NAME),
    (["evaluate", "folder", "--bootstrap", HERE], NUMBER), (["score", HERE, "-d", "digits_lt"], PATH),
    (["score", "good.npz", "-d", HERE], NAME), (["score", "good.npz", "-d", "digits_lt", "--labels", HERE], PATH),
    (["score", "good.npz", "-d", "digits_lt", "--range", HERE], NAME), (["score", "good.npz", "-d", "digits_lt", "--nfe", HERE], NUMBER),
    (["score", "good.npz", "-d", "digits_lt", "--metrics", HERE], NAME), (["score", "good.npz", "-d", "digits_lt", "--set", HERE], SET),
    (["score", "good.npz", "-d", "digits_lt", "-r", HERE], NUMBER), (["export", HERE, "--to", "x"], PATH),
    (["import", HERE, "-m", "ddpm"], PATH), (["import", "junk.pt", "-m", HERE], NAME),
    (["data", "prepare", "folder_lt", "--source", HERE], PATH), (["data", "prepare", HERE, "--source", "folder"], NAME),
    (["data", "prepare", "folder_lt", "--source", "folder", "--image-size", HERE], NUMBER), (["data", "verify", HERE], NAME),
    (["datasets", "-r", HERE], NUMBER), ([HERE], NAME),
]  # fmt: skip


@pytest.fixture(scope="module")
def place():
    """A working folder with one of each kind of file that is not what it should be."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        rng = np.random.default_rng(0)
        Path("empty").touch()
        Path("folder").mkdir()
        for name in ("junk.npz", "junk.pt"):
            Path(name).write_bytes(rng.integers(0, 256, 300, np.uint8).tobytes())
        os.mkfifo("pipe")
        Path("text.npy").write_text("no array")
        with Path("huge.npz").open("wb") as handle:
            np.lib.format.write_array_header_1_0(
                handle, {"descr": "|u1", "fortran_order": False, "shape": (1 << 41,)}
            )
        np.savez(
            "good.npz",
            images=rng.integers(0, 256, (20, 1, 8, 8), np.uint8),
            labels=np.repeat(np.arange(10), 2),
        )
        yield Path(folder)


def outcome(words):
    """Run a command in this process; return its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app.main(words)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return code, out.getvalue(), err.getvalue()


def try_one(place, command, value):
    words, _ = command
    if isinstance(value, bytes):
        (place / FILE).write_bytes(value)
    elif FILE in words:
        (place / FILE).write_text(value, encoding="utf-8", errors="surrogateescape")
    given = [value if word is HERE else word for word in words]
    if any("\0" in word for word in given):
        return  # no shell can pass it
    with chdir(place):
        code, out, err = outcome(given)
    shown = [word if len(word) < 80 else word[:60] + "..." for word in given]
    assert code not in (0, INTERNAL), (shown, value[:80], code, err[-800:])
    assert "Traceback" not in err + out, (shown, err[-800:])
    assert "internal error" not in err, (shown, err[-800:])
    assert "\x1b[2J" not in err + out, shown
    assert err.strip() or out.strip(), (shown, "ended without a word")
    assert not list(place.rglob("spec.json")), (shown, "left a run behind")


def examples():
    return st.sampled_from(range(len(COMMANDS))).flatmap(
        lambda number: st.tuples(
            st.just(number),
            st.one_of(COMMANDS[number][1], BYTES) if FILE in COMMANDS[number][0] else COMMANDS[number][1],
        )
    )


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=lambda number: " ".join(
    "X" if word is HERE else word for word in COMMANDS[number][0]))  # fmt: skip
def test_each_command_refuses_nonsense(place, number):
    listed = {id(NUMBER): NUMBERS, id(NAME): NAMES, id(PATH): PATHS, id(SET): SETS, id(TOML): TOMLS}
    values = listed.get(id(COMMANDS[number][1]), ["meta", "absent"])
    for value in itertools.islice(values, number % 3, None, 7):  # a few of each; the slow test tries the rest
        try_one(place, COMMANDS[number], value)


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_any_nonsense_is_one_sentence(place, commands, attack_seed):
    tried = 0

    @seed(attack_seed)
    @settings(
        max_examples=commands,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(examples())
    def fuzz(example):
        nonlocal tried
        tried += 1
        number, value = example
        try_one(place, COMMANDS[number], value)

    started = time.monotonic()
    fuzz()
    minutes = (time.monotonic() - started) / 60
    print(
        f"{tried} commands in {minutes:.0f} min, seed {attack_seed}: each ended in a sentence and a non-zero exit",
        file=sys.stderr,
    )
