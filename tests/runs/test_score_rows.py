"""What makes two rows of scores one number."""

import pandas as pd
import pytest
from report_folders import make_spec, score_rows

from ltbench.runs.score_columns import as_stored
from ltbench.runs.score_rows import identity


@pytest.fixture
def table():
    rows = [row | {"extractor_hash": "e" * 16, "reference_hash": "r" * 16} for row in score_rows(make_spec())]
    return as_stored(pd.DataFrame(rows))


def test_numbers_differ_by_what_was_measured_and_not_by_how_often(table):
    assert not identity(table).duplicated().any()
    assert (identity(table) == identity(table.assign(value=0.0, n_generated=1.0, manifest="m"))).all()
    for column in ("metric", "scope", "sample_key", "definition", "extractor_hash", "reference_hash"):
        assert (identity(table) != identity(table.assign(**{column: "other"}))).all()
