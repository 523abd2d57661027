"""Tuning: equal grids, a choice on one half and one seed, a report on the other half and fresh seeds."""

import pandas as pd
import pytest

from ltbench.errors import CheckpointError, UsageError
from ltbench.runs.layout import folder_name
from ltbench.runs.score_columns import COLUMNS, run_columns
from ltbench.specs import sample_key, train_key
from ltbench.study.file import load_study
from ltbench.study.presets import preset_names
from ltbench.study.selection import choose, planned, reported, trials, write_curves
from ltbench.sweep.cost import make_plan

STUDY = """
[data]
dataset = "digits_lt"
[model]
size = "tiny"
[train]
flip = false
[sample]
sampler = "dpmsolver++"
steps = 2
per_class = 4
[select]
seeds = [0, 1]
[[grid]]
method = ["ddpm", "coral"]
guidance = [0.0, 0.5, 1.0]
seeds = [0, 1]
"""


def study_of(tmp_path, text=STUDY):
    path = tmp_path / "tuned.toml"
    path.write_text(text)
    return load_study(path)


def write_score(root, run, value, **changes):
    row = {"scope": "overall", "class_or_group": "", "metric": "frechet", "definition": "frechet/1"}
    row |= {"extractor": "digits_cnn", "reference": "digits_lt, first half", "value": value}
    rows = [
        run_columns(run, 20) | row | changes,
        run_columns(run, 20) | row | {"reference": "digits_lt", "value": 0.0},
    ]
    path = root / folder_name(run) / "samples" / sample_key(run)[:8] / "scores.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).reindex(columns=list(COLUMNS)).to_csv(path, index=False)


# Best on average at 0.5 (ddpm) and 1.0 (coral), though not for every train seed.
CURVES = {
    "ddpm": {0.0: (5.0, 5.2), 0.5: (4.0, 4.9), 1.0: (6.0, 4.0)},
    "coral": {0.0: (7.0, 7.0), 0.5: (6.0, 6.0), 1.0: (3.0, 3.5)},
}


@pytest.fixture
def tuned(tmp_path):
    study = study_of(tmp_path)
    tried = trials(study.runs, study.select)
    for run in tried:
        write_score(tmp_path, run, CURVES[run.method.name][run.sample.guidance][run.train_seed])
    return study, tried, choose(tried, study.select, tmp_path), tmp_path


def test_trials_see_one_validation_seed_and_the_first_half(tuned):
    study, tried, _, _ = tuned
    assert len(tried) == len(study.runs) == 12
    assert {(run.sample.seed, run.score.reference_half) for run in tried} == {(1000, "first")}
    assert {train_key(run) for run in tried} == {train_key(run) for run in study.runs}


def test_each_method_gets_the_value_that_is_best_on_average(tuned):
    _, _, choices, _ = tuned
    assert {c.runs[0].method.name: c.chosen for c in choices} == {"ddpm": 0.5, "coral": 1.0}
    assert {c.runs[0].method.name: dict(c.scores) for c in choices} == CURVES


def test_what_is_reported_shares_neither_seed_nor_reference_with_the_choice(tuned):
    study, tried, choices, _ = tuned
    runs = reported(choices, study.select)
    assert len(runs) == 2 * 2 * 2  # methods, train seeds, fresh sampling seeds
    assert {run.score.reference_half for run in runs} == {"second"}
    assert {run.sample.seed for run in runs} == {0, 1}
    assert {(r.method.name, r.sample.guidance) for r in runs} == {("ddpm", 0.5), ("coral", 1.0)}
    assert not {sample_key(run) for run in runs} & {sample_key(run) for run in tried}
    assert {train_key(run) for run in runs} == {train_key(run) for run in tried}


def test_the_whole_curve_is_kept(tuned):
    study, tried, choices, root = tuned
    table = write_curves(choices, study.select, root / "curves.csv")
    read = pd.read_csv(root / "curves.csv")
    assert len(read) == len(table) == len(tried)
    assert read[read["chosen"]].groupby("method")["value"].first().to_dict() == {"coral": 1.0, "ddpm": 0.5}
    assert read["score"].sum() == pytest.approx(sum(sum(v) for c in CURVES.values() for v in c.values()))


def test_a_score_where_more_is_better_is_maximised(tuned):
    study, tried, _, root = tuned
    for run in tried:
        value = CURVES[run.method.name][run.sample.guidance][run.train_seed]
        write_score(root, run, value, metric="coverage")
    best = choose(tried, study.select.model_copy(update={"metric": "coverage"}), root)
    assert {c.runs[0].method.name: c.chosen for c in best} == {"ddpm": 0.0, "coral": 0.0}


def test_a_missing_or_doubtful_score_is_refused(tuned):
    study, tried, _, root = tuned
    path = root / folder_name(tried[0]) / "samples" / sample_key(tried[0])[:8] / "scores.csv"
    other = study.select.model_copy(update={"extractor": "inception"})
    with pytest.raises(UsageError, match=r"holds no frechet on inception: ask for it in score\.metrics"):
        choose(tried, other, root)
    rows = pd.read_csv(path, keep_default_na=False)
    pd.concat([rows, rows.assign(extractor="inception")]).to_csv(path, index=False)
    with pytest.raises(UsageError, match="scored on digits_cnn, inception: name one as extractor"):
        choose(tried, study.select, root)
    assert choose(tried, study.select.model_copy(update={"extractor": "digits_cnn"}), root)
    path.unlink()
    with pytest.raises(CheckpointError, match="is missing: run the same command again"):
        choose(tried, study.select, root)


def test_a_plan_knows_all_runs_before_anything_is_chosen(tuned, tmp_path):
    study, tried, choices, _ = tuned
    known = planned(study.runs, study.select)
    assert len(known) == len(tried) + len(reported(choices, study.select))
    costs = make_plan(known, tmp_path / "none", None, "cpu", 1).runs
    assert sum(cost.images for cost in costs) == 40 * len(known)
    assert len([cost for cost in costs if cost.steps]) == 4  # two methods, two train seeds


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('key = "train.steps"', "key must be a sampling setting"),
        ('key = "sample.guidence"', "did you mean 'sample.guidance'"),
        ('metric = "vendy"', "no metric called 'vendy' can decide"),
        ("validation_seed = 1", "must not be among the reported seeds"),
        ("seeds = []", "at least one"),
        ("seeds = [3, 3]", "different sampling seeds"),
        ('validation_seed = "7"', "validation_seed: "),
        ("keys = 3", "unknown key 'keys'; did you mean 'key'"),
    ],
)
def test_a_select_table_that_cannot_be_used(tmp_path, change, says):
    if change.startswith("seeds"):
        text = STUDY.replace("seeds = [0, 1]\n[[grid]]", f"{change}\n[[grid]]")
    else:
        text = STUDY.replace("[select]", f"[select]\n{change}")
    with pytest.raises(UsageError, match=says) as caught:
        study_of(tmp_path, text)
    assert "tuned.toml: [select]" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="must be a table"):
        study_of(tmp_path, 'select = "guidance"\n' + STUDY.replace("[select]\nseeds = [0, 1]", ""))


def test_grids_of_unequal_size_or_of_one_value_are_refused(tmp_path):
    unequal = STUDY + '\n[[grid]]\nmethod = "coral"\nguidance = [2.0]\n'
    study = study_of(tmp_path, unequal)
    with pytest.raises(UsageError, match=r"coral tries 4 values of sample.guidance and ddpm 3"):
        trials(study.runs, study.select)
    study = study_of(tmp_path, STUDY.replace("[0.0, 0.5, 1.0]", "[0.5]"))
    with pytest.raises(UsageError, match="nothing to choose from"):
        trials(study.runs, study.select)


def test_values_on_different_train_seeds_are_refused(tmp_path):
    """They were compared by means over different seeds, and the study ended in a traceback after all its trials."""
    study = study_of(
        tmp_path, STUDY + '\n[[grid]]\nmethod = ["ddpm", "coral"]\nguidance = 2.0\nseeds = [0, 2]\n'
    )
    for use in (trials, planned):
        with pytest.raises(
            UsageError,
            match=r"ddpm tries sample.guidance 0.0 with seeds 0, 1 and 2.0 with seeds 0, 2: give every value",
        ):
            use(study.runs, study.select)


def test_methods_on_different_train_seeds_are_refused(tmp_path):
    """One method's best of one seed stood beside another's best mean of three."""
    more = '\n[[grid]]\nmethod = "cbdm"\nguidance = [0.0, 0.5, 1.0]\nseeds = [0]\n'
    study = study_of(tmp_path, STUDY + more)
    for use in (trials, planned):
        with pytest.raises(
            UsageError,
            match=r"ddpm is tuned on the seeds 0, 1 and cbdm on 0: give every method the same seeds",
        ):
            use(study.runs, study.select)


def test_a_grid_of_one_data_set_is_compared_with_the_others_grids_there(tmp_path):
    """A method's grid in the last data set stood for all of its grids."""
    text = STUDY.replace('dataset = "digits_lt"\n', 'dataset = "digits_lt"\nimbalance_ratio = 0.1\n')
    more = "\n[[grid]]\nmethod = {}\nimbalance_ratio = {}\nguidance = {}\nseeds = [0, 1]\n".format
    fair = study_of(tmp_path, text + more('["ddpm", "coral"]', 0.01, [0.0, 1.0]))
    assert len(trials(fair.runs, fair.select)) == 12 + 8
    unfair = study_of(
        tmp_path, text + more('"coral"', 0.1, 2.0) + more('["ddpm", "coral"]', 0.01, [0.0, 1.0])
    )
    with pytest.raises(UsageError, match=r"coral tries 4 values of sample.guidance and ddpm 3"):
        trials(unfair.runs, unfair.select)


def test_no_limit_is_a_value_that_can_be_tried_and_chosen(tmp_path):
    """It is None, which has no order among numbers."""
    text = STUDY.replace("[select]\n", '[select]\nkey = "sample.sigma_high"\n')
    path = tmp_path / "tuned.toml"
    path.write_text(text.replace("guidance = [0.0, 0.5, 1.0]", '"sample.rule" = "interval"\nguidance = 1.0'))
    study = load_study(path, ["sample.sigma_high=2.9,none,1.5"])
    tried = trials(study.runs, study.select)
    assert len(planned(study.runs, study.select)) == len(tried) + 8
    for run in tried:
        write_score(tmp_path, run, {None: 2.0, 2.9: 4.0, 1.5: 3.0}[run.sample.sigma_high])
    choices = choose(tried, study.select, tmp_path)
    assert [list(choice.scores) for choice in choices] == [[1.5, 2.9, None]] * 2
    assert {choice.chosen for choice in choices} == {None}
    write_curves(choices, study.select, tmp_path / "curves.csv")
    read = pd.read_csv(tmp_path / "curves.csv", dtype={"value": str}, keep_default_na=False)
    assert set(read["value"]) == {"none", "1.5", "2.9"}
    assert set(read["value"][read["chosen"]]) == {"none"}


def test_what_could_not_be_scored_is_not_chosen(tuned):
    """No number is below one that is none, and the first value was chosen for it."""
    study, tried, _, root = tuned
    for run in tried:
        if run.sample.guidance == 0:
            write_score(root, run, float("nan"))
    assert {c.runs[0].method.name: c.chosen for c in choose(tried, study.select, root)} == {
        "ddpm": 0.5,
        "coral": 1.0,
    }
    for run in tried:
        write_score(root, run, float("nan"))
    with pytest.raises(
        UsageError, match=r"ddpm has no value of sample\.guidance with a frechet for every seed"
    ):
        choose(tried, study.select, root)


@pytest.mark.parametrize("name", [name for name in preset_names() if name.startswith("tuned/")])
def test_the_tuned_presets_give_every_method_the_same_grid(name):
    study = load_study(name)
    tried = trials(study.runs, study.select)
    grids = {}
    for run in tried:
        grids.setdefault(run.method.name, set()).add(run.sample.guidance)
    assert set(grids) == {"ddpm", "cbdm", "t2h", "coral"}
    assert len(set(map(tuple, map(sorted, grids.values())))) == 1
