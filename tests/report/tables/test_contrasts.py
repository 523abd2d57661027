"""Who leads: where intervals come from, what is marked, what each spread is, and that ranks test nothing."""

from report_folders import make_spec, score_rows, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.differences import differences
from ltbench.report.tables.contrasts import (
    best_guidance_table,
    contrast_table,
    glance_table,
    rank_table,
    spread_table,
)
from ltbench.report.tables.grid import Bold
from ltbench.runs.results import load_scores


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


def test_the_glance_tables_columns_are_methods_whatever_a_cell_calls_them(tmp_path):
    """A cell with two variants of a method labels them by variant; it had columns of its own beside the others'."""
    for ratio in (0.1, 0.05):
        for method, variant in (("ddpm", ""), ("coral", "published"), ("coral", "released"), ("cbdm", "")):
            if ratio == 0.05 or method != "cbdm":
                hyper = {"coral": {"variant": variant}} if variant == "released" else {}
                spec = make_spec(method, ratio=ratio, hyper=hyper)
                rows = [row | {"variant": variant} for row in score_rows(spec)]
                write_run(tmp_path, spec, rows, images=False)
    found = cells(load_scores(tmp_path))
    glance = glance_table([(c, differences(c, "ddpm")) for c in found], "ddpm")
    assert glance.columns[3:-1] == ["CORAL (published) - DDPM", "CORAL (released) - DDPM"]
    assert all(entry != "—" for row in glance.rows for entry in row)
    assert "Methods run in one data cell alone" in glance.notes[0]  # CBDM
    alone = glance_table([(found[1], differences(found[1], "ddpm"))], "ddpm")
    assert alone.columns[3] == "CBDM - DDPM"
    assert "alone" not in alone.notes[0]


def test_kernel_distances_stand_in_the_glance_table_as_a_family_of_their_own(tmp_path):
    """Three paired seeds: -1, -1.1 and -.95 is shown at 5 %, and Frechet differences of .5, -.5 and 0 are not."""
    values = {"ddpm": ((5.0, 6.0, 7.0), (10.0, 20.0, 30.0)), "coral": ((5.5, 5.5, 7.0), (9.0, 18.9, 29.05))}
    for method, (frechet, kernel) in values.items():
        for seed in range(3):
            spec = make_spec(method, seed)
            rows = [r for r in score_rows(spec, metrics=("frechet",)) if r["metric"] == "frechet"]
            distances = [row | {"value": frechet[seed]} for row in rows]
            kernels = [row | {"metric": "kid", "definition": "kid/1", "value": kernel[seed]} for row in rows]
            write_run(tmp_path, spec, distances + kernels, images=False)
    (cell,) = cells(load_scores(tmp_path))
    glance = glance_table([(cell, differences(cell, "ddpm"))], "ddpm")
    assert [row[1] for row in glance.rows] == [
        "overall",
        "tail",
        "overall, KD (digits_cnn)",
        "tail, KD (digits_cnn)",
    ]
    assert glance.rows[0][2].startswith("6.00 ± 1.00")
    assert glance.rows[2][2].startswith("20.0000 ± 10.0000")
    assert not isinstance(glance.rows[0][3], Bold)
    assert glance.rows[2][3].startswith("-1.0167 [")  # the mean of -1, -1.1 and -.95
    assert isinstance(glance.rows[2][3], Bold)
    assert "Kernel distances, where they were scored" in glance.notes[0]


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


def test_the_filters_know_the_rows_of_spreads_and_of_best_guidances(tmp_path):
    for method in ("ddpm", "coral"):
        for guidance in (0.0, 1.0):
            for sample_seed in (0, 1):
                spec = make_spec(method, guidance=guidance, sample_seed=sample_seed)
                write_run(tmp_path, spec, images=False)
    (cell,) = cells(load_scores(tmp_path))
    for table in (spread_table(cell), best_guidance_table(cell)):
        assert len(table.rows) > 1
        for row, tags in zip(table.rows, table.row_tags, strict=True):
            assert tags["method"] == row[0].lower()
            assert tags["guidance"] in row
