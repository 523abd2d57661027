"""The sentences that a report leads with."""

from report_folders import make_spec, write_run

from ltbench.report import load_scores
from ltbench.report.cells import cells
from ltbench.report.findings import findings
from ltbench.report.tables.contrasts import glance_table
from ltbench.report.tables.differences import differences


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
    for method in ("ddpm", "coral"):
        write_run(tmp_path, make_spec(method), images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert findings([(cell, differences(cell, "ddpm"))], "ddpm")[-1].startswith("One training seed")
