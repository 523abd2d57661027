"""What is committed under results/: studies that load, runs that are what they say, tables that the reports hold."""

from pathlib import Path

import numpy as np
import pytest

from ltbench.files import read_json
from ltbench.runs.scores import read_scores
from ltbench.spec import RunSpec, sample_key, train_key
from ltbench.study.file import load_study

REPO = Path(__file__).resolve().parents[2]
RESULTS = REPO / "results"
STUDIES = sorted(RESULTS.glob("*/*.toml"))
TRAININGS = sorted(path.parent for path in RESULTS.glob("*/*/spec.json"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_study_file_loads_and_says_what_it_asks(path):
    study = load_study(path)
    assert study.runs and study.title and study.description


def test_a_studys_files_train_the_same_networks():
    """Curves and samplers are drawn on the study's own trainings: a changed setting would train others."""
    for folder in sorted({path.parent for path in STUDIES}):
        trained = {
            train_key(run)
            for name in ("study", "controls", "order", "variants", "ratio", "resampling")
            if (folder / f"{name}.toml").exists()
            for run in load_study(folder / f"{name}.toml").runs
        }
        for name in ("guidance", "samplers", "budget"):
            if (folder / f"{name}.toml").exists():
                assert {train_key(run) for run in load_study(folder / f"{name}.toml").runs} <= trained


@pytest.mark.parametrize("folder", TRAININGS, ids=lambda folder: folder.name)
def test_a_run_is_what_its_spec_says(folder):
    recorded = read_json(folder / "spec.json")
    spec = RunSpec.model_validate({k: v for k, v in recorded.items() if k in RunSpec.model_fields})
    assert train_key(spec) == recorded["train_key"] and folder.name.endswith(recorded["train_key"][:8])
    stages = read_json(folder / "provenance.json")["stages"]
    assert stages and all(stage["code"]["git_commit"] for stage in stages)
    samples = sorted(folder.glob("samples/*"))
    assert samples and not list(folder.rglob("*.safetensors")) and not list(folder.rglob("*.pt"))
    for place in samples:
        made = read_json(place / "spec.json")
        train = spec.train.model_dump() | {"steps": made["step"]}
        sample = RunSpec.model_validate(spec.model_dump() | {"sample": made["sample"], "train": train})
        assert sample_key(sample) == made["sample_key"] and place.name == made["sample_key"][:8]
        scores = read_scores(place / "scores.csv")
        assert set(scores["sample_key"]) == {made["sample_key"]} and np.isfinite(scores["value"]).any()
        if (place / "images.npy").exists():
            assert (place / "images.npy").stat().st_size <= 1 << 20


@pytest.mark.parametrize("page", [REPO / "docs" / "findings.md", RESULTS / "README.md"], ids=["findings", "results"])
def test_tables_of_findings_are_the_reports_own(page):
    """Not typed in: each row stands in a committed report, to the letter."""
    reports = "".join(path.read_text(encoding="utf-8") for path in RESULTS.glob("*/report/*.md"))
    rows = [
        line
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith(("| digits_lt,", "| fashion_mnist_lt,"))
    ]
    assert [row for row in rows if row not in reports] == []
    if page.name == "findings.md":
        assert rows
