"""Protocols: which settings lead, which are compared, and in what order cells stand."""

from report_folders import COUNTS, make_spec, score_rows, write_run

from ltbench.report import load_scores
from ltbench.report.cells import cells
from ltbench.report.findings import best_guidances
from ltbench.report.protocols import main_protocols, main_series
from ltbench.report.tables.contrasts import glance_table
from ltbench.report.tables.differences import differences
from ltbench.report.tables.scores import groups_table, tail_table


def test_main_protocol_is_the_one_with_the_seeds_not_the_finest_sampler(seeds_cell):
    assert {one.sampler for one in main_series(seeds_cell)} == {"dpmsolver++"}
    assert [[one.guidance for one in b] for b in main_protocols(seeds_cell)] == [[0.0, 0.0], [1.0, 1.0]]
    assert all([one.label for one in b] == ["DDPM", "CORAL"] for b in main_protocols(seeds_cell))


def test_of_a_guidance_curve_the_fully_scored_are_shown_and_the_best_is_sought_among_all(tmp_path):
    for method in ("ddpm", "coral"):
        for guidance in (0.0, 0.25, 0.5, 1.0, 2.0, 3.0):
            spec = make_spec(method, guidance=guidance)
            metrics = ("frechet", "recall") if guidance in (0, 1) else ("frechet",)
            rows = score_rows(spec, metrics=metrics)
            if guidance == 3.0:
                rows = [row | {"value": "0.5"} for row in rows]
            write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert [block[0].guidance for block in main_protocols(cell)] == [0.0, 1.0]
    assert len(main_protocols(cell, every=True)) == 6
    assert {best.chosen for _, best in best_guidances(cell)} == {3.0}


def test_long_tails_lead_and_controls_close_and_have_no_tail(tmp_path):
    for method in ("ddpm", "coral"):
        for settings in ({"ratio": 0.1}, {"ratio": 1.0}, {}, {"order": "reversed"}):
            spec = make_spec(method, **settings)
            counts = (120,) * 10 if settings.get("ratio") == 1 else COUNTS
            write_run(tmp_path, spec, score_rows(spec, counts=counts), images=False)
    found = cells(load_scores(tmp_path))
    assert [c.label for c in found] == [
        "digits_lt, ratio 0.1",
        "digits_lt, ratio 0.05",
        "digits_lt, ratio 0.05, class order reversed",
        "digits_lt, ratio 1",
    ]
    control = found[-1]
    assert control.groups() == ["macro", "worst"]
    assert tail_table(control) is None
    assert groups_table(control).columns[1:3] == ["macro mean", "worst class"]
    glance = glance_table([(c, differences(c, "ddpm")) for c in found], "ddpm")
    assert [row[1] for row in glance.rows] == ["overall", "tail"] * 3 + ["overall"]
