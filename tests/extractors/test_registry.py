"""Names of extractors: what there is, what is told of it, those of other packages."""

from importlib import metadata
from types import SimpleNamespace

import pytest
import torch
from extractor_images import noise

from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.extractors import cnn
from ltbench.extractors.registry import (
    EXTRACTORS,
    Extractor,
    ExtractorRow,
    ExtractorSource,
    auto_extractors,
    get_extractor,
    known_extractors,
    resolve_extractors,
)


def test_names():
    assert auto_extractors("digits_lt") == ("digits_cnn",)
    assert auto_extractors("fashion_mnist_lt") == ("fashion_mnist_cnn",)
    assert auto_extractors("cifar10_lt") in (("inception",), ("efficientnet_lite0",))  # what is here
    with pytest.raises(UsageError, match="did you mean 'digits_cnn'"):
        get_extractor("digit_cnn")


def test_known_extractors_tell_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    rows = {row.name: row for row in known_extractors()}
    assert {"digits_cnn", "inception", "inception_clean", "vgg16", "clip-vit-b-32"} < set(rows)
    assert rows["digits_cnn"].found
    assert rows["inception"].title == "FID"
    assert rows["inception_clean"].title == "FID (clean)"
    for name, row in rows.items():
        if name in cnn.SHIPPED or name in ("efficientnet_lite0", "pixels"):  # weights in packages, or none
            continue
        assert not row.found
        assert row.looked[0] == tmp_path
        assert str(tmp_path) in row.advice
        with pytest.raises(DataMissing, match="get it with `curl") as raised:
            get_extractor(name)
        assert row.advice in str(raised.value)
        assert "\n" not in str(raised.value)
    (tmp_path / "inception-2015-12-05.pt").write_bytes(b"truncated")
    assert {row.name: row.at for row in known_extractors()}["inception_clean"] == (
        tmp_path / "inception-2015-12-05.pt"
    )
    with pytest.raises(DataCorrupt, match="truncated or is not the published file"):
        get_extractor("inception_clean")


class MeanColour(torch.nn.Module):
    def forward(self, images):
        return images.float().mean((2, 3)), None


def mean_colour(name, _weights, device):
    return Extractor(name, MeanColour(), weights_hash="none", preprocessing="mean/1", device=device)


@pytest.fixture
def plugin(monkeypatch):
    """Install entry points of the extractors' group for one test."""

    def install(**objects):
        entries = [
            SimpleNamespace(
                name=name,
                value=f"other:{name}",
                load=lambda item=item: item,
                dist=SimpleNamespace(name="other-extractors", version="0.3"),
            )
            for name, item in objects.items()
        ]
        monkeypatch.setattr(
            metadata, "entry_points", lambda group: entries if group == "ltbench.extractors" else []
        )
        EXTRACTORS.forget()

    yield install
    monkeypatch.undo()
    EXTRACTORS.forget()


def test_a_packages_extractor_is_listed_loaded_and_says_where_it_comes_from(plugin):
    row = ExtractorRow("mean_colour", "FD (mean_colour)", True, None, (), "")
    plugin(mean_colour=ExtractorSource("mean_colour", mean_colour, lambda _: row))
    assert known_extractors()[-1] is row
    assert EXTRACTORS.origin("mean_colour") == "package other-extractors 0.3"
    assert get_extractor("mean_colour")(noise(2, 8, 3)).features.shape == (2, 3)
    with pytest.raises(UsageError, match="did you mean 'mean_colour'"):
        get_extractor("mean_color")


def test_a_packages_unusable_extractor_says_why_when_it_is_asked_for(plugin):
    row = ExtractorRow("digits_cnn", "", True, None, (), "")
    plugin(wrong=mean_colour, taken=ExtractorSource("digits_cnn", mean_colour, lambda _: row))
    assert EXTRACTORS.origin("digits_cnn") == "ltbench.extractors"
    with pytest.raises(UsageError, match="could not be loaded from .*is no ltbench.extractors.base"):
        get_extractor("wrong")
    with pytest.raises(UsageError, match="is taken by ltbench.extractors"):
        get_extractor("taken")


def failing(*_):
    raise ValueError("boom")


@pytest.mark.parametrize(
    ("describe", "why"),
    [
        (failing, "ValueError: boom"),
        (lambda _: None, "it returned NoneType for its ExtractorRow"),
        (lambda _: ExtractorRow("y", "", True, None, (), ""), "it describes y"),
        (lambda name: get_extractor(f"torchscript:/{name}"), "cannot read the weights"),
    ],
)
def test_a_packages_extractor_that_cannot_describe_itself_is_a_row_and_leaves_the_others(
    plugin, describe, why
):
    plugin(x=ExtractorSource("x", mean_colour, describe))
    *others, row = known_extractors()
    assert others[0].name in cnn.SHIPPED
    assert (row.name, row.title, row.found, row.at) == ("x", "FD (x)", False, None)
    assert row.advice.startswith("describe of extractor x (package other-extractors 0.3) failed: ")
    assert why in row.advice


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (failing, "ValueError: boom"),
        (lambda: None, "TypeError: .*takes 0 positional arguments but 3 were given"),
        (lambda *_: None, "its load returned NoneType for an Extractor"),
    ],
)
def test_a_packages_extractor_that_cannot_be_loaded_is_one_sentence(plugin, load, why):
    plugin(x=ExtractorSource("x", load, lambda _: None))
    with pytest.raises(
        UsageError, match=rf"^extractor x \(package other-extractors 0.3\) could not be loaded: {why}"
    ):
        get_extractor("x")


def test_a_packages_extractor_says_what_it_lacks_itself(plugin):
    def load(*_):
        raise DataMissing("put the weights there")

    plugin(x=ExtractorSource("x", load, lambda _: None))
    with pytest.raises(DataMissing, match="^put the weights there$"):
        get_extractor("x")


def test_a_packages_network_that_fails_names_its_package(plugin):
    def load(name, _weights, device):
        network = torch.nn.Linear(3, 1)
        return Extractor(name, network, weights_hash="none", preprocessing="x/1", device=device)

    plugin(x=ExtractorSource("x", load, lambda _: None))
    with pytest.raises(
        UsageError, match=r"^extractor x \(package other-extractors 0.3\) failed on uint8 images of"
    ):
        get_extractor("x")(noise(2))


@pytest.mark.parametrize(
    ("names", "dataset", "resize", "expected"),
    [
        (("inception",), "cifar10_lt", "own", ("inception",)),
        (("inception",), "cifar10_lt", "clean", ("inception_clean",)),
        (("inception_clean",), "cifar10_lt", "legacy", ("inception",)),
        (("inception", "inception_clean"), "cifar10_lt", "clean", ("inception_clean",)),
        (("auto",), "cifar10_lt", "clean", ("inception_clean",)),  # also where another stands in for it
        (("auto",), "digits_lt", "own", ("digits_cnn",)),
    ],
)
def test_a_resizing_by_name_is_the_extractor_that_has_it(names, dataset, resize, expected):
    assert resolve_extractors(names, dataset, resize) == expected


@pytest.mark.parametrize(
    "name", ["digits_cnn", "efficientnet_lite0", "torchscript:mine.pt", "inception_mixed_6"]
)
def test_a_resizing_of_a_network_with_one_way_is_refused(name):
    with pytest.raises(UsageError, match=f"{name} resizes images in one way"):
        resolve_extractors((name,), "digits_lt", "clean")
