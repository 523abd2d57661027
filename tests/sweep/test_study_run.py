"""A study that tunes: trials, the choice, and what is reported."""

import json

import pandas as pd
from tiny_runs import make_spec

from ltbench.cli import study as commands
from ltbench.environment import Environment
from ltbench.pipeline import run_stage, stages
from ltbench.study.file import load_study
from ltbench.study.selection import Selection
from ltbench.sweep import local
from ltbench.sweep.study_run import study_tasks


def test_run_tries_chooses_and_reports(tmp_path, monkeypatch, capsys):
    """The whole command, its stages done in this process instead of by workers."""

    def here(runs, root, *_, **__):
        for run in runs:
            for stage in stages(run):
                run_stage(stage, root, Environment(sample_batch=40))
        return local.survey(local.build_tasks(runs), local.Ledger(root))

    monkeypatch.setattr(local, "run_local", here)
    monkeypatch.setattr(commands, "make_report", lambda *_, **__: None)
    study = tmp_path / "small.toml"
    content = make_spec(score={"metrics": ("frechet",), "floor_draws": 1}).model_dump(mode="json")
    tables = {k: content[k] for k in ("data", "model", "train", "sample", "score")}
    lines = []
    for section, values in tables.items():
        lines.append(f"[{section}]")
        lines += [
            f"{k} = {json.dumps(v)}"
            for k, v in values.items()
            if v is not None and k not in ("seed", "guidance")
        ]
    lines += ["[select]", "seeds = [3]", "[[grid]]", 'method = "ddpm"', "guidance = [0.0, 1.0]"]
    study.write_text("\n".join(lines))
    commands.run_study(str(study), [], {}, tmp_path / "runs", None, "cpu", "1", True)
    curve = pd.read_csv(tmp_path / "runs" / "selection" / "small.csv")
    best = curve.loc[curve["score"].idxmin(), "value"]
    assert curve.loc[curve["chosen"], "value"].tolist() == [best]
    scores = pd.concat([pd.read_csv(p) for p in (tmp_path / "runs").glob("*/samples/*/scores.csv")])
    final = scores[scores["reference"].str.endswith("second half")]
    assert set(final["guidance"]) == {best}
    assert set(final["sample_seed"]) == {3}
    assert set(scores.loc[scores["reference"].str.endswith("first half"), "sample_seed"]) == {1000}
    assert "fresh seeds" in capsys.readouterr().out
    assert Selection().validation_seed == 1000


def test_a_study_that_tunes_has_its_trials_as_stages_until_they_are_scored(tmp_path):
    study = load_study("tuned/cifar10_lt-r0.01")
    sampled = [task.stage.spec for task in study_tasks(study, tmp_path) if task.stage.kind == "sample"]
    assert {spec.sample.seed for spec in sampled} == {study.select.validation_seed}
