"""Feature extractors behind one interface.

extractor = get_extractor("digits_cnn")
features = extractor(images).features                            # uint8 (N,C,H,W) -> float32 (N,d)
features = cached_features(extractor, images, folder).features   # computed once for a sample set
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ltbench.errors import DataMissing, LtbenchError, UsageError, nearest
from ltbench.extractors import efficientnet, fidelity, inception, pixels, torchscript, trained
from ltbench.extractors.base import Extractor, ExtractorRow, ExtractorSource, Features, check_shape
from ltbench.extractors.cache import cached_features
from ltbench.extractors.cnn import SHIPPED, load_shipped, shipped_files
from ltbench.extractors.weights import how_to_get, look, places
from ltbench.plugins import ExtensionPoint, in_one_sentence
from ltbench.specs import DataSpec

__all__ = [
    "EXTRACTORS",
    "Extractor",
    "ExtractorRow",
    "ExtractorSource",
    "Features",
    "auto_extractors",
    "auto_note",
    "cached_features",
    "check_images",
    "classifies",
    "get_extractor",
    "known_extractors",
    "resolve_extractors",
]


def _describe_shipped(name: str) -> ExtractorRow:
    path = shipped_files(name)[0]
    advice = f"python -m ltbench.extractors.train {name}"
    return ExtractorRow(name, f"FD ({name})", path.is_file(), path, (path.parent,), advice)


def _describe_published(name: str) -> ExtractorRow:
    title = inception.TITLES.get(name, f"FD ({name})")
    try:
        file = inception.WEIGHTS.get(name) or fidelity.weights_file(name)
    except DataMissing as error:
        return ExtractorRow(name, title, False, None, places(), str(error))
    at = look(file)
    return ExtractorRow(name, title, at is not None, at, places(), how_to_get(file))


_OF_TREE = (
    *(ExtractorSource(name, load_shipped, _describe_shipped) for name in SHIPPED),
    *(
        ExtractorSource(
            name,
            inception.load_inception,
            _describe_published,
            inception.RESIZING.get(name, ""),
            "inception" if name in inception.RESIZING else "",
        )
        for name in inception.WEIGHTS
    ),
    ExtractorSource(efficientnet.NAME, efficientnet.load_efficientnet, efficientnet.describe),
    *(ExtractorSource(name, fidelity.load_fidelity, _describe_published) for name in fidelity.NAMES),
    ExtractorSource(pixels.NAME, pixels.load_pixels, pixels.describe),
)


def _of_this_user() -> list[ExtractorSource]:
    """Return the networks that `ltbench extractor train` wrote, as they are at the first question."""
    return [ExtractorSource(name, trained.load_trained, trained.describe) for name in trained.names()]


_AUTO = {"closed_form": (pixels.NAME,)}  # data for which no network is meant


def _check(source: Any) -> None:
    """Raise TypeError for what cannot be an extractor of the registry."""
    if not isinstance(source, ExtractorSource):
        raise TypeError(f"{source!r} is no ltbench.extractors.base.ExtractorSource")
    if not callable(source.load) or not callable(source.describe):
        raise TypeError(f"{source.name}: load and describe must be functions")


EXTRACTORS: ExtensionPoint[ExtractorSource] = ExtensionPoint(
    "extractor",
    group="ltbench.extractors",
    name_of=lambda source: source.name,
    check=_check,
    built_in=lambda: [
        *(("ltbench.extractors", source) for source in _OF_TREE),
        *(("ltbench extractor train", source) for source in _of_this_user()),
    ],
)


def get_extractor(name: str, *, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """Return the extractor called `name`.

    Parameters
    ----------
    name
        See `known_extractors`; ``torchscript:PATH`` is a network of the user's own.
    weights
        A weights file to use instead of the shipped or cached one.
    device
        Where it runs.

    Raises
    ------
    UsageError
        An unknown name, a user's file that is no TorchScript archive, or a package's extractor that fails.
    DataMissing, DataCorrupt
        Its weights are absent, or are not what they should be.
    """
    check_name(name)
    if name.startswith(torchscript.PREFIX):
        return torchscript.load_user(name, weights, device)
    source, called = EXTRACTORS[name], _called(name)
    if not called:
        extractor = source.load(name, weights, device)
        extractor.blamed = ""
        return extractor
    with in_one_sentence(lambda: f"{called} could not be loaded"):
        extractor = source.load(name, weights, device)
    if not isinstance(extractor, Extractor):
        returned = type(extractor).__name__
        raise UsageError(f"{called} could not be loaded: its load returned {returned} for an Extractor")
    extractor.blamed = called
    return extractor


def _called(name: str) -> str:
    """Return what a sentence about a package's mistake calls its extractor; empty for one of the tree or this user."""
    return f"extractor {name} ({EXTRACTORS.origin(name)})" if EXTRACTORS.foreign(name) else ""


def check_images(names: Sequence[str], shape: tuple[int, ...]) -> None:
    """Refuse extractors whose design is known without their weights and does not take images of a shape (C,H,W).

    Raises
    ------
    UsageError
        One sentence, before anything is trained that could not be scored.
    """
    for name in names:
        if name in SHIPPED or name in trained.names():
            design = SHIPPED[name] if name in SHIPPED else trained.read_record(name)[0]
            check_shape(name, (design.channels,), design.sizes, shape)


def classifies(extractor: Extractor, data: DataSpec) -> bool:
    """Tell whether an extractor's class scores are of a data set's classes, in label order."""
    return extractor.classifies in (data.dataset, f"{data.dataset}:{data.content}")


def check_name(name: str) -> None:
    """Raise `UsageError` unless `get_extractor` knows the name; loads nothing.

    Raises
    ------
    UsageError
        `get_extractor` has no extractor of that name, or it names a file that is not there.
    """
    if torchscript.is_user_network(name):
        torchscript.path_of(name)
        return
    if name in EXTRACTORS:
        return
    if name in EXTRACTORS.broken():
        EXTRACTORS[name]  # says why it could not be loaded
    known = [*EXTRACTORS.all(), torchscript.PREFIX + "PATH"]
    raise UsageError(f"unknown extractor {name!r}{nearest(name, known)}")


def resolve_extractors(names: Sequence[str], dataset: str, resize: str = "own") -> tuple[str, ...]:
    """Return the extractors that a request means for a data set, ``auto`` and the resizing resolved.

    Parameters
    ----------
    names
        As in a `ltbench.specs.ScoreSpec`.
    dataset
        Its name; ``auto`` depends on it.
    resize
        ``own``: each as it is called. ``legacy`` or ``clean``: the network of that name under this resizing.

    Raises
    ------
    UsageError
        A resizing of a network that has one way only.
    """
    found: dict[str, None] = {}
    for name in names:
        if name == "auto" and resize != "own" and auto_extractors(dataset) == (efficientnet.NAME,):
            found["inception"] = (
                None  # a resizing is asked of the papers' network, and not of what stands in for it
            )
        else:
            found |= dict.fromkeys(auto_extractors(dataset) if name == "auto" else (name,))
    if resize == "own":
        return tuple(found)
    return tuple(dict.fromkeys(_resized(name, resize) for name in found))


def _resized(name: str, resize: str) -> str:
    network = EXTRACTORS[name].network if name in EXTRACTORS else ""
    for source in EXTRACTORS.all().values():
        if network and source.network == network and source.resizing == resize:
            return source.name
    raise UsageError(
        f"{name} resizes images in one way, its own: leave --resize out, or choose --extractors inception, which has legacy "
        "(FID) and clean (FID (clean))"
    )


def auto_extractors(dataset: str) -> tuple[str, ...]:
    """Return the extractors meant by ``auto`` for a data set.

    Its pixels where those are Gaussian (closed_form); its shipped CNN; or else Inception, the papers';
    or, where Inception's file is not here and the package
    with `efficientnet_lite0` is installed, that one.
    """
    if dataset in _AUTO:
        return _AUTO[dataset]
    shipped = tuple(name for name, design in SHIPPED.items() if design.dataset == dataset)
    if shipped:
        return shipped
    fallback = not _describe_published("inception").found and efficientnet.describe().found
    return (efficientnet.NAME,) if fallback else ("inception",)


def auto_note(dataset: str) -> str:
    """Say where ``auto`` is not the papers' Inception for want of its file; empty where there is nothing to say."""
    if auto_extractors(dataset) != (efficientnet.NAME,):
        return ""
    return (
        f"{dataset} is scored on {efficientnet.NAME}, which is installed, as FD ({efficientnet.NAME}): for the papers' "
        f"FID get Inception's file with `{_describe_published('inception').advice}`"
    )


def known_extractors() -> list[ExtractorRow]:
    """List every extractor that has a name, with whether and where its weights lie; other packages' last."""
    in_tree = [source.name for source in _OF_TREE]
    names = [*in_tree, *(name for name in EXTRACTORS.all() if name not in in_tree)]
    return [_described(name) for name in names]


def _described(name: str) -> ExtractorRow:
    """Return an extractor's row; of a package's that cannot say it one that is not found and says why."""
    describe, called = EXTRACTORS[name].describe, _called(name)
    if not called:
        return describe(name)
    start = f"describe of {called} failed"
    try:
        with in_one_sentence(lambda: start):
            row = describe(name)
    except LtbenchError as error:
        why = str(error) if str(error).startswith(start) else f"{start}: {error}"
    else:
        if isinstance(row, ExtractorRow) and row.name == name:
            return row
        said = (
            f"it describes {row.name}"
            if isinstance(row, ExtractorRow)
            else f"it returned {type(row).__name__}"
        )
        why = f"{start}: {said} for its ExtractorRow"
    return ExtractorRow(name, f"FD ({name})", False, None, (), why)
