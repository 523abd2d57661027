"""A column of numbers: what is best in it, its floor's number of images, its companion, why it is empty."""

import dataclasses

import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.columns import Column
from ltbench.analysis.protocols import main_protocols
from ltbench.runs.results import load_scores


def cell_of(root, values, change=lambda rows: rows):
    """Return the cell of method -> overall distances, a seed each."""
    for method, each in values.items():
        for seed, value in enumerate(each):
            spec = make_spec(method, seed)
            rows = score_rows(spec, metrics=("frechet",))
            rows = [r | ({"value": repr(float(value))} if r["metric"] == "frechet" else {}) for r in rows]
            write_run(root, spec, change(rows), images=False)
    (cell,) = cells(load_scores(root))
    return cell


def overall(cell):
    return Column("FD", cell.frechet("overall"))


def best_methods(cell):
    found = overall(cell).best(cell, main_protocols(cell))
    return sorted(one.method for one in cell.series if one.key in found)


def test_best_are_the_lowest_mean_and_what_cannot_be_told_from_it(tmp_path):
    values = {"ddpm": (9.0, 9.1, 9.2), "coral": (1.0, 1.1, 1.2), "cbdm": (1.1, 1.0, 1.3)}
    assert best_methods(cell_of(tmp_path, values)) == ["cbdm", "coral"]


def test_one_seed_has_no_best(tmp_path):
    assert best_methods(cell_of(tmp_path, {"ddpm": (9.0,), "coral": (1.0,)})) == []


def at_fifty(rows):
    """Return rows whose overall floor is of 50 images, with the distance of as many."""
    out = [r | ({"n_generated": 50} if ".floor" in r["metric"] else {}) for r in rows]
    plain = next(r for r in rows if r["scope"] == "overall" and r["metric"] == "frechet")
    return [*out, plain | {"metric": "frechet.at_floor_n", "n_generated": 50, "value": "7.5"}]


def test_a_floor_of_another_number_of_images_moves_the_column_to_its_size(tmp_path):
    cell = cell_of(tmp_path, {"ddpm": (9.0, 9.2)}, at_fifty)
    column = overall(cell)
    assert column.at_another_n(cell)
    assert column.at_floor(cell).role == "at_floor_n"
    (found,) = column.at_floor(cell).means(cell).values()
    assert found.mean == pytest.approx(7.5)


def test_a_floor_of_the_scores_own_number_leaves_the_column(tmp_path):
    cell = cell_of(tmp_path, {"ddpm": (9.0, 9.2)})
    column = overall(cell)
    assert not column.at_another_n(cell)
    assert column.at_floor(cell) == column
    assert column.companion(cell) is None


def test_an_empty_column_gives_the_reason_on_record(tmp_path):
    cell = cell_of(tmp_path, {"ddpm": (9.0,)})
    reasons = {("overall", "", "frechet"): "too few images"}
    told = dataclasses.replace(cell, reasons=reasons)
    assert dataclasses.replace(overall(told), title="FD ↓").missing(told) == "FD: too few images"
    assert overall(cell).missing(cell) == ""


def test_a_rate_is_read_against_its_companion(tmp_path):
    def copied(rows):
        plain = [r for r in rows if r["metric"] == "frechet"]
        rate = [r | {"metric": "memorisation_rate", "value": "0.2"} for r in plain]
        return rows + rate + [r | {"metric": "memorisation_expected", "value": "0.05"} for r in plain]

    cell = cell_of(tmp_path, {"ddpm": (9.0,)}, copied)
    column = Column("copied", cell.leading("memorisation_rate", "overall"))
    assert column.companion(cell) == pytest.approx(0.05)
    assert column.at_floor(cell) == column
