"""What the harness costs beside the work: expanding and surveying 10,000 runs, and the overhead of a run.

    python benchmarks/sweep.py [--runs 10000] [--json FILE]

CPU seconds of one process, imports not counted. Targets: 3 s for expanding 10,000 runs and looking up the state
of their stages, 1 s a run for claiming, recording and publishing nothing.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import ltbench.method.registry  # noqa: F401 -- imports torch, which is not the harness's cost
from ltbench.environment import Environment, Settings
from ltbench.files import write_text
from ltbench.pipeline import is_done
from ltbench.runs.layout import weights_name
from ltbench.study.file import load_study
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.status import SavedPlan, counts, save_plan, survey
from ltbench.sweep.tasks import build_tasks
from ltbench.sweep.worker import Stages, Worker


def grid(runs):
    """Return settings that expand to `runs` runs: 20 trainings' worth of guidance and sampling seeds each."""
    seeds = runs // 100
    return [
        f"train_seed=0..{seeds - 1}",
        "guidance=0,0.5,1,1.5,2",
        "sample.seed=0..4",
        "methods=ddpm,cbdm,t2h,coral",
    ]


def timed(action):
    wall, cpu = time.perf_counter(), time.process_time()
    value = action()
    return value, {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def mark_done(task, root):
    """Leave the artifact by which a stage is known to be done, empty; written plainly, its cost is not ours."""
    stage, text = task.stage, ""
    if stage.kind == "train":
        path = root / stage.folder / weights_name(stage.spec.train.steps)
    elif stage.kind == "sample":
        path = root / stage.sample_folder / "images.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name("labels.npy").write_text("")
    else:
        path, text = root / stage.sample_folder / "scored.json", json.dumps({"requests": {stage.key: {}}})
        (path.parent / "scores.csv").write_text("")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def expand_and_survey(runs, root):
    """Time expansion, the task list and the survey, half of the stages done and one in a hundred claimed."""
    study, expanding = timed(lambda: load_study(None, ["dataset=digits_lt", *grid(runs)]))
    tasks, listing = timed(lambda: build_tasks(study.runs))
    ledger = Ledger(root)
    for number, task in enumerate(tasks):
        if number < len(tasks) // 2:
            mark_done(task, root)
        elif number % 100 == 0:
            ledger.claim(task)
    rows, surveying = timed(lambda: survey(tasks, ledger))
    parts = {"expand": expanding, "list tasks": listing, "survey": surveying}
    total = {key: sum(part[key] for part in parts.values()) for key in ("cpu", "wall")}
    return {"runs": len(study.runs), "stages": len(tasks), **parts, "total": total, "state": counts(rows)}


def overhead(runs, root):
    """Time a worker over stages that do nothing but leave their artifact."""
    study = load_study(None, ["dataset=digits_lt", *grid(runs)])
    save_plan(root, SavedPlan(study.runs))
    tasks = {task.stage.key: task for task in build_tasks(study.runs)}

    def run_stage(stage, root, env):
        env.progress({"step": 1, "total": 1})
        env.guard()
        mark_done(tasks[stage.key], root)

    worker = Worker(
        list(tasks.values()),
        root,
        Settings(),
        Stages(is_done, run_stage, Environment.of),
        lambda _: None,
    )
    _, spent = timed(worker.run)
    left = [task for task in tasks.values() if not is_done(task.stage, root)]
    assert not left
    return {
        "runs": len(study.runs),
        "stages": len(tasks),
        **{f"{k} a run": v / len(study.runs) for k, v in spent.items()},
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="ltbench-sweep-"))
    try:
        results = {
            "expand and survey": expand_and_survey(asked.runs, root / "survey"),
            "overhead": overhead(max(100, asked.runs // 25), root / "overhead"),
        }
    finally:
        shutil.rmtree(root)
    text = json.dumps(results, indent=2)
    print(text)
    if asked.json:
        write_text(asked.json, text + "\n")


if __name__ == "__main__":
    main()
