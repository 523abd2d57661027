"""Ranks within one protocol, their intervals by hand-made cases, and a row's status."""

import numpy as np
import pandas as pd
import pytest
from league_scores import scores

from ltbench.league.ranks import league, status_of


def test_ranks_and_their_intervals_by_hand():
    table = league(scores({"a": [1.0, 1.1, 1.2], "b": [1.01, 1.09, 1.22], "c": [5.0, 5.1, 5.2]}))
    rows = table.set_index("method")
    assert list(table["method"]) == ["a", "b", "c"]
    assert list(table["rank"]) == [1, 2, 3]
    # a and b differ by -.01, .01, -.02: nothing; c is 4 behind both at every seed, far beyond Holm's level
    assert [(r.rank_low, r.rank_high) for r in rows.itertuples()] == [(1, 2), (1, 2), (3, 3)]
    assert rows.at["a", "mean"] == pytest.approx(1.1)
    assert rows.at["a", "high"] - rows.at["a", "mean"] == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-5)


def test_higher_is_better_turns_the_order_round():
    table = league(scores({"a": [0.1, 0.11, 0.12], "b": [0.8, 0.82, 0.83]}, metric="recall"))
    assert list(table["method"]) == ["b", "a"]
    assert list(table["rank_high"]) == [1, 2]


def test_one_seed_ranks_nothing():
    table = league(scores({"a": [1.0], "b": [2.0], "c": [3.0]}))
    assert set(table["rank_low"]) == {1}
    assert set(table["rank_high"]) == {3}
    assert table["low"].isna().all()


@pytest.mark.parametrize(
    "column",
    [
        "guidance",
        "sampler",
        "nfe",
        "step",
        "n_generated",
        "reference",
        "extractor_hash",
        "definition",
        "settings",
    ],
)
def test_no_rank_crosses_protocols(column):
    other = {"settings": '{"train.batch_size": 32}'}.get(
        column, "7" if column in ("sampler", "reference") else 7
    )
    both = pd.concat(
        [scores({"a": [1.0, 1.1]}), scores({"b": [2.0, 2.1]}, **{column: other})], ignore_index=True
    )
    assert list(league(both)["of"]) == [1, 1]
    assert league(both)["protocol"].nunique() == 2


def test_hyper_parameters_of_the_method_are_no_protocol():
    both = pd.concat(
        [
            scores({"a": [1.0, 1.1]}),
            scores({"b": [2.0, 2.1]}, settings='{"method.hyperparameters": {"b": 1}}'),
        ],
        ignore_index=True,
    )
    assert list(league(both)["of"]) == [2, 2]


def test_a_row_is_worth_its_worst_number():
    table = scores({"a": [1.0, 1.1], "b": [2.0, 2.1]})
    again = pd.DataFrame(
        {
            "run": ["a-0", "a-1", "b-0"],
            "samples": "s",
            "metric": "frechet",
            "scope": "overall",
            "class_or_group": "",
        }
    ).assign(status=["re-scored", "reproduced", "contradicted"])
    keys = {(f"{m}-{s}", "s"): f"{m}{s}" for m in "ab" for s in (0, 1)}
    found = league(table, status_of(again, keys)).set_index("method")["status"]
    assert found["a"] == "re-scored"
    assert found["b"] == "contradicted"
