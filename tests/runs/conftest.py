"""What tests of runs' folders share: trees of runs, and a cache of their own."""

import json

import numpy as np
import pytest
from report_folders import make_spec, score_rows, write_run


@pytest.fixture
def runs(tmp_path):
    """Two trainings of three sample sets, whose scores have the columns of two versions."""
    root = tmp_path / "runs"
    for seed in (0, 1):
        run = root / f"digits_lt-r0.1-ddpm-s{seed}-0123456{seed}"
        for number, sample in enumerate(("aaaaaaaa", "bbbbbbbb")[: 2 - seed]):
            folder = run / "samples" / sample
            folder.mkdir(parents=True)
            spec = {"sample_key": sample * 8, "step": 1500}
            (folder / "spec.json").write_text(json.dumps(spec, indent=2, sort_keys=True) + "\n")
            extra = ",grouping" if number else ""
            rows = "".join(
                f'frechet,{seed + i}.25,"a, ""b"""{",thirds" if number else ""}\n' for i in range(3)
            )
            (folder / "scores.csv").write_text(f"metric,value,note{extra}\n{rows}")
            np.save(folder / "images.npy", np.full((2, 1, 8, 8), seed, np.uint8))
            np.save(folder / "labels.npy", np.arange(2))
            (folder / "sheet.png").write_bytes(b"\x89PNG" + bytes([seed]))
            (folder / "nearest.npz").write_bytes(b"PK" + bytes([seed]))
        (run / "spec.json").write_text(json.dumps({"train_seed": seed}, indent=2, sort_keys=True) + "\n")
        (run / "provenance.json").write_text('{"hand": "written"}')  # not as ltbench writes JSON
        (run / "train.csv").write_text("step,loss\n50,0.5\n")
        (run / "probes").mkdir()
        (run / "probes" / "step-00001500.csv").write_text("t,metric\n")
        (run / "weights").mkdir()
        (run / "weights" / "step-00001500.safetensors").write_bytes(b"weights")
        (run / "checkpoint.pt").write_bytes(b"not for a stranger")
    (root / ".cache").mkdir()
    (root / ".cache" / "spec.json").write_text("{}")
    (root / "study.toml").write_text("title = 'Digits'\n")
    return root


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """What is unpacked from bundles lies in the test's own folder."""
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def four_runs(tmp_path):
    """Two methods of two seeds with scores."""
    root = tmp_path / "runs"
    for method in ("ddpm", "coral"):
        for seed in (0, 1):
            spec = make_spec(method, seed)
            write_run(root, spec, score_rows(spec))
    return root
