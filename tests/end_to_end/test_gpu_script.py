"""The GPU benchmark runs from end to end, scaled down, on a CPU: data in CIFAR's format, a killed run, one table."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]


def gpu(*arguments, **kwargs):
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **kwargs)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_part_measures_something_and_the_killed_run_goes_on(tmp_path):
    done = gpu("--small", "--device", "cpu", "--out", tmp_path / "table.md")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    for part in (
        "| training, fp32 |",
        "| training, bf16, channels_last |",
        "| sampling, bf16 |",
        "| host share, bf16 |",
        "| a batch on the host |",
        "scores against the CPU's | 0.0e+00 |",  # the device is the CPU
        "killed and resumed | done |",
        "| small network, ccua, dropout 0 |",
        "| small network, sampling, autoguidance |",
        "pixels at most 0 of 255 apart, in the mean 0 |",
        "mean loss of 20 steps 0e+00 apart |",  # nothing is compiled here: the same steps twice
    ):
        assert part in text, text
    assert "Scaled down" in text
    assert "failed" not in text.lower()


def test_a_kernel_counts_once_in_the_devices_share(monkeypatch):
    """On an H100 the first version found the device busy for 94.5 of 88.2 ms: it counted the kernel and its operator."""
    from torch.autograd import DeviceType

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from gpu import device_seconds

    def event(kind, microseconds, annotation=False):
        return SimpleNamespace(
            device_type=kind, self_device_time_total=microseconds, is_user_annotation=annotation
        )

    operator, kernel = event(DeviceType.CPU, 5e6), event(DeviceType.CUDA, 5e6)
    named = event(DeviceType.CUDA, 7e6, annotation=True)
    assert device_seconds([operator, kernel, named, event(DeviceType.CUDA, 1e6)]) == 6.0


def test_without_a_gpu_it_ends_in_one_sentence():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    done = gpu()
    assert done.returncode == 2
    assert "no GPU that PyTorch finds" in done.stderr
    assert "Traceback" not in done.stderr
