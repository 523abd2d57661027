"""The declared contrast: what is refused before anything trains, and which runs it was declared for."""

import json

import pytest

from ltbench.errors import UsageError
from ltbench.runs.series import cell_label
from ltbench.study.file import load_study

STUDY = """
[data]
dataset = "digits_lt"
imbalance_ratio = 0.1
[score]
metrics = ["frechet", "kid_subsets", "agreement"]
[[grid]]
methods = ["ddpm", "coral+t2h"]
"""


def contrast(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(STUDY + "\n[contrast]\n" + text)
    return load_study(path).contrast


def test_a_contrast_is_read_with_its_defaults_and_canonical_names(tmp_path):
    found = contrast(tmp_path, 'method = "t2h+coral"\nscope = "tail"')
    assert (found.method, found.baseline, found.metric, found.scope) == (
        "coral+t2h",
        "ddpm",
        "frechet",
        "tail",
    )


def test_a_study_may_declare_none():
    assert load_study("demo").contrast is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be a table with method"),
        ('method = "corl"', "unknown method 'corl'; did you mean 'coral'"),
        ('method = "coral"\nbaseline = "coral"', "compares coral with itself"),
        ('method = "coral"\nscope = "tails"', "scope must be one of overall, head.*not 'tails'"),
        ('method = "coral"\nscop = "tail"', "unknown key 'scop'; did you mean 'scope'"),
        ('method = "coral"\nmetric = "fid"', "measures no 'fid' in scope overall"),
        ('method = "coral"\nmetric = "frechet.floor"', "measures no 'frechet.floor'"),
        ('method = "coral"\nmetric = "recall"', "measures no 'recall'.*score.metrics"),
        (
            'method = "coral"\nmetric = "kid_subsets_mean"\nscope = "tail"',
            "measures no 'kid_subsets_mean' in scope tail",
        ),
        ('method = "coral"\nmetric = "kid_subsets_std"', "measures no 'kid_subsets_std'"),
        ('method = "coral"\nprotocols = "all"', "unknown key 'protocols'"),
        ("method = 3", "method must be text, not 3"),
        (
            'method = "ddpm"\nbaseline = "ddpm"\nrule = "interval"',
            "no run of this study is guided by 'interval'",
        ),
        ('method = "coral+t2h"\nbaseline_rule = "cfg"', "baseline_rule goes with rule"),
        ('method = "ddpm"\nrule = "cfg"', "compares ddpm with itself"),
    ],
)
def test_what_no_run_will_have_is_refused_before_anything_trains(tmp_path, text, says):
    with pytest.raises(UsageError, match=rf"study\.toml: \[contrast\].*{says}"):
        contrast(tmp_path, text)


def test_a_method_may_be_its_own_baseline_under_another_rule(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        STUDY
        + "guidance = 1.0\n'sample.rule' = ['cfg', 'per_class']\n[contrast]\nmethod = 'ddpm'\nrule = 'per_class'"
    )
    found = load_study(path).contrast
    assert (found.method, found.baseline, found.rule, found.baseline_rule) == (
        "ddpm",
        "ddpm",
        "per_class",
        "cfg",
    )


def test_a_contrast_covers_the_studys_own_protocols_whatever_the_files_hash(tmp_path):
    found = contrast(tmp_path, 'method = "coral"')
    (run, *_) = load_study(tmp_path / "study.toml").runs
    series = {"step": run.train.steps, "sampler": run.sample.label, "nfe": 1000, "guidance": 0.0}
    label = cell_label(run.data)
    assert found.covers(label, series)
    assert found.covers(f"{label}, content 12345678", series)
    assert not found.covers(label.replace("0.1", "0.01"), series)
    assert not found.covers(label, series | {"guidance": 1.0})
    interval = json.dumps({"sample.rule": "interval", "sample.sigma_high": 2.9, "sample.steps": 1000})
    assert not found.covers(label, series | {"settings": interval})


def test_a_contrast_is_of_the_rules_that_the_study_runs_and_no_other(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        STUDY + "[sample]\nsampler = 'ddim'\nsteps = 20\nguidance = 1.0\nrule = 'auto'\n"
        "bad_weights = 'runs/smaller'\n[contrast]\nmethod = 'coral+t2h'\n"
    )
    study = load_study(path)
    run, label = study.runs[0], cell_label(study.runs[0].data)
    series = {"step": run.train.steps, "sampler": "ddim", "nfe": 40, "guidance": 1.0}
    rule = {
        "sample.rule": "auto",
        "sample.bad_weights": "ab" * 32,
        "sample.steps": 20,
    }  # as the runs record it
    assert study.contrast.covers(label, series | {"settings": json.dumps(rule)})
    assert not study.contrast.covers(label, series | {"settings": json.dumps(rule | {"sample.steps": 21})})
    assert not study.contrast.covers(label, series | {"settings": "{}"})
