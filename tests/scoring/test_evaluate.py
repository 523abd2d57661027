"""Stored sample sets scored again: known answers for the reference itself, what is added, kept and left behind."""

import numpy as np
import pytest
from scored_digits import value
from tiny_runs import digits, make_spec

from ltbench.errors import UsageError
from ltbench.interop.external import ExternalClaims, write_sample_set
from ltbench.interop.samples import ExternalSamples
from ltbench.runs.run import sample_sets
from ltbench.runs.samples import load_confusion, load_pairs, write_samples
from ltbench.runs.scores import merge_scores, read_scores, scored_requests
from ltbench.runs.spec_files import open_folder, open_samples
from ltbench.scoring.evaluate import evaluate_sets, score_stored
from ltbench.specs import MethodSpec, ScoreSpec, stage_key

REFERENCE = digits().reference
FRECHET = ScoreSpec(metrics=("frechet",), floor_draws=2, bootstrap=0)


def stored(root, seed=0, images=REFERENCE.images, labels=REFERENCE.labels, method=None):
    """Write a run whose sample set are these images; return the sample set's folder."""
    spec = make_spec(seed=seed)
    spec = spec if method is None else spec.model_copy(update={"method": method})
    open_folder(spec, root)
    folder = open_samples(spec, root, 2.0)
    write_samples(folder, images, labels)
    return folder


def evaluated(folder, request=FRECHET, **how):
    """Evaluate one folder; return the one table of rows that were added."""
    ((_, table),) = evaluate_sets([folder], request, device="cpu", **how)
    return table


def test_the_reference_is_at_no_distance_from_itself_and_its_training_images_are_their_own_neighbours(
    tmp_path,
):
    folder = stored(tmp_path)
    table = evaluated(folder)
    assert value(table, "frechet") == pytest.approx(0, abs=1e-6)
    for k in range(10):
        assert value(table, "frechet", "class", k) == pytest.approx(0, abs=1e-6)
    assert set(table[table["scope"] == "overall"]["n_generated"]) >= {len(REFERENCE.images)}
    pairs = load_pairs(folder)  # training images are part of the reference
    assert np.abs(pairs["distance"]).max() == pytest.approx(0, abs=1e-5)
    assert np.array_equal(pairs["generated"], pairs["training"])
    confusion = load_confusion(folder).to_numpy()
    assert confusion.sum(1).tolist() == np.bincount(REFERENCE.labels, minlength=10).tolist()
    assert np.trace(confusion) / confusion.sum() > 0.95


def test_what_is_stored_is_left_as_it_is_unless_it_is_to_be_computed_again(tmp_path):
    folder = stored(tmp_path)
    evaluated(folder)
    scores = folder / "scores.csv"
    before = scores.read_bytes()
    assert evaluated(folder).empty
    assert scores.read_bytes() == before
    row = read_scores(scores)
    row = row[(row["metric"] == "frechet") & (row["scope"] == "overall")]
    merge_scores(scores, row.assign(value=54.5))
    assert evaluated(folder).empty
    assert value(read_scores(scores), "frechet") == 54.5
    evaluated(folder, recompute=True)
    assert scores.read_bytes() == before


def test_a_metric_is_added_beside_what_is_there(tmp_path):
    folder = stored(tmp_path)
    first = evaluated(folder)
    more = FRECHET.model_copy(update={"metrics": ("frechet", "precision_recall")})
    added = evaluated(folder, more)
    assert set(added["definition"].str.partition("/")[0]) == {"precision_recall"}
    assert value(added, "recall") == 1  # every reference image lies in its own neighbourhood
    assert value(added, "precision") == 1
    assert len(read_scores(folder / "scores.csv")) == len(first) + len(added)


def test_each_set_below_the_folders_is_scored_once_and_the_request_is_noted(tmp_path):
    folders = [stored(tmp_path / "a", seed) for seed in (0, 1)] + [stored(tmp_path / "b", 2)]
    done = list(evaluate_sets([tmp_path / "a", tmp_path / "b"], FRECHET, device="cpu"))
    assert sorted(samples.folder for samples, _ in done) == sorted(folders)
    for samples, table in done:
        key = stage_key(samples.spec.model_copy(update={"score": FRECHET}), "score")
        assert list(scored_requests(samples.folder)) == [key]
        assert len(read_scores(samples.folder / "scores.csv")) == len(table)


@pytest.mark.parametrize("variant", ["published", None])
def test_a_run_of_a_method_that_is_not_installed_is_scored_as_any_other(tmp_path, variant):
    """It stopped the command, and the sets after it stayed without scores."""
    method = MethodSpec(name="absent", hyperparameters={"absent": {"w": 2.0}})
    folder = stored(tmp_path, method=method)
    stored(tmp_path, seed=1)
    if variant is not None:
        first = evaluated(folder).assign(variant=variant)
        (folder / "scores.csv").unlink()
        merge_scores(folder / "scores.csv", first)
    done = list(evaluate_sets([tmp_path], ScoreSpec(metrics=("agreement",)), device="cpu"))
    assert [len(table) > 0 for _, table in done] == [True, True]
    assert set(read_scores(folder / "scores.csv")["variant"]) == {variant or ""}


def keys(folder, *requests):
    """Return the score stages' keys of some requests of a sample set."""
    (samples,) = sample_sets(folder)
    return {stage_key(samples.spec.model_copy(update={"score": request}), "score") for request in requests}


def test_a_set_that_is_named_twice_is_scored_once(tmp_path):
    folder = stored(tmp_path)
    twice = list(evaluate_sets([tmp_path, folder, tmp_path / "."], FRECHET, recompute=True, device="cpu"))
    assert len(twice) == 1


def test_two_requests_answered_at_once_are_both_noted(tmp_path):
    folder = stored(tmp_path)
    other = ScoreSpec(metrics=("precision_recall",), bootstrap=0)
    (samples,) = sample_sets(folder)

    def guard():  # the other comes when the first one's numbers are there and not yet its note
        if (folder / "scores.csv").exists() and not scored_requests(folder):
            assert len(evaluated(folder, other))

    score_stored(samples, FRECHET, digits(), "cpu", guard=guard)
    assert set(scored_requests(folder)) == keys(folder, FRECHET, other)


def test_of_a_table_that_was_deleted_no_earlier_request_stays_noted(tmp_path):
    folder = stored(tmp_path)
    other = ScoreSpec(metrics=("precision_recall",), bootstrap=0)
    evaluated(folder)
    (folder / "scores.csv").unlink()
    evaluated(folder, other)
    assert set(scored_requests(folder)) == keys(folder, other)


def test_of_images_made_elsewhere_only_the_numbers_are_kept_under_their_makers_name(tmp_path):
    samples = ExternalSamples(REFERENCE.images, REFERENCE.labels, "uint8")
    folder = write_sample_set(samples, digits(), ExternalClaims("theirs", step=7), tmp_path, tmp_path / "out")
    table = evaluated(folder)
    assert value(table, "frechet") == pytest.approx(0, abs=1e-6)
    assert set(table["method"]) == {"theirs"}
    assert set(table["origin"]) == {"external"}
    assert set(table["step"]) == {7}
    assert load_pairs(folder) is None
    assert scored_requests(folder) == {}


def test_a_guard_withholds_every_file(tmp_path):
    class Lost(Exception):
        pass

    def guard():
        raise Lost

    folder = stored(tmp_path)
    before = sorted(path.name for path in folder.iterdir())
    (samples,) = sample_sets(folder)
    with pytest.raises(Lost):
        score_stored(samples, FRECHET, digits(), "cpu", guard=guard)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_wrong_name_is_refused_before_anything_is_read(tmp_path):
    unknown = FRECHET.model_copy(update={"metrics": ("frechet", "fdi")})
    with pytest.raises(UsageError, match="no metric called 'fdi'"):
        next(evaluate_sets([tmp_path / "gone"], unknown))
    with pytest.raises(UsageError, match="no finished sample set in"):
        next(evaluate_sets([tmp_path], FRECHET, device="cpu"))
    with pytest.raises(UsageError, match="device 'tpu' cannot be used"):
        next(evaluate_sets([tmp_path], FRECHET, device="tpu"))
