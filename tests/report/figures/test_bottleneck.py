"""The classes' confusion, drawn where it is kept."""

import numpy as np
import pytest
from report_folders import make_spec, write_run
from report_scenes import drawn_of

from ltbench.analysis.cells import cells
from ltbench.errors import CheckpointError
from ltbench.runs.results import load_scores
from ltbench.runs.samples import load_confusion


def test_confusion_is_drawn_where_it_is_kept(tmp_path):
    samples = write_run(tmp_path, make_spec(), images=False)
    names = list("abcdefghij")  # as scoring writes it: the classes' names, in label order
    table = "label," + ",".join(names) + "\n"
    table += "".join(f"{a}," + ",".join("30" if a == b else "0" for b in names) + "\n" for a in names)
    (samples / "confusion.csv").write_text(table)
    (figure,) = drawn_of(tmp_path, "confusion")
    (panel,) = figure.panels
    assert np.trace(panel.matrix) == pytest.approx(10)
    assert "asked for" in figure.caption
    (cell,) = cells(load_scores(tmp_path))
    assert cell.class_name("3") == "d"  # the data set has numbers alone: the user's names are the report's
    assert load_confusion(samples).loc["3", "3"] == 30
    (samples / "confusion.csv").write_text("label,0\n0,x\n")
    with pytest.raises(CheckpointError, match=r"confusion\.csv cannot be read"):
        load_confusion(samples)


def test_confusion_is_of_the_main_sampling_seed_alone(tmp_path):
    names = list("abcdefghij")
    for seed, sample_seed, right in ((0, 0, 30), (1, 0, 30), (0, 1, 0)):
        samples = write_run(tmp_path, make_spec("ddpm", seed, sample_seed=sample_seed), images=False)
        counts = (
            np.full((10, 10), 0) + right * np.eye(10, dtype=int) + (30 - right) * np.eye(10, k=1, dtype=int)
        )
        counts[9, 9] = 30
        rows = (f"{name}," + ",".join(map(str, row)) + "\n" for name, row in zip(names, counts, strict=True))
        (samples / "confusion.csv").write_text("label," + ",".join(names) + "\n" + "".join(rows))
    (figure,) = drawn_of(tmp_path, "confusion")
    assert np.trace(figure.panels[0].matrix) == pytest.approx(10)
