"""The commands on bundles, as a person types them."""

import json
import subprocess
import sys

import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.runs.results import load_scores
from ltbench.runs.scores import find_scores, read_scores, write_scores


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name, seeds in (("a", (0, 1)), ("b", (1, 2))):
        for seed in seeds:
            write_run(tmp_path / name, make_spec("ddpm", seed), score_rows(make_spec("ddpm", seed)))
    return tmp_path


def ltbench(*arguments):
    command = [sys.executable, "-m", "ltbench.cli.app", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("here")
def test_pack_unpack_verify_and_merge():
    code, out, _ = ltbench("pack", "a", "-o", "a.zip", "--images", "0")
    assert code == 0
    assert out.startswith("2 trainings, ")
    assert out.endswith("MB: a.zip\n")
    assert ltbench("unpack", "a.zip", "-o", "back")[0] == 0
    assert load_scores("back").drop(columns="folder").equals(load_scores("a").drop(columns="folder"))
    code, out, _ = ltbench("verify", "a.zip", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["holds"]
    assert found["counts"]["self-reported"] == len(load_scores("a"))
    code, out, _ = ltbench("merge", "a.zip", "b", "-o", "c")
    assert code == 0
    assert "3 trainings, 3 sample sets" in out
    assert len(load_scores("c")) == len(load_scores(["a", "b"]))


def test_conflicts_stop_a_merge_and_contradictions_a_verification(here):
    path = next(p for p in find_scores(here / "b") if "s1" in str(p))
    write_scores(path, read_scores(path).assign(guidance=3.0, value=7.0))
    code, _, err = ltbench("merge", "a", "b", "-o", "c")
    assert code == 1
    assert "numbers differ" in err
    assert "--keep first" in err
    assert not (here / "c").exists()
    assert ltbench("merge", "a", "b", "-o", "c", "--keep", "second")[0] == 0
    assert (load_scores("c")["value"] == 7.0).any()
    code, out, _ = ltbench("verify", "b")
    assert code == 1
    assert "guidance is 3.0" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pack", "absent", "-o", "x"], "no folder at absent"),
        (["pack", "a", "-o", "x", "--images", "first"], "takes training seeds"),
        (["pack", "a", "-o", "x", "--images", "²"], "takes training seeds"),
        (["pack", "a", "-o", "b"], "no bundle"),
        (["pack", "a", "-o", "x", "--only", "absent.toml"], "absent.toml"),
        (["unpack", "a", "-o", "x"], "is no bundle"),
        (["verify", "absent"], "no bundle or folder at absent"),
        (["verify", "."], "no runs in"),
        (["merge", "a", "absent", "-o", "x"], "no folder or bundle at absent"),
        (["merge", "a", "b", "-o", "x", "--keep", "both"], "first or second"),
    ],
)
def test_mistakes_are_one_sentence(here, arguments, sentence):
    code, _, err = ltbench(*arguments)
    assert code in (1, 2)
    assert sentence in err
    assert err.count("\n") == 1
    assert not (here / "x").exists()


def test_status_and_evaluate_take_a_bundle(here):
    import shutil

    import torch
    from tiny_runs import make_spec as tiny

    from ltbench.environment import Environment
    from ltbench.pipeline import run_stage, stages
    from ltbench.runs.pack import pack

    torch.set_num_threads(1)
    spec = tiny(sample={"per_class": 3}, score={"metrics": ["agreement"], "floor_draws": 2})
    for stage in stages(spec):
        run_stage(stage, here / "lab", Environment())
    pack([here / "lab"], here / "packed", keep_arrays=[0])
    shutil.rmtree(here / "lab")
    code, out, _ = ltbench("status", "--out", "packed")
    assert code == 0
    assert "1 trainings" in out
    assert "all done" in out
    before = len(load_scores("packed"))
    code, _, err = ltbench("evaluate", "packed", "--metrics", "frechet")
    assert code == 0, err
    after = load_scores("packed")
    assert len(after) > before
    assert (after["metric"] == "frechet").any()
    assert ltbench("evaluate", "packed", "--metrics", "frechet")[1].count("0 numbers") == 1
