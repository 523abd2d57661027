"""The sentences that a report leads with."""

import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.differences import differences
from ltbench.report.findings import findings
from ltbench.report.tables.contrasts import glance_table
from ltbench.report.tables.scores import league_table
from ltbench.runs.results import load_results, load_scores


def test_findings_are_short_and_hold_at_one_guidance_each(seeds_cell):
    frame = differences(seeds_cell, "ddpm")
    told = findings([(seeds_cell, frame)], "ddpm")
    assert any("ω=0: CORAL beats DDPM" in s for s in told)
    assert any("ω=1: CORAL is worse than DDPM" in s for s in told)
    assert any("best guidance" in s and "choice flatters" in s for s in told)
    assert "3 training seeds" in told[-1]
    assert all(len(s.split()) <= 25 for s in told)
    rows = glance_table([(seeds_cell, frame)], "ddpm").rows
    assert [(row[-1], row[1]) for row in rows] == [
        ("0", "overall"),
        ("0", "tail"),
        ("1", "overall"),
        ("1", "tail"),
    ]
    assert rows[0][3].startswith("-1.4")
    assert rows[2][3].startswith("+1.6")


def test_one_seed_is_a_measurement_and_no_ranking(tmp_path):
    """It was said that no method is shown to differ, of which no test had been made."""
    for method in ("ddpm", "coral"):
        write_run(tmp_path, make_spec(method), images=False)
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    (told,) = findings([(cell, differences(cell, "ddpm"))], "ddpm")
    assert told.startswith("One training seed")
    assert not any("Bold" in note for note in league_table(cell, results.runs, "ddpm").notes)


def moved(spec, by):
    """Return a run's rows with every value moved."""
    return [
        row | {"value": repr(float(row["value"]) + by)} if row["metric"] == "frechet" else row
        for row in score_rows(spec, metrics=("frechet",), seed_noise=0.001)
    ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("mymine",), "mymine beats DDPM, worse_0 is worse; tail: mymine beats DDPM, worse_0 is worse"),
        (
            tuple(f"other{i}" for i in range(3)),
            "other0, other1 and other2 beat DDPM, 1 is worse; tail: 3 beat DDPM, 1 is worse",
        ),
        (("one other",), "one other beats DDPM, worse_0 is worse; tail: one other beats"),
        (("one of other words",), "one of other words beats DDPM, 1 is worse; tail: 1 beats DDPM, 1"),
    ],
)
def test_who_is_worse_is_said_beside_who_is_better(tmp_path, names, said):
    """Losses that were shown were dropped wherever one method won."""
    for seed in range(4):
        write_run(tmp_path, make_spec("ddpm", seed), moved(make_spec("ddpm", seed), 0), images=False)
        for name, by in (*((name, -0.3) for name in names), ("worse_0", 0.3)):
            spec = make_spec(name, seed)
            write_run(tmp_path, spec, moved(spec, by), images=False)
    (cell,) = cells(load_scores(tmp_path))
    first, *_ = findings([(cell, differences(cell, "ddpm"))], "ddpm")
    assert said in first
    assert f"Holm over {2 * len(names) + 2})" in first
    assert len(first.split()) <= 25


def test_images_from_elsewhere_are_no_training_seeds(tmp_path):
    for seed in range(2):
        write_run(tmp_path, make_spec("ddpm", seed), images=False)
    spec = make_spec("gan")
    rows = [row | {"origin": "external", "train_seed": ""} for row in score_rows(spec)]
    write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert findings([(cell, differences(cell, "ddpm"))], "ddpm")[-1].startswith(
        "Intervals rest on 2 training"
    )
