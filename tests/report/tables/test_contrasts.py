"""The table of contrasts: where its intervals come from, and what it marks."""

from report_folders import make_spec, score_rows, write_run

from ltbench.report import load_scores
from ltbench.report.cells import cells
from ltbench.report.tables.contrasts import contrast_table
from ltbench.report.tables.differences import differences
from ltbench.report.tables.grid import Bold


def test_the_table_says_where_its_intervals_come_from(contrast_study):
    (cell,) = cells(load_scores(contrast_study))
    table = contrast_table(cell, differences(cell, "ddpm"))
    assert any("[" in e and e.endswith("3/3") for row in table.rows for e in row)
    assert "no p-value" in table.notes[0]


def test_what_a_table_bolds_is_corrected_for_how_many_it_compares(tmp_path):
    """One difference of many whose own interval leaves out 0 stays plain; a clear one is bold."""
    for seed in range(3):
        for method, by in (("ddpm", 0.0), ("cbdm", -0.2 - 0.06 * seed), ("coral", -3.0 - 0.001 * seed)):
            spec = make_spec(method, seed)
            rows = [r for r in score_rows(spec, metrics=("frechet",)) if r["scope"] == "overall"]
            write_run(
                tmp_path,
                spec,
                [r | {"value": str(4 + by)} for r in rows if r["metric"] == "frechet"],
                images=False,
            )
    (cell,) = cells(load_scores(tmp_path))
    frame = differences(cell, "ddpm").set_index("label")
    assert frame.loc["CBDM", "high"] < 0
    assert 0.01 < frame.loc["CBDM", "p_t"] < 0.05
    bold = {row[0]: isinstance(row[1], Bold) for row in contrast_table(cell, frame.reset_index()).rows}
    assert bold == {"CBDM - DDPM": True, "CORAL - DDPM": True}  # two tests: .025, then .05
    for method in ("t2h", "plug-in"):
        for seed in range(3):
            spec = make_spec(method, seed)
            rows = [
                r
                for r in score_rows(spec, metrics=("frechet",))
                if r["scope"] == "overall" and r["metric"] == "frechet"
            ]
            write_run(tmp_path, spec, [r | {"value": str(4 + 0.1 * (seed - 1))} for r in rows], images=False)
    (cell,) = cells(load_scores(tmp_path))
    table = contrast_table(cell, differences(cell, "ddpm"))
    bold = {row[0]: isinstance(row[1], Bold) for row in table.rows}
    assert bold["CORAL - DDPM"]
    assert not bold["CBDM - DDPM"]
    assert "by chance 3/3 in 25 % of cases" in table.notes[0]
