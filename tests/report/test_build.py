"""The whole report, written: which figures are drawn of what is stored, and a baseline that is not there."""

import pytest
from report_folders import (
    make_spec,
    score_rows,
    write_pairs,
    write_probes,
    write_run,
)

from ltbench.analysis.cells import cells
from ltbench.errors import StorageError, UsageError
from ltbench.report import write_report
from ltbench.report.document import make_scenes
from ltbench.report.figures import draw as drawing
from ltbench.report.figures.base import KINDS, figures_of
from ltbench.runs.results import load_results


def test_probes_pairs_and_swept_settings_are_drawn(tmp_path, monkeypatch):
    root = tmp_path / "runs"
    for method in ("ddpm", "coral"):
        spec = make_spec(method)
        write_pairs(write_run(root, spec, score_rows(spec, metrics=("frechet",))))
        write_probes(root, spec)
        write_run(root, make_spec(method, guidance=1.0), images=False)
    write_run(root, make_spec("coral", hyper={"coral": {"w": 0.5}}), images=False)
    report = write_report(root, tmp_path / "out", all_figures=True)
    results = load_results(root)
    (cell,) = cells(results.scores)
    (scene,) = make_scenes([cell], results, "ddpm")
    made = figures_of(scene)
    assert set(made) >= {
        "noise",
        "entanglement",
        "tsne",
        "nearest",
        "guidance",
        "hyper",
        "heat",
        "class",
        "cost",
    }
    assert set(made) <= set(KINDS)
    assert "t = 100" in made["entanglement"][0].caption
    assert "true label" not in made["noise"][0].caption
    assert all("digits_lt, ratio 0.05" in f.caption for figures in made.values() for f in figures)
    drawn = {p.stem for p in report.files if p.suffix == ".png"}
    assert {f.name for figures in made.values() for f in figures} <= drawn
    kept = sorted(root.glob("*/probes/tsne-*.npz"))
    assert len(kept) == 2  # beside the probe, and not computed again
    before = [p.stat().st_mtime_ns for p in kept]
    monkeypatch.setattr(drawing, "draw", lambda *_, **__: [])  # the figures are those above
    write_report(root, tmp_path / "again", all_figures=True)
    assert [p.stat().st_mtime_ns for p in kept] == before


def test_unknown_baseline_names_the_nearest(pages_study, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'coral'"):
        write_report(pages_study, tmp_path, baseline="corel")


@pytest.mark.parametrize("name", ["index.html", "report.md", "details.md"])
def test_a_page_that_a_person_wrote_is_not_written_over(pages_study, tmp_path, name):
    """`--out .` in a project's folder replaced its index.html."""
    (tmp_path / name).write_text("<h1>ltbench and I</h1>")
    with pytest.raises(
        StorageError, match=f"{name} is there and was not written by ltbench: choose another folder"
    ):
        write_report(pages_study, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_report_is_written_over_its_own(pages_study, tmp_path):
    first = write_report(pages_study, tmp_path).files
    assert write_report(pages_study, tmp_path).files == first
