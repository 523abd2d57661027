"""The tables of spreads and ranks: what each spread is, and that ranks test nothing."""

from report_folders import make_spec, score_rows, write_run

from ltbench.report import load_scores
from ltbench.report.cells import cells
from ltbench.report.tables.spread import rank_table, spread_table


def test_tables_say_where_spreads_come_from(contrast_study):
    (cell,) = cells(load_scores(contrast_study))
    spread = spread_table(cell)
    texts = spread.rows
    assert any("(n=3)" in row[2] and "(n=2)" in row[3] for row in texts)
    assert "evaluation noise" in spread.notes[0]
    ranks = rank_table(cell)
    assert ranks.rows[0][0] == "DDPM"
    assert "test nothing" in ranks.notes[0]


def test_bootstrap_interval_is_labelled_as_evaluation_noise(tmp_path):
    spec = make_spec()
    rows = score_rows(spec)
    overall = next(r for r in rows if r["scope"] == "overall" and r["metric"] == "frechet")
    for role, value in (("ci_low", "1.25"), ("ci_high", "3.75")):
        rows.append(overall | {"metric": f"frechet.{role}", "value": value})
    write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    spread = spread_table(cell)
    assert [row[4] for row in spread.rows] == ["[1.25, 3.75]"]
    assert spread.columns[4] == "Image bootstrap 95 %"
    assert "evaluation noise" in spread.notes[0]
