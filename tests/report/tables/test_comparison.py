"""What moved between two result folders, as it is printed."""

from report_folders import make_spec, score_rows, shifted, write_run

from ltbench.analysis.comparison import compare
from ltbench.report.tables.comparison import comparison_table
from ltbench.report.tables.grid import Bold


def table_of(root):
    return comparison_table(compare(root / "a", root / "b"))


def test_what_moved_is_a_row_with_a_marked_verdict(tmp_path):
    for seed in range(3):
        spec = make_spec("ddpm", seed)
        write_run(tmp_path / "a", spec, images=False)
        write_run(tmp_path / "b", spec, shifted(score_rows(spec), 5.0), images=False)
    (row,) = table_of(tmp_path).rows
    assert row[-1] == "moved"
    assert isinstance(row[-1], Bold)


def test_the_largest_move_within_its_spread_is_named(tmp_path):
    for seed in range(3):
        spec = make_spec("ddpm", seed)
        write_run(tmp_path / "a", spec, images=False)
        write_run(tmp_path / "b", spec, shifted(score_rows(spec), 1e-3), images=False)
    (told,) = [n for n in table_of(tmp_path).notes if n.startswith("Largest")]
    assert "DDPM, " in told
    assert "->" in told


def test_a_pooled_group_that_moved_is_named(tmp_path):
    """It was a KeyError."""
    for folder, shift in (("a", 0.0), ("b", 1.0)):
        for seed in (0, 1):
            spec = make_spec("ddpm", seed)
            tail = next(row for row in score_rows(spec) if row["class_or_group"] == "tail")
            rows = [tail | {"scope": "pooled", "value": repr(2 + 0.01 * seed + shift)}]
            write_run(tmp_path / folder, spec, rows, images=False)
    assert [(row[2], row[-1]) for row in table_of(tmp_path).rows] == [("tail, pooled", "moved")]
