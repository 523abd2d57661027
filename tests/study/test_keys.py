"""What a misspelt key is told."""

import pytest

from ltbench.errors import UsageError
from ltbench.study.file import load_study
from ltbench.study.keys import from_text


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ("train.foo=1", "unknown key 'train.foo'; `ltbench settings train` lists its keys"),
        ("train.stepz=1", "did you mean 'train.steps'?"),
        ("not_installed.gamma=5", "no method of that name is installed"),
        ("steps=1", "'steps'"),
    ],
)
def test_the_sentence_names_what_is_alike_or_where_to_look(entry, part):
    with pytest.raises(UsageError) as error:
        load_study("demo", [entry])
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("score.groups", ["none"]),
        ("score.reference_half", "none"),
        ("data.head_count", None),
        ("data.content", None),
        ("train.steps", "none"),
    ],
)
def test_none_is_nothing_only_where_that_can_be(key, value):
    assert from_text(key, "none") == value


def test_none_can_be_said_where_it_is_a_name():
    (run,) = load_study(
        "demo", ["methods=ddpm", "score.groups=none", "score.reference_half=none", "seeds=0"]
    ).runs
    assert (run.score.groups, run.score.reference_half) == (("none",), "none")
