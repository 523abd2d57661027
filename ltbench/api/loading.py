"""Data sets and studies: from a name and settings to a `Dataset` or a `Study`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.api.arguments import a_name, a_path
from ltbench.errors import UsageError

if TYPE_CHECKING:
    from ltbench.data import Dataset
    from ltbench.study.file import Study

_PUBLISHED_RATIO = 0.01


def load_dataset(
    name: str,
    *,
    imbalance_ratio: float = _PUBLISHED_RATIO,
    class_order: str = "identity",
    split_seed: int = 0,
    image_size: int | None = None,
    data_root: str | Path | None = None,
) -> Dataset:
    """Return a long-tailed data set with the real images that scores compare with.

    Parameters
    ----------
    name
        A source of ``available("datasets")``.
    imbalance_ratio
        Images of the rarest class / of the most frequent one, in (0, 1]; a source with counts of its own
        (a folder, ImageNet-LT) keeps them at the default, and is cut at another.
    class_order
        Which class is the most frequent: ``identity`` (class 0), ``reversed`` or ``permuted:SEED``.
    split_seed
        Seed of the subset's selection; 0 is the published split.
    image_size
        Pixels a side; default: the source's own.
    data_root
        Where files lie and are downloaded to; default: ``$LTBENCH_DATA`` or ``./data``.

    Returns
    -------
    Dataset
        ``train``, ``reference`` and ``heldout`` (each with ``images`` uint8 (N,C,H,W) and ``labels`` (N,)),
        ``counts`` (K,), ``groups``, ``class_names`` and ``manifest_hash``.

    Raises
    ------
    UsageError
        An unknown source, a size it has not, a ratio that leaves a class empty.
    DataMissing, DataCorrupt
        Files are absent (the sentence says where to put them) or broken.

    Examples
    --------
    >>> import ltbench as lt
    >>> digits = lt.load_dataset("digits_lt", imbalance_ratio=0.1)
    >>> digits.counts.tolist()
    [120, 92, 71, 55, 43, 33, 25, 20, 15, 12]
    >>> digits.train.images.shape, digits.reference.images.dtype.name
    ((486, 1, 8, 8), 'uint8')
    """
    from ltbench.data import get_source
    from ltbench.data.dataset import cached_dataset
    from ltbench.study.resolve import resolve_cell

    a_name(name, "name")
    settings: dict[str, Any] = {
        "class_order": class_order,
        "split_seed": split_seed,
        "image_size": image_size,
        "imbalance_ratio": imbalance_ratio,
    }
    settings = {key: _plain(key, value) for key, value in settings.items()}
    if get_source(name).default_profile == "asis" and settings["imbalance_ratio"] == _PUBLISHED_RATIO:
        del settings["imbalance_ratio"]
    given = {f"data.{key}": value for key, value in settings.items() if value is not None}
    root = None if data_root is None else a_path(data_root, "data_root")
    return cached_dataset(resolve_cell(name, flags=given, data_root=root), root)


def load_study(preset_or_path: str | Path | None = None, **settings: Any) -> Study:
    """Return a study: a preset or a study file, with settings that replace its own.

    Parameters
    ----------
    preset_or_path
        A name of ``available("presets")``, the path of a TOML file, or None: the default preset of the data
        set among the settings, or the demo.
    settings
        The keys of ``--set``, a value or a list of them: ``**{"train.steps": 2000, "methods": ["ddpm", "coral"]}``.

    Returns
    -------
    Study
        ``runs`` (a `RunSpec` each), ``title``, ``description``, ``contrast`` and ``select``.

    Raises
    ------
    UsageError
        One sentence naming the file, the key and what is allowed, for the first thing wrong.

    Examples
    --------
    >>> import ltbench as lt
    >>> study = lt.load_study("demo", methods=["ddpm", "coral"], seeds="0..2", **{"train.steps": 100})
    >>> [(run.method.name, run.train_seed, run.train.steps) for run in study.runs][:2]
    [('ddpm', 0, 100), ('ddpm', 1, 100)]
    """
    from ltbench.study.resolve import resolve_study

    if preset_or_path is not None:
        a_path(preset_or_path, "preset_or_path")
    return resolve_study(preset_or_path, flags={key: _plain(key, value) for key, value in settings.items()})


def _plain(key: str, value: Any) -> Any:
    """Return a setting's value as Python's numbers, text or lists, which settings are written in."""
    if hasattr(value, "tolist"):  # NumPy's, torch's and pandas's
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        if not len(value):
            raise UsageError(f"{key} is an empty list: give at least one value, or leave it out")
        return [_plain(key, item) for item in value]
    if value is not None and not isinstance(value, str | bool | int | float | Path):
        raise UsageError(f"{key} must be text, a number or a list of them, not a {type(value).__name__}")
    return value
