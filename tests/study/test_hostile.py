"""Study files and settings that nobody should write: refused in one sentence, quickly, before they are expanded."""

import time

import pytest

from ltbench.errors import UsageError
from ltbench.study.file import load_study
from ltbench.study.keys import MOST_RUNS


@pytest.fixture
def quick():
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 60  # no expansion: a grid of 10^9 would take hours or all memory


@pytest.mark.parametrize(
    "sets",
    [
        ["seeds=0..999999999"],
        ["seeds=0..3000000"],
        ["train_seed=0..100", "guidance=0..100", "sample.seed=0..100"],
        ["sample.seed=-5..999999999"],
        ["seeds=" + ",".join(map(str, range(MOST_RUNS + 1)))],
        ["train.steps=1..999999999999"],
        ["seeds=0..99999", "seeds=0..99999"],
    ],
    ids=lambda sets: sets[0][:30],
)
@pytest.mark.usefixtures("quick")
def test_a_grid_is_counted_before_it_is_expanded(sets):
    with pytest.raises(UsageError, match=f"{MOST_RUNS:,}") as caught:
        load_study(None, ["dataset=digits_lt", *sets])
    assert "--set" in str(caught.value)


@pytest.mark.usefixtures("quick")
def test_a_grid_in_a_file_is_counted_too(tmp_path):
    path = tmp_path / "wide.toml"
    path.write_text(
        '[[grid]]\n"train_seed" = "0..2000"\n"sample.guidance" = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]\n'
    )
    with pytest.raises(UsageError, match=r"wide\.toml.*12,006 runs"):
        load_study(path)
    path.write_text('[[grid]]\n"train_seed" = "0..6000"\n[[grid]]\n"train_seed" = "6001..12000"\n')
    with pytest.raises(UsageError, match=r"wide\.toml.*12,001 runs"):
        load_study(path)


HOSTILE = {
    "nested lists": "x = " + "[" * 100_000,
    "nested tables": "x = " + "{a=" * 50_000,
    "a dotted key": ".".join("a" * 20_000) + " = 1",
    "a dotted header": "[" + ".".join("a" * 20_000) + "]",
    "5,000 digits": "train_seed = " + "9" * 5000,
    "5,000 digits in a list": "[[grid]]\ntrain_seed = [" + "9" * 5000 + "]",
    "a long hexadecimal": "train_seed = 0x" + "f" * 5000,
    "beyond 64 bits": "train_seed = 9223372036854775808",
    "beyond 64 bits in a float's place": "[train]\nlearning_rate = 0x" + "f" * 400,
    "minus beyond 64 bits": "train_seed = -9223372036854775809",
    "infinity": "[train]\nlearning_rate = inf",
    "nan": "[train]\nlearning_rate = nan",
    "a date": "train_seed = 1979-05-27",
    "a table for a number": "train_seed = {a = 1}",
    "a text for a table": 'train = "x"',
    "a list for a table": "train = [1]",
    "a number for grid": "grid = 5",
    "grid of numbers": "grid = [1, 2]",
    "a name of 5,000 characters": 'dataset = "' + "x" * 5000 + '"',
    "a method of 5,000 parts": 'method = "' + "+".join(["coral"] * 5000) + '"',
    "control characters": 'dataset = "\\u001b[2J"',
    "empty": "",
    "a comment": "# nothing yet\n",
    "only a title": 'title = "Mine"\n',
    "white space": "\n \n\t\n",
    "a byte-order mark alone": "\ufeff",
    "null": "\0",
    "empty tables": "[data]\n[train]\n",
    "an empty block of a grid": "[[grid]]\n",
    "a bare table of a method": "[for.coral]\n",
    "an empty grid": "grid = []\n[contrast]\n",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.usefixtures("quick")
def test_a_hostile_study_file_is_one_sentence(tmp_path, name):
    path = tmp_path / "study.toml"
    path.write_text(HOSTILE[name], encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_study(path)
    assert "study.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    ["train_seed=" + "9" * 5000, "seeds=²", "seeds=١..٣", "seeds=0..²", "train.steps=1e400", "coral.tau_sc=nan",
     "coral.tau_sc=" + "9" * 5000, "data.class_order=permuted:²", "data.class_order=permuted:" + "9" * 5000,
     "a" * 5000 + "=1", ".=1", "..=..", "=", "train.=1", ".steps=1", "train.steps=", "train.steps=[[[",
     "sample.guidance=inf", "sample.guidance=-inf", "data.imbalance_ratio=nan", "score.bootstrap=999999999999",
     "seeds=1__0", "seeds=_1", "seeds=0x10", "train.flip=maybe", "model.widths=" + ",".join(["1"] * 5) + ",x"],
    ids=lambda text: text[:30],
)  # fmt: skip
@pytest.mark.usefixtures("quick")
def test_a_hostile_setting_is_one_sentence(setting):
    with pytest.raises(UsageError) as caught:
        load_study(None, ["dataset=digits_lt", "methods=coral", setting])
    assert "\n" not in str(caught.value)


def test_a_study_with_a_byte_order_mark_is_the_study(tmp_path):
    text = 'dataset = "digits_lt"\n[train]\nsteps = 10\n'
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_text(text, encoding="utf-8")
    marked.write_text(text, encoding="utf-8-sig")
    assert load_study(plain).runs == load_study(marked).runs
