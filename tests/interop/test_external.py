"""What is claimed of samples from elsewhere."""

import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import die, in_processes

from ltbench.data import load_dataset
from ltbench.errors import UsageError
from ltbench.interop.external import ExternalClaims, default_name, write_sample_set
from ltbench.interop.samples import ExternalSamples
from ltbench.runs.spec_files import read_spec
from ltbench.specs import DataSpec


@pytest.mark.parametrize(
    "name", ["", "a/b", "a b", "../up", ".", "...", "+-", "_mine", "-x", ".gan", "a" * 300]
)
def test_a_name_that_is_no_folder_name_is_refused(name):
    with pytest.raises(UsageError, match="--name"):
        ExternalClaims(name)


@pytest.mark.parametrize(("name", "plain"), [("GAN_2", "GAN_2"), ("Müller", "muller"), ("模型", "unnamed")])
def test_a_name_in_any_letters_is_kept_in_a_folder_that_can_travel(tmp_path, name, plain):
    """`score` took them, and `pack` of the whole folder was then refused."""
    dataset = load_dataset(DataSpec(dataset="digits_lt"))
    samples = ExternalSamples(np.zeros((2, 1, 8, 8), np.uint8), np.array([0, 1]), "uint8")
    folder = write_sample_set(samples, dataset, ExternalClaims(name), tmp_path / "a.npz", tmp_path)
    training = folder.parent.parent
    assert training.name.startswith(f"digits_lt-r0.01-{plain}-external-")
    assert read_spec(training)["columns"]["method"] == name


def write_until_killed(_rank, samples, dataset, out):
    """Write a sample set, and die as its labels would take their place."""

    def hook(event, arguments):
        if event == "os.rename" and "labels.npy" in str(arguments[0]):
            die()

    sys.addaudithook(hook)
    write_sample_set(samples, dataset, ExternalClaims("gan"), out / "a.npz", out)


def test_what_a_killed_scoring_left_goes_with_the_next(tmp_path):
    dataset = load_dataset(DataSpec(dataset="digits_lt"))
    samples = ExternalSamples(np.zeros((2, 1, 8, 8), np.uint8), np.array([0, 1]), "uint8")
    (child,) = in_processes(write_until_killed, samples, dataset, tmp_path)
    child.join()
    assert [path.name.split(".npy")[0] for path in tmp_path.rglob(".*.tmp")] == [".labels"]
    write_sample_set(samples, dataset, ExternalClaims("gan"), tmp_path / "a.npz", tmp_path)
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("claim", [{"variant": "tau=0.001"}, {"sampler": "DDIM, eta=0"}, {"sampler": "_own"}])
def test_words_that_no_table_of_scores_can_hold_are_refused_before_anything_is_scored(claim):
    (name,) = claim
    with pytest.raises(UsageError, match=rf"^--{name}: .* and write : for =$"):
        ExternalClaims("gan", **claim)
    ExternalClaims("gan", variant="tau:0.001", sampler="DDIM, eta:0 (200 steps)")


def test_a_claimed_scale_of_minus_zero_is_zero():
    """It named another folder, and stood in tables as -0."""
    assert str(ExternalClaims("gan", guidance=-0.0).guidance) == "0.0"
    assert ExternalClaims("gan").guidance is None


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (".samples.npz", "samples"),
        ("_mine.npz", "mine"),
        ("-x.npz", "x"),
        ("=.npz", "samples"),
        ("a=b.npz", "a_b"),
    ],
)
def test_a_file_of_any_name_gives_a_name(file, name):
    assert ExternalClaims(default_name(Path(file))).name == name
    assert ExternalClaims(default_name(Path("é" + "x" * 240))).name


@pytest.mark.parametrize("name", ["step", "nfe", "train_seed", "sample_seed"])
def test_a_number_that_a_table_would_round_is_refused(name):
    """99999999999999999999999 stood in scores.csv as another number."""
    assert getattr(ExternalClaims("gan", **{name: 2**53}), name) == 2**53
    with pytest.raises(
        UsageError, match=f"^--{name.replace('_', '-')} {2**53 + 1}: must be at most 9007199254740992, "
    ):
        ExternalClaims("gan", **{name: 2**53 + 1})


@pytest.mark.parametrize(
    "claim", [{"nfe": -1}, {"step": -5}, {"guidance": float("nan")}, {"sample_seed": -1}]
)
def test_a_claim_that_no_sampling_has_is_refused(claim):
    with pytest.raises(UsageError, match="must be 0 or more"):
        ExternalClaims("gan", **claim)
