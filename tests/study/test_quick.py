"""A folder named to `run` or `plan` is prepared and gets a small study; names, ratios and defaults mean one thing."""

import numpy as np
import pytest
from PIL import Image

from ltbench.errors import DataMissing, UsageError
from ltbench.study.checks import fitting_ema_decay, warnings
from ltbench.study.file import load_study
from ltbench.study.quick import FEWEST, MOST, is_folder, quick_settings
from ltbench.study.resolve import resolve_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("own") / "my birds"
    for k, n in enumerate((20, 10)):
        for i in range(n):
            path = root / ("wren", "kite")[k] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(100 * k + i).integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(path)
    return root


def test_a_folder_becomes_a_small_study_that_says_what_was_chosen(folder, tmp_path):
    said = []
    study = resolve_study(None, (), {"dataset": str(folder), "methods": "ddpm,coral"}, tmp_path, said.append)
    assert [run.method.name for run in study.runs] == ["ddpm", "coral"]
    spec = study.runs[0]
    assert (spec.data.dataset, spec.data.profile, spec.data.image_size) == ("folder_lt", "asis", 32)
    assert spec.model.size == "small"
    assert spec.train.steps == FEWEST
    assert not spec.train.flip
    assert (
        spec.data.imbalance_ratio == 0.375
    )  # 6 of 16: a fifth of the smallest class is reference, as many held out
    (sentence,) = said
    assert "22 training images of 2 classes (6 to 16 a class) at 32x32" in sentence
    assert "train.steps=600" in sentence
    again = resolve_study(None, (), {"dataset": "folder_lt:my_birds", "imbalance_ratio": None}, tmp_path)
    assert again.runs[0].data == spec.data
    # Named by what was prepared, it gets the same small study: it got the papers' network and 150,000 steps.
    assert again.runs[0].train == spec.train
    assert again.runs[0].model == spec.model
    other = resolve_study(
        None, ["data.image_size=16", "train.steps=7"], {"dataset": str(folder)}, tmp_path, said.append
    )
    assert (other.runs[0].data.image_size, other.runs[0].model.size, other.runs[0].train.steps) == (
        16,
        "tiny",
        7,
    )


def test_the_budget_grows_with_the_images_between_its_bounds():
    steps = [int(quick_settings(32, n, 5)[1].partition("=")[2]) for n in (20, 1500, 2000, 10**6)]
    assert steps == [FEWEST, 1400, 1900, MOST]
    for settings in (quick_settings(8, 10, 1), quick_settings(64, 10**5, 900)):
        load_study("quick", settings)


@pytest.mark.parametrize("images", [20, 1500, 1501, 2000, 2222, 3000])
def test_no_budget_is_one_that_the_plan_warns_of(images):
    """1,400 steps got ema_decay=0.9929, of which the plan said "0.9929 averages over more than the 1400 steps; 0.9929 fits"."""
    assert warnings(load_study("quick", quick_settings(32, images, 5)).runs[0]) == []


@pytest.mark.parametrize(("steps", "decay"), [(1, 0), (10, 0), (20, 0.5), (1400, 0.9928), (150_000, 0.9999)])
def test_the_average_that_fits_spans_no_more_than_the_training(steps, decay):
    assert fitting_ema_decay(steps) == decay
    assert decay == 0 or 10 / (1 - decay) <= steps * 1.001


@pytest.mark.parametrize("name", ["digits_lt", "folder_lt", "folder_lt:x", "cifar10_l"])
def test_names_of_data_sets_are_no_folders(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits_lt").mkdir()
    assert not is_folder(name)
    assert is_folder("./x")
    assert is_folder("/x")
    assert not is_folder("")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataMissing, match="nowhere does not exist"):
        resolve_study(None, (), {"dataset": "./nowhere"}, tmp_path)
    with pytest.raises(UsageError, match="a folder is prepared at one size"):
        resolve_study(None, ["data.image_size=16,32"], {"dataset": str(tmp_path)}, tmp_path)


def test_a_flag_and_a_file_mean_one_cell(tmp_path, folder):
    """-d folder_lt took the natural counts, a file with dataset = "folder_lt" the exponential profile at .01."""
    resolve_study(None, (), {"dataset": str(folder)}, tmp_path / "data")
    file = tmp_path / "study.toml"
    file.write_bytes(b"\xef\xbb\xbf" + b'method = "ddpm"\r\n[data]\r\ndataset = "folder_lt"\r\n')
    by_file = resolve_study(file, (), {}, tmp_path / "data").runs[0].data
    by_flag = resolve_study(None, (), {"dataset": "folder_lt"}, tmp_path / "data").runs[0].data
    by_set = resolve_study(file, ["dataset=folder_lt:my_birds"], {}, tmp_path / "data").runs[0].data
    assert by_file == by_flag == by_set
    assert by_flag.profile == "asis"
    file.write_text('[data]\ndataset = "celeba5"\n')
    assert load_study(file).runs[0].data.profile == "asis"
    file.write_text('[data]\ndataset = "cifar10_lt"\n')
    assert load_study(file).runs[0].data.profile == "exponential"


@pytest.mark.parametrize(
    ("given", "ratio"),
    [("100", 0.01), ("1/100", 0.01), ("0.01", 0.01), ("1e-2", 0.01), ("256", 1 / 256), ("1", 1)],
)
def test_the_papers_imbalance_factor_is_read_as_what_it_means(given, ratio):
    (run,) = load_study(None, (), {"imbalance_ratio": given}).runs
    assert run.data.imbalance_ratio == ratio
    assert load_study(None, [f"data.imbalance_ratio={given}"], {}).runs[0].data == run.data
    plan = resolve_study(None, (), {"dataset": "cifar10_lt", "imbalance_ratio": given})
    assert plan.runs[0].data.imbalance_ratio == ratio


@pytest.mark.parametrize("section", ["[data]", "[for.ddpm]", "[[grid]]"])
@pytest.mark.parametrize("given", ["10", '"1/10"', "0.1"])
def test_a_study_file_reads_the_factor_wherever_it_may_state_it(tmp_path, section, given):
    """In [data] ``"1/10"`` was no number and 10 no ratio, where [[grid]] and the command line read both."""
    key = "imbalance_ratio" if section != "[for.ddpm]" else '"data.imbalance_ratio"'
    (tmp_path / "a.toml").write_text(f"{section}\n{key} = {given}\n")
    runs = load_study(tmp_path / "a.toml", ["methods=ddpm"]).runs
    assert [run.data.imbalance_ratio for run in runs] == [0.1]


def test_a_factor_is_said_and_what_is_neither_is_refused(caplog):
    load_study(None, (), {"imbalance_ratio": "123"})
    assert "123 is read as the imbalance factor, so imbalance_ratio is 0.00813" in caplog.text
    for given in ("2", "0", "-5", "1/0", "nan", "ten", "1e999"):
        with pytest.raises(UsageError, match="imbalance.ratio"):
            load_study(None, (), {"imbalance_ratio": given})
