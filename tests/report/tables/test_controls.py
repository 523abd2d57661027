"""Other class orders, splits and balanced controls: a class beside itself at other counts."""

import numpy as np
import pytest
from report_folders import COUNTS, make_spec, score_rows, uneven, write_classes, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.controls import balanced_controls
from ltbench.report.tables.controls import controls_tables
from ltbench.runs.results import load_scores


def tables_of(root):
    return {table.name: table for table in controls_tables(cells(load_scores(root)))}


def test_the_same_class_stands_beside_itself_under_another_order(tmp_path):
    for order, counts in (("identity", COUNTS), ("reversed", COUNTS[::-1])):
        write_classes(tmp_path, np.arange(1, 11) / np.array(counts), counts, order=order)
    table = tables_of(tmp_path)["control-digits-r0.05-and-class-order-reversed"]
    changed = "class order reversed"
    assert table.columns == ["Class", "Images", f"Images, {changed}", "DDPM", f"DDPM, {changed}"]
    rows = table.rows
    assert rows[0][:3] == ["0", "120", "6"]
    assert rows[9] == ["9", "6", "120", "1.67", "0.08"]
    assert rows[10] == ["these tail classes", "", "", f"{(8 / 12 + 9 / 8 + 10 / 6) / 3:.2f}", "0.11"]


def test_rarity_and_difficulty_are_told_apart_where_they_are_apart(tmp_path):
    """FD = difficulty x count^-power: the table gives both back, whatever the published order mixed up."""
    difficulty = np.array([3, 1, 4, 1.5, 9, 2, 6, 5, 3.5, 8])
    for seed, power in ((0, 0.3), (1, 0.4)):
        for order, counts in (("identity", COUNTS), ("reversed", COUNTS[::-1])):
            frechet = difficulty * np.array(counts, float) ** -power
            write_classes(tmp_path, frechet, counts, seed=seed, order=order)
    write_classes(tmp_path, difficulty, seed=2)  # one order alone says nothing
    (row,) = tables_of(tmp_path)["rarity-digits-r0.05"].rows
    growth = 10**0.35
    half = 12.7062 * np.log(10) * 0.05  # t of two seeds x sd of b / sqrt(2)
    assert row[-1] == "0,1 (n=2)"
    assert row[1] == f"{growth:.2f} [{growth * np.exp(-half):.2f}, {growth * np.exp(half):.2f}]"
    assert row[2:5] == ["100 %", "4", "9.00"]


def test_controls_of_one_short_name_are_told_apart(tmp_path):
    write_classes(tmp_path, np.ones(10))
    for seed in (1, 2):
        spec = make_spec(order="reversed")
        other = spec.model_copy(update={"data": spec.data.model_copy(update={"split_seed": seed})})
        write_run(tmp_path, other, score_rows(other, counts=COUNTS[::-1]), images=False)
    pairs = [
        table for table in controls_tables(cells(load_scores(tmp_path))) if table.name.startswith("control")
    ]
    assert len({table.name for table in pairs}) == len({table.title for table in pairs}) == 2


def test_another_split_alone_cannot_tell_rarity_from_difficulty(tmp_path):
    write_classes(tmp_path, np.ones(10))
    spec = make_spec()
    other = spec.model_copy(update={"data": spec.data.model_copy(update={"split_seed": 1})})
    write_run(tmp_path, other, score_rows(other), images=False)
    assert list(tables_of(tmp_path)) == ["control-digits-r0.05-and-split-seed-1"]


def test_balanced_controls_stand_beside_the_long_tail_most_images_first(tmp_path):
    write_classes(tmp_path, np.arange(10))
    spec = make_spec(ratio=1.0)
    for count in (6, 120):
        head = None if count == 120 else count
        data = spec.data.model_copy(update={"head_count": head})
        one = spec.model_copy(update={"data": data})
        write_run(tmp_path, one, score_rows(one, counts=(count,) * 10), images=False)
    found = cells(load_scores(tmp_path))
    tail = next(c for c in found if c.imbalance_ratio < 1)
    assert [c.label for c in balanced_controls(tail, found)] == [
        "digits_lt, ratio 1",
        "digits_lt, ratio 1, head count 6",
    ]
    assert not any(balanced_controls(c, found) for c in found if c is not tail)
    tables = tables_of(tmp_path)
    assert [name for name in tables if name.startswith("control-")] == [
        "control-digits-r0.05-and-ratio-1",
        "control-digits-r0.05-and-ratio-1-head-count-6",
    ]
    scarce = tables["control-digits-r0.05-and-ratio-1-head-count-6"]
    assert scarce.columns[2] == "Images, ratio 1, head count 6"
    assert "scarcity" in scarce.notes[0]
    assert "with many images too is hard" in tables["control-digits-r0.05-and-ratio-1"].notes[0]
    assert scarce.rows[-1][3] == "8.00"
    spec = make_spec(
        ratio=0.1
    )  # another long tail has the same head, whose table must not take this one's place
    write_run(tmp_path, spec, score_rows(spec, counts=(*COUNTS[:-1], 12)), images=False)
    names = [table.name for table in controls_tables(cells(load_scores(tmp_path)))]
    assert len(names) == len(set(names)) == 3
    assert "control-digits-r0.1-and-ratio-1" in names


def test_controls_hold_every_class_where_classes_differ_in_size(tmp_path):
    for order, counts in (("identity", COUNTS), ("reversed", COUNTS[::-1])):
        spec = make_spec(order=order)
        rows = uneven(score_rows(spec, counts=counts, metrics=("frechet",)), counts)
        write_run(tmp_path, spec, rows, images=False)
    table = tables_of(tmp_path)["control-digits-r0.05-and-class-order-reversed"]
    assert not [row for row in table.rows if "—" in row]


def test_a_control_is_paired_at_the_methods_own_setting_where_it_has_it(tmp_path):
    name = "control-digits-r0.05-and-class-order-reversed"
    write_classes(tmp_path, np.arange(1, 11))
    for seed in (0, 1):
        spec = make_spec("ddpm", seed, order="reversed", guidance=1.0)
        rows = [row | {"value": "7.0"} for row in score_rows(spec, counts=COUNTS[::-1])]
        write_run(tmp_path, spec, rows, images=False)
    table = tables_of(tmp_path)[name]
    assert "at guidance 0 and, class order reversed, 1;" in table.notes[0]
    assert table.rows[0][4].startswith("7.00")
    write_classes(tmp_path, np.full(10, 2.0), COUNTS[::-1], order="reversed")
    table = tables_of(tmp_path)[name]
    assert "at guidance 0;" in table.notes[0]
    assert table.rows[0][4].startswith("2.00")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the helper's groups are thirds
def test_of_two_classes_one_is_the_tail(tmp_path):
    for order, counts in (("identity", (120, 6)), ("reversed", (6, 120))):
        write_classes(tmp_path, np.array([1.0, 3.0]), counts, order=order)
    (table, *_) = tables_of(tmp_path).values()
    assert table.rows[-1][3:] == ["3.00", "3.00"]
