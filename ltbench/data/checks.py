"""What a source gave: from the sets of a stranger's package to sets that can be trained on, or one sentence."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from ltbench.data.images import ImageSet
from ltbench.data.source import Source, Splits
from ltbench.errors import DataCorrupt
from ltbench.plugins import Extension, in_one_sentence

_ROLES = ("pool", "reference", "heldout")


def load_checked(found: Extension[Source], *how: Any) -> Splits:
    """Return what ``load(*how)`` of a source gives, if it can be trained on and scored against.

    Parameters
    ----------
    found
        Where images come from, and the module or package whose mistake it is when something is wrong.
    how
        Data root, image size and content, as `Source.load` takes them.

    Raises
    ------
    DataCorrupt
        The sets do not fit each other or their class names, or a package's code raised; others as `Source.load`.
    """
    source, origin = found.value, found.origin
    module = type(source).__module__
    told = in_one_sentence(lambda: f"{source.name} cannot be loaded by {origin}", DataCorrupt, module=module)
    with told if found.foreign else contextlib.nullcontext():
        splits = source.load(*how)
    if wrong := _what_is_wrong(source, splits):
        raise DataCorrupt(f"{source.name} cannot be used: {wrong}; this is to be mended in {origin}")
    return splits


def _what_is_wrong(source: Source, splits: Any) -> str:
    """Say what of a source's sets cannot be used; blank where nothing is."""
    if not isinstance(splits, Splits):
        return f"its load returned a {type(splits).__name__}, and Splits are wanted"
    names = splits.class_names
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        return "its class names are not all text"
    if source.num_classes not in (0, len(names)):
        return f"it declares {source.num_classes} classes and has {len(names)} class names"
    for role in _ROLES:
        images = getattr(splits, role)
        if not isinstance(images, ImageSet):
            return f"its {role} is a {type(images).__name__}, and an ImageSet is wanted"
        if not len(images):
            if role == "pool" or not splits.unscorable:
                return f"its {role} has no images"
            continue
        if images.labels.min() < 0 or images.labels.max() >= len(names):
            found = f"{images.labels.min()}..{images.labels.max()}"
            return f"labels of its {role} are {found}, and {len(names)} class names want 0..{len(names) - 1}"
        shape, wanted = images.images.shape[1:], splits.pool.images.shape[1:]
        if shape != wanted or shape[1] != shape[2]:
            square = "square images are wanted" if shape == wanted else f"those of its pool {wanted}"
            return f"images of its {role} are {shape}, and {square}"
    try:
        json.dumps(splits.provenance)
    except (TypeError, ValueError) as error:
        return f"its provenance cannot be written as JSON ({error})"
    return ""
