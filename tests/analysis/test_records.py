"""What the runs of a series recorded beside its scores: cost, probes of the bottleneck, confusion, training logs."""

import numpy as np
import pandas as pd
import pytest
from report_folders import make_spec, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.protocols import main_series
from ltbench.analysis.records import (
    final_probes,
    known_median,
    mean_confusion,
    nearest_level,
    probes_beside_scores,
    smoothed,
    stored_probes,
    training_costs,
    training_flops,
    training_logs,
)
from ltbench.runs.results import load_results


@pytest.fixture(scope="module")
def results(seeds_root):
    return load_results(seeds_root)


@pytest.fixture(scope="module")
def cell(results):
    (found,) = cells(results.scores)
    return found


def test_costs_are_a_pair_a_training(cell, results):
    one = main_series(cell)[0]
    seconds, flops = training_costs(one, results.runs)
    assert len(seconds) == len(flops) == len(one.runs) == 3
    assert training_flops(one, results.runs) == flops[0] == 2e12


def test_what_is_not_on_record_is_nan():
    assert np.isnan(known_median([]))
    assert known_median([1.0, np.nan, 3.0]) == 2.0


def test_the_level_of_single_level_statements_is_the_one_nearest_to_100():
    assert nearest_level(np.array([0.0, 90.0, 110.0, 500.0])) == 90.0


def test_final_probes_are_of_the_last_step_noised_at_one_level(cell, results):
    probes = stored_probes(main_series(cell), results.runs)
    final = final_probes(cell, probes)
    assert set(final["step"]) == {2000}
    assert set(final["t"]) == {100}
    assert set(final["protocol"]) == {"noised"}
    assert final["run"].nunique() == 6
    assert final_probes(cell, pd.DataFrame()).empty


def test_probes_stand_beside_the_scores_of_each_protocols_macro_mean_and_tail(cell, results):
    found = probes_beside_scores(cell, final_probes(cell, stored_probes(main_series(cell), results.runs)))
    assert [(guidance, place, n) for guidance, place, n, _ in found] == [
        ("0", "macro", 6), ("0", "tail", 6), ("1", "macro", 6), ("1", "tail", 6),
    ]  # fmt: skip
    table = found[0][-1]
    assert table["value"].shape == table["silhouette"].shape == (3, 2)
    assert probes_beside_scores(cell, pd.DataFrame()) == []


def test_a_logged_term_is_the_mean_over_trainings_smoothed_and_thinned():
    steps = np.arange(1, 1001)
    logs = [pd.DataFrame({"step": steps, "loss": np.full(1000, level)}) for level in (1.0, 3.0)]
    points = list(smoothed(logs, "loss"))
    assert len(points) == 200
    assert points[0][0] == 1
    assert all(value.tolist() == [2.0] for _, value in points)
    assert list(smoothed(logs, "absent")) == []


def test_a_smoothed_term_runs_over_2_percent_of_the_steps():
    log = pd.DataFrame({"step": np.arange(100), "loss": np.arange(100.0)})
    assert [value.item() for _, value in smoothed([log], "loss")][:3] == [0.0, 0.5, 1.5]


def write_confusion(folder, rows):
    """Write a confusion of three classes, a row a class that was asked for."""
    lines = [f"{k}," + ",".join(map(str, row)) for k, row in enumerate(rows)]
    (folder / "confusion.csv").write_text("\n".join(["label,0,1,2", *lines]) + "\n")


def test_confusion_is_the_mean_of_each_trainings_shares(tmp_path):
    """By hand: 3 of 4 and 1 of 2 of class 0 are seen as it, whatever the sizes: .625."""
    asked = [[[3, 1, 0], [0, 4, 0], [0, 0, 4]], [[1, 1, 0], [0, 2, 0], [1, 0, 1]]]
    for seed, rows in enumerate(asked):
        write_confusion(write_run(tmp_path, make_spec("ddpm", seed), images=False), rows)
    (cell,) = cells(load_results(tmp_path).scores)
    share = mean_confusion(cell, cell.series[0].key, ["0", "1", "2"])
    assert share.tolist() == [[0.625, 0.375, 0], [0, 1, 0], [0.25, 0, 0.75]]
    assert mean_confusion(cell, "no such series", ["0", "1", "2"]) is None


def test_training_logs_are_numbers_alone(cell, results):
    one = main_series(cell)[0]
    logs = training_logs(one, results.runs)
    assert all(kind.kind in "if" for log in logs for kind in log.dtypes)
