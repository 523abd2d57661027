"""What a misspelt key is told."""

import pytest

from ltbench.errors import UsageError
from ltbench.study.file import load_study


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
