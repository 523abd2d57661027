"""From runs to tasks: what is shared, what comes before what, what is finished."""

from stub_tasks import runs
from sweep_tools import GRID, runs_of

from ltbench.specs import RunSpec
from ltbench.sweep.tasks import build_tasks, finished, task_id


def test_a_guidance_and_sampler_sweep_trains_once():
    tasks = build_tasks(runs("guidance=0,1,2", "sample.seed=0,1"))
    kinds = [task.stage.kind for task in tasks]
    assert (kinds.count("train"), kinds.count("sample"), kinds.count("score")) == (1, 6, 6)


def test_what_a_task_needs_stands_before_it():
    tasks = build_tasks(runs("seeds=0,1", "guidance=0,1", "score.probes=true", "train.steps=30,10,20"))
    seen = set()
    for task in tasks:
        assert set(task.needs) <= seen
        seen.add(task.id)
    assert len(seen) == len(tasks)


def test_trainings_of_one_folder_follow_one_another_shortest_first():
    tasks = [task for task in build_tasks(runs("train.steps=30,10,20")) if task.stage.kind == "train"]
    assert [task.stage.spec.train.steps for task in tasks] == [10, 20, 30]
    assert [task.needs for task in tasks] == [(), (tasks[0].id,), (tasks[1].id,)]
    assert len({task.resource for task in tasks}) == 1


def test_snapshots_asked_for_by_different_runs_are_made_together():
    some = runs("train.snapshots=5")[0], runs("train.snapshots=10,15")[0]
    (train,) = [task for task in build_tasks(some) if task.stage.kind == "train"]
    assert train.stage.spec.train.snapshots == (5, 10, 15)
    assert train.id in {task_id(stage.stage) for stage in build_tasks(some[:1])}


def test_scores_of_one_sample_set_are_never_written_by_two():
    tasks = build_tasks([runs("score.metrics=frechet")[0], runs("score.metrics=kid")[0]])
    assert len({task.resource for task in tasks if task.stage.kind == "score"}) == 1
    assert len({task.id for task in tasks}) == len(tasks) == 4


def test_what_nothing_needs_any_more_is_finished_without_its_product(tmp_path):
    """A finished study's weights and images may be deleted, or never have come with the repository."""
    tasks = build_tasks(runs("guidance=0,1", "train.steps=10,20", "score.probes=true"))
    made = {task.id for task in tasks if task.stage.kind in ("score", "probe")}

    def is_done(stage, _root):
        return task_id(stage) in made

    assert finished(tasks, tmp_path, is_done) == {task.id for task in tasks}
    lost = next(t for t in tasks if t.stage.kind == "score" and t.stage.spec.train.steps == 20)
    made.remove(lost.id)
    again = [t for t in tasks if t.id not in finished(tasks, tmp_path, is_done)]
    assert [t.stage.kind for t in again] == ["train", "train", "sample", "score"]
    assert again[2].stage.key == lost.needs[0].removeprefix("sample-")
    assert lost == again[-1]


def test_default_specs_have_one_training():
    assert len({task.id for task in build_tasks([RunSpec(), RunSpec()])}) == 3


def test_tasks_of_the_stub_are_those_of_the_pipeline():
    assert {task.stage.kind for task in build_tasks(runs_of(GRID))} == {"train", "sample", "score", "probe"}
