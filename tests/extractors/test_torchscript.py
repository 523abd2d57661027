"""A user's own TorchScript network."""

import numpy as np
import pytest
import torch
from extractor_images import noise
from torch import nn

from ltbench.errors import DataMissing, UsageError
from ltbench.extractors.registry import get_extractor
from ltbench.text import is_name


class Pixels(nn.Module):
    def forward(self, images: torch.Tensor):
        return images.float().flatten(1)


class PixelsAndLogits(nn.Module):
    def forward(self, images: torch.Tensor):
        x = images.float().flatten(1)
        return x, x[:, :3]


class NotFlat(nn.Module):
    def forward(self, images: torch.Tensor):
        return images.float()


class OnlyLarge(nn.Module):
    def forward(self, images: torch.Tensor):
        return images.float().flatten(1).reshape(-1, 999)


@pytest.fixture
def script(tmp_path):
    def save(module):
        path = tmp_path / f"{type(module).__name__}.pt"
        torch.jit.script(module).save(str(path))
        return path

    return save


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_users_networks(script):
    images = noise(5, 8, 3)
    plain = get_extractor(f"torchscript:{script(Pixels())}")
    assert (plain.name, plain.title) == ("torchscript:Pixels", "FD (torchscript:Pixels)")
    assert not plain.has_logits
    assert plain(images).logits is None
    np.testing.assert_array_equal(plain(images, 2).features, images.reshape(5, -1).astype(np.float32))
    both = get_extractor(f"torchscript:{script(PixelsAndLogits())}")
    assert both.has_logits
    assert both.classifies is None
    assert both.hash != plain.hash
    np.testing.assert_array_equal(both(images).logits, both(images).features[:, :3])


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("stem", "name"), [("net=64", "net-64"), ("Net[1]", "net-1"), ("_own", "_own"), ("#", "unnamed")]
)
def test_a_file_of_any_name_gives_a_name_that_tables_can_hold(script, stem, name):
    path = script(Pixels())
    extractor = get_extractor(f"torchscript:{path.rename(path.with_name(f'{stem}.pt'))}")
    assert extractor.name == f"torchscript:{name}"
    assert is_name(extractor.name)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_mistakes_in_users_networks_are_one_sentence(script, tmp_path):
    with pytest.raises(UsageError, match=r"must return features \(N,d\)"):
        get_extractor(f"torchscript:{script(NotFlat())}")(noise())
    with pytest.raises(UsageError, match=r"OnlyLarge\.pt failed on uint8 images of shape 7x1x8x8") as raised:
        get_extractor(f"torchscript:{script(OnlyLarge())}")(noise())
    assert "\n" not in str(raised.value)
    with pytest.raises(DataMissing, match="cannot read the weights"):
        get_extractor(f"torchscript:{tmp_path / 'absent.pt'}")
    text = tmp_path / "text.pt"
    text.write_text("no archive")
    with pytest.raises(UsageError, match="not a TorchScript archive"):
        get_extractor(f"torchscript:{text}")
    with pytest.raises(UsageError, match="holds its own weights"):
        get_extractor(f"torchscript:{text}", weights=text)
