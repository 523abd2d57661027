"""The stages of a run on disk: skipped when done, continued when interrupted, and nobody else's."""

import contextlib
import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_runs import digits, make_spec, same_tensors, tensors
from tiny_runs import train_in as train_directly

from ltbench import pipeline
from ltbench.environment import Environment
from ltbench.errors import CheckpointError, ClaimLost, DataCorrupt, Interrupted
from ltbench.files import read_json
from ltbench.pipeline import is_done, run_stage, stages
from ltbench.runs.provenance import all_stages, training_cost
from ltbench.runs.run import read_run
from ltbench.runs.samples import load_samples
from ltbench.runs.scores import read_scores
from ltbench.runs.weights import add_initial_weights, initial_weights_path
from ltbench.scoring import bottleneck as probes
from ltbench.specs import sample_key, train_key

SPEC = make_spec("coral", sample={"per_class": 3}, score={"metrics": ["frechet"], "floor_draws": 2})
TRAIN, SAMPLE, SCORE = stages(SPEC)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with all its stages done, eight images a chunk."""
    root = tmp_path_factory.mktemp("finished")
    torch.set_num_threads(1)
    for stage in stages(SPEC):
        assert not is_done(stage, root)
        run_stage(stage, root, Environment(sample_batch=8))
        assert is_done(stage, root)
    return root


@pytest.fixture
def root(tmp_path, finished):
    """A copy of the finished run to damage."""
    return shutil.copytree(finished, tmp_path / "runs")


def content(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_run_leaves_what_the_module_says(finished):
    folder = finished / TRAIN.folder
    assert {path.name for path in folder.iterdir()} == {
        "spec.json", "provenance.json", "train.csv", "checkpoint.pt", "weights", "samples", "digests.json"
    }  # fmt: skip
    assert {"spec.json", "images.npy", "labels.npy", "sheet.png", "scores.csv", "scored.json"} <= {
        path.name for path in (finished / SAMPLE.sample_folder).iterdir()
    }
    assert not list(finished.rglob("*.tmp"))
    assert not list(finished.rglob("partial"))
    assert read_json(folder / "spec.json")["train_key"] == train_key(SPEC)
    written = read_json(finished / SAMPLE.sample_folder / "spec.json")
    assert (written["sample_key"], written["train_key"]) == (sample_key(SPEC), train_key(SPEC))


def test_what_a_stage_cost_and_where_it_ran_is_recorded(finished):
    for folder, names in ((TRAIN.folder, ["train"]), (SAMPLE.sample_folder, ["sample", "score"])):
        record = read_json(finished / folder / "provenance.json")
        assert [entry["stage"] for entry in record["stages"]] == names
        for entry in record["stages"]:
            assert entry["wall_seconds"] > 0
            assert entry["cpu_seconds"] > 0
            assert entry["threads"] == 1
            assert entry["code"]["ltbench"]
            assert not entry.get("interrupted")
        assert record["machine"]["libraries"]["torch"]
        assert record["machine"]["cores"] > 0
    assert (
        read_json(finished / TRAIN.folder / "provenance.json")["stages"][0]["manifest"]
        == digits().manifest_hash
    )


def test_what_is_trained_again_is_recorded_as_begun_anew_with_the_weights_it_gave(root):
    """Costs were summed over a lost training and its repetition, and nothing told their images apart."""
    shutil.rmtree(root / TRAIN.folder / "weights")
    (root / TRAIN.folder / "checkpoint.pt").unlink()
    (root / SAMPLE.sample_folder / "images.npy").unlink()
    for stage in stages(SPEC):
        run_stage(stage, root, Environment(sample_batch=8))
    trained = read_json(root / TRAIN.folder / "provenance.json")["stages"]
    assert [entry["anew"] for entry in trained] == [True, True]
    sampled = [
        entry
        for entry in read_json(root / SAMPLE.sample_folder / "provenance.json")["stages"]
        if entry["stage"] == "sample"
    ]
    assert [entry["anew"] for entry in sampled] == [True, True]
    assert len({entry["weights"] for entry in sampled}) == 1  # bit-identical on one machine


@pytest.mark.parametrize("kind", ["train", "sample", "score", "probe"])
def test_a_stage_that_is_killed_once_it_is_done_is_on_record(tmp_path, kind):
    """The record was written after the file that means "done": of a worker killed in between nobody did it again."""
    spec = make_spec(
        sample={"per_class": 2}, score={"metrics": ["frechet"], "floor_draws": 2, "probes": True}
    )
    every = {stage.kind: stage for stage in stages(spec)}
    stage = every[kind]
    for before in itertools.takewhile(lambda one: one is not stage, every.values()):
        run_stage(before, tmp_path, Environment())
    assert not is_done(stage, tmp_path)

    def killed():
        if is_done(stage, tmp_path):
            raise ClaimLost("killed")

    with contextlib.suppress(ClaimLost):
        run_stage(stage, tmp_path, Environment(guard=killed))
    assert is_done(stage, tmp_path)
    kept = [entry for entry in all_stages(tmp_path / stage.folder) if entry["stage"] == kind]
    assert len(kept) == 1
    assert kept[0]["cpu_seconds"] > 0


def test_what_a_killed_training_cost_to_its_last_checkpoint_is_on_record(tmp_path):
    """A soft stop was recorded and a kill was not: after each preemption a training looked cheaper than it was."""
    spec = make_spec(steps=6)
    train, *_ = stages(spec)
    asked = itertools.count(1)

    def killed():
        if next(asked) == 5:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run_stage(train, tmp_path, Environment(checkpoint_seconds=0.0, stop=killed))
    (first,) = all_stages(tmp_path / train.folder)
    run_stage(train, tmp_path, Environment())
    again, second = all_stages(tmp_path / train.folder)
    assert again == first
    assert [entry.get("interrupted", False) for entry in (first, second)] == [True, False]
    assert [entry["anew"] for entry in (first, second)] == [True, False]
    assert first["cpu_seconds"] > 0
    assert [entry["reached"] for entry in (first, second)] == [4, 6]
    seconds, _ = training_cost({"stages": [first, second]}, 6)
    assert seconds == pytest.approx(first["cpu_seconds"] + second["cpu_seconds"])


def test_done_stages_are_skipped(root):
    before = content(root)
    for stage in stages(SPEC):
        run_stage(stage, root, None)  # needs no environment: it does nothing
    assert content(root) == before


def test_samples_are_equally_many_a_class_in_order(finished):
    images, labels = load_samples(finished / SAMPLE.sample_folder)
    assert images.shape == (30, 1, 8, 8)
    assert images.dtype == np.uint8
    assert labels.tolist() == [k for k in range(10) for _ in range(3)]
    with Image.open(finished / SAMPLE.sample_folder / "sheet.png") as sheet:
        assert sheet.size == (10 * 32, 10 * 32)
        assert sheet.mode == "L"
        top_left = np.asarray(sheet)[:32:4, :32:4]
    assert np.array_equal(top_left, images[0, 0])


@pytest.mark.parametrize("calls", [1, 4])
def test_sampling_goes_on_after_an_interruption_with_the_same_bytes(root, finished, calls):
    folder = SAMPLE.sample_folder
    shutil.rmtree(root / folder)
    heard = itertools.count()  # two sampler steps a chunk
    env = Environment(sample_batch=8, stop=lambda: next(heard) == calls)
    with pytest.raises(Interrupted, match="run the same command again to go on"):
        run_stage(SAMPLE, root, env)
    assert not is_done(SAMPLE, root)
    partial = sorted(path.name for path in (root / folder / "partial").glob("*.npy"))
    assert partial == [f"8-00000{number}.npy" for number in range(calls // 2)]
    kept = {name: (root / folder / "partial" / name).stat().st_mtime_ns for name in partial}
    remade = []
    run_stage(SAMPLE, root, Environment(sample_batch=8, progress=remade.append, guard=lambda: None))
    assert len(kept) == calls // 2
    assert len(remade) == 4
    for name in ("images.npy", "labels.npy", "sheet.png"):
        assert (root / folder / name).read_bytes() == (finished / folder / name).read_bytes()
    assert [e.get("interrupted", False) for e in read_json(root / folder / "provenance.json")["stages"]] == [
        True,
        False,
    ]


def test_the_images_are_published_last(root):
    """They mean that the stage is done, so whatever comes after them may never be made."""
    shutil.rmtree(root / SAMPLE.sample_folder)
    published = []

    def guard():  # asked before the folder is made, too
        published.append({path.name for path in (root / SAMPLE.sample_folder).glob("*")})

    run_stage(SAMPLE, root, Environment(sample_batch=8, guard=guard))
    before = [names for names in published if "images.npy" not in names][-1]  # as the images are published
    assert "sheet.png" in before
    assert "labels.npy" in before


def test_nothing_is_published_by_a_worker_that_lost_its_claim(root):
    shutil.rmtree(root / SAMPLE.sample_folder)

    def lost():
        raise ClaimLost("another worker has it")

    with pytest.raises(ClaimLost):
        run_stage(SAMPLE, root, Environment(guard=lost))
    assert not is_done(SAMPLE, root)
    assert not list(root.rglob("*.npy"))


def test_a_probe_measures_every_snapshot_that_is_kept(root, monkeypatch):
    monkeypatch.setattr(probes, "PER_CLASS", 5)
    monkeypatch.setattr(probes, "NOISE_LEVELS", (100,))
    weights = root / TRAIN.folder / "weights"
    shutil.copy(weights / "step-00000002.safetensors", weights / "step-00000001.safetensors")
    changed = {
        "score": SPEC.score.model_copy(update={"probes": True}),
        "train": SPEC.train.model_copy(update={"snapshots": (1, 7)}),
    }
    stage = stages(SPEC.model_copy(update=changed))[3]
    run_stage(stage, root, Environment())
    found = sorted(path.name for path in (root / stage.folder / "probes").glob("*.csv"))
    assert found == ["step-00000001.csv", "step-00000002.csv"]
    assert set(pd.read_csv(root / stage.folder / "probes" / found[0]).step) == {1}
    places = read_run(root / stage.folder).embedding(
        1
    )  # the t-SNE that the report draws, without computing it
    assert {name: len(array) for name, array in places.items()} == {
        "labels": 50,
        "noised_100": 50,
        "clean_0": 50,
    }


def test_a_probe_measures_both_protocols_on_the_same_held_out_images(root, monkeypatch):
    monkeypatch.setattr(probes, "PER_CLASS", 8)
    monkeypatch.setattr(probes, "NOISE_LEVELS", (100, 500))
    spec = SPEC.model_copy(update={"score": SPEC.score.model_copy(update={"probes": True})})
    stage = stages(spec)[3]
    assert stage.kind == "probe"
    assert not is_done(stage, root)
    run_stage(stage, root, Environment())
    assert is_done(stage, root)
    folder = root / stage.folder / "probes"
    table = pd.read_csv(folder / "step-00000002.csv")
    assert list(table.columns) == list(probes.COLUMNS)
    assert not table.isna().any().any()
    assert set(zip(table.protocol, table.t, strict=True)) == {("noised", 100), ("noised", 500), ("clean", 0)}
    assert len(set(table.groupby(["protocol", "t"]).metric.nunique())) == 1
    assert set(table.n_images) == {80}
    assert set(table.train_key) == {train_key(SPEC)}
    kept = np.load(folder / "step-00000002.npz")
    assert np.bincount(kept["labels"]).tolist() == [8] * 10
    assert {kept[name].shape for name in ("noised_100", "noised_500", "clean_0")} == {(80, 32)}
    # Under the null label the class can only come from the image; the clean protocol is told it.
    model = pipeline.load_model(stage.spec, root, digits(), "cpu")["denoiser"]
    images, labels = probes.probe_images(digits())
    for protocol, changes in (("noised", False), ("clean", True)):
        ours, other = (
            probes.bottleneck(model, images, given, protocol, 0, Environment())
            for given in (labels, 9 - labels)
        )
        assert np.array_equal(ours, other) != changes


# -- damaged and foreign folders --------------------------------------------------------------------


def truncate(path, size=100):
    path.write_bytes(path.read_bytes()[:-size])


def test_a_truncated_chunk_is_named(root):
    folder = root / SAMPLE.sample_folder
    shutil.rmtree(folder)
    heard = itertools.count()
    with pytest.raises(Interrupted):
        run_stage(SAMPLE, root, Environment(sample_batch=8, stop=lambda: next(heard) == 2))
    truncate(folder / "partial" / "8-000000.npy")
    with pytest.raises(DataCorrupt, match=r"8-000000\.npy is truncated .*: delete it and run again"):
        run_stage(SAMPLE, root, Environment(sample_batch=8))
    (folder / "partial" / "8-000000.npy").unlink()
    run_stage(SAMPLE, root, Environment(sample_batch=8))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: truncate(folder / "images.npy"),
        lambda folder: truncate(folder / "labels.npy", 8),
        lambda folder: (folder / "labels.npy").unlink(),
        lambda folder: np.save(folder / "labels.npy", np.zeros(3, np.int64)),
        lambda folder: (folder / "images.npy").write_bytes(b"no array"),
    ],
)
def test_damaged_samples_are_named(root, damage):
    (root / SAMPLE.sample_folder / "scored.json").unlink()
    damage(root / SAMPLE.sample_folder)
    with pytest.raises(DataCorrupt, match=r"the sample set .*: delete") as caught:
        run_stage(SCORE, root, Environment())
    assert str(root / SAMPLE.sample_folder) in str(caught.value)


def test_deleted_scores_are_made_again_although_a_record_says_they_are_done(root, finished):
    folder = SCORE.sample_folder
    for path in ("scores.csv", "scored.json"):
        damaged = (root / folder / path).read_text()[:-40]
        (root / folder / path).write_text(damaged)
        assert is_done(SCORE, root) == (path == "scores.csv")
    (root / folder / "scores.csv").unlink()
    assert not is_done(SCORE, root)
    run_stage(SCORE, root, Environment(sample_batch=8))
    assert (root / folder / "scores.csv").read_bytes() == (finished / folder / "scores.csv").read_bytes()
    assert is_done(SCORE, root)


def test_another_request_adds_to_the_scores_and_both_are_done(root, finished):
    more = SPEC.model_copy(update={"score": SPEC.score.model_copy(update={"metrics": ("agreement",)})})
    stage = stages(more)[2]
    assert stage.sample_folder == SCORE.sample_folder
    assert not is_done(stage, root)
    run_stage(stage, root, Environment())
    assert is_done(stage, root)
    assert is_done(SCORE, root)
    both = read_scores(root / SCORE.sample_folder / "scores.csv")
    first = read_scores(finished / SCORE.sample_folder / "scores.csv")
    kept = both[both["definition"].isin(first["definition"])].reset_index(drop=True)
    assert kept.equals(first)
    assert set(both["metric"]) > set(first["metric"])
    (root / SCORE.sample_folder / "scores.csv").unlink()  # both are gone, so neither may count as done
    run_stage(SCORE, root, Environment())
    assert is_done(SCORE, root)
    assert not is_done(stage, root)


@pytest.mark.parametrize("stage", [TRAIN, SAMPLE], ids=lambda stage: stage.kind)
def test_a_folder_of_another_spec_is_refused_and_left_alone(root, stage):
    """Eight digits name a folder; two specs that share them must not share it."""
    folder = root / (stage.folder if stage is TRAIN else stage.sample_folder)
    key = "train_key" if stage is TRAIN else "sample_key"
    record = read_json(folder / "spec.json") | {key: "0" * 64}
    (folder / "spec.json").write_text(json.dumps(record))
    (root / TRAIN.folder / "weights" / "step-00000002.safetensors").rename(root / "away")
    if stage is SAMPLE:
        (root / "away").rename(root / TRAIN.folder / "weights" / "step-00000002.safetensors")
        (folder / "images.npy").unlink()
    before = content(root)
    with pytest.raises(CheckpointError, match=r"belongs to another spec.*: use another --out"):
        run_stage(stage, root, Environment())
    assert content(root) == before


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: truncate(path), "are broken: delete that file and run again"),
        (lambda path: path.write_bytes(b"nothing"), "are broken: delete that file and run again"),
        (lambda path: path.unlink(), "are missing: run the training stage again"),
    ],
)
def test_damaged_weights_are_named_and_once_deleted_made_again(root, finished, damage, sentence):
    shutil.rmtree(root / SAMPLE.sample_folder)
    path = root / TRAIN.folder / "weights" / "step-00000002.safetensors"
    damage(path)
    with pytest.raises(CheckpointError, match=sentence):
        run_stage(SAMPLE, root, Environment())
    path.unlink(missing_ok=True)
    run_stage(TRAIN, root, Environment())
    assert same_tensors(tensors(root / TRAIN.folder, 2), tensors(finished / TRAIN.folder, 2))


def test_weights_of_another_training_are_refused(root, tmp_path):
    shutil.rmtree(root / SAMPLE.sample_folder)
    other = train_directly(tmp_path / "other", make_spec("coral", seed=1))
    name = "weights/step-00000002.safetensors"
    shutil.copy(other / name, root / TRAIN.folder / name)
    with pytest.raises(CheckpointError, match="belong to another spec: use another --out"):
        run_stage(SAMPLE, root, Environment())


# -- starting from trained weights ------------------------------------------------------------------


def test_a_training_starts_from_the_weights_it_names(root, finished):
    """CORAL's weights start a CBDM training: the head is left out, the U-Net is CORAL's average."""
    source = finished / TRAIN.folder / "weights" / "step-00000002.safetensors"
    digest = add_initial_weights(root, source)
    stage = stages(make_spec("cbdm", init_weights=digest, steps=1, warmup_steps=5))[0]
    run_stage(stage, root, Environment())
    started, ended = tensors(finished / TRAIN.folder, 2), tensors(root / stage.folder, 1)
    assert {name for name in started if name not in ended} == {
        f"{which}.methods.coral.{part}" for which in ("ema", "raw") for part in ("weight", "bias")
    }
    assert all(
        torch.equal(ended[f"raw{name[3:]}"], started[name]) for name in ended if name.startswith("ema.")
    )
    assert stage.key != stages(make_spec("cbdm", steps=1, warmup_steps=5))[0].key


def test_initial_weights_that_do_not_fit_or_are_not_there_are_refused(root, finished):
    source = finished / TRAIN.folder / "weights" / "step-00000002.safetensors"
    digest = add_initial_weights(root, source)
    spec = make_spec(init_weights=digest)
    larger = spec.model_copy(update={"model": spec.model.model_copy(update={"size": "small"})})
    with pytest.raises(
        CheckpointError, match=r"initial weights do not fit this model .*: choose the model\.size"
    ):
        run_stage(stages(larger)[0], root, Environment())
    kept = initial_weights_path(root, digest)
    other = make_spec(init_weights="0" * 64)
    shutil.copy(kept, initial_weights_path(root, "0" * 64))
    with pytest.raises(CheckpointError, match="were changed since the run was planned"):
        run_stage(stages(other)[0], root, Environment())
    kept.unlink()
    with pytest.raises(CheckpointError, match=r"are not there: .*--init-from"):
        run_stage(stages(spec)[0], root, Environment())
