"""Code in files from outside: a name in a result, a plan or a study file never makes it run."""

import hashlib
import json

import pytest
import torch
from recorded_run import record
from sweep_tools import runs_of

from ltbench import errors, pipeline
from ltbench.cli import app
from ltbench.environment import Settings
from ltbench.extractors import torchscript
from ltbench.extractors.registry import get_extractor
from ltbench.sweep import status
from ltbench.sweep.reproduce import recorded_runs, reproduce
from ltbench.sweep.status import SavedPlan, save_plan
from ltbench.sweep.tasks import build_tasks

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")


class Writes(torch.nn.Module):
    """What a hostile file does when it is called."""

    def __init__(self, target: str):
        super().__init__()
        self.target = target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = torch.from_file(self.target, True, 8)  # creates the file, or opens it for writing
        return x.reshape(x.shape[0], -1).float() + made[0]


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """Return a TorchScript file, and the file that it makes when it runs."""
    monkeypatch.delenv(torchscript.TRUSTED, raising=False)
    made = tmp_path / "made-by-the-stranger"
    path = tmp_path / "stranger's [net].pt"
    torch.jit.save(torch.jit.script(Writes(str(made))), path)
    return path, made


def test_the_file_is_as_dangerous_as_it_says(hostile):
    path, made = hostile
    torch.jit.load(path)(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    assert made.exists()


def name_it(folder, path):
    for scored in folder.glob("samples/*/scored.json"):
        content = json.loads(scored.read_text())
        for request in content["requests"].values():
            request["extractors"] = [f"torchscript:{path}"]
        scored.write_text(json.dumps(content))


def test_reproduce_runs_no_code_that_a_strangers_result_names(tmp_path, hostile):
    path, made = hostile
    folder = record(tmp_path / "runs")
    name_it(folder, path)
    with pytest.raises(errors.UsageError, match="you did not") as caught:
        reproduce(folder, tmp_path / "again", Settings())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in str(caught.value)
    assert "--trust '" in str(caught.value)
    assert not made.exists()
    assert not (tmp_path / "again").exists()


def test_a_stage_runs_no_code_that_a_plan_names(tmp_path, hostile):
    path, made = hostile
    (run, *_) = runs_of([f"score.extractors=torchscript:{path}"])
    save_plan(tmp_path, SavedPlan((run,)))  # as a stranger's folder would hold it
    (score,) = (
        task.stage for task in build_tasks(status.plans_of(tmp_path)[0].runs) if task.stage.kind == "score"
    )
    with pytest.raises(errors.UsageError, match="--trust"):
        pipeline._score(score, tmp_path, None)
    assert not made.exists()


def test_trust_is_of_the_content_and_reaches_the_workers(tmp_path, hostile):
    path, _ = hostile
    folder = record(tmp_path / "runs")
    name_it(folder, path)
    digest = torchscript.trust(str(path))
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert recorded_runs(folder)
    import os

    assert digest in os.environ[torchscript.TRUSTED]  # inherited by every process that is started
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(errors.UsageError, match="--trust"):
        recorded_runs(folder)


def test_a_study_that_names_code_is_refused_before_anything_is_trained(
    tmp_path, hostile, capsys, monkeypatch
):
    """Its scoring would have been refused, after hours of training."""
    path, made = hostile
    monkeypatch.chdir(tmp_path)
    text = f"[data]\ndataset = 'digits_lt'\n[train]\nflip = false\n[score]\nextractors = [{json.dumps(f'torchscript:{path}')}]\n"
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(SystemExit):
        app.main(["run", "-p", "study.toml", "--out", "x"])
    assert "--trust '" in capsys.readouterr().err
    assert not made.exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["torchscript:", "torchscript: "])
def test_a_network_of_no_file_is_refused(name, capsys):
    with pytest.raises(SystemExit) as stop:
        app.main(["plan", "demo", "--set", f"score.extractors={name}"])
    assert stop.value.code == 2
    assert "names no file: write torchscript:PATH" in capsys.readouterr().err
    with pytest.raises(errors.UsageError, match="names no file"):
        get_extractor(name)


@pytest.mark.parametrize(
    "words",
    [["reproduce", "{run}"], ["retry", "--failed"], ["run", "-d", "digits_lt"]],
    ids=lambda words: words[0],
)
def test_a_command_shows_the_hash_of_what_it_may_run(tmp_path, hostile, capsys, words, monkeypatch):
    path, _ = hostile
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        app.main([word.format(run=tmp_path) for word in words] + ["--trust", str(path), "--out", str(tmp_path / "x"),
                 *(["--set", "seeds=0..999999"] if words[0] == "run" else [])])  # fmt: skip
    out = capsys.readouterr().out
    assert hashlib.sha256(path.read_bytes()).hexdigest() in out
