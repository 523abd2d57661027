"""What a stranger's numbers are worth: scored again, drawn again, or only said."""

import json

import pytest
import torch
from tiny_runs import digits, make_spec

from ltbench.environment import Environment
from ltbench.errors import UsageError
from ltbench.interop.verify import CONTRADICTED, REPRODUCED, RESCORED, SELF_REPORTED, summary, verify
from ltbench.pipeline import run_stage, stages
from ltbench.runs.bundle import read_bundle, unpack
from ltbench.runs.layout import weights_path
from ltbench.runs.pack import pack
from ltbench.runs.samples import write_samples
from ltbench.runs.scores import read_scores, write_scores
from ltbench.runs.spec_files import open_folder, open_samples
from ltbench.scoring.evaluate import evaluate_sets
from ltbench.specs import MethodSpec

SPEC = make_spec(sample={"per_class": 3}, score={"metrics": ["frechet", "agreement"], "floor_draws": 2})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    root = tmp_path_factory.mktemp("lab")
    torch.set_num_threads(1)
    for stage in stages(SPEC):
        run_stage(stage, root / "runs", Environment())
    return pack([root / "runs"], root / "bundle", keep_arrays=[0], keep_weights=[0])


@pytest.fixture
def root(tmp_path, bundle):
    unpack(read_bundle(bundle.path), tmp_path / "runs")
    return tmp_path / "runs"


def the(root, name):
    (path,) = root.rglob(name)
    return path


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def test_true_numbers_are_scored_again_and_with_weights_reproduced(root):
    found = verify(root)
    assert found.holds
    assert not found.notes
    assert found.counts[RESCORED] == len(found.rows) > 50
    again = verify(root, redraw=True)
    assert again.counts[REPRODUCED] == len(again.rows)
    assert again.holds
    assert json.loads(json.dumps(summary(again)))["counts"]["reproduced"] == len(again.rows)


def test_a_digit_typed_into_a_score_is_contradicted(root):
    path = the(root, "scores.csv")
    table = read_scores(path)
    table.loc[4, "value"] *= 1.01
    write_scores(path, table)
    found = verify(root)
    assert not found.holds
    assert found.counts[CONTRADICTED] == 1
    row = found.rows[found.rows["status"] == CONTRADICTED].iloc[0]
    assert row["value"] == pytest.approx(1.01 * row["again"], rel=1e-4)


def test_samples_that_the_weights_do_not_make_are_contradicted_when_drawn_again(root):
    import numpy as np

    path = the(root, "images.npy")
    images = np.load(path)
    np.save(path, np.roll(images, 3, axis=-1))
    assert any("was changed or damaged" in problem for problem in verify(root).problems)
    path.with_name("digests.json").unlink()  # a stranger's folder may have none
    assert verify(root).counts[CONTRADICTED] > 0  # the scores are not those of these images
    assert verify(root, redraw=True).holds  # but they are those of the samples that the weights make


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        (
            "*/spec.json",
            lambda c: c["train"].update(learning_rate=0.5),
            "its train key is not that of its spec",
        ),
        ("*/spec.json", lambda c: c.update(train_key="0" * 64), "its train key is not that of its spec"),
        (
            "*/samples/*/spec.json",
            lambda c: c["sample"].update(guidance=1.0),
            "its keys are not those of its spec",
        ),
        ("*/samples/*/spec.json", lambda c: c.update(step=7), "its keys are not those of its spec"),
    ],
)
def test_a_spec_that_is_not_what_was_run_is_a_problem(root, name, change, sentence):
    (path,) = root.glob(name)
    edit(path, change)
    found = verify(root)
    assert not found.holds
    assert any(sentence in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("column", "value"),
    [("method", "coral"), ("guidance", 1.5), ("train_seed", 9), ("sampler", "ancestral"), ("nfe", 1)],
)
def test_rows_that_claim_another_run_are_a_problem(root, column, value):
    path = the(root, "scores.csv")
    table = read_scores(path)
    table.loc[2:4, column] = value
    write_scores(path, table)
    assert any(f"{column} is {value}" in problem and "3 rows" in problem for problem in verify(root).problems)


def test_another_split_is_a_problem(root):
    path = the(root, "scores.csv")
    write_scores(path, read_scores(path).assign(manifest="f" * 16))
    assert any("trained on other images" in problem for problem in verify(root).problems)


def test_a_run_in_anothers_folder_and_broken_files_are_problems_not_tracebacks(root):
    (folder,) = root.iterdir()
    folder.rename(root / folder.name.replace("ddpm", "coral"))
    assert any("belongs in a folder" in problem for problem in verify(root).problems)
    the(root, "scores.csv").write_text("metric\n\x00")
    assert not verify(root).holds
    for content in ("[]", "null", "5", "{", '{"data": 5}', '{"origin": "external"}'):
        next(root.glob("*/spec.json")).write_text(content)
        assert not verify(root).holds


def test_a_number_that_is_not_stated_is_not_contradicted(root):
    path = the(root, "scores.csv")
    table = read_scores(path)
    table.loc[4, "value"] = float("nan")
    write_scores(path, table)
    found = verify(root)
    assert found.holds
    assert found.counts[SELF_REPORTED] == 1
    assert found.rows[found.rows["value"].isna()]["reason"].tolist() == ["it states no number"]


def test_a_method_that_is_not_installed_contradicts_nothing(tmp_path):
    """Its numbers are of its images, which are scored as any others; they cannot be drawn again."""
    run = SPEC.model_copy(update={"method": MethodSpec(name="absent")})
    open_folder(run, tmp_path)
    samples = open_samples(run, tmp_path, 2.0)
    images = digits().reference
    write_samples(samples, images.images, images.labels)
    weights = weights_path(samples.parent.parent, run.train.steps)
    weights.parent.mkdir()
    weights.write_bytes(b"of a network that is not here")
    list(evaluate_sets([tmp_path], run.score, device="cpu"))
    for redraw in (False, True):
        found = verify(tmp_path, redraw=redraw)
        assert found.holds, found.problems
        assert found.counts[RESCORED] == len(found.rows) > 50
    assert found.notes == ["not drawn again: the method absent is not installed here"]


def test_without_images_or_data_a_number_is_only_said(bundle, tmp_path):
    unpack(pack([bundle.path.parent / "runs"], tmp_path / "light"), tmp_path / "runs")
    found = verify(tmp_path / "runs")
    assert found.holds
    assert found.counts[SELF_REPORTED] == len(found.rows)
    assert set(found.rows["reason"]) == {"its images are not in the bundle"}


def test_a_bundle_does_not_choose_what_runs_here(root, tmp_path, monkeypatch):
    """TorchScript can create and overwrite files: a name in a result file must never load one."""
    loaded = []
    monkeypatch.setattr(torch.jit, "load", lambda *arguments, **_: loaded.append(arguments))
    script = tmp_path / "evil.pt"
    script.write_bytes(b"whatever it holds")
    edit(
        the(root, "scored.json"),
        lambda c: next(iter(c["requests"].values())).update(extractors=[f"torchscript:{script}", "auto"]),
    )
    found = verify(root)
    assert any("are not run" in note for note in found.notes)
    assert not loaded
    assert found.counts[RESCORED] == len(found.rows)


def test_nothing_to_verify_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="no runs in"):
        verify(tmp_path)


def test_what_is_verified_is_only_read(root):
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    verify(root, redraw=True)
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
