"""Making a run again: what is read from the record, and what is compared with what strictness."""

import json
import shutil

import numpy as np
import pytest
from recorded_run import SETS, record
from sweep_tools import runs_of

from ltbench import errors
from ltbench.environment import Settings
from ltbench.errors import CheckpointError, UsageError
from ltbench.runs.digests import DIGESTS
from ltbench.runs.layout import folder_name
from ltbench.specs import sample_key
from ltbench.sweep.reproduce import compare, recorded_runs, recorded_settings, reproduce


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    path.with_name(DIGESTS).unlink(missing_ok=True)  # as in a folder from before there were digests


@pytest.fixture
def pair(tmp_path):
    old = record(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    return old, tmp_path / "new" / old.name


def test_the_recorded_runs_have_the_keys_they_were_made_with(tmp_path):
    folder = record(tmp_path)
    again, asked = recorded_runs(folder), runs_of(SETS)
    assert {sample_key(run) for run in again} == {sample_key(run) for run in asked}
    assert {folder_name(run) for run in again} == {folder.name}
    assert again[0].train.snapshots == (10,)


def test_threads_and_sampling_batch_come_from_the_record(tmp_path):
    settings = recorded_settings(record(tmp_path), Settings(device="cpu"))
    assert (settings.threads, settings.sample_batch) == (2, 50)


def test_equal_folders_are_reproduced_to_the_last_bit(pair):
    result = compare(*pair)
    assert result.reproduced
    assert not result.changed
    assert not result.absent
    assert {item.what.split("/")[-1] for item in result.comparisons} == {
        "train.csv",
        "step-00000020.safetensors",
        "images.npy",
        "scores.csv",
    }


def test_on_the_same_machine_one_bit_is_too_many(pair):
    old, new = pair
    images = next(new.glob("samples/*/images.npy"))
    array = np.load(images)
    array[0, 0, 0, 0] ^= 1
    np.save(images, array)
    result = compare(old, new)
    assert not result.reproduced
    (item,) = [item for item in result.comparisons if item.identical != item.count]
    assert item.count - item.identical == 1
    assert 0 < item.difference < 0.01


@pytest.mark.parametrize(("value", "reproduced"), [("12.9", True), ("13.5", False)])
def test_on_another_machine_overall_scores_are_held_to_the_tolerance(pair, value, reproduced):
    old, new = pair
    change(new / "provenance.json", '"processor": "A"', '"processor": "B"')
    for scores in new.glob("samples/*/scores.csv"):
        change(scores, "12.5", value)
        change(scores, "50.0", "90.0")  # a class of few images: not judged
    result = compare(old, new, tolerance=0.05)
    assert result.changed == ("processor: A -> B",)
    assert result.reproduced is reproduced


def test_another_library_or_thread_count_is_another_machine(pair):
    old, new = pair
    for path in new.rglob("provenance.json"):
        change(path, '"threads": 2', '"threads": 4')
    change(new / "provenance.json", '"torch": "2.9"', '"torch": "3.0"')
    assert set(compare(old, new).changed) == {"torch: 2.9 -> 3.0", "threads: 2 -> 4"}


def test_processes_and_switches_that_draw_other_masks_are_another_class(pair):
    """Two processes' training was held to every bit of one's: both switches change what is drawn or rounded."""
    old, new = pair
    more = '"channels_last": true, "compile": false, "processes": 2'
    change(old / "provenance.json", '"stage": "train"', f'{more}, "stage": "train"')
    assert recorded_settings(old, Settings()).channels_last
    assert set(compare(old, new).changed) == {"processes: 2 -> 1", "channels_last: True -> False"}


def test_weights_that_a_published_study_does_not_keep_are_said_to_be_absent(pair):
    old, new = pair
    shutil.rmtree(old / "weights")
    result = compare(old, new)
    assert result.reproduced
    assert result.absent == ("weights/step-00000020.safetensors",)


def test_nothing_to_compare_is_not_reproduced(pair):
    old, new = pair
    for path in old.glob("samples/*/scores.csv"):
        path.unlink()
    assert not compare(old, new).reproduced


def test_tables_without_a_number_in_common_reproduce_nothing(pair):
    old, new = pair
    for path in new.glob("samples/*/scores.csv"):
        change(path, ",frechet,", ",recall,")
    scores = [item for item in compare(old, new).comparisons if item.what.endswith("scores.csv")]
    assert {(item.count, item.identical) for item in scores} == {(2, 0)}
    assert not compare(old, new).reproduced


def test_an_empty_table_agrees_with_everything_and_shows_nothing(pair):
    for folder in pair:
        scores = next(folder.glob("samples/*/scores.csv"))
        scores.write_text(scores.read_text().splitlines()[0] + "\n")
        scores.with_name(DIGESTS).unlink(missing_ok=True)
        assert not compare(*pair).reproduced


def test_numbers_of_classes_alone_are_within_no_tolerance_of_another_machine(pair):
    for folder in pair:
        scores = next(folder.glob("samples/*/scores.csv"))
        header, *rows = scores.read_text().splitlines()
        scores.write_text("\n".join([header, *(row.replace("overall", "class") for row in rows)]) + "\n")
        scores.with_name(DIGESTS).unlink(missing_ok=True)
    assert compare(*pair).reproduced  # every bit of what is there
    change(pair[1] / "provenance.json", '"processor": "A"', '"processor": "B"')
    assert not compare(*pair).reproduced


def test_what_cannot_be_made_again_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="is no training's folder"):
        recorded_runs(tmp_path)
    folder = record(tmp_path)
    change(next(folder.glob("samples/*/spec.json")), '"per_class": 5000', '"per_class": 5001')
    with pytest.raises(CheckpointError, match="changed since it was written"):
        recorded_runs(folder)
    shutil.rmtree(folder / "samples")
    with pytest.raises(UsageError, match="no finished scores"):
        recorded_runs(folder)


def test_a_used_folder_is_refused(tmp_path):
    folder = record(tmp_path / "old")
    with pytest.raises(UsageError, match="is not empty"):
        reproduce(folder, tmp_path / "old", Settings())


pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")


def test_what_was_not_compared_is_said(tmp_path):
    """Success was stated for an extractor that the record has no number of."""
    old, new = record(tmp_path / "old"), record(tmp_path / "new")
    table = next(new.glob("samples/*/scores.csv"))
    lines = table.read_text().splitlines()
    header = lines[0].split(",")
    more = lines[1].split(",")
    more[header.index("extractor")], more[header.index("metric")] = "digits_cnn", "kid"
    import pandas as pd

    from ltbench.runs import scores

    rows = pd.concat([scores.read_scores(table), pd.DataFrame([dict(zip(header, more, strict=True))])])
    scores.write_scores(table, rows)
    result = compare(old, new)
    assert result.reproduced
    assert any("kid" in text and "not recorded" in text for text in result.unmatched)
    result = compare(new, old)
    assert any("kid" in text and "not made again" in text for text in result.unmatched)
    assert not compare(old, old).unmatched


@pytest.mark.parametrize(
    "content",
    [{}, {"machine": 5, "stages": []}, {"machine": {}, "stages": [{}]}, {"machine": {"libraries": []}, "stages": [{}]},
     {"machine": {"libraries": {}}, "stages": [{"stage": "train", "threads": "x"}]},
     {"machine": {"libraries": {}}, "stages": [{"stage": "train", "threads": 10**12}]}, {"stages": 7}],
    ids=str,
)  # fmt: skip
def test_a_provenance_of_another_shape_is_one_sentence(tmp_path, content):
    folder = record(tmp_path)
    for path in folder.rglob("provenance.json"):
        path.write_text(json.dumps(content))
    with pytest.raises(errors.CheckpointError):
        reproduce(folder, tmp_path / "again", Settings(), command=("false",))
