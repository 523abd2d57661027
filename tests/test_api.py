"""The public functions: their examples, what they refuse, and that importing them costs nothing."""

import doctest
import inspect
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import ltbench as lt
from ltbench import api
from ltbench.api.extensions import KINDS
from ltbench.errors import CheckpointError, LtbenchError, RunFailed, UsageError
from ltbench.method import Prediction

EXAMPLES = [
    test
    for name in api.__all__
    for test in doctest.DocTestFinder(recurse=True).find(getattr(api, name), f"api.{name}")
    if test.examples
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder in which the example of `run` has been done."""
    path = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        check(next(test for test in EXAMPLES if test.name == "api.run"))
    return path


def check(example):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said = []
    runner.run(example, out=said.append, clear_globs=False)
    assert runner.failures == 0, "".join(said)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_prints_what_it_says(folder, monkeypatch, example):
    monkeypatch.chdir(folder)
    check(example)


def test_every_public_function_has_an_example_and_its_parts_documented():
    documented = {example.name.removeprefix("api.") for example in EXAMPLES}
    for name in set(lt.__all__) - {"Batch", "Method", "Needs"}:
        function, text = getattr(lt, name), getattr(lt, name).__doc__
        assert name in documented
        assert ("Raises\n" in text and "Returns\n" in text) or name == "available"
        for parameter in inspect.signature(function).parameters:
            assert parameter in text.partition("Returns\n")[0], (name, parameter)


def test_importing_the_package_loads_no_library():
    code = (
        "import sys, ltbench; print(sorted({'torch', 'pandas', 'numpy', 'scipy', 'rich'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_names_are_the_promised_ones_and_report_stays_a_function():

    assert callable(lt.report)
    assert not inspect.ismodule(lt.report)
    assert set(lt.__all__) <= set(dir(lt))
    assert all(getattr(lt, name) is not None for name in lt.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'pretrain'"):
        lt.pretrain  # noqa: B018


# -- sampling ---------------------------------------------------------------------------------------------


class TowardsLabel:
    """A network that knows the answer: the noise for which x_0 is constant and equal to its label's grey."""

    shape, num_classes = (1, 4, 4), 3

    def __call__(self, x_t, t, label):
        from ltbench.diffusion.schedule import alpha_bar

        abar = torch.as_tensor(alpha_bar(), dtype=torch.float32)[t].reshape(-1, 1, 1, 1)
        x0 = (label.float() / 2 - 0.5).reshape(-1, 1, 1, 1)
        return Prediction((x_t - abar.sqrt() * x0) / (1 - abar).sqrt(), torch.zeros(len(x_t), 1, 1, 1))


def test_any_callable_is_sampled_and_gives_the_images_it_knows():
    images = lt.sample(TowardsLabel(), [0, 1, 2], steps=10, device="cpu")
    assert images.dtype == np.uint8
    assert images.shape == (3, 1, 4, 4)
    expected = np.array([-0.5, 0.0, 0.5]) * 127.5 + 127.5
    assert np.abs(images.mean((1, 2, 3)) - expected).max() <= 1


def test_equal_seeds_give_equal_images_whatever_is_sampled_beside_them(folder):
    model = lt.load_run(next((folder / "runs").glob("digits_lt-*"))).model()
    alone = lt.sample(model, [3], steps=2, seed=5, device="cpu")
    both = lt.sample(model, np.array([3, 4]), steps=2, seed=5, device="cpu")
    assert (np.abs(alone[0].astype(int) - both[0].astype(int)) <= 1).all()
    assert (lt.sample(model, [3], steps=2, seed=6, device="cpu") != alone).any()


@pytest.mark.parametrize(
    ("model", "labels", "settings", "says"),
    [
        (lambda x, _t, _y: x, [0], {}, r"must be a callable .* with shape \(C, H, W\) and num_classes"),
        (TowardsLabel(), [0, 3], {}, r"labels must be 0\.\.2, not 0\.\.3"),
        (TowardsLabel(), [-1], {}, r"labels must be 0\.\.2"),
        (TowardsLabel(), [0.5], {}, "labels must be whole numbers"),
        (TowardsLabel(), [[0]], {}, "labels must be whole numbers"),
        (TowardsLabel(), [True], {}, "labels must be whole numbers"),
        (TowardsLabel(), ["a"], {}, "labels must be whole numbers"),
        (TowardsLabel(), [[0], [0, 1]], {}, "labels are no array"),
        (TowardsLabel(), np.ma.masked_array([0, 1], [False, True]), {}, "labels have 1 masked entries"),
        (TowardsLabel(), [0], {"steps": 0}, "sample: steps"),
        (TowardsLabel(), [0], {"sampler": "dpm"}, "dpm"),
        (TowardsLabel(), [0], {"device": "tpu"}, "device 'tpu' cannot be used here"),
    ],
)
def test_what_cannot_be_sampled_is_one_sentence(model, labels, settings, says):
    with pytest.raises(UsageError, match=says):
        lt.sample(model, labels, **{"device": "cpu", **settings})


@pytest.mark.parametrize(
    ("answer", "says"),
    [(lambda x: x, "it returned Tensor"), (lambda x: Prediction(x[:, :, :2], x), r"eps \(1, 1, 2, 4\)")],
)
def test_a_models_answer_is_checked(answer, says):
    model = TowardsLabel()
    model.__class__ = type("Other", (TowardsLabel,), {"__call__": lambda _self, x, _t, _y: answer(x)})
    with pytest.raises(UsageError, match=says):
        lt.sample(model, [0], steps=1, device="cpu")


@pytest.mark.parametrize("returned", [None, "a", float("nan"), np.ones(3), np.ones((2, 1))])
def test_a_rule_of_ones_own_must_return_numbers(returned):
    with pytest.raises(UsageError, match="must return a finite number, or one for each image"):
        lt.sample(TowardsLabel(), [0, 1], guidance=lambda _t, _labels: returned, device="cpu")


@pytest.mark.parametrize("counts", [[5, 1], [5, 0, 1], [5, -1, 1], "many", [[5, 1, 1]]])
def test_counts_are_one_for_each_class(counts):
    by_size = {"rule": "per_class", "omega_power": -1, "guidance": 1, "counts": counts}
    with pytest.raises(UsageError, match="counts must be the training images of each of the 3 classes"):
        lt.sample(TowardsLabel(), [0, 1], guidance=by_size, device="cpu")


def test_factors_are_one_for_each_class():
    factors = {"rule": "per_class", "omega_factors": [1, 2], "guidance": 1}
    with pytest.raises(UsageError, match="omega_factors has 2 numbers for 3 classes"):
        lt.sample(TowardsLabel(), [0, 1], guidance=factors, device="cpu")


@pytest.mark.parametrize("other", [{"shape": (3, 4, 4)}, {"num_classes": 2}])
def test_a_weaker_network_is_of_the_same_images_and_classes(other):
    weaker = type("Weaker", (TowardsLabel,), other)()
    with pytest.raises(UsageError, match=r"away_from has images .* the model \(1, 4, 4\) of 3"):
        lt.sample(
            TowardsLabel(), [0], guidance={"rule": "auto", "guidance": 1}, away_from=weaker, device="cpu"
        )


def test_no_labels_are_no_images():
    assert lt.sample(TowardsLabel(), [], steps=1, device="cpu").shape == (0, 1, 4, 4)


def test_a_setting_may_be_numpys():
    steps = {"train.steps": np.int64(3), "seeds": np.arange(2)}
    plain = lt.load_study("demo", methods="ddpm", **{"train.steps": 3, "seeds": [0, 1]})
    assert lt.load_study("demo", methods="ddpm", **steps).runs == plain.runs


def test_nothing_to_evaluate_or_compare_is_one_sentence():
    with pytest.raises(UsageError, match="was given no run"):
        lt.evaluate([], metrics="kid")
    with pytest.raises(UsageError, match="the table that load_scores returns"):
        lt.compare(pd.DataFrame())


# -- scoring ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "labels", "settings", "says"),
    [
        (np.zeros((10, 1, 8, 8)), np.arange(10), {}, "images must be uint8"),
        (np.zeros((10, 8, 8), np.uint8), np.arange(10), {}, "images must be uint8"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(9), {}, "one for each of the 10 images"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10) + 1, {}, r"labels must be 0\.\.9, not 1\.\.10"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10) / 2, {}, "labels must be whole numbers"),
        ([[1], [1, 2]], np.arange(10), {}, "images are no array"),
        (np.ma.masked_equal(np.zeros((10, 1, 8, 8), np.uint8), 0), np.arange(10), {}, "640 masked entries"),
        (np.zeros((9, 1, 8, 8), np.uint8), np.arange(9), {}, "9 of 10 classes"),
        (np.zeros((10, 1, 9, 9), np.uint8), np.arange(10), {}, "the data set's images"),
        (np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), {"metrics": "fdi"}, "no metric called 'fdi'"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(images, labels, settings, says):
    with pytest.raises(LtbenchError, match=says):
        lt.score(images, labels, lt.load_dataset("digits_lt"), device="cpu", **settings)


def test_images_without_labels_are_scored_as_one_set():
    data = lt.load_dataset("digits_lt", imbalance_ratio=0.1)
    real = data.heldout
    with_labels, without = (
        lt.score(real.images, labels, data, metrics="frechet", device="cpu", bootstrap=0)
        for labels in (real.labels, None)
    )
    overall = [
        t[(t["scope"] == "overall") & (t["metric"] == "frechet")]["value"].item()
        for t in (with_labels, without)
    ]
    assert overall[0] == overall[1]
    classes = without[(without["scope"] == "class") & (without["metric"] == "frechet")]
    assert len(classes) == 10
    assert classes["value"].isna().all()


# -- runs and tables ----------------------------------------------------------------------------------------


def test_a_failed_study_raises_and_says_which_stage(tmp_path):
    settings = {"model.size": "tiny", "train.steps": 2, "train.learning_rate": 1e30, "train.warmup_steps": 0}
    study = lt.load_study("demo", methods="ddpm", seeds=0, guidance=0, **settings)
    with pytest.raises(RunFailed) as caught:
        lt.run(study, tmp_path, workers=1, progress=False)
    assert "train" in caught.value.failures[0]
    assert "became infinite or NaN" in str(caught.value)


def test_nothing_is_printed_without_progress(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    lt.evaluate("runs", metrics="frechet", recompute=True)
    lt.load_scores("runs")
    lt.report("runs", out=folder / "quiet")
    assert capfd.readouterr().out == ""


def test_a_comparison_is_paired_by_seed_against_closed_form():
    rows = [
        {
            "method": method,
            "train_seed": seed,
            "value": value,
            "series": method,
            "train_key": f"{method}{seed}",
        }
        for method, values in {"ddpm": (10.0, 12.0, 14.0), "coral": (9.0, 11.5, 12.5)}.items()
        for seed, value in enumerate(values)
    ]
    from ltbench.runs.score_columns import as_stored

    table = as_stored(pd.DataFrame(rows)).assign(
        scope="overall", metric="frechet", definition="frechet/1", extractor="digits_cnn", reference="digits_lt",
        dataset="digits_lt", imbalance_ratio=0.1, step=100.0, sampler="ddim", nfe=20.0, guidance=0.0,
        sample_seed=0.0, origin="ours", n_generated=100.0, n_reference=100.0, run="r", folder="f",
        cell="digits_lt, ratio 0.1", settings="{}", series=[row["series"] for row in rows],
    )  # fmt: skip
    (row,) = lt.compare(table).to_dict("records")
    # differences -1, -0.5, -1.5: mean -1, sd 0.5, t quantile of 2 degrees 4.3027
    half = 4.302652729749464 * 0.5 / 3**0.5
    assert (row["n"], row["mean"], row["agree"]) == (3, -1.0, 3)
    assert (row["low"], row["high"]) == pytest.approx((-1 - half, -1 + half))
    with pytest.raises(UsageError, match="baseline called 't2h'"):
        lt.compare(table, "t2h")
    with pytest.raises(UsageError, match="no 'recall' in 'overall'"):
        lt.compare(table, metric="recall")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no run's folder"):
        lt.load_run(tmp_path)
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        lt.load_run(tmp_path)


def test_what_is_available_comes_with_its_origin():
    for kind in KINDS:
        table = lt.available(kind)
        assert len(table)
        assert (table["origin"] != "").all()
        assert table["name"].is_unique
    with pytest.raises(UsageError, match="'method'; did you mean 'methods'"):
        lt.available("method")
