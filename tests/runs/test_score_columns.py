"""The columns of scores.csv: what is stored, and reasons as one plain line."""

import pandas as pd
import pytest

from ltbench.errors import CheckpointError
from ltbench.runs.score_columns import COLUMNS, as_reason
from ltbench.runs.scores import read_scores, write_scores


@pytest.mark.parametrize("words", ["=cmd|x", "two\nlines", "\x1b[31mred", " led by a space", "x" * 1001])
def test_a_reason_is_one_plain_line_that_no_spreadsheet_runs(tmp_path, words):
    """A sentence may hold marks that a name may not; what a terminal or a spreadsheet obeys is no sentence."""
    row = dict.fromkeys(COLUMNS, "") | {
        "reason": "it needs `curl -L 'x'`; class 0 has 1 image (of 2) = too few!"
    }
    path = tmp_path / "scores.csv"
    write_scores(path, pd.DataFrame([row]))
    assert read_scores(path)["reason"].tolist() == [row["reason"]] == [as_reason(row["reason"])]
    write_scores(path, pd.DataFrame([row | {"reason": words}]))
    with pytest.raises(CheckpointError, match="is no sentence of one line"):
        read_scores(path)
    write_scores(path, pd.DataFrame([row | {"reason": as_reason(words)}]))
    assert read_scores(path)["reason"].tolist() == [as_reason(words)]
