"""The declared contrast: what is refused before anything trains, and which runs it was declared for."""

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
    ],
)
def test_what_no_run_will_have_is_refused_before_anything_trains(tmp_path, text, says):
    with pytest.raises(UsageError, match=rf"study\.toml: \[contrast\].*{says}"):
        contrast(tmp_path, text)


def test_a_contrast_covers_the_studys_own_protocols_whatever_the_files_hash(tmp_path):
    found = contrast(tmp_path, 'method = "coral"')
    (run, *_) = load_study(tmp_path / "study.toml").runs
    series = {"step": run.train.steps, "sampler": run.sample.label, "nfe": run.sample.nfe, "guidance": 0.0}
    label = cell_label(run.data)
    assert found.covers(label, series)
    assert found.covers(f"{label}, content 12345678", series)
    assert not found.covers(label.replace("0.1", "0.01"), series)
    assert not found.covers(label, series | {"guidance": 1.0})
