"""From flags and settings to one study or one data set."""

import pytest
from image_folders import write_named_classes

from ltbench.errors import UsageError
from ltbench.study.resolve import resolve_cell, resolve_study


def test_more_than_one_data_cell_or_other_settings_are_refused():
    from ltbench.study.resolve import resolve_cell as data_cell

    with pytest.raises(UsageError, match="2 data cells"):
        data_cell("digits_lt", ["data.split_seed=0,1"], {}, None)
    with pytest.raises(UsageError, match="only data"):
        data_cell("digits_lt", ["train.steps=3"], {}, None)
    with pytest.raises(UsageError, match="did you mean 'digits_lt'"):
        data_cell("digit_lt", [], {}, None)
    assert data_cell("celeba5", [], {}, None).profile == "asis"


@pytest.mark.parametrize(
    ("sets", "flags"),
    [
        ([], {"imbalance_ratio": "0.001"}),
        (["data.imbalance_ratio=0.001"], {}),
        (["imbalance_ratio=1e-3"], {}),
    ],
)
def test_a_ratio_takes_its_cells_settings_however_it_is_given(sets, flags):
    study = resolve_study(None, sets, {"dataset": "cifar10_lt", "method": "cbdm", **flags}, None)
    assert {run.sample.guidance for run in study.runs} == {1.8}


def cells(flags, sets=(), preset=None):
    return {(run.data.profile, run.data.imbalance_ratio) for run in resolve_study(preset, sets, flags).runs}


@pytest.mark.parametrize(
    ("given", "cell"),
    [
        ({}, ("asis", 0.0937)),
        ({"imbalance_ratio": "0.0937"}, ("asis", 0.0937)),  # its own, as the preset states it
        ({"imbalance_ratio": "0.1"}, ("exponential", 0.1)),
        ({"imbalance_ratio": "0.1", "split_seed": "3"}, ("exponential", 0.1)),
    ],
)
def test_a_ratio_that_is_given_cuts_a_set_of_its_own_counts(given, cell):
    """`run -d celeba5 -r 0.1` took every image, and called the run, and its scores, one of ratio 0.1."""
    assert cells({"dataset": "celeba5", **given}) == {cell}
    assert cells(given, preset="paper/celeba5") == {cell}
    scored = resolve_cell("celeba5", flags=given)
    assert (scored.profile, scored.imbalance_ratio) == cell


@pytest.mark.parametrize(
    ("sets", "flags", "says"),
    [
        (["data.profile=asis"], {"imbalance_ratio": "0.1"}, r"data\.imbalance_ratio=0\.1"),
        ([], {"split_seed": "1"}, r"data\.split_seed=1"),
        ([], {"class_order": "reversed"}, r"data\.class_order=reversed"),
        (["data.class_order=reversed"], {}, r"data\.class_order=reversed"),
    ],
)
def test_what_no_uncut_set_heeds_is_refused_by_every_command(sets, flags, says):
    for resolve in (
        lambda: resolve_study(None, sets, {"dataset": "celeba5", **flags}),
        lambda: resolve_cell("celeba5", sets, flags),
    ):
        with pytest.raises(
            UsageError, match=f"{says}: celeba5 keeps every image .* data.profile=exponential"
        ):
            resolve()


def test_cells_of_one_uncut_set_are_not_trained_twice(tmp_path):
    text = '[data]\ndataset = "celeba5"\nprofile = "asis"\n[[grid]]\nimbalance_ratio = [0.1, 0.05]\n'
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(UsageError, match=r"imbalance_ratio=0\.1,0\.05: celeba5 .* are one cell"):
        resolve_study(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text(text.replace("[0.1, 0.05]", "[0.1]"))
    (run,) = resolve_study(tmp_path / "a.toml").runs
    assert (run.data.profile, run.data.imbalance_ratio) == ("asis", 0.1)  # its key stays


def test_folders_are_prepared_and_each_gets_its_own_study(tmp_path, monkeypatch):
    """Of `-d ./a,./b` only ./a was run."""
    monkeypatch.chdir(tmp_path)
    write_named_classes(tmp_path / "a", ["cat", "dog"])
    write_named_classes(tmp_path / "b", ["cat", "dog"], size=12)
    said = []
    both = resolve_study(None, (), {"dataset": "./a, b", "methods": "ddpm"}, tmp_path / "data", said.append)
    alone = [
        resolve_study(None, (), {"dataset": f"./{name}", "methods": "ddpm"}, tmp_path / "data").runs[0]
        for name in "ab"
    ]
    assert list(both.runs) == alone
    assert len(said) == 2
    mixed = resolve_study(None, (), {"dataset": ["./a", "digits_lt"], "methods": "ddpm"}, tmp_path / "data")
    assert [run.data.dataset for run in mixed.runs[:2]] == ["folder_lt", "digits_lt"]
    named = resolve_study(
        "demo", (), {"dataset": "./a,digits_lt", "methods": "ddpm", "seeds": "0"}, tmp_path / "data"
    )
    assert [run.data.dataset for run in named.runs] == ["folder_lt", "digits_lt"]
    assert len({run.train for run in named.runs}) == 1


def test_a_folders_name_may_hold_a_comma(tmp_path):
    folder = write_named_classes(tmp_path / "cats, dogs", ["cat", "dog"])
    (run,) = resolve_study(None, (), {"dataset": str(folder), "methods": "ddpm"}, tmp_path / "data").runs
    assert run.data.dataset == "folder_lt"
