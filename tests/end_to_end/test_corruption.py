"""A walk over every file of a finished run: truncated, emptied, one bit flipped, or changed by hand.

Each damage must be told in one sentence, or be mended by making the file again: never may a number come out that
is not the run's. ``--damages N`` tries so many places a file (default 2).
"""

import json
import random
import shutil
import warnings

import numpy as np
import pytest
from tiny_runs import make_spec

import ltbench
from ltbench.cli.sweep import show_status
from ltbench.data import load_dataset
from ltbench.environment import Environment, Settings
from ltbench.errors import LtbenchError
from ltbench.interop.export import export_run
from ltbench.pipeline import run_stage, stages
from ltbench.runs.digests import DIGESTS, recorded_digests
from ltbench.runs.layout import CACHE, CHECKPOINT, IMAGES, LABELS, PROVENANCE, SCORED, SCORES, SPEC
from ltbench.runs.merge import merge_runs
from ltbench.runs.pack import pack
from ltbench.runs.provenance import all_stages
from ltbench.runs.results import load_results
from ltbench.runs.run import read_run, sample_sets
from ltbench.runs.samples import load_confusion, load_pairs
from ltbench.runs.weights import load_checkpoint, load_weights
from ltbench.scoring.score import score_samples
from ltbench.specs import train_key
from ltbench.sweep.reproduce import reproduce

SPECIFICATION = make_spec(steps=4, snapshots=(2,), score={"metrics": ("frechet",), "floor_draws": 1, "bootstrap": 0,
                                                          "probes": True})  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the output folder of a finished run and all numbers that come out of it."""
    root = tmp_path_factory.mktemp("finished")
    for stage in stages(SPECIFICATION):
        run_stage(stage, root, Environment())
    return root, numbers(root)


def numbers(root, score=True):
    """Read everything that a command may read and return what comes out: scores stored and made again, weights, state."""
    out = {}
    results = load_results(root)
    table = results.scores.sort_values(["scope", "class_or_group", "metric"])
    out["stored"] = [(row.scope, row.class_or_group, row.metric, row.value) for row in table.itertuples()]
    (run,) = results.runs.values()
    for one in sample_sets(root):
        images, labels = one.arrays()
        if not score:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again = score_samples(
                load_dataset(one.spec.data), images, labels, SPECIFICATION, cache=root / CACHE, device="cpu"
            )
        again = again.sort_values(["scope", "class_or_group", "metric"])
        out["again"] = [(r.scope, r.class_or_group, r.metric, r.value) for r in again.itertuples()]
    for step in run.steps:
        for which in ("ema", "raw"):
            loaded = load_weights(
                run.folder / f"weights/step-{step:08d}.safetensors", which, train_key(run.spec)
            )
            out[f"weights {step} {which}"] = [float(loaded[name].double().sum()) for name in sorted(loaded)]
    state = load_checkpoint(run.folder / CHECKPOINT, train_key(run.spec))
    out["step"] = state and state["step"]
    probes = run.probes()
    log, folder = run.train_log(), next(run.folder.glob("samples/*"))
    out["log"] = None if log is None else log.to_dict("list")
    seen, pairs = load_confusion(folder), load_pairs(folder)
    out["confusion"] = None if seen is None else seen.to_numpy().tolist()
    out["pairs"] = pairs and {name: float(np.asarray(a, float).sum()) for name, a in pairs.items()}
    out["cost"] = [stage.get("wall_seconds") for stage in all_stages(run.folder)]
    out["probes"] = None if probes is None else probes["value"].tolist()
    out["embedding"] = {name: float(np.asarray(a, float).sum()) for name, a in run.embedding(4).items()}
    out["features"] = {name: float(np.asarray(a, float).sum()) for name, a in run.probe_features(4).items()}
    read_run(run.folder)
    return out


def files(root):
    return sorted(p for p in root.rglob("*") if p.is_file() and p.suffix != ".png")


def damages(rng, content, places):
    """Yield (what was done, damaged content)."""
    yield "emptied", b""
    for _ in range(places):
        cut = rng.randrange(len(content))
        yield f"cut at {cut}", content[:cut]
        at = rng.randrange(len(content))
        yield f"bit {at}", content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def harmless(path):
    """Say whether a file has no number in it: which requests are done, and what the files' digests are."""
    return path.name in (SCORED, DIGESTS)


def test_every_file_with_numbers_has_a_digest(finished):
    root, _ = finished
    for path in files(root):
        if path.name not in (SPEC, SCORED, DIGESTS) and CACHE not in path.parts:  # specs have their keys
            assert path.name in recorded_digests(path.parent), path


def walk(finished, tmp_path, places, seed=0, digests=True):
    root, good = finished
    if (
        not digests
    ):  # as a stranger's folder may come: what is read unchecked is told in a sentence, or is a number
        root = shutil.copytree(root, tmp_path / "bare", ignore=shutil.ignore_patterns(DIGESTS))
    rng = random.Random(seed)
    tried = told = 0
    work = tmp_path / "work"
    shutil.copytree(root, work)
    assert numbers(work) == good
    for path in files(root):
        target = work / path.relative_to(root)
        content = path.read_bytes()
        for what, damaged in damages(rng, content, places if content else 0):
            if damaged == content:
                continue
            target.write_bytes(damaged)
            tried += 1
            try:
                used = "samples" in path.parts or CACHE in path.parts  # scoring anew takes the longest
                came = {**good, **numbers(work, score=used)}
            except LtbenchError as error:
                refusal = str(error)
                told += 1
            else:
                refusal = ""
                if digests and not harmless(path):
                    assert came == good, (path.relative_to(root), what)
            assert "\n" not in refusal, (path, what)
            assert len(refusal) < 700, (path, what)
            target.write_bytes(content)
            for made in files(work):  # what was made again meanwhile, as caches are
                if not (root / made.relative_to(work)).exists():
                    made.unlink()
                elif made != target and made.read_bytes() != (root / made.relative_to(work)).read_bytes():
                    shutil.copyfile(root / made.relative_to(work), made)
    return tried, told


def test_no_damaged_file_gives_a_wrong_number(finished, tmp_path):
    tried, told = walk(finished, tmp_path, places=1)
    assert tried > 20
    assert told > 10


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_damage_without_digests_ends_in_a_traceback(finished, tmp_path, damages_a_file, attack_seed):
    tried, told = walk(finished, tmp_path, damages_a_file, attack_seed + 2, digests=False)
    print(f"{tried} damages without digests, seed {attack_seed}, {told} told in a sentence")


@pytest.mark.parametrize("name", [LABELS, IMAGES])
def test_a_header_that_no_parser_takes_is_one_sentence(finished, tmp_path, name):
    """A space of the header's padding became a bracket: NumPy's reader ends in tokenize.TokenError."""
    root, _ = finished
    shutil.copytree(root, tmp_path / "work")
    (path,) = (tmp_path / "work").rglob(name)
    content = bytearray(path.read_bytes())
    content[100] = ord("(")
    path.write_bytes(content)
    with pytest.raises(LtbenchError, match="incomplete or truncated") as caught:
        numbers(tmp_path / "work")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_damage_anywhere_gives_a_wrong_number(
    finished, tmp_path, damages_a_file, attack_seed, record_property
):
    tried, told = walk(finished, tmp_path, places=damages_a_file, seed=attack_seed + 1)
    record_property("damages", tried)
    print(
        f"{tried} damages, seed {attack_seed}, {told} told in a sentence, the others made again or without a number"
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (SPEC, lambda c: {**c, "train_seed": 7}),
        (SPEC, lambda c: {**c, "method": {"name": "coral", "hyperparameters": {}}}),
        (SPEC, lambda c: {**c, "method": {"name": "../../x", "hyperparameters": {}}}),
        (SPEC, lambda c: {**c, "data": 5}),
        (SPEC, lambda _: None),
        (SPEC, lambda _: []),
        (SPEC, lambda c: {**c, "train": None}),
        (SPEC, lambda c: {**c, "origin": "external"}),
        (SPEC, lambda c: {**c, "data": {**c["data"], "dataset": 5}}),
        (SPEC, lambda c: {**c, "data": {**c["data"], "imbalance_ratio": float("inf")}}),
        (SPEC, lambda c: {**c, "train_key": None}),
        (f"samples/*/{SPEC}", lambda c: {**c, "step": "x"}),
        (f"samples/*/{SPEC}", lambda c: {**c, "sample": 5}),
        (f"samples/*/{SPEC}", lambda c: {**c, "sample": {**c["sample"], "guidance": 3.0}}),
        (f"samples/*/{SPEC}", lambda _: 7),
        (PROVENANCE, lambda _: []),
        (PROVENANCE, lambda _: {"stages": {"a": 1}}),
        (f"samples/*/{PROVENANCE}", lambda _: {"stages": [5]}),
        (f"samples/*/{DIGESTS}", lambda _: {IMAGES: "x"}),
        (f"samples/*/{DIGESTS}", lambda _: {IMAGES: [5]}),
    ],
)
def test_json_of_another_shape_or_another_run_is_one_sentence(finished, tmp_path, name, change):
    root, _ = finished
    shutil.copytree(root, tmp_path / "work")
    (path,) = (tmp_path / "work").glob(f"*/{name}")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(LtbenchError) as caught:
        numbers(tmp_path / "work")
    assert "\n" not in str(caught.value)


READERS = {
    "report": lambda root, _: load_results(root),
    "load_run": lambda root, _: ltbench.load_run(next(root.glob("digits*"))).samples(),
    "evaluate": lambda root, _: sample_sets(root),
    "status": lambda root, _: show_status(root, watch=False, everything=False),
    "pack": lambda root, out: pack([root], out / "bundle.zip"),
    "merge": lambda root, out: merge_runs([root, root], out / "merged"),
    "export": lambda root, out: export_run(next(root.glob("digits*")), out / "net"),
    "reproduce": lambda root, out: reproduce(next(root.glob("digits*")), out / "again", Settings()),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("method", ["min_snr", "../../x"])
def test_every_reader_refuses_a_training_that_says_it_is_another(finished, tmp_path, name, method):
    root, _ = finished
    shutil.copytree(root, tmp_path / "work")
    (path,) = (tmp_path / "work").glob(f"*/{SPEC}")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"method": {"name": method, "hyperparameters": {}}}))
    with pytest.raises(LtbenchError, match="was changed since it was written") as caught:
        READERS[name](tmp_path / "work", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["report", "load_run", "evaluate", "pack", "merge", "reproduce"])
def test_every_reader_refuses_samples_that_say_they_are_others(finished, tmp_path, name):
    root, _ = finished
    shutil.copytree(root, tmp_path / "work")
    (path,) = (tmp_path / "work").glob(f"*/samples/*/{SPEC}")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"sample": content["sample"] | {"guidance": 2.0}}))
    with pytest.raises(LtbenchError, match="was changed since it was written"):
        READERS[name](tmp_path / "work", tmp_path)


@pytest.mark.parametrize(
    "pattern", ["weights/*.safetensors", "samples/*/images.npy", "train.csv", "probes/*.npz"]
)
@pytest.mark.parametrize("name", ["pack", "merge"])
def test_a_damaged_file_does_not_travel(finished, tmp_path, name, pattern):
    root, _ = finished
    shutil.copytree(root, tmp_path / "work")
    path = next((tmp_path / "work").glob(f"*/{pattern}"))
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(LtbenchError, match="changed or damaged"):
        READERS[name](tmp_path / "work", tmp_path)


@pytest.mark.parametrize(
    "row", ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "![x](http://e.example)", "\x1b[2J"]
)
def test_a_name_in_the_scores_is_a_name(finished, tmp_path, row):
    root, _ = finished
    work = tmp_path / "work"
    shutil.copytree(root, work)
    (path,) = work.rglob(SCORES)
    path.with_name(DIGESTS).unlink()  # a stranger's folder needs none
    path.write_text(path.read_text().replace(",frechet,", f',"{row}",', 1))
    with pytest.raises(LtbenchError, match="cannot be the name of a metric"):
        load_results(work)


def test_scores_of_another_run_are_told(finished, tmp_path):
    root, _ = finished
    shutil.copytree(root, tmp_path / "work")
    (path,) = (tmp_path / "work").rglob(SCORES)
    path.with_name(DIGESTS).unlink()
    key = train_key(SPECIFICATION)
    path.write_text(path.read_text().replace(key, "0" * 64))
    with pytest.raises(LtbenchError, match="scores of another training"):
        load_results(tmp_path / "work")


def test_a_folder_from_before_digests_is_read(finished, tmp_path):
    root, good = finished
    shutil.copytree(root, tmp_path / "work")
    for path in (tmp_path / "work").rglob(DIGESTS):
        path.unlink()
    assert numbers(tmp_path / "work") == good


@pytest.mark.parametrize(
    "labels", [np.full(20, -2), np.arange(20.0), np.zeros(19, int), np.zeros((20, 2), int)]
)
def test_labels_that_cannot_be_are_told(finished, tmp_path, labels):
    root, _ = finished
    shutil.copytree(root, tmp_path / "work")
    (path,) = (tmp_path / "work").rglob(LABELS)
    path.with_name(DIGESTS).unlink()
    np.save(path, labels)
    with pytest.raises(LtbenchError):
        numbers(tmp_path / "work")
