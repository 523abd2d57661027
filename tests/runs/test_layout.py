"""Names in a run's folder, written out by hand."""

from pathlib import Path

from tiny_runs import make_spec

from ltbench.runs.layout import (
    files_below,
    folder_name,
    kept_steps,
    probe_path,
    sample_folder,
    samples_name,
    training_folder,
    travels,
    weights_name,
    weights_path,
)
from ltbench.runs.run import embedding_path
from ltbench.specs import sample_key, train_key


def test_a_folder_says_data_ratio_method_seed_and_key():
    spec = make_spec("coral+t2h", seed=3)
    name = folder_name(spec)
    assert name == f"digits_lt-r0.1-coral_t2h-s3-{train_key(spec)[:8]}"
    assert sample_folder(spec) == Path(name, "samples", sample_key(spec)[:8])


def test_a_sample_set_leads_to_its_training_and_a_folder_elsewhere_to_itself():
    assert training_folder(Path("runs/a/samples/01234567")) == Path("runs/a")
    assert training_folder(Path("elsewhere/scores")) == Path("elsewhere/scores")
    assert samples_name("0123456789") == "samples/01234567"


def test_steps_have_eight_digits_and_are_read_back_in_order(tmp_path):
    assert weights_name(1500) == "weights/step-00001500.safetensors"
    assert probe_path(Path("a"), 20) == Path("a/probes/step-00000020.csv")
    for step in (100_000_000, 20, 1500):
        weights_path(tmp_path, step).parent.mkdir(exist_ok=True)
        weights_path(tmp_path, step).touch()
    (tmp_path / "weights" / "other.safetensors").touch()
    assert kept_steps(tmp_path) == (20, 1500, 100_000_000)
    assert kept_steps(tmp_path / "weights") == ()


def test_files_are_found_below_a_folder_but_not_in_hidden_ones(tmp_path):
    for name in ("a/scores.csv", "b/c/scores.csv", "b/other.csv", ".unpacking-1/a/scores.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = ["a/scores.csv", "b/c/scores.csv"]
    assert files_below(tmp_path, "scores.csv") == [tmp_path / name for name in names]
    assert files_below(tmp_path / "b") == [tmp_path / "b/c/scores.csv", tmp_path / "b/other.csv"]
    assert files_below(tmp_path / ".unpacking-1", "scores.csv") == [tmp_path / ".unpacking-1/a/scores.csv"]
    assert files_below(tmp_path / "none") == []


def test_what_ltbench_keeps_of_a_run_travels_and_nothing_else():
    spec = make_spec()
    samples = Path(samples_name(sample_key(spec)))
    kept = [Path(weights_name(1500)), *(probe_path(Path(), 1500).with_suffix(s) for s in (".csv", ".npz"))]
    kept += [
        embedding_path(Path(), 1500),
        Path("train.csv"),
        Path("weights/digests.json"),
        Path("probes/provenance.json"),
    ]
    names = "spec.json provenance.json digests.json scores.csv scored.json confusion.csv nearest.npz sheet.png images.npy"
    kept += [samples / name for name in (*names.split(), "labels.npy")]
    assert [path for path in kept if not travels(path)] == []
    others = "checkpoint.pt notes.json scores.csv samples/spec.json samples/x/spec.json .spec.json weights/mine.safetensors"
    others += (
        f" {samples}/scores-1.csv {samples}/partial/2-000001.npy spec.json.tmp a/spec.json probes/train.csv"
    )
    assert [name for name in others.split() if travels(Path(name))] == []
