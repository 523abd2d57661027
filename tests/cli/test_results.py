"""The numbers that a command prints of scores."""

import pandas as pd

from ltbench.cli.results import numbers_table


def test_the_main_numbers_are_each_measures_overall_value_class_mean_and_floor():
    rows = [
        ("overall", "", "kid", 0.25), ("overall", "", "frechet", 12.345), ("overall", "", "frechet.floor", 1.5),
        ("overall", "", "frechet.ci_low", 9.0), ("group", "macro", "frechet", 20.0), ("group", "macro", "frechet.floor", 3.0),
        ("group", "worst", "frechet", 40.0), ("class", "3", "frechet", 7.0), ("overall", "", "agreement", float("nan")),
    ]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["scope", "class_or_group", "metric", "value"])
    table = numbers_table(scores.assign(extractor="pixels", n_generated=400, n_reference=1200), "gan")
    assert table.rows == [
        ["FD (pixels) ↓", "12.35", "20.00", "1.50"],
        ["Agreement ↑", "—", "—", "—"],
        ["KD (pixels) ↓", "0.2500", "—", "—"],
    ]
    assert table.notes == ["400 images against 1,200 real ones"]
