"""What seeds can support: paired intervals, agreement, p-values, the bold rule, contrasts, comparison of folders."""

import numpy as np
import pandas as pd
import pytest
from report_folders import make_spec, score_rows, write_run, write_study

from ltbench.errors import UsageError
from ltbench.report import load_scores
from ltbench.report.cells import cells
from ltbench.report.compare import compare
from ltbench.report.figures.compare import off_scale
from ltbench.report.tables.contrasts import contrast_table
from ltbench.report.tables.differences import differences, p_statement
from ltbench.report.tables.grid import Bold
from ltbench.report.tables.spread import rank_table, spread_table
from ltbench.study.file import load_study


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_no_p_value_below_six_seeds(n):
    told = p_statement(np.ones(n), declared=True)
    assert told == f"n too small: smallest attainable p = {2 / 2**n:.3g}"


def test_p_value_only_for_the_declared_contrast():
    d = np.arange(1.0, 7.0)
    assert p_statement(d, declared=False) == "not declared beforehand"
    assert p_statement(d, declared=True) == "sign-flip test: p = 0.031"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = write_study(tmp_path_factory.mktemp("study"), methods=("ddpm", "coral"))
    write_run(root, make_spec("ddpm", 0, sample_seed=1), images=False)
    write_run(root, make_spec("coral", 0, guidance=1.0), images=False)
    write_run(root, make_spec("cbdm", 9), images=False)
    return root


def test_contrasts_pair_with_the_baseline_of_the_same_protocol(study):
    (cell,) = cells(load_scores(study))
    found = differences(cell, "ddpm")
    overall = found[(found["scope"] == "overall") & (found["metric"] == "frechet")]
    assert set(overall["label"]) == {"CORAL (ω=0)", "CORAL (ω=1)"}  # cbdm has no common seed
    row = overall[overall["label"] == "CORAL (ω=0)"].iloc[0]
    points = cell.points[(cell.points["scope"] == "overall") & (cell.points["metric"] == "frechet")]
    points = points[(points["role"] == "") & (points["guidance"] == 0) & (points["sample_seed"] == 0)]
    wide = points.pivot_table(index="train_seed", columns="method", values="value")
    expected = (wide["coral"] - wide["ddpm"]).dropna()
    assert (row["mean"], row["n"], row["agree"]) == (pytest.approx(expected.mean()), 3, 3)
    assert row["high"] < 0
    assert "smallest attainable p = 0.25" in row["p"]


def test_tables_say_where_intervals_and_spreads_come_from(study):
    (cell,) = cells(load_scores(study))
    table = contrast_table(cell, differences(cell, "ddpm"))
    assert any("[" in e and e.endswith("3/3") for row in table.rows for e in row)
    assert "no p-value" in table.notes[0]
    spread = spread_table(cell)
    texts = spread.rows
    assert any("(n=3)" in row[2] and "(n=2)" in row[3] for row in texts)
    assert "evaluation noise" in spread.notes[0]
    ranks = rank_table(cell)
    assert ranks.rows[0][0] == "DDPM"
    assert "test nothing" in ranks.notes[0]


def test_bootstrap_interval_is_labelled_as_evaluation_noise(tmp_path):
    spec = make_spec()
    rows = score_rows(spec)
    overall = next(r for r in rows if r["scope"] == "overall" and r["metric"] == "frechet")
    for role, value in (("ci_low", "1.25"), ("ci_high", "3.75")):
        rows.append(overall | {"metric": f"frechet.{role}", "value": value})
    write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    spread = spread_table(cell)
    assert [row[4] for row in spread.rows] == ["[1.25, 3.75]"]
    assert spread.columns[4] == "Image bootstrap 95 %"
    assert "evaluation noise" in spread.notes[0]


def test_declared_contrast_gets_its_p_value(tmp_path):
    root = write_study(tmp_path / "runs", methods=("ddpm", "coral"), seeds=range(6))
    study = declared_study(tmp_path / "study.toml", ratio=0.05)
    (cell,) = cells(load_scores(root))
    found = differences(cell, "ddpm", load_study(study).contrast)
    declared = found[found["declared"]]
    assert list(declared["class_or_group"]) == ["tail"]
    assert declared["p"].iloc[0] == "sign-flip test: p = 0.031"
    assert set(found[~found["declared"]]["p"]) == {"not declared beforehand"}


def declared_study(path, ratio):
    path.write_text(
        '[contrast]\nmethod = "coral"\nbaseline = "ddpm"\nscope = "tail"\n'
        f'[data]\ndataset = "digits_lt"\nimbalance_ratio = {ratio}\n[train]\nsteps = 2000\n'
        '[sample]\nsampler = "dpmsolver++"\nsteps = 20\n'
        '[[grid]]\nmethod = ["ddpm", "coral"]\nseeds = "0..5"\nguidance = [0.0, 1.0]\n'
    )
    return path


def test_a_contrast_is_declared_for_the_studys_own_runs_alone(tmp_path):
    """Every data cell and sampler of a folder was said to have been declared beforehand, controls run later too."""
    for method in ("ddpm", "coral"):
        for changed in ({}, {"guidance": 1.0}, {"guidance": 2.0}, {"steps": 50}, {"ratio": 0.1}):
            write_run(tmp_path / "runs", make_spec(method, **changed), images=False)
    contrast = load_study(declared_study(tmp_path / "study.toml", ratio=0.05)).contrast
    found = pd.concat(differences(cell, "ddpm", contrast) for cell in cells(load_scores(tmp_path / "runs")))
    declared = found[found["declared"]]
    assert set(declared["cell"]) == {"digits_lt, ratio 0.05"}
    assert sorted(declared["label"]) == ["CORAL (20 NFE, ω=0)", "CORAL (40 NFE, ω=1)"]


def shifted(rows, shift, places=("9",)):
    return [
        r | {"value": repr(float(r["value"]) + shift)}
        if r["class_or_group"] in places and r["metric"] == "frechet"
        else r
        for r in rows
    ]


def test_compare_finds_what_moved_and_only_that(tmp_path):
    for seed in range(3):
        spec = make_spec("ddpm", seed)
        write_run(tmp_path / "a", spec, images=False)
        write_run(tmp_path / "b", spec, shifted(score_rows(spec), 5.0), images=False)
    found = compare(tmp_path / "a", tmp_path / "b")
    moved = found.rows[found.rows["status"] == "moved"]
    assert list(moved["class_or_group"]) == ["9"]
    assert moved["difference"].iloc[0] == pytest.approx(5.0)
    assert found.counts()["equal"] == len(found.rows) - 1
    table = found.table()
    assert len(table.rows) == 1
    assert table.rows[0][-1] == "moved"
    assert isinstance(table.rows[0][-1], Bold)


def test_compare_judges_small_moves_by_the_spread_and_never_by_one_seed(tmp_path):
    for seed in range(3):
        spec = make_spec("ddpm", seed)
        write_run(tmp_path / "a", spec, images=False)
        write_run(tmp_path / "b", spec, shifted(score_rows(spec), 1e-3), images=False)
    assert compare(tmp_path / "a", tmp_path / "b").counts()["within spread"] == 1
    (told,) = [n for n in compare(tmp_path / "a", tmp_path / "b").table().notes if n.startswith("Largest")]
    assert "DDPM, " in told
    assert "->" in told
    write_run(tmp_path / "c", make_spec("ddpm"), shifted(score_rows(make_spec("ddpm")), 1e-3), images=False)
    counts = compare(tmp_path / "a", tmp_path / "c").counts()
    assert counts["moved"] == 0
    assert counts["differs, one seed"] > 0


def test_compare_names_a_pooled_group_that_moved(tmp_path):
    """It was a KeyError."""
    for folder, shift in (("a", 0.0), ("b", 1.0)):
        for seed in (0, 1):
            spec = make_spec("ddpm", seed)
            tail = next(row for row in score_rows(spec) if row["class_or_group"] == "tail")
            rows = [tail | {"scope": "pooled", "value": repr(2 + 0.01 * seed + shift)}]
            write_run(tmp_path / folder, spec, rows, images=False)
    table = compare(tmp_path / "a", tmp_path / "b").table()
    assert [(row[2], row[-1]) for row in table.rows] == [("tail, pooled", "moved")]


def test_compare_refuses_other_definitions_and_other_studies(tmp_path):
    spec = make_spec()
    write_run(tmp_path / "a", spec, images=False)
    newer = [r | {"definition": r["definition"].replace("frechet/1", "frechet/2")} for r in score_rows(spec)]
    write_run(tmp_path / "b", spec, newer, images=False)
    statuses = compare(tmp_path / "a", tmp_path / "b").rows.groupby("metric")["status"].unique()
    assert list(statuses["frechet"]) == ["not comparable"]
    assert list(statuses["recall"]) == ["equal"]
    write_run(tmp_path / "c", make_spec("ddpm", ratio=0.5), images=False)
    with pytest.raises(UsageError, match="no setting in common"):
        compare(tmp_path / "a", tmp_path / "c")


def test_by_seed_takes_the_main_sampling_seed_only(study):
    (cell,) = cells(load_scores(study))
    wide = cell.by_seed("overall", cell.measures("overall")[0])
    key = next(one.key for one in cell.series if one.method == "ddpm")
    rows = cell.points[(cell.points["series"] == key) & (cell.points["sample_seed"] == 0)]
    expected = rows[(rows["scope"] == "overall") & (rows["metric"] == "frechet") & (rows["role"] == "")]
    assert wide[key].dropna().to_list() == pytest.approx(
        expected.sort_values("train_seed")["value"].to_list()
    )


def test_a_deterministic_sampler_is_never_compared_with_a_stochastic_one(tmp_path):
    write_run(tmp_path, make_spec("ddpm", sampler="ancestral", steps=1000, guidance=1.0), images=False)
    write_run(tmp_path, make_spec("coral", guidance=1.0), images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert differences(cell, "ddpm").empty


def test_what_a_table_bolds_is_corrected_for_how_many_it_compares(tmp_path):
    """One difference of many whose own interval leaves out 0 stays plain; a clear one is bold."""
    for seed in range(3):
        for method, by in (("ddpm", 0.0), ("cbdm", -0.2 - 0.06 * seed), ("coral", -3.0 - 0.001 * seed)):
            spec = make_spec(method, seed)
            rows = [r for r in score_rows(spec, metrics=("frechet",)) if r["scope"] == "overall"]
            write_run(
                tmp_path,
                spec,
                [r | {"value": str(4 + by)} for r in rows if r["metric"] == "frechet"],
                images=False,
            )
    (cell,) = cells(load_scores(tmp_path))
    frame = differences(cell, "ddpm").set_index("label")
    assert frame.loc["CBDM", "high"] < 0
    assert 0.01 < frame.loc["CBDM", "p_t"] < 0.05
    bold = {row[0]: isinstance(row[1], Bold) for row in contrast_table(cell, frame.reset_index()).rows}
    assert bold == {"CBDM - DDPM": True, "CORAL - DDPM": True}  # two tests: .025, then .05
    for method in ("t2h", "plug-in"):
        for seed in range(3):
            spec = make_spec(method, seed)
            rows = [
                r
                for r in score_rows(spec, metrics=("frechet",))
                if r["scope"] == "overall" and r["metric"] == "frechet"
            ]
            write_run(tmp_path, spec, [r | {"value": str(4 + 0.1 * (seed - 1))} for r in rows], images=False)
    (cell,) = cells(load_scores(tmp_path))
    table = contrast_table(cell, differences(cell, "ddpm"))
    bold = {row[0]: isinstance(row[1], Bold) for row in table.rows}
    assert bold["CORAL - DDPM"]
    assert not bold["CBDM - DDPM"]
    assert "by chance 3/3 in 25 % of cases" in table.notes[0]


def test_a_training_that_diverged_is_off_the_forests_axis_and_a_winner_is_not():
    """CM as published: +130 beside a baseline of 0.73. T2H's +26 beside 10 is a result, and so is a lead of any size."""
    assert off_scale(130.0, 0.73)
    assert not off_scale(26.3, 9.95)
    assert not off_scale(-9.9, 9.95)
    assert not off_scale(7.2, 0.73)
