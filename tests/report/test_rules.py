"""Rules of guidance in a report: no curve, baseline or best scale is shared by two of them."""

import pandas as pd
import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.analysis.best_guidance import best_guidances
from ltbench.analysis.cells import cells
from ltbench.analysis.differences import declared_rows, differences, matching_baseline
from ltbench.analysis.protocols import block_title, main_protocols
from ltbench.report.figures.base import Scene, method_styles
from ltbench.report.figures.curves import score_curves
from ltbench.report.tables.scores import league_table
from ltbench.runs.results import load_results, load_scores
from ltbench.study.contrast import Contrast

INTERVAL = {
    "rule": "interval",
    "sigma_low": 0.28,
    "sigma_high": 2.9,
    "steps": 32,
}  # 40 evaluations, as plain guidance
BY_CLASS = {"rule": "per_class", "omega_power": -0.5}
RULES = ({}, INTERVAL, BY_CLASS)
SHIFT = {"": 0.0, "interval (sigma_low 0.28, sigma_high 2.9)": -1.0, "per_class (omega_power -0.5)": 2.0}
DECLARED = Contrast("ddpm", "ddpm", "frechet", "overall", "per_class", "cfg")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("rules") / "runs"
    for method in ("ddpm", "coral"):
        for seed in (0, 1, 2):
            for guidance in (1.0, 2.0):
                for rule in RULES:
                    spec = make_spec(method, seed, guidance=guidance, **rule)
                    rows = score_rows(spec, seed_noise=0.01, metrics=("frechet", "recall"))
                    by = SHIFT[spec.sample.rule_label]
                    rows = [row | {"value": repr(float(row["value"]) + by)} for row in rows]
                    write_run(root, spec, rows, images=False)
    return root


@pytest.fixture(scope="module")
def cell(root):
    (cell,) = cells(load_scores(root))
    return cell


def test_a_series_is_named_by_its_rule(cell):
    assert len(cell.series) == 2 * 2 * 3
    assert {one.nfe for one in cell.series} == {40}
    assert {one.passes for one in cell.series} == {20}  # at equal evaluations they stand side by side
    labels = {one.label for one in cell.series}
    assert len(labels) == 12
    assert all(one.rule in one.label for one in cell.series)
    assert {"DDPM (interval (sigma_low 0.28, sigma_high 2.9), ω=1)", "DDPM (ω=1)"} <= labels


def test_side_by_side_stand_methods_of_one_rule(cell):
    blocks = main_protocols(cell, every=True)
    assert [len({one.rule for one in block}) for block in blocks] == [1] * 6
    assert {block[0].rule for block in blocks} == set(SHIFT)
    titles = {block_title(block) for block in blocks}
    assert "ω = 1, deterministic" in titles
    assert "ω = 1, interval (sigma_low 0.28, sigma_high 2.9), deterministic" in titles


def test_each_rule_has_scales_of_its_own(cell):
    best = best_guidances(cell)  # of plain guidance alone
    assert sorted(one.label for one, _ in best) == ["CORAL", "DDPM"]
    assert best[0][1].mean <= best[1][1].mean


def test_a_baseline_is_of_the_same_rule(cell):
    for one in cell.series:
        if one.method == "coral":
            base = matching_baseline(cell, one, "ddpm")
            assert (base.rule, base.guidance) == (one.rule, one.guidance)


def test_a_declared_contrast_of_rules_is_of_one_method_at_one_scale(cell):
    frame = differences(cell, "ddpm", DECLARED)
    rules = frame[frame["declared"]]
    assert rules["mean"].tolist() == pytest.approx(
        [2.0, 2.0]
    )  # by how much the rule was made worse, at both scales
    assert set(rules["n"]) == {3}
    assert set(rules["label"]) == {f"DDPM (per_class (omega_power -0.5), ω={g})" for g in (1, 2)}
    assert set(rules["baseline_label"]) == {"DDPM (ω=1)", "DDPM (ω=2)"}
    assert declared_rows(cell, frame)
    plain = differences(cell, "ddpm")
    assert not plain["rules"].any()
    assert len(frame[~frame["rules"]]) == len(plain)
    precise = Contrast("ddpm", "ddpm", "frechet", "overall", "per_class (omega_power 0.5)", "cfg")
    assert not differences(cell, "ddpm", precise)["declared"].any()


def test_each_rules_curves_have_a_row_of_panels_plain_guidance_first(cell):
    scene = Scene(cell, [cell], {}, method_styles(["ddpm", "coral"]), pd.DataFrame(), pd.DataFrame(), "ddpm")
    (drawn,) = score_curves(scene, ["guidance"])
    measures = len(cell.headline())
    assert drawn.across == measures
    rows = [drawn.panels[i : i + measures] for i in range(0, len(drawn.panels), measures)]
    titles = [{panel.title for panel in row} for row in rows]
    assert titles[0] == {"plain guidance"}
    assert sorted(titles[1:], key=str) == [{rule} for rule in sorted(SHIFT) if rule]
    assert all([mark.label for mark in panel.marks] == ["DDPM", "CORAL"] for panel in drawn.panels)


def test_the_league_says_how_many_settings_of_guidance_it_leaves_out(cell, root):
    left_out = 6 - len(main_protocols(cell))
    assert left_out > 0
    assert (
        f"{left_out} other settings of guidance: see every setting."
        in league_table(cell, load_results(root).runs, "ddpm").notes[0]
    )
