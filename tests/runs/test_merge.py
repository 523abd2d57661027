"""Runs of several places merged into one: what disagrees is named."""

import resource
import shutil

import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.errors import DiskFull, UsageError
from ltbench.runs import train_log
from ltbench.runs.bundle import run_files
from ltbench.runs.digests import recording
from ltbench.runs.merge import merge_runs
from ltbench.runs.pack import pack
from ltbench.runs.provenance import read_provenance, write_provenance
from ltbench.runs.results import load_scores
from ltbench.runs.scores import find_scores, read_scores, write_scores


def test_two_laboratories_become_one(four_runs, tmp_path):
    other = tmp_path / "other"
    for spec in (make_spec("ddpm", 0), make_spec("cbdm", 0)):
        write_run(other, spec, score_rows(spec))
    merged = merge_runs([four_runs, other], tmp_path / "c")
    numbers = len(score_rows(make_spec("ddpm", 0)))
    assert (merged.trainings, merged.sample_sets, merged.numbers) == (5, 5, 5 * numbers)
    assert (merged.duplicates, merged.conflicts) == (numbers, [])
    assert sorted(load_scores(tmp_path / "c")["method"].unique()) == ["cbdm", "coral", "ddpm"]
    with pytest.raises(UsageError, match="exists"):
        merge_runs([four_runs, other], tmp_path / "c")


def test_values_that_disagree_are_named_and_settled_only_when_told_how(four_runs, tmp_path):
    shutil.copytree(four_runs, tmp_path / "other")
    path = next(p for p in find_scores(tmp_path / "other") if "ddpm-s0" in str(p))
    table = read_scores(path)
    place = table.index[(table["scope"] == "class") & (table["metric"] == "frechet")][3]
    table.loc[place, "value"] = 99.5
    table.loc[table.index[0], "value"] *= 1 + 1e-9  # another machine's rounding
    write_scores(path, table)
    merged = merge_runs([four_runs, tmp_path / "other"], tmp_path / "c")
    assert len(merged.conflicts) == 1
    assert "ddpm-s0" in merged.conflicts[0]
    assert "frechet class 3" in merged.conflicts[0]
    assert "99.5" in merged.conflicts[0]
    for keep, holds in (("first", False), ("second", True)):
        merge_runs([four_runs, tmp_path / "other"], tmp_path / keep, keep=keep)
        assert (load_scores(tmp_path / keep)["value"] == 99.5).any() == holds


def test_merged_trainings_have_the_sittings_of_both_places(four_runs, tmp_path):
    """The first place's record alone was kept: what the second trained on cost nothing."""
    shutil.copytree(four_runs, tmp_path / "other")
    (folder,) = (tmp_path / "other").glob("*ddpm-s0-*")
    mine = read_provenance(folder)
    further = {**mine["stages"][0], "began": "later", "steps": 10**6, "cpu_seconds": 7.0}
    write_provenance(folder, {**mine, "stages": [*mine["stages"], further]})
    merge_runs([four_runs, tmp_path / "other"], tmp_path / "c")
    assert read_provenance(tmp_path / "c" / folder.name)["stages"] == [*mine["stages"], further]


@pytest.mark.parametrize("longer", [0, 1])
def test_a_merged_training_has_the_log_of_the_place_that_trained_further(tmp_path, longer):
    """The first place's log was kept: of a training that the second took from 1,500 to 48,000 steps, 1,500."""
    sides = [tmp_path / "a", tmp_path / "b"]
    for i, side in enumerate(sides):
        run = write_run(side, make_spec(), score_rows(make_spec())).parent.parent
        log = run / "train.csv"
        log.unlink()
        for step in (50, 100)[: 1 + (i == longer)]:
            train_log.append(log, {"step": step, "loss": 0.5})
        train_log.finish(log)
    merge_runs(sides, tmp_path / "c")
    merged = train_log.read_table(tmp_path / "c" / run.name / "train.csv", ("step",))
    assert merged["step"].tolist() == [50, 100]
    pack([tmp_path / "c"], tmp_path / "c.zip")


def _laboratory(root, number, metrics=("frechet", "recall")):
    """Write one training with its files, which all say whose they are; return the sample set's folder."""
    rows = [row for row in score_rows(make_spec(), metrics=metrics) if "." not in row["metric"]]
    samples = write_run(
        root, make_spec(), [row | {"value": str(float(row["value"]) + number)} for row in rows]
    )
    run = samples.parent.parent
    for path in (
        run / "train.csv", run / "weights" / "step-00002000.safetensors", run / "probes" / "step-00002000.csv",
        samples / "confusion.csv", samples / "nearest.npz", samples / "sheet.png", samples / "labels.npy",
    ):  # fmt: skip
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"laboratory,{number}\n")
    with recording(samples / "images.npy") as temporary:
        temporary.write_text(f"laboratory,{number}\n")
    return samples


@pytest.mark.parametrize("keep", ["first", "second"])
def test_a_conflict_is_settled_for_a_laboratory_and_not_for_its_numbers_alone(tmp_path, keep):
    """The second's numbers stood beside the first's images, of which they are not the numbers."""
    sides = [tmp_path / "a", tmp_path / "b"]
    for number, side in enumerate(sides):
        samples = _laboratory(side, number, ("frechet", "recall") if number else ("frechet", "agreement"))
        (samples.parent.parent / "weights" / f"step-0000100{number}.safetensors").write_text("a milestone")
    merged = merge_runs(sides, tmp_path / "c", keep=keep)
    assert len(merged.conflicts) == sum("frechet" in line for line in (samples / "scores.csv").open())
    chosen, found = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (sides[keep == "second"], tmp_path / "c")
    )
    for path in chosen.keys() | found.keys():
        if path.name not in ("provenance.json", "digests.json"):
            assert found.get(path) == chosen.get(path), path


def test_numbers_of_the_same_images_are_united_where_some_of_them_conflict(tmp_path):
    sides = [tmp_path / "a", tmp_path / "b"]
    _laboratory(sides[0], 0, ["frechet", "recall"])
    second = _laboratory(sides[1], 0, ["frechet", "agreement"])
    table = read_scores(second / "scores.csv")
    table.loc[table.index[table["metric"] == "frechet"][0], "value"] = 99.5
    write_scores(second / "scores.csv", table)
    for order, name in ((sides, "c"), (sides[::-1], "d")):
        merged = merge_runs(order, tmp_path / name, keep="second")
        assert len(merged.conflicts) == 1
    one, other = (read_scores(next(find_scores(tmp_path / name))) for name in "cd")
    assert set(one["metric"]) == {"frechet", "recall", "agreement"}
    assert ((one["value"] == 99.5).sum(), (other["value"] == 99.5).sum()) == (1, 0)
    columns = ["metric", "scope", "class_or_group"]
    assert one[columns].equals(other[columns])  # whoever comes first


def test_other_images_under_one_key_are_a_conflict_though_no_number_is_in_both(tmp_path):
    sides = [tmp_path / "a", tmp_path / "b"]
    _laboratory(sides[0], 0, ["frechet"])
    samples = _laboratory(sides[1], 1, ["recall"])
    merged = merge_runs(sides, tmp_path / "c")
    assert merged.conflicts == [f"{samples.parent.parent.name}/samples/{samples.name}: its images"]
    shutil.copyfile(sides[0] / samples.relative_to(sides[1]) / "images.npy", samples / "images.npy")
    (samples / "digests.json").unlink()
    assert merge_runs(sides, tmp_path / "d").conflicts == []


def test_a_side_is_whatever_packing_and_reporting_take(four_runs, tmp_path):
    runs = sorted(path for path in four_runs.iterdir() if path.is_dir())
    numbers = len(read_scores(next(find_scores(runs[0]))))
    (tmp_path / "shelf" / "deeper").mkdir(parents=True)
    shutil.copytree(runs[1], tmp_path / "shelf" / "deeper" / runs[1].name)
    pack([runs[2]], tmp_path / "shelf" / "packed.zip")
    pack([runs[2]], tmp_path / "shelf" / "again")
    pack([runs[3]], tmp_path / "bundle")
    merged = merge_runs([runs[0], tmp_path / "shelf"], tmp_path / "c")
    assert (merged.trainings, merged.sample_sets, merged.numbers) == (3, 3, 3 * numbers)
    assert (merged.duplicates, merged.conflicts) == (numbers, [])
    assert merge_runs([tmp_path / "bundle", tmp_path / "c"], tmp_path / "d").trainings == 4


def test_what_no_bundle_takes_is_not_copied(four_runs, tmp_path):
    """Checkpoints filled the temporary disk, and a dangling link ended a merge with a list of tuples."""
    shutil.copytree(four_runs, tmp_path / "other")
    other = min((tmp_path / "other").iterdir())
    shutil.rmtree(four_runs / other.name)
    for folder in (other, next(four_runs.iterdir())):
        (folder / "checkpoint.pt").write_bytes(b"not for a stranger")
        (folder / "weights").mkdir()
        (folder / "weights" / "step-00002000.safetensors").symlink_to(tmp_path / "absent")
        (folder / "weights" / "step-00001000.safetensors").symlink_to(other / "train.csv")
    assert merge_runs([four_runs, tmp_path / "other"], tmp_path / "c").trainings == 4
    names = {
        path.relative_to(tmp_path / "c").as_posix() for path in (tmp_path / "c").rglob("*") if path.is_file()
    }
    packed = pack([tmp_path / "other"], tmp_path / "b", keep_arrays=None, keep_weights=None)
    assert {name for name in names if "digests" not in name} == {name for name, _ in run_files(packed)}


def test_a_full_disk_is_one_sentence(four_runs, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.move(min(four_runs.iterdir()), tmp_path / "other")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(DiskFull, match=r"no space left to write .*/c/.*: free some space"):
            merge_runs([four_runs, tmp_path / "other"], tmp_path / "c")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("name", "sentence"), [("empty", "no runs in"), ("absent", "no folder or bundle at")]
)
def test_a_side_without_runs_is_refused(four_runs, tmp_path, name, sentence):
    (tmp_path / "empty").mkdir()
    for sides in ([four_runs, tmp_path / name], [tmp_path / name, four_runs]):
        with pytest.raises(UsageError, match=f"{sentence} .*{name}: give what"):
            merge_runs(sides, tmp_path / "c")
    assert not (tmp_path / "c").exists()
