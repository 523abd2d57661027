"""The frame of differences: pairs of one protocol, what was declared, and when there is a p-value."""

import numpy as np
import pandas as pd
import pytest
from report_folders import make_spec, write_run, write_study

from ltbench.report import load_scores
from ltbench.report.cells import cells
from ltbench.report.tables.differences import differences, p_statement
from ltbench.study.file import load_study


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_no_p_value_below_six_seeds(n):
    told = p_statement(np.ones(n), declared=True)
    assert told == f"n too small: smallest attainable p = {2 / 2**n:.3g}"


def test_p_value_only_for_the_declared_contrast():
    d = np.arange(1.0, 7.0)
    assert p_statement(d, declared=False) == "not declared beforehand"
    assert p_statement(d, declared=True) == "sign-flip test: p = 0.031"


def test_contrasts_pair_with_the_baseline_of_the_same_protocol(contrast_study):
    (cell,) = cells(load_scores(contrast_study))
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


def declared_study(path, ratio):
    path.write_text(
        '[contrast]\nmethod = "coral"\nbaseline = "ddpm"\nscope = "tail"\n'
        f'[data]\ndataset = "digits_lt"\nimbalance_ratio = {ratio}\n[train]\nsteps = 2000\n'
        '[sample]\nsampler = "dpmsolver++"\nsteps = 20\n'
        '[[grid]]\nmethod = ["ddpm", "coral"]\nseeds = "0..5"\nguidance = [0.0, 1.0]\n'
    )
    return path


def test_declared_contrast_gets_its_p_value(tmp_path):
    root = write_study(tmp_path / "runs", methods=("ddpm", "coral"), seeds=range(6))
    study = declared_study(tmp_path / "study.toml", ratio=0.05)
    (cell,) = cells(load_scores(root))
    found = differences(cell, "ddpm", load_study(study).contrast)
    declared = found[found["declared"]]
    assert list(declared["class_or_group"]) == ["tail"]
    assert declared["p"].iloc[0] == "sign-flip test: p = 0.031"
    assert set(found[~found["declared"]]["p"]) == {"not declared beforehand"}


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


def test_a_deterministic_sampler_is_never_compared_with_a_stochastic_one(tmp_path):
    write_run(tmp_path, make_spec("ddpm", sampler="ancestral", steps=1000, guidance=1.0), images=False)
    write_run(tmp_path, make_spec("coral", guidance=1.0), images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert differences(cell, "ddpm").empty
