"""The public functions: their examples, what they refuse, and that importing them costs nothing."""

import doctest
import inspect
import subprocess
import sys

import numpy as np
import pytest

import ltbench as lt
from ltbench import api

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


def test_equal_seeds_give_equal_images_whatever_is_sampled_beside_them(folder):
    model = lt.load_run(next((folder / "runs").glob("digits_lt-*"))).model()
    alone = lt.sample(model, [3], steps=2, seed=5, device="cpu")
    both = lt.sample(model, np.array([3, 4]), steps=2, seed=5, device="cpu")
    assert (np.abs(alone[0].astype(int) - both[0].astype(int)) <= 1).all()
    assert (lt.sample(model, [3], steps=2, seed=6, device="cpu") != alone).any()


def test_nothing_is_printed_without_progress(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    lt.evaluate("runs", metrics="frechet", recompute=True)
    lt.load_scores("runs")
    lt.report("runs", out=folder / "quiet")
    assert capfd.readouterr().out == ""
