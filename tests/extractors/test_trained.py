"""Extractors of a user's own images: the recipe made general, kept under a name, found by it, and its limits."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from tiny_runs import digits

from ltbench.data.images import ImageSet
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.extractors import train, trained
from ltbench.extractors.registry import EXTRACTORS, classifies, get_extractor, known_extractors
from ltbench.specs import DataSpec

CONTENT = "ab" * 32


def own_folder(channels=1):
    """Return the long-tailed digits as if they were a prepared folder, grey or in colour."""
    cell = digits()
    sets = {
        name: ImageSet(np.repeat(getattr(cell, name).images, channels, axis=1), getattr(cell, name).labels)
        for name in ("train", "reference", "heldout")
    }
    return dataclasses.replace(cell, spec=DataSpec(dataset="folder_lt", content=CONTENT), **sets)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv(trained.FOLDER_VARIABLE, str(tmp_path / "extractors"))
    monkeypatch.setattr(trained, "FEWEST", 60)
    EXTRACTORS.forget()
    yield tmp_path / "extractors"
    EXTRACTORS.forget()


@pytest.mark.usefixtures("no_home")
def test_without_a_home_there_are_none_and_training_one_says_what_to_set():
    """Every run in a container ended after its timing, with a path that nobody had written."""
    assert trained.names() == []
    with pytest.raises(UsageError, match="no home folder.*: set HOME, or LTBENCH_EXTRACTORS to a folder"):
        trained.check_new("mine", own_folder())


def test_a_trained_extractor_is_found_by_its_name_and_tells_the_classes_apart(place):
    cell = own_folder()
    record = trained.train_extractor(cell, "mine")
    EXTRACTORS.forget()
    extractor = get_extractor("mine")
    assert extractor.hash == record["hash"]
    assert extractor.title == "FD (mine)"
    assert record["heldout_accuracy"] > 0.6  # ten classes, sixty steps
    (row,) = [row for row in known_extractors() if row.name == "mine"]
    assert row.found
    assert row.at == place / "mine.safetensors"
    found = extractor(cell.heldout.images)
    assert found.features.shape == (len(cell.heldout), 64)
    assert found.logits.shape[1] == 10
    assert classifies(extractor, cell.spec)
    assert not classifies(extractor, DataSpec(dataset="folder_lt", content="cd" * 32))
    assert not classifies(extractor, DataSpec(dataset="digits_lt"))


def test_the_same_command_gives_the_same_file_and_another_seed_another(place):
    hashes = [
        trained.train_extractor(own_folder(3), n, s)["hash"]
        for n, s in (("a", 0), ("a", 0), ("a", 1))
        if not trained.files(n)[1].unlink(missing_ok=True)
    ]
    assert hashes[0] == hashes[1] != hashes[2]
    assert json.loads((place / "a.json").read_text())["design"]["channels"] == 3


@pytest.mark.usefixtures("place")
def test_it_sees_the_training_pool_only_and_each_class_as_often(monkeypatch):
    seen = {}

    def watched(name, design, recipe, images, labels, *rest):
        seen.update(images=images.clone(), labels=labels.clone())
        return fit(name, design, recipe, images, labels, *rest)

    drawn, pick = [], torch.multinomial

    def multinomial(weights, count, **how):
        drawn.append(pick(weights, count, **how))
        return drawn[-1]

    fit = train.fit
    monkeypatch.setattr(train, "fit", watched)
    monkeypatch.setattr(torch, "multinomial", multinomial)
    cell = own_folder()
    trained.train_extractor(cell, "mine")
    np.testing.assert_array_equal(seen["images"], cell.train.images)
    share = np.bincount(seen["labels"][torch.cat(drawn)], minlength=10) / sum(map(len, drawn))
    assert cell.counts.max() > 9 * cell.counts.min()
    assert np.abs(share - 0.1).max() < 0.02


@pytest.mark.usefixtures("place")
def test_the_record_states_how_many_reference_images_it_was_trained_on():
    """The digits' pool is their reference, so that a cell's training images are in it; none of them is held out."""
    cell = own_folder()
    apart = dataclasses.replace(cell, reference=cell.heldout)
    twice = dataclasses.replace(cell, reference=cell.train.take(np.array([0, 0, 1])))
    for data, expected in ((cell, len(cell.train)), (apart, 0), (twice, 3)):
        record = trained.train_extractor(data, "mine", replace=True)
        assert record["reference_images"] == len(data.reference)
        assert record["reference_trained_on"] == expected


def test_the_design_follows_the_images():
    grey = trained.design_for(own_folder())
    assert (grey.side, grey.sizes, grey.channels, grey.num_classes) == (8, (8, 8), 1, 10)
    assert grey.dataset == f"folder_lt:{CONTENT}"
    large = dataclasses.replace(
        own_folder(),
        train=ImageSet(np.zeros((3, 3, 48, 48), np.uint8), np.zeros(3, np.int64)),
        spec=DataSpec(dataset="celeba5"),
    )
    colour = trained.design_for(large)
    assert (colour.side, colour.sizes, colour.channels, colour.dataset) == (32, (48, 48), 3, "celeba5")


def test_names_that_are_taken_or_odd_and_sets_that_are_too_small_are_refused(place):
    cell = own_folder()
    place.mkdir()
    (place / "mine.json").write_text("{}")
    few = dataclasses.replace(cell, train=cell.train.take(np.arange(5)))
    for name, data, says in (
        ("mine", cell, "is there already"),
        ("digits_cnn", cell, "comes with ltbench"),
        ("My Net", cell, "lower-case letters"),
        ("other", few, "5 training images: a network takes at least 16"),
    ):
        with pytest.raises(UsageError, match=says):
            trained.check_new(name, data)
    trained.check_new("mine", cell, replace=True)


@pytest.mark.usefixtures("place")
def test_files_that_are_broken_are_told_in_one_sentence():
    trained.train_extractor(own_folder(), "mine")
    EXTRACTORS.forget()
    weights, record = trained.files("mine")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(DataCorrupt, match="does not hold the weights of mine: train it again"):
        get_extractor("mine")
    weights.unlink()
    assert not next(row for row in known_extractors() if row.name == "mine").found
    with pytest.raises(DataMissing):
        get_extractor("mine")
    other = trained.train_extractor(own_folder(), "other", 1)
    EXTRACTORS.forget()
    assert other["hash"]
    assert weights.write_bytes(trained.files("other")[0].read_bytes())
    with pytest.raises(DataCorrupt, match="not the file that mine.json describes"):
        get_extractor("mine")
    record.write_text('{"design": 5}')
    with pytest.raises(DataCorrupt, match="no record of a trained extractor"):
        get_extractor("mine")
