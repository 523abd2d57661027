"""What is committed under results/: studies that load, bundles that hold what they say, tables that the reports hold."""

import subprocess
import sys
from pathlib import Path

import pytest

from ltbench.interop.verify import CONTRADICTED, RESCORED, verify
from ltbench.runs.bundle import read_bundle, unpack
from ltbench.specs import train_key
from ltbench.study.file import load_study

REPO = Path(__file__).resolve().parents[2]
RESULTS = REPO / "results"
STUDIES = sorted({*RESULTS.glob("*/study/*.toml"), *RESULTS.glob("*/*.toml")})
BUNDLES = sorted(path.parent for path in RESULTS.rglob("bundle.json"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_study_file_loads_and_says_what_it_asks(path):
    study = load_study(path)
    assert study.runs
    assert study.title
    assert study.description


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in STUDIES}), ids=lambda folder: str(folder.relative_to(RESULTS))
)
def test_a_studys_files_train_the_same_networks(folder):
    """Curves and samplers are drawn on the study's own trainings: a changed setting would train others."""
    trained = {
        train_key(run)
        for name in ("study", "controls", "order", "variants", "ratio", "resampling", "digits", "fashion")
        if (folder / f"{name}.toml").exists()
        for run in load_study(folder / f"{name}.toml").runs
    }
    for name in ("guidance", "samplers", "budget", "digits-guidance", "digits-budget", "fashion-budget"):
        if (folder / f"{name}.toml").exists():
            assert {train_key(run) for run in load_study(folder / f"{name}.toml").runs} <= trained


@pytest.mark.timeout(900)  # a million numbers, on a machine that does other things too
@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_bundle_is_what_its_specs_say(path, tmp_path):
    bundle = read_bundle(path)
    unpack(bundle, tmp_path / "runs")
    found = verify(tmp_path / "runs", score=False)
    assert found.problems == []
    assert len(found.rows) == bundle.index["numbers"]  # that a report reads as many is the page's own check
    assert not {".safetensors", ".pt"} & {file.suffix for file in (tmp_path / "runs").rglob("*")}


@pytest.mark.slow
@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_stored_images_give_the_stored_numbers(path, tmp_path):
    """A later definition of a metric may leave a number unmatched; none may be contradicted."""
    unpack(read_bundle(path), tmp_path / "runs")
    for folder in sorted((tmp_path / "runs").glob("*-s0-*"))[:2]:
        found = verify(folder)
        assert found.counts[CONTRADICTED] == 0
        assert found.counts[RESCORED] > 0 or not list(folder.rglob("images.npy"))


def test_the_repository_stays_light():
    files = [
        p for p in RESULTS.rglob("*") if p.is_file() and p.name != "index.html" and p.parent.name != "tables"
    ]
    assert len(files) < 150
    assert sum(p.stat().st_size for p in files) < 30e6


@pytest.mark.timeout(900)
def test_pages_state_what_the_scores_say():
    """Every number of results/README.md and docs/findings.md about the second study is a query on the bundles."""
    done = subprocess.run(
        [sys.executable, RESULTS / "page.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_first_picture_is_the_studys_own():
    assert (REPO / "docs/img/forest.png").read_bytes() == (
        RESULTS / "second/digits/report/figures/forest.png"
    ).read_bytes()


@pytest.mark.parametrize(
    "page", [REPO / "docs" / "findings.md", RESULTS / "first-study.md"], ids=["findings", "first"]
)
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
