"""Ranks within one protocol, their intervals by hand-made cases, and a row's status."""

import numpy as np
import pandas as pd
import pytest
from league_scores import scores
from report_folders import make_spec, score_rows, write_run

from ltbench.league.ranks import league, status_of
from ltbench.runs.results import load_scores


def test_ranks_and_their_intervals_by_hand():
    table = league(scores({"a": [1.0, 1.1, 1.2], "b": [1.01, 1.09, 1.22], "c": [5.0, 5.15, 5.25]}))
    rows = table.set_index("method")
    assert list(table["method"]) == ["a", "b", "c"]
    assert list(table["rank"]) == [1, 2, 3]
    # a and b differ by -.01, .01, -.02: nothing; c is about 4 behind both at every seed, far beyond Holm's level
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


def load(folder, *specs, values=score_rows):
    """Return the league of runs written to a folder: rows by label."""
    for spec in specs:
        write_run(folder, spec, values(spec), images=False)
    return league(load_scores(folder))


def overall(table, metric="frechet"):
    return table[(table["metric"] == metric) & (table["place"] == "overall")].set_index("label")


def test_a_methods_own_settings_are_no_protocol(tmp_path):
    settings = {
        "ddpm": {},
        "cbdm": {"cbdm": {"variant": "released"}},
        "tempered": {"tempered": {"power": 0.25}},
    }
    rows = overall(load(tmp_path, *(make_spec(m, s, hyper=h) for m, h in settings.items() for s in (0, 1))))
    assert len(set(rows["protocol"])) == 1
    assert sorted(rows["rank"]) == [1, 2, 3]


def test_settings_tell_rows_of_one_method_apart(tmp_path):
    hyper = [{"tempered": {"power": power}} for power in (0.25, 0.5)]
    rows = overall(load(tmp_path, *(make_spec("tempered", 0, hyper=h) for h in hyper)))
    assert sorted(rows.index) == ["tempered, tempered.power=0.25", "tempered, tempered.power=0.5"]


def test_the_learning_rate_is_protocol(tmp_path):
    rows = load(tmp_path, make_spec("ddpm"), make_spec("cbdm", train={"learning_rate": 1e-3}))
    assert list(overall(rows)["of"]) == [1, 1]


def test_a_row_is_worth_its_worst_number():
    table = scores({"a": [1.0, 1.1], "b": [2.0, 2.1]})
    found = league(table, worths()).set_index("method")["status"]
    assert found["a"] == "re-scored"
    assert found["b"] == "contradicted"


def worths(bundle="", extractor="e"):
    again = pd.DataFrame(
        {"run": ["a-0", "a-1", "b-0"], "status": ["re-scored", "reproduced", "contradicted"]}
    )
    again = again.assign(
        samples="s", metric="frechet", extractor=extractor, scope="overall", class_or_group=""
    )
    return status_of(again, {(f"{m}-{s}", "s"): f"{m}{s}" for m in "ab" for s in (0, 1)}, bundle)


@pytest.mark.parametrize("other", [("honest", "e"), ("faked", "inception")])
def test_a_number_is_judged_by_bundle_and_extractor(other):
    tables = [scores({"b": [1.0]}, bundle=b, extractor=e) for b, e in (("faked", "e"), other)]
    found = worths("faked") | dict.fromkeys(worths(*other), "reproduced")
    rows = league(pd.concat(tables, ignore_index=True), found).set_index(["bundle", "extractor"])
    assert rows["status"].to_dict() == {("faked", "e"): "contradicted", other: "reproduced"}


@pytest.mark.parametrize("other", [("two", "e"), ("one", "inception")])
def test_a_floor_is_its_own_bundles_and_extractors_with_its_n(other):
    tables = []
    for (bundle, extractor), floor in ((("one", "e"), 0.5), (other, 40.0)):
        own = scores({"a": [1.0, 1.2]}, bundle=bundle, extractor=extractor)
        beside = own.assign(metric="frechet.floor", value=floor, n_generated=4)
        tables += [own, beside]
    rows = league(pd.concat(tables, ignore_index=True)).set_index(["bundle", "extractor"])
    assert rows["floor"].to_dict() == {("one", "e"): 0.5, other: 40.0}
    assert list(rows["floor_n"]) == [4, 4]
    assert list(rows["n_generated"]) == [9, 9]


def test_a_row_without_a_training_seed_is_one_measurement_and_pairs_with_none():
    tables = scores({"a": [1.0, 1.1, 1.2]}), scores({"b": [5.0, 5.1], "c": [9.0]}, train_seed=np.nan)
    rows = league(pd.concat(tables, ignore_index=True)).set_index("label")
    assert list(rows["rank"]) == [1, 2, 3]
    assert list(rows["n"]) == [3, 1, 1]
    assert rows.at["b", "mean"] == pytest.approx(5.05)
    assert list(rows["seeds"]) == ["0, 1, 2", "", ""]
    assert set(rows["rank_low"]) == {1}
    assert set(rows["rank_high"]) == {3}


def test_what_is_not_finite_has_no_rank():
    rows = league(scores({"a": [1.0, 1.1], "b": [0.1, np.inf], "c": [2.0, 2.1]})).set_index("label")
    assert rows["rank"].dropna().to_dict() == {"a": 1, "c": 2}
    assert set(rows["of"]) == {2}
    assert rows.loc["b", ["rank", "rank_low", "rank_high"]].isna().all()


def test_a_network_sampled_again_counts_at_the_main_sampling_seed_alone(tmp_path):
    def values(spec):
        return [row | {"value": repr(float(row["value"]) + 2 * spec.sample.seed)} for row in score_rows(spec)]

    specs = [make_spec("ddpm", seed) for seed in (0, 1)]
    once = overall(load(tmp_path / "once", *specs))
    again = overall(load(tmp_path / "again", *specs, make_spec("ddpm", 0, sample_seed=1), values=values))
    assert again.at["ddpm", "mean"] == once.at["ddpm", "mean"]
