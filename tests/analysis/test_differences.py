"""The frame of differences: pairs of one protocol, what was declared, and when there is a p-value."""

import numpy as np
import pandas as pd
import pytest
from report_folders import make_spec, score_rows, write_run, write_study

from ltbench.analysis.cells import cells
from ltbench.analysis.differences import differences, of_measure, p_statement
from ltbench.runs.results import load_scores
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


def test_the_baseline_of_the_same_settings_is_compared_with(tmp_path):
    """Of DDPM at two learning rates the one whose settings sort first was taken: -5.4 for a difference of -0.4."""
    for seed in range(3):
        for rate, worse in ((0.001, 0.0), (0.0002, 5.0)):
            spec = make_spec("ddpm", seed, train={"learning_rate": rate})
            rows = score_rows(spec)
            write_run(tmp_path, spec, [moved(row, worse) for row in rows], images=False)
        spec = make_spec("coral", seed, train={"learning_rate": 0.001})
        write_run(tmp_path, spec, images=False)
    (cell,) = cells(load_scores(tmp_path))
    frame = differences(cell, "ddpm")
    row = frame[(frame["metric"] == "frechet") & (frame["scope"] == "overall") & (frame["label"] == "CORAL")]
    assert row["mean"].item() == pytest.approx(-0.44, abs=0.05)
    assert "0.001" in row["baseline_label"].item()


def test_differences_of_another_reference_are_another_measures(tmp_path):
    """`evaluate --reference heldout` doubled what Holm counts, and the contrast table printed its differences."""
    for seed in range(3):
        for method, other in (("ddpm", 3.0), ("coral", 5.0)):
            spec = make_spec(method, seed)
            rows = score_rows(spec)
            heldout = [
                moved(row, other) | {"reference": "heldout", "reference_hash": "0" * 8} for row in rows
            ]
            write_run(tmp_path, spec, [*rows, *heldout], images=False)
    (cell,) = cells(load_scores(tmp_path))
    measure = cell.frechet("overall")
    found = of_measure(differences(cell, "ddpm"), measure, cell.series, ["", "tail"])
    assert [(row.place, row.measure.reference) for row in found] == [
        (p, measure.reference) for p in ("", "tail")
    ]
    assert all(row.mean < 0 for row in found)


def test_differences_against_references_of_unstated_size_are_found(tmp_path):
    for seed in range(2):
        for method in ("ddpm", "coral"):
            spec = make_spec(method, seed)
            rows = [row | {"n_reference": ""} for row in score_rows(spec, metrics=("frechet",))]
            write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    found = of_measure(differences(cell, "ddpm"), cell.frechet("overall"), cell.series, ["", "tail"])
    assert [row.place for row in found] == ["", "tail"]


def moved(row, by):
    """Return a row of scores with its Frechet distance moved."""
    return row | {"value": repr(float(row["value"]) + by)} if row["metric"] == "frechet" else row


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
