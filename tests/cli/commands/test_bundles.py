"""The commands on bundles, as a person types them."""

import json
import subprocess
import sys

import pytest
from image_folders import write_counted_classes
from report_folders import make_spec, score_rows, write_run

from ltbench.data.prepare.prepare import prepare
from ltbench.runs.bundle import read_bundle, run_files
from ltbench.runs.layout import sample_folder, weights_path
from ltbench.runs.results import load_scores
from ltbench.runs.scores import find_scores, read_scores, record_requests, write_scores
from ltbench.specs import stage_key
from ltbench.study.file import load_study
from ltbench.study.resolve import resolve_study
from ltbench.study.selection import choose, reported, trials


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name, seeds in (("a", (0, 1)), ("b", (1, 2))):
        for seed in seeds:
            write_run(tmp_path / name, make_spec("ddpm", seed), score_rows(make_spec("ddpm", seed)))
    return tmp_path


TUNED = """
method = "ddpm"
[data]
dataset = "digits_lt"
imbalance_ratio = 0.05
[train]
steps = 2000
[sample]
per_class = 30
[select]
seeds = [3]
[[grid]]
guidance = [0.0, 1.0]
"""


def write_done(root, run, reference):
    """Write a run whose sample set is scored against a reference, as its stages leave it."""
    rows = [row | {"reference": reference} for row in score_rows(run)]
    samples = write_run(root, run, rows)
    weights = weights_path(samples.parent.parent, run.train.steps)
    weights.parent.mkdir(exist_ok=True)
    weights.touch()
    record_requests(samples, {stage_key(run, "score"): run.score.model_dump(mode="json")})


def sample_sets_of(bundle):
    return {"/".join(name.split("/")[:3]) for name, _ in run_files(bundle) if "/samples/" in name}


def ltbench(*arguments):
    command = [sys.executable, "-m", "ltbench.cli.app", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_pack_unpack_verify_and_merge(here):
    for name in "ab":
        (here / name / "study.toml").write_text(f"title = '{name}'\n")
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
    assert list(read_bundle(here / "c").studies.values()) == [b"title = 'b'\n", b"title = 'a'\n"]


def test_conflicts_stop_a_merge_and_contradictions_a_verification(here):
    path = next(p for p in find_scores(here / "b") if "s1" in str(p))
    write_scores(path, read_scores(path).assign(guidance=3.0, value=7.0))
    code, _, err = ltbench("merge", "a", "b", "-o", "c")
    assert code == 1
    assert "results differ" in err
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
        (["pack", "a", "-o", "x", "--only", "other.toml"], "none of the 1 runs asked for"),
        (["unpack", "a", "-o", "x"], "is no bundle"),
        (["verify", "absent"], "no bundle or folder at absent"),
        (["verify", "."], "no runs in"),
        (["merge", "a", "absent", "-o", "x"], "no folder or bundle at absent"),
        (["merge", "a", "b", "-o", "x", "--keep", "both"], "first or second"),
    ],
)
def test_mistakes_are_one_sentence(here, arguments, sentence):
    (here / "other.toml").write_text('method = "ddpm"\ntrain_seed = 7\n[data]\ndataset = "digits_lt"\n')
    code, _, err = ltbench(*arguments)
    assert code in (1, 2)
    assert sentence in err
    assert err.count("\n") == 1
    assert not (here / "x").exists()


def test_pack_takes_the_runs_of_a_study_of_a_prepared_folder(here):
    write_counted_classes(here / "birds", (20, 10))
    prepare("folder_lt", here / "birds", here / "data", image_size=16, workers=1)
    (here / "mine.toml").write_text(
        '[data]\ndataset = "folder_lt:birds"\nimage_size = 16\n[train]\nsteps = 2000\n'
    )
    (run,) = resolve_study(here / "mine.toml", data_root=here / "data").runs
    folder = write_run(here / "a", run, score_rows(make_spec())).parent.parent
    command = ("pack", "a", "-o", "x", "--only", "mine.toml", "--data-root", "data")
    code, out, err = ltbench(*command)
    assert (code, err) == (0, "")
    assert out.startswith("1 trainings, ")
    assert {name.split("/")[0] for name, _ in run_files(read_bundle(here / "x"))} == {folder.name}
    assert ltbench("pack", folder, *command[2:])[1] == out


def test_pack_takes_the_trials_of_a_study_that_tunes_and_what_it_reports(here):
    (here / "tuned.toml").write_text(TUNED)
    study = load_study(here / "tuned.toml")
    tried = trials(study.runs, study.select)
    for run in tried:
        write_done(here / "runs", run, "digits_lt, first half")
    command = ("pack", "runs", "-o", "x", "--only", "tuned.toml")
    assert ltbench(*command)[0] == 0
    assert len(sample_sets_of(read_bundle(here / "x"))) == len(tried) == 2
    final = reported(choose(tried, study.select, here / "runs"), study.select)
    for run in final:
        write_done(here / "runs", run, "digits_lt, second half")
    write_done(here / "runs", make_spec("coral"), "digits_lt")
    assert ltbench(*command)[0] == 0
    assert sample_sets_of(read_bundle(here / "x")) == {sample_folder(r).as_posix() for r in (*tried, *final)}


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
