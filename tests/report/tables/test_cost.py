"""Costs and entanglement: what a training took, and whether the bottleneck goes with the score."""

from report_folders import make_spec, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.protocols import main_series
from ltbench.analysis.records import stored_probes
from ltbench.files import read_json, write_json
from ltbench.report.tables.cost import cost_table, entanglement_table
from ltbench.runs.results import load_results


def test_cost_is_cpu_time_that_other_work_on_the_machine_does_not_move(seeds_root):
    results = load_results(seeds_root)
    path = next(iter(results.runs.values())).folder / "provenance.json"
    content = read_json(path)
    before = cost_table(cells(results.scores)[0], results.runs).rows
    try:
        content["stages"][0]["wall_seconds"] *= 50
        write_json(path, content)
        results = load_results(seeds_root)
        assert cost_table(cells(results.scores)[0], results.runs).rows == before
    finally:
        content["stages"][0]["wall_seconds"] /= 50
        write_json(path, content)
    assert before[0][1:3] == ["2.00e+12", "2.5 (2.5-2.5)"]


def test_a_training_that_was_begun_again_costs_what_its_last_beginning_took(tmp_path):
    write_run(tmp_path, make_spec(), images=False)
    (path,) = tmp_path.glob("*/provenance.json")
    content = read_json(path)
    (stage,) = content["stages"]
    first = stage | {"anew": True, "processor": "Another CPU"}
    content["stages"] = [first, first | {"cpu_seconds": 90.0}, stage | {"anew": False, "cpu_seconds": 30.0}]
    write_json(path, content)
    results = load_results(tmp_path)
    table = cost_table(cells(results.scores)[0], results.runs)
    assert table.rows[0][2] == "2.0"
    assert "Recorded on Another CPU and Some CPU: times of one do not compare" in table.notes[0]


def test_entanglement_is_correlated_with_the_score_over_runs(seeds_root):
    results = load_results(seeds_root)
    (cell,) = cells(results.scores)
    table = entanglement_table(cell, stored_probes(main_series(cell), results.runs))
    assert table.columns[1] == "macro, ω=0, n=6"
    assert "nothing about cause" in table.notes[0].replace("\n", " ")
    without, guided = (float(table.rows[0][i].split(" ")[0]) for i in (1, 5))
    assert without < -0.5 < 0.5 < guided  # CORAL's probes are better; its score is at one guidance only
