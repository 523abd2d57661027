"""`ltbench new method NAME`: a package with one method, its entry point and a test that passes, ready to be changed."""

from __future__ import annotations

import contextlib
import keyword
import re
from pathlib import Path

from ltbench.cli.complete import method_names
from ltbench.errors import StorageError, UsageError
from ltbench.files import write_text

_METHOD = '''"""{Name}: say here what it is, with the paper's equation in ASCII.

Paper: authors, title, venue.

    loss = mean( w(t) (eps_theta(x_t, t, y) - eps)^2 ),   w(t) = min(SNR(t), gamma) / SNR(t)

It is min-SNR weighting (Hang et al., ICCV 2023) until you change it. Other hooks: `target`, `regularizers`, `attach`.
"""

from dataclasses import dataclass, field

from torch import Tensor

from ltbench.method import Batch, Method


def weight(alpha_bar: Tensor, gamma: float) -> Tensor:
    """Return w(t) (B,) of the noise levels alpha_bar (B,)."""
    snr = alpha_bar / (1 - alpha_bar)
    return snr.clamp(max=gamma) / snr


@dataclass(frozen=True)
class Hyperparameters:
    """Its settings; each is `--set {name}.NAME=VALUE`."""

    gamma: float = field(default=5.0, metadata={{"help": "largest signal-to-noise ratio that counts"}})

    def __post_init__(self) -> None:
        if self.gamma <= 0:
            raise ValueError("gamma must be more than 0")


class {Name}(Method):
    """Weighs noise levels."""

    name = "{name}"
    paper = "authors, title, venue and year"
    Hyperparameters = Hyperparameters

    def weights(self, batch: Batch) -> Tensor:
        """Return one weight an image, (B,)."""
        return weight(batch.alpha_bar, self.hp.gamma)
'''
_TEST = '''"""What {name} must do: a value by hand, plain denoising where it should, no settings out of range."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
import {name}

from ltbench.method.registry import check_method


def test_a_weight_by_hand():
    # alpha_bar = .9: SNR = 9, above gamma = 5, so 5/9; alpha_bar = .5: SNR = 1, so 1
    assert torch.allclose({name}.weight(torch.tensor([0.9, 0.5]), 5.0), torch.tensor([5 / 9, 1.0]))


def test_a_gamma_that_nothing_reaches_is_plain_denoising():
    assert torch.equal({name}.weight(torch.tensor([0.9, 0.5, 0.1]), 1e9), torch.ones(3))


def test_a_gamma_out_of_range_is_refused():
    import pytest

    with pytest.raises(ValueError, match="more than 0"):
        {name}.Hyperparameters(gamma=0.0)


def test_it_is_what_the_registry_takes():
    check_method({name}.{Name})
'''
_PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{dashed}"
version = "0.1"
dependencies = ["ltbench"]

[project.entry-points."ltbench.methods"]
{name} = "{name}:{Name}"

[tool.setuptools]
py-modules = ["{name}"]
"""


def new_method(name: str, folder: Path | None) -> Path:
    """Write the package and return its folder.

    Raises
    ------
    UsageError
        A name that is no method's, is taken, or a folder that holds something.
    StorageError, DiskFull
        It cannot be written, and no part of it stays.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(
            f"a method's name is lower-case letters, digits and _, not {name!r}: as in my_method"
        )
    if name in method_names():
        raise UsageError(f"there is a method {name!r} already: choose another name")
    target = folder or Path(name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already: give another folder with --to")
    words = {
        "name": name,
        "Name": "".join(part.capitalize() for part in name.split("_")),
        "dashed": name.replace("_", "-"),
    }
    files = {f"{name}.py": _METHOD, f"test_{name}.py": _TEST, "pyproject.toml": _PROJECT}
    advice = "choose another folder with --to"
    try:
        for file, text in files.items():
            write_text(target / file, text.format(**words), advice=advice)
    except StorageError:
        with contextlib.suppress(OSError):  # a part would be "there already" when it is tried again
            for file in files:
                (target / file).unlink(missing_ok=True)
        raise
    except OSError as error:  # what special file systems answer, as /proc does
        raise StorageError(f"cannot write {target}: {error.strerror}") from error
    return target
