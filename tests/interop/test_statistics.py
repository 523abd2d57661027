"""Reference statistics files: written as the field reads them, read safely, and scored for what they allow."""

import numpy as np
import pytest
from command_line import call_main
from image_folders import write_named_classes
from report_folders import make_spec
from tiny_runs import digits

from ltbench.cli.app import main
from ltbench.data.images import balanced
from ltbench.data.prepare.prepare import prepare
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.extractors.registry import get_extractor
from ltbench.files import write_json
from ltbench.interop.statistics import read_statistics, write_dataset_statistics, write_statistics
from ltbench.metrics.frechet import frechet_distance
from ltbench.runs.layout import folder_name
from ltbench.runs.scores import read_scores
from ltbench.specs import sample_key, train_key
from ltbench.text import is_name

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(size=(50, 6)), RNG.normal(0.5, 2, size=(40, 6))


def test_a_distance_to_statistics_is_the_distance_to_their_images(tmp_path):
    write_statistics(tmp_path / "real.npz", REAL)
    with np.load(tmp_path / "real.npz") as file:  # what clean-fid, pytorch-fid and ADM read
        np.testing.assert_allclose(file["mu"], REAL.mean(axis=0))
        np.testing.assert_allclose(file["sigma"], np.cov(REAL, rowvar=False))
    found = read_statistics(tmp_path / "real.npz")
    assert frechet_distance(found.statistics, FAKE) == pytest.approx(frechet_distance(REAL, FAKE), rel=1e-9)
    assert frechet_distance(found.statistics, REAL) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("stem", "name"), [("_stats", "stats"), ("cifar#10", "cifar-10"), ("Real", "Real")])
def test_a_file_of_any_name_gives_a_name_that_tables_can_hold(tmp_path, stem, name):
    write_statistics(tmp_path / f"{stem}.npz", REAL)
    found = read_statistics(tmp_path / f"{stem}.npz").name
    assert found == name
    assert is_name(f"{found} (statistics)")


def test_the_fields_own_function_gives_our_distance_from_our_file_and_we_from_theirs(tmp_path):
    fid = pytest.importorskip("cleanfid.fid")
    write_statistics(tmp_path / "real.npz", REAL)
    with np.load(tmp_path / "real.npz") as file:
        theirs = fid.frechet_distance(file["mu"], file["sigma"], FAKE.mean(0), np.cov(FAKE, rowvar=False))
    found = read_statistics(tmp_path / "real.npz").statistics
    assert frechet_distance(found, FAKE) == pytest.approx(theirs, rel=1e-9)
    np.savez(tmp_path / "theirs.npz", mu=FAKE.mean(0), sigma=np.cov(FAKE, rowvar=False))  # as it saves them
    assert frechet_distance(read_statistics(tmp_path / "theirs.npz").statistics, REAL) == pytest.approx(
        theirs, rel=1e-9
    )


def test_single_precision_and_further_arrays_are_read(tmp_path):
    mu, sigma = (
        REAL.mean(axis=0),
        np.cov(REAL[:4], rowvar=False),
    )  # rank 3: eigenvalues just below 0 by rounding
    path = tmp_path / "adm.npz"
    np.savez(path, mu=mu.astype("f4"), sigma=sigma.astype("f4"), mu_s=mu, sigma_s=sigma, arr_0=np.zeros(3))
    assert len(read_statistics(path).statistics.mean) == 6


def test_entries_near_zero_may_differ_by_single_precision(tmp_path):
    """A covariance from a float32 product: its small entries differ from their mirror images by 1e-7 of the largest."""
    x = np.random.default_rng(0).normal(size=(400, 24)).astype("f4") * np.geomspace(1, 1e-4, 24, dtype="f4")
    sigma = x.T @ x / 399
    noise = np.random.default_rng(1).normal(0, 3e-8, sigma.shape)
    path = tmp_path / "torch.npz"
    np.savez(path, mu=x.mean(0), sigma=(sigma + np.triu(noise, 1)).astype("f4"))
    assert frechet_distance(read_statistics(path).statistics, x + 1) == pytest.approx(24, rel=1e-3)


@pytest.mark.parametrize(
    ("arrays", "error", "says"),
    [
        ({"mu": np.ones(3)}, UsageError, "holds mu and no 'sigma'"),
        ({"images": np.ones(3)}, UsageError, "no 'mu'"),
        ({"mu": np.ones(3), "sigma": np.eye(2)}, DataCorrupt, "no finite"),
        ({"mu": np.full(2, np.nan), "sigma": np.eye(2)}, DataCorrupt, "no finite"),
        ({"mu": np.ones(2), "sigma": -np.eye(2)}, DataCorrupt, "is no covariance"),
        ({"mu": np.ones(2), "sigma": np.array([[1.0, 0.5], [0.0, 1.0]])}, DataCorrupt, "is no covariance"),
        ({"mu": np.array([None]), "sigma": np.eye(1)}, DataCorrupt, "truncated or no .npz|plain arrays"),
    ],
)
def test_what_is_no_mean_and_covariance_is_refused(tmp_path, arrays, error, says):
    np.savez(tmp_path / "file.npz", **arrays)
    with pytest.raises(error, match=says):
        read_statistics(tmp_path / "file.npz")


def test_absent_and_misnamed_files(tmp_path):
    with pytest.raises((UsageError, DataMissing), match=r"absent\.npz"):
        read_statistics(tmp_path / "absent.npz")
    with pytest.raises(UsageError, match=r"call it .*real\.npz"):
        write_statistics(tmp_path / "real.pkl", REAL)


def test_a_file_of_others_is_not_written_over(tmp_path):
    """Somebody's images and labels were gone."""
    path = tmp_path / "mine.npz"
    np.savez(path, images=np.zeros((3, 8, 8), np.uint8), labels=np.arange(3))
    more = {"mu": np.zeros(2), "sigma": np.eye(2), "features": np.zeros((3, 2))}
    for make in (lambda: None, lambda: np.savez(path, **more), lambda: path.write_bytes(b"PK notes")):
        make()
        before = path.read_bytes()
        with pytest.raises(
            UsageError, match=r"mine\.npz is there and .* mu and sigma alone: give --out another"
        ):
            write_statistics(path, REAL)
        with pytest.raises(UsageError, match="give --out another"):  # before any feature is computed
            write_dataset_statistics(None, None, path, tmp_path)
        assert path.read_bytes() == before
    path.unlink()
    for features in (REAL, FAKE):  # an earlier one is replaced
        write_statistics(path, features)
    assert read_statistics(path).statistics.mean.numpy() == pytest.approx(FAKE.mean(axis=0))


def test_the_command_adds_one_number_and_says_what_cannot_be_had(tmp_path, capsys):
    cell, spec = digits(), make_spec("ddpm", ratio=0.1)
    folder = tmp_path / "runs" / folder_name(spec)
    recorded = spec.model_dump(mode="json", include={"data", "model", "method", "train", "train_seed"})
    write_json(folder / "spec.json", {"train_key": train_key(spec), **recorded})
    samples = folder / "samples" / sample_key(spec)[:8]
    sampled = {"sample": spec.sample.model_dump(mode="json"), "step": spec.train.steps}
    write_json(samples / "spec.json", {"sample_key": sample_key(spec), **sampled})
    few = np.arange(0, len(cell.heldout), len(cell.heldout) // 12)
    images = cell.heldout.images[few]
    np.save(samples / "images.npy", images)
    np.save(samples / "labels.npy", cell.heldout.labels[few])

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["statistics", *map(str, arguments)])
        out = capsys.readouterr()
        return ended.value.code, " ".join((out.out + out.err).split())

    file = tmp_path / "digits.npz"
    code, out = run("write", "-d", "digits_lt", "--out", file, "--extractor", "digits_cnn")
    assert code == 0
    assert "on digits_cnn" in out
    code, out = run("score", file, samples, "--extractor", "digits_cnn")
    assert code == 0
    assert "no value of a class or group" in out
    (row,) = [row for _, row in read_scores(samples / "scores.csv").iterrows()]
    assert (row.metric, row.reference, row.n_generated) == (
        "frechet",
        "digits (statistics)",
        len(few),
    )
    assert np.isnan(row.n_reference)
    assert "which need the reference's images" in row.reason
    extractor, real = get_extractor("digits_cnn"), balanced(cell.reference, "reference").images
    expected = frechet_distance(extractor(real).features, extractor(images).features)
    assert row.value == pytest.approx(expected, rel=1e-6)
    code, out = run("score", file, samples, "--extractor", "efficientnet_lite0")
    assert code != 0
    assert "name the extractor that it was made with" in out


def test_the_reference_of_a_small_folder_is_written_with_its_own_counts(tmp_path, capfd):
    """It was read at the papers' ratio .01, which leaves no image in the tail class of fewer than 100."""
    write_named_classes(tmp_path / "birds", ("wren", "kite"), n=20)
    prepare("folder_lt", tmp_path / "birds", tmp_path / "data", image_size=16, workers=1)
    out = tmp_path / "reference.npz"
    words = ["statistics", "write", "-d", "folder_lt", "--extractor", "pixels", "--out", out]
    code, said, _ = call_main(capfd, [str(word) for word in (*words, "--data-root", tmp_path / "data")])
    assert code == 0
    assert "mean and covariance of 8 images of folder_lt" in said
    assert len(read_statistics(out).statistics.mean) == 3 * 16 * 16
