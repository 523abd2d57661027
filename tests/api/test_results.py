"""Stored results from Python: comparisons, and nothing to compare."""

import math

import pandas as pd
import pytest
from report_folders import make_spec, score_rows, write_run

import ltbench as lt
from ltbench.errors import UsageError
from ltbench.runs.pack import pack


def test_nothing_to_evaluate_or_compare_is_one_sentence():
    with pytest.raises(UsageError, match="was given no run"):
        lt.evaluate([], metrics="kid")
    with pytest.raises(UsageError, match="the table that load_scores returns"):
        lt.compare(pd.DataFrame())


def a_table(**values):
    """Return scores of methods as `load_scores` does, from their values by seed."""
    from ltbench.runs.score_columns import as_stored

    rows = [
        {
            "method": method,
            "train_seed": seed,
            "value": value,
            "series": method,
            "train_key": f"{method}{seed}",
        }
        for method, by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]
    return as_stored(pd.DataFrame(rows)).assign(
        scope="overall", metric="frechet", definition="frechet/1", extractor="digits_cnn", reference="digits_lt",
        dataset="digits_lt", imbalance_ratio=0.1, step=100.0, sampler="ddim", nfe=20.0, guidance=0.0,
        sample_seed=0.0, origin="ours", n_generated=100.0, n_reference=100.0, run="r", folder="f",
        cell="digits_lt, ratio 0.1", settings="{}", series=[row["series"] for row in rows],
    )  # fmt: skip


def test_a_comparison_is_paired_by_seed_against_closed_form():
    table = a_table(ddpm=(10.0, 12.0, 14.0), coral=(9.0, 11.5, 12.5))
    (row,) = lt.compare(table).to_dict("records")
    # differences -1, -0.5, -1.5: mean -1, sd 0.5, t quantile of 2 degrees 4.3027
    half = 4.302652729749464 * 0.5 / 3**0.5
    assert (row["n"], row["mean"], row["agree"]) == (3, -1.0, 3)
    assert (row["low"], row["high"]) == pytest.approx((-1 - half, -1 + half))
    with pytest.raises(UsageError, match="baseline called 't2h'"):
        lt.compare(table, "t2h")
    with pytest.raises(UsageError, match="no 'recall' in 'overall'"):
        lt.compare(table, metric="recall")
    with pytest.raises(UsageError, match="has no column 'train_seed'"):
        lt.compare(table.drop(columns="train_seed"))
    with pytest.raises(UsageError, match="numbers in the column 'value'"):
        lt.compare(table.assign(value=table["value"].astype(str)))
    with pytest.raises(UsageError, match="baseline must be a name, not None"):
        lt.compare(table, None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"baseline": "dpdm"}, "no scores of a baseline called 'dpdm'; did you mean 'ddpm'"),
        ({"metric": "frechett"}, "no 'frechett' in 'overall' to compare; did you mean 'frechet'"),
        ({"where": "tail"}, "no 'frechet' in 'tail' to compare; known: overall"),
        ({"where": ["tail", "head"]}, r"where must be a name, not \['tail', 'head'\]"),
        ({"where": 3}, "where must be a name, not 3"),
        ({"metric": None}, "metric must be a name, not None"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(arguments, says):
    with pytest.raises(UsageError, match=says):
        lt.compare(a_table(ddpm=(10.0, 12.0), coral=(9.0, 11.5)), **arguments)


def test_methods_without_a_finite_score_in_common_are_told_so():
    with pytest.raises(
        UsageError, match="no method has a seed in common .*'ddpm', and finite scores of both"
    ):
        lt.compare(a_table(ddpm=(10.0, 12.0), coral=(math.inf, math.nan)))


def test_a_table_that_went_through_a_csv_file_compares_as_before(tmp_path):
    """Blank places came back as NaN, and nothing was overall."""
    table = a_table(ddpm=(10.0, 12.0), coral=(9.0, 11.5))
    table.to_csv(tmp_path / "scores.csv", index=False)
    pd.testing.assert_frame_equal(lt.compare(pd.read_csv(tmp_path / "scores.csv")), lt.compare(table))


def test_the_report_of_a_zip_file_lies_beside_it(tmp_path, monkeypatch):
    """There is no folder in the file to write it to, which was the default."""
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    write_run(tmp_path / "runs", make_spec(), score_rows(make_spec(), metrics=("agreement",)))
    bundle = pack([tmp_path / "runs"], tmp_path / "study.zip").path
    written = lt.report(bundle)
    assert written.path == tmp_path / "study-report"
    assert (written.path / "index.html").is_file()


@pytest.mark.parametrize("root", [None, 3, ["runs"], "a\0b"])
def test_folders_of_another_type_are_one_sentence(root):
    for function in (lt.load_scores, lt.report):
        with pytest.raises(UsageError, match="each folder of runs must be a path"):
            function(root)


def test_a_reports_arguments_of_another_type_are_one_sentence(tmp_path):
    for wrong, says in (
        ({"out": 3}, "out must be a path"),
        ({"baseline": None}, "baseline must be a name"),
        ({"contrast": "coral"}, r"what load_study\(\.\.\.\)\.contrast is, not a str"),
    ):
        with pytest.raises(UsageError, match=says):
            lt.report(tmp_path, **wrong)
