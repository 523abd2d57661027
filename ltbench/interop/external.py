"""Sample sets made elsewhere: from samples and what their maker says of them to a folder that reports show."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.data import Dataset
from ltbench.data.images import ImageSet
from ltbench.errors import UsageError
from ltbench.interop.samples import ExternalSamples
from ltbench.runs.layout import training_folder
from ltbench.runs.provenance import write_provenance
from ltbench.runs.samples import write_samples
from ltbench.runs.spec_files import open_external
from ltbench.specs import one_zero
from ltbench.temporary import remove_abandoned
from ltbench.text import LONGEST_NAME, checked_name, is_name, slug

_LARGEST = 2**53  # the whole numbers up to it are floats too, as a column of scores.csv with a blank is read


def default_name(path: Path) -> str:
    """Return a file's name as a method's: what cannot stand in a folder's name becomes ``_``."""
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "_", path.stem).strip("_")
    return name.lstrip("_.+-")[:LONGEST_NAME] or "samples"


@dataclass(frozen=True)
class ExternalClaims:
    """What its maker says of a sample set; a blank is shown as one.

    Attributes
    ----------
    name
        The method's name in tables.
    variant, sampler
        In the maker's words, as names: letters, digits and a few marks.
    step, nfe, guidance
        Training step, network evaluations an image, guidance scale.
    train_seed, sample_seed
        Tell the sets of several trainings and samplings apart.
    """

    name: str
    variant: str = ""
    step: int | None = None
    sampler: str = ""
    nfe: int | None = None
    guidance: float | None = None
    train_seed: int = 0
    sample_seed: int = 0

    def __post_init__(self) -> None:
        if not is_name(self.name) or not all(letter.isalnum() or letter in "-_.+" for letter in self.name):
            raise UsageError(
                f"--name {self.name!r} must be letters, digits and - _ . + , begun by a letter or digit: it names a "
                "folder, and the method in tables"
            )
        for name in ("variant", "sampler"):
            if words := getattr(self, name):
                checked_name(
                    words, name, f"--{name}", UsageError, "begin with a letter or digit, and write : for ="
                )
        for name in ("step", "nfe", "guidance", "train_seed", "sample_seed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be 0 or more")
            if isinstance(value, int) and value > _LARGEST:
                raise UsageError(
                    f"--{name.replace('_', '-')} {value}: must be at most {_LARGEST}, for tables round larger numbers"
                )

        object.__setattr__(self, "guidance", one_zero(self.guidance))

    def columns(self, key: str) -> dict[str, Any]:
        """Return the columns of ``scores.csv`` that say where a number comes from."""
        blank = {"variant": "", "sampler": "", "step": "", "nfe": "", "guidance": ""}
        stated = {name: value for name, value in vars(self).items() if name != "name" and value is not None}
        return {
            "method": self.name,
            **blank,
            **stated,
            "origin": "external",
            "train_key": key,
            "sample_key": key,
        }


def write_sample_set(
    samples: ExternalSamples, dataset: Dataset, claims: ExternalClaims, source: Path, out: Path
) -> Path:
    """Keep external samples below `out` in the layout of a run; return the sample set's folder.

    The folder is named by a hash of images, labels, data cell and claims: the same set lands in the same
    place.
    """
    identity = {
        "images": ImageSet(samples.images, samples.labels).score_sha256,
        "data": dataset.spec.model_dump(mode="json"),
        "claims": vars(claims),
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    plain = claims.name if claims.name.isascii() else slug(claims.name)  # the folder must travel in a bundle
    name = f"{dataset.spec.dataset}-r{dataset.spec.imbalance_ratio:g}-{plain}-external-{key[:8]}"
    folder = open_external(out / name, key, dataset.spec, claims.columns(key))
    for place in (folder, training_folder(folder)):
        remove_abandoned(place)
    write_provenance(
        folder, {"stages": [], "source": str(source.resolve()), "recognised": samples.recognised}
    )
    write_samples(folder, samples.images, samples.labels)
    return folder
