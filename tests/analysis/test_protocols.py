"""Protocols: which settings lead, which are compared, and in what order cells stand."""

from report_folders import COUNTS, make_spec, score_rows, write_run

from ltbench.analysis.best_guidance import best_guidances
from ltbench.analysis.cells import cells
from ltbench.analysis.differences import differences
from ltbench.analysis.protocols import MOST_METHODS, main_protocols, main_series, shown_blocks
from ltbench.report import load_results, load_scores
from ltbench.report.findings import findings
from ltbench.report.tables.contrasts import contrast_table, glance_table, rank_table
from ltbench.report.tables.cost import cost_table
from ltbench.report.tables.grid import Bold
from ltbench.report.tables.scores import groups_table, league_table, overall_table, tail_table


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
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    blocks = [[(one.method, one.guidance) for one in block] for block in main_protocols(cell)]
    assert blocks == [[("ddpm", 0.0), ("cbdm", 0.0)], [("ddpm", 0.5), ("coral", 0.5)]]
    assert [row[0] for row in league_table(cell, results.runs, "ddpm").rows] == [
        "DDPM, ω=0",
        "CBDM",
        "DDPM, ω=0.5",
        "CORAL",
    ]
    assert [row[0] for row in cost_table(cell, results.runs).rows] == ["DDPM", "CBDM", "CORAL"]


def test_a_longer_training_is_shown_and_not_ranked(tmp_path):
    """CORAL at 4,000 steps was bold and first among methods of 2,000, and cost what DDPM costs "at 4,000 steps"."""
    for seed in range(3):
        for method, steps in (("ddpm", 2000), ("cbdm", 2000), ("coral", 4000)):
            spec = make_spec(method, seed)
            spec = spec.model_copy(update={"train": spec.train.model_copy(update={"steps": steps})})
            write_run(tmp_path, spec, score_rows(spec), images=False)
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    assert [row[0] for row in rank_table(cell).rows] == ["DDPM", "CBDM"]
    table = groups_table(cell)
    assert not [entry for row in table.rows if row[0] == "CORAL" for entry in row if isinstance(entry, Bold)]
    league, cost = league_table(cell, results.runs, "ddpm"), cost_table(cell, results.runs)
    for shown, header in ((league, "Steps"), (cost, "Steps")):
        column = shown.columns.index(header)
        assert [row[column] for row in shown.rows] == ["2,000", "2,000", "4,000"]
    assert cost.columns[1] == "FLOPs"


def test_what_is_bold_shares_its_learning_rate(tmp_path):
    for seed in range(3):
        for method, rate in (("ddpm", 0.001), ("ddpm", 0.0002), ("coral", 0.0002)):
            write_run(tmp_path, make_spec(method, seed, train={"learning_rate": rate}), images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert [len(block) for block in shown_blocks(cell, cell.series)] == [2, 1]
    bold = {row[0] for row in overall_table(cell).rows if any(isinstance(entry, Bold) for entry in row)}
    assert bold
    assert "DDPM (train.learning_rate=0.001)" not in bold


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
    assert tail_table(control) is None
    assert groups_table(control).columns[1:3] == ["macro mean", "worst class"]
    glance = glance_table([(c, differences(c, "ddpm")) for c in found], "ddpm")
    assert [row[1] for row in glance.rows] == ["overall", "tail"] * 3 + ["overall"]


def test_methods_beyond_those_that_fit_are_counted(tmp_path):
    methods = ["ddpm", *(f"mine_{i:02d}" for i in range(MOST_METHODS + 1))]
    for method in methods[:MOST_METHODS]:
        write_run(tmp_path, make_spec(method), images=False)
    assert not any("are left out" in text for text in notes_of(tmp_path))
    for method in methods[MOST_METHODS:]:
        write_run(tmp_path, make_spec(method), images=False)
    assert all("2 of 16 methods and variants are left out" in text for text in notes_of(tmp_path))


def notes_of(root):
    """Return what the league, groups, ranks, contrasts and findings say beside their numbers."""
    results = load_results(root)
    (cell,) = cells(results.scores)
    frame = differences(cell, "ddpm")
    tables = (
        league_table(cell, results.runs, "ddpm"),
        groups_table(cell),
        rank_table(cell),
        contrast_table(cell, frame),
    )
    return [*(" ".join(table.notes) for table in tables), " ".join(findings([(cell, frame)], "ddpm"))]
