"""One data cell's results: the numbers of a measure at a place, by series and seed."""

import pytest
from report_folders import make_spec, write_run

from ltbench.report import load_scores, write_report
from ltbench.report.cells import cells
from ltbench.report.protocols import main_series


def test_by_seed_takes_the_main_sampling_seed_only(contrast_study):
    (cell,) = cells(load_scores(contrast_study))
    wide = cell.by_seed("overall", cell.measures("overall")[0])
    key = next(one.key for one in cell.series if one.method == "ddpm")
    rows = cell.points[(cell.points["series"] == key) & (cell.points["sample_seed"] == 0)]
    expected = rows[(rows["scope"] == "overall") & (rows["metric"] == "frechet") & (rows["role"] == "")]
    assert wide[key].dropna().to_list() == pytest.approx(
        expected.sort_values("train_seed")["value"].to_list()
    )


def test_a_side_question_with_fewer_images_does_not_lead(tmp_path):
    for seed in (0, 1, 2):
        write_run(tmp_path, make_spec("ddpm", seed), images=False)
    write_run(tmp_path, make_spec("ddpm", 0, per_class=10, sampler="ancestral", steps=1000), images=False)
    (cell,) = cells(load_scores(tmp_path))
    frechet = [m.n_generated for m in cell.measures("overall") if m.metric == "frechet"]
    assert frechet == [300, 100]
    for seed in (0, 1, 2):
        for steps in range(5, 17):  # many settings, so that tables and figures show the main ones alone
            write_run(tmp_path, make_spec("ddpm", seed, steps=steps), images=False)
    report = write_report(tmp_path, tmp_path / "report")
    assert "n=100" not in (report.path / "report.md").read_text()
    assert "n=100" in (report.path / "details.md").read_text()
    assert main_series(cell)[0].train_seeds == (0, 1, 2)
