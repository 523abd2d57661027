"""The proof with real trainings on real digits: kills, a full disk, broken files; then made again, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from safetensors.numpy import load_file
from sweep_tools import wait_for, workers_of

from ltbench.environment import Settings
from ltbench.study.file import load_study
from ltbench.sweep import status
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.reproduce import reproduce

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SETS = [
    "methods=ddpm,coral+t2h",
    "guidance=0,1",
    "train.steps=60",
    "train.warmup_steps=3",
    "train.ema_decay=0.8",
    "train.batch_size=16",
    "sample.steps=4",
    "sample.per_class=8",
    "score.metrics=frechet,precision_recall",
    "score.floor_draws=2",
]
DRIVER = """
import sys
from pathlib import Path
from ltbench.sweep.local import run_local
from ltbench.sweep.status import closing_lines, exit_code, load_plan
from ltbench.environment import Settings

if __name__ == "__main__":
    root = Path(sys.argv[1])
    settings = Settings(beat=0.2, lease=5.0, checkpoint_seconds=0.5, sample_batch=20)
    rows = run_local(load_plan(Path(sys.argv[2])).runs, root, settings, "2")
    print(chr(10).join(closing_lines(rows, root)))
    sys.exit(exit_code(rows))
"""
# Where and when, not what: differs from sweep to sweep.
NOT_RESULTS = ("provenance.json", "checkpoint.pt", "digests.json")


def runs():
    return load_study("demo", SETS).runs


def start(root, **environment):
    plan = status.save_plan(root, status.SavedPlan(runs()))
    script = root / ".sweep" / "driver.py"
    script.write_text(DRIVER)
    return subprocess.Popen(
        [sys.executable, str(script), str(root), str(plan)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def finish(root):
    process = start(root)
    output, _ = process.communicate()
    return process.returncode, output


def content(path):
    """Return a file's bytes; of weights the tensors', since safetensors writes its header in random order."""
    if path.suffix != ".safetensors":
        return path.read_bytes()
    return {name: (value.dtype.str, value.shape, value.tobytes()) for name, value in load_file(path).items()}


def results(root):
    return {
        path.relative_to(root).as_posix(): content(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not {".sweep", ".cache"} & set(path.relative_to(root).parts)
        and path.name not in NOT_RESULTS
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    code, output = finish(root)
    assert code == 0, output
    return root


def test_real_sweeps_survive_kills_bit_for_bit(tmp_path, undisturbed):
    rng = random.Random(0)
    for turn in range(4):
        process = start(tmp_path)
        wait_for(lambda process=process: workers_of(tmp_path) or process.poll() is not None, seconds=120)
        time.sleep(rng.uniform(1.0, 12.0))
        for pid in workers_of(tmp_path):
            os.kill(pid, signal.SIGKILL)
        if turn % 2:
            process.kill()
        else:
            process.send_signal(signal.SIGINT)
        process.communicate()
    code, output = finish(tmp_path)
    assert code == 0, output
    assert results(tmp_path) == results(undisturbed)


def test_a_real_run_is_reproduced_to_the_last_bit(tmp_path, undisturbed):
    for folder in sorted(undisturbed.glob("digits_lt-*")):
        result = reproduce(folder, tmp_path / folder.name, Settings())
        assert result.reproduced
        assert not result.changed
        assert not result.absent


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_disk_that_fills_up_and_is_freed_loses_nothing(tmp_path, undisturbed):
    root = tmp_path / "small"
    root.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(root)], check=False)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        process = start(root)
        wait_for(lambda: any(b"disk full" in path.read_bytes() for path in root.rglob("*.end")), seconds=180)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
        rows = status.survey(status.tasks_of(root), Ledger(root))
        assert "disk full" in {row.kind for row in rows}, output
        assert not [path for path in root.rglob(".*.tmp") if path.is_file()]
        subprocess.run(["mount", "-o", "remount,size=200m", str(root)], check=True)
        code, output = finish(root)
        assert code == 0, output
        assert results(root) == results(undisturbed)
    finally:
        subprocess.run(["umount", str(root)], check=True)


BROKEN = [
    "checkpoint.pt",
    "spec.json",
    "train.csv",
    "weights/*",
    "images.npy",
    "labels.npy",
    "scores.csv",
    "scored.json",
]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_and_once_deleted_made_again(tmp_path, undisturbed, name):
    """Break one kind of file in a sweep that was stopped half way; follow the message; compare."""
    subprocess.run(["cp", "-r", f"{undisturbed}/.", str(tmp_path)], check=True)
    broken = sorted(tmp_path.glob(f"*/{name}")) + sorted(tmp_path.glob(f"*/samples/*/{name}"))
    assert broken
    # Undo what comes after the broken file, so that a stage has to read it.
    undo = {
        "checkpoint.pt": ("weights/*", "samples"),
        "train.csv": ("weights/*", "samples"),
        "spec.json": ("samples",),
        "weights/*": ("samples",),
    }
    for pattern in undo.get(name, ("samples/*/scored.json",) if name != "scored.json" else ()):
        for path in tmp_path.glob(f"*/{pattern}"):
            subprocess.run(["rm", "-r", str(path)], check=True)
    for path in broken:
        if path.exists():
            os.truncate(path, path.stat().st_size // 2)
    for _ in range(6):
        code, output = finish(tmp_path)
        if code == 0:
            break
        named = [path for path in broken if str(path) in output or str(path.parent) in output]
        assert named, output
        for path in named:
            path.unlink(missing_ok=True)
    assert code == 0, output
    found, wanted = results(tmp_path), results(undisturbed)
    if name == "train.csv":  # rows of steps that are not done again are lost; they are not made up
        for log in [path for path in wanted if path.endswith(name)]:
            assert set(found.pop(log, b"").splitlines()) <= set(wanted.pop(log).splitlines())
    assert found == wanted
