"""``spec.json`` of trainings and sample sets: opened by their whole key, and back to the run."""

import pytest
from tiny_runs import make_spec

from ltbench.errors import CheckpointError, UsageError
from ltbench.files import read_json, write_json
from ltbench.runs.spec_files import (
    check_specs,
    checked_spec_of_samples,
    open_external,
    open_folder,
    open_samples,
    read_spec,
    read_trained,
    spec_of_samples,
)
from ltbench.specs import sample_key, train_key

SPEC = make_spec("coral", steps=4, seed=2)


def change(folder, **fields):
    write_json(folder / "spec.json", read_json(folder / "spec.json") | fields)


def test_a_training_comes_back_from_its_folder(tmp_path):
    folder = open_folder(SPEC, tmp_path)
    assert open_folder(SPEC, tmp_path) == folder
    back = read_trained(folder, "export")
    assert train_key(back) == train_key(SPEC)
    assert (back.method, back.train.steps, back.train_seed) == (SPEC.method, 4, 2)
    check_specs(tmp_path)


def test_eight_digits_are_not_enough_to_be_opened(tmp_path):
    folder = open_folder(SPEC, tmp_path)
    key = train_key(SPEC)
    change(folder, train_key=key[:8] + "0" * 56)
    with pytest.raises(CheckpointError, match="belongs to another spec .*use another --out"):
        open_folder(SPEC, tmp_path)


@pytest.mark.parametrize(
    "read", [lambda folder: read_trained(folder, "export"), lambda f: check_specs(f.parent)]
)
def test_settings_of_another_key_than_stated_are_refused(tmp_path, read):
    folder = open_folder(SPEC, tmp_path)
    change(folder, train_seed=3)
    with pytest.raises(CheckpointError, match="was changed since it was written: .*another train_key"):
        read(folder)


def test_a_sample_set_is_the_training_with_its_own_step_and_sampling(tmp_path):
    open_folder(SPEC, tmp_path)
    folder = open_samples(SPEC, tmp_path, 2.0)
    assert open_samples(SPEC, tmp_path, 2.0) == folder
    longer = make_spec("coral", steps=9, seed=2, sample={"guidance": 1.5})  # as another run of that folder
    assert sample_key(checked_spec_of_samples(folder, longer)) == sample_key(SPEC)
    change(folder, step=8)
    assert spec_of_samples(folder, longer).train.steps == 8
    with pytest.raises(CheckpointError, match="another sample_key"):
        checked_spec_of_samples(folder, longer)
    change(folder, sample_key="0" * 64)
    with pytest.raises(CheckpointError, match="belongs to another spec"):
        open_samples(SPEC, tmp_path, 2.0)


def test_what_is_no_training_of_ours_has_no_network(tmp_path):
    with pytest.raises(UsageError, match="is no training's folder"):
        read_trained(tmp_path, "export")
    samples = open_external(tmp_path / "theirs", "ab" * 32, SPEC.data, {"method": "theirs"})
    assert samples == tmp_path / "theirs" / "samples" / "abababab"
    assert read_spec(samples) == {"sample_key": "ab" * 32, "train_key": "ab" * 32}
    with pytest.raises(UsageError, match="images made elsewhere: there is no network to export"):
        read_trained(tmp_path / "theirs", "export")
    check_specs(tmp_path)
    assert read_spec(tmp_path) == {}


def test_settings_of_another_version_are_named(tmp_path):
    folder = open_folder(SPEC, tmp_path)
    change(folder, train={"steps": "many"})
    with pytest.raises(CheckpointError, match=r"no run of this version of ltbench \(train\.steps"):
        read_trained(folder, "export")
