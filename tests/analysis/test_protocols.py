"""Protocols: which settings lead, which are compared, and in what order cells stand."""

from report_folders import COUNTS, make_spec, score_rows, write_run

from ltbench.analysis.best_guidance import best_guidances
from ltbench.analysis.cells import cells
from ltbench.analysis.protocols import at_main_protocol, long_tails, main_protocols, main_series, shown_blocks
from ltbench.runs.results import load_scores


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


def test_a_method_of_another_guidance_stands_in_its_own_block_alone(tmp_path):
    """It stood in the first block too, as one that lacks the main protocol, and the league's columns did not meet."""
    for seed in range(3):
        for method, guidance in (("ddpm", 0.0), ("cbdm", 0.0), ("ddpm", 0.5), ("coral", 0.5)):
            write_run(tmp_path, make_spec(method, seed, guidance=guidance), images=False)
    (cell,) = cells(load_scores(tmp_path))
    blocks = [[(one.method, one.guidance) for one in block] for block in main_protocols(cell)]
    assert blocks == [[("ddpm", 0.0), ("cbdm", 0.0)], [("ddpm", 0.5), ("coral", 0.5)]]


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
    assert [c.label for c in long_tails(found)] == ["digits_lt, ratio 0.1", "digits_lt, ratio 0.05"]
    assert long_tails([control]) == [control]  # where there is no long tail, all lead


def test_what_may_be_ranked_shares_its_length_and_learning_rate(tmp_path):
    """CORAL at 4,000 steps was first among methods of 2,000."""
    for method, steps, rate in (
        ("ddpm", 2000, 1e-3),
        ("cbdm", 2000, 1e-3),
        ("coral", 4000, 1e-3),
        ("t2h", 2000, 2e-4),
    ):
        spec = make_spec(method, train={"learning_rate": rate})
        spec = spec.model_copy(update={"train": spec.train.model_copy(update={"steps": steps})})
        write_run(tmp_path, spec, images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert [one.method for one in main_series(cell)] == ["ddpm", "cbdm", "t2h", "coral"]
    assert [one.method for one in at_main_protocol(cell)] == ["ddpm", "cbdm"]
    assert [len(block) for block in shown_blocks(cell, cell.series)] == [2, 1, 1]
