"""Files of published weights: what holds something else runs nothing."""

import os
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from published_networks import SmallVGG

from ltbench.errors import DataCorrupt
from ltbench.extractors import weights
from ltbench.extractors.registry import get_extractor

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*vgg16")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.usefixtures("no_home")
def test_without_a_home_weights_are_looked_for_elsewhere(tmp_path, monkeypatch):
    assert weights.places() == (Path(tempfile.gettempdir()),)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert weights.places()[0] == tmp_path / "hub" / "checkpoints"


@pytest.mark.parametrize("name", ["inception", "inception_clean", "vgg16", "inception-v3-compat"])
def test_files_that_hold_something_else_are_told_and_run_nothing(name, tmp_path, monkeypatch):
    monkeypatch.setattr("torchvision.models.vgg16", SmallVGG)
    touched = tmp_path / "touched"
    with (tmp_path / "pickle").open("wb") as handle:
        pickle.dump({"fc.weight": Malicious(touched)}, handle, protocol=2)
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other")
    torch.save({"fc.weight": Malicious(touched)}, tmp_path / "malicious")
    torch.save([1], tmp_path / "list")
    (tmp_path / "empty").write_bytes(b"")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DataCorrupt, match="does not hold the network of") as raised:
            get_extractor(name, weights=path)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)
    assert not touched.exists()
