"""Tables of scores: what is bold, which settings are shown, groups and pooled groups."""

import numpy as np
from report_folders import COUNTS, make_spec, score_rows, uneven, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.protocols import main_series
from ltbench.analysis.series import Series
from ltbench.report.tables.grid import Bold
from ltbench.report.tables.notes import protocol_columns
from ltbench.report.tables.scores import (
    groups_table,
    league_table,
    overall_table,
    per_class_tables,
    pooled_table,
    settings_table,
    tail_table,
)
from ltbench.runs.results import load_results, load_scores


def test_bold_is_decided_among_rows_of_one_protocol(seeds_cell):
    table = overall_table(seeds_cell)
    column = table.columns.index("FD (digits_cnn) ↓")
    bold = [row[0] for row in table.rows[:-1] if isinstance(row[column], Bold)]
    assert len(table.rules) >= 2
    assert len(bold) == 2


def test_a_cell_of_many_settings_shows_the_main_ones_first(tmp_path):
    for method in ("ddpm", "coral"):
        for seed in (0, 1):
            for steps in (5, 10, 20, 50, 100, 200, 500) if seed == 0 else (20,):
                write_run(tmp_path, make_spec(method, seed, steps=steps), images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert len(overall_table(cell).rows) == 3
    assert "12 more settings" in overall_table(cell).notes[-1]
    assert len(settings_table(cell).rows) == 15


def test_groups_stand_with_t_intervals_and_the_tail_with_its_measures(seeds_cell):
    table = groups_table(seeds_cell)
    tail = table.columns.index("tail")
    first = seeds_cell.means("group", seeds_cell.measures("group")[0], "tail")[main_series(seeds_cell)[0].key]
    half, mean = 4.302653 * first.sd / np.sqrt(3), first.mean
    assert table.rows[0][tail] == f"{mean:.2f} [{mean - half:.2f}, {mean + half:.2f}]"
    assert tail_table(seeds_cell).columns[1:3] == ["FD (digits_cnn) ↓", "Recall ↑"]


def test_pooled_groups_have_a_table_of_their_own_and_a_dash_its_reason(tmp_path):
    """A group's mean over classes and its pooled value never share a column; what is missing says why."""
    spec = make_spec()
    rows = score_rows(spec, metrics=("frechet",))
    tail = next(r for r in rows if r["scope"] == "group" and r["class_or_group"] == "tail")
    rows.append(
        tail | {"scope": "pooled", "value": "3.5", "n_generated": 90, "grouping": "thirds", "labels": "7 8 9"}
    )
    rows = [
        r
        | (
            {"value": "", "reason": "one image only"}
            if r["class_or_group"] == "9" and r["metric"] == "frechet"
            else {}
        )
        for r in rows
    ]
    write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    pooled = pooled_table(cell)
    assert pooled.rows[0][1] == "3.50"
    assert "thirds" in pooled.notes[1]
    assert "7 8 9" in pooled.notes[1]
    assert "3.50" not in {text for row in groups_table(cell).rows for text in row}
    table = per_class_tables(cell)[0]
    assert table.rows[9][2] == "—"
    assert any("9: one image only" in note for note in table.notes)


def test_classes_of_different_sizes_share_one_table(tmp_path):
    """There were ten tables of one name, each with one class filled."""
    spec = make_spec("ddpm")
    write_run(tmp_path, spec, uneven(score_rows(spec, metrics=("frechet",))), images=False)
    (cell,) = cells(load_scores(tmp_path))
    (table,) = per_class_tables(cell)
    assert "—" not in {row[2] for row in table.rows}
    assert "6 to 120 generated against 120 real images of digits_lt a class" in table.notes[1]
    beside = [row[3] for row, count in zip(table.rows, COUNTS, strict=False) if "(n=30)" not in row[3]]
    assert beside == [], "a floor of 30 images says so beside a class of another number"


def test_scores_at_two_sizes_have_tables_of_two_names(tmp_path):
    """The second replaced the first wherever tables are kept by name: in LaTeX and in the list of files."""
    even, own = make_spec("ddpm"), make_spec("coral")
    write_run(tmp_path, even, score_rows(even, metrics=("frechet",)), images=False)
    write_run(tmp_path, own, uneven(score_rows(own, metrics=("frechet",))), images=False)
    (cell,) = cells(load_scores(tmp_path))
    first, second = per_class_tables(cell)
    assert first.name == "per-class-frechet-digits_cnn-digits-r0.05"
    assert second.name == "per-class-frechet-digits_cnn-2-digits-r0.05"
    assert {first.title, second.title} == {
        "FD (digits_cnn) (n=30) ↓ per class, digits_lt, ratio 0.05",
        "FD (digits_cnn) (n as the class has) ↓ per class, digits_lt, ratio 0.05",
    }


def test_a_mean_number_of_evaluations_is_not_cut_to_a_whole_one():
    one, other = (Series(str(n), "ddpm", "", 100.0, "ddim", n, 1.0, "ours", "{}") for n in (26.25, 26.75))
    assert "NFE 26.25" in protocol_columns([one, one])[1]
    assert ("NFE", ["26.25", "26.75"]) in protocol_columns([one, other])[0]


def test_a_leagues_guidance_is_printed_as_elsewhere(tmp_path):
    for method in ("ddpm", "coral"):
        for guidance in (0.0, 0.25):
            write_run(tmp_path, make_spec(method, guidance=guidance), images=False)
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    table = league_table(cell, results.runs, "ddpm")
    at = table.columns.index("ω")
    assert [row[at] for row in table.rows] == ["0", "0", "0.25", "0.25"]


def test_an_infinite_score_is_said_to_be_that(tmp_path):
    for seed in range(3):
        spec = make_spec("ddpm", seed)
        rows = score_rows(spec, metrics=("frechet",))
        if seed == 0:
            rows = [row | ({"value": "inf"} if row["metric"] == "frechet" else {}) for row in rows]
        write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    for table in (overall_table(cell), groups_table(cell)):
        assert table.rows[0][1] == "not finite"
        assert not any("not measured" in note for note in table.notes)


def test_a_method_that_diverged_is_not_bold(tmp_path):
    for method in ("ddpm", "coral", "t2h"):
        for seed, times in enumerate((60, 100, 200)):
            spec = make_spec(method, seed)
            rows = score_rows(spec)
            for row in rows if method == "t2h" else ():
                if row["metric"] == "frechet":
                    row["value"] = repr(float(row["value"]) * times)
            write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    table = overall_table(cell)
    at = table.columns.index("FD (digits_cnn) ↓")
    bold = {row[0]: isinstance(row[at], Bold) for row in table.rows}
    assert any(bold.values())
    assert not bold["T2H"]


def test_samples_of_another_size_say_it_and_are_read_against_a_floor_of_their_own(tmp_path):
    """40 images a class stood in one column with 20, in bold before them, beside the floor of 20."""
    for seed in range(3):
        for method in ("ddpm", "coral"):
            spec = make_spec(method, seed)
            write_run(tmp_path, spec, with_group_floors(score_rows(spec), "2.1"), images=False)
    spec = make_spec("my_gan", per_class=40)
    rows = [
        row
        | {"origin": "external", "train_seed": "", "step": ""}
        | {"value": "0.9" if row["metric"] == "frechet.floor" else "0.95"}
        for row in score_rows(spec)
    ]
    write_run(tmp_path, spec, with_group_floors(rows, "0.7"), images=False)
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    table = league_table(cell, results.runs, "ddpm")
    row = next(row for row in table.rows if row[0].startswith("my_gan"))
    assert row[0] == "my_gan (external)"
    tail = table.columns.index("FD (digits_cnn), tail ↓")
    assert row[tail] == "0.95 (n=40)"
    assert not isinstance(row[tail], Bold)
    assert row[tail + 1] == "0.70"
    assert {other[tail + 1] for other in table.rows if other is not row} == {"2.10"}
    assert row[table.columns.index("FD (digits_cnn) ↓")] == "0.95 (n=400)"
    assert "not compared" in table.notes[0]
    groups = groups_table(cell)
    theirs = next(row for row in groups.rows if row[0] == row_name(groups, "my_gan"))
    assert theirs[groups.columns.index("tail")] == "0.95 (n=40)"


def with_group_floors(rows, value):
    """Return a run's rows with a floor for each of its groups' distances."""
    groups = [row for row in rows if row["metric"] == "frechet" and row["scope"] == "group"]
    return [*rows, *(row | {"metric": "frechet.floor", "value": value} for row in groups)]


def row_name(table, start):
    """Return the name of the row that starts so."""
    return next(row[0] for row in table.rows if row[0].startswith(start))


def test_other_hyperparameters_of_a_method_are_counted_and_the_one_that_stands_is_named(tmp_path):
    """One of two values stood for the method, with neither in its label nor a word of the other."""
    for seed in range(2):
        write_run(tmp_path, make_spec("ddpm", seed), images=False)
        for power in (0.1, 0.9):
            write_run(tmp_path, make_spec("mine", seed, hyper={"mine": {"power": power}}), images=False)
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    for table in (league_table(cell, results.runs, "ddpm"), groups_table(cell)):
        assert [row[0] for row in table.rows][:2] == ["DDPM", "mine (mine.power=0.1)"]
        assert any("1 more setting of these methods' own is left out: see" in note for note in table.notes)
    assert row_name(overall_table(cell), "mine (mine.power=0.9)")
