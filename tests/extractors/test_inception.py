"""Inception networks and resizing, against clean-fid's and pytorch-fid's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cleanfid import inception_pytorch
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.resize import build_resizer
from published_networks import assert_close, images, spread
from torch import nn

from ltbench.extractors import inception
from ltbench.extractors.inception import resize_clean, resize_legacy
from ltbench.extractors.registry import get_extractor
from ltbench.extractors.weights import WeightsFile, file_hash

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*vgg16")


@pytest.mark.parametrize("size", [(32, 32), (8, 8), (64, 48), (340, 310)])
@pytest.mark.parametrize(
    ("mode", "resize"), [("legacy_pytorch", resize_legacy), ("clean", resize_clean)], ids=["legacy", "clean"]
)
def test_resizing_is_clean_fids(mode, resize, size):
    batch = images(2, *size)
    batch[0] = np.where(batch[0] > 127, 255, 0)  # black and white: bicubic overshoots and is clipped
    theirs = np.stack([build_resizer(mode)(image.transpose(1, 2, 0)).transpose(2, 0, 1) for image in batch])
    assert theirs.shape == (2, 3, 299, 299)
    assert theirs.max() == 255
    np.testing.assert_allclose(resize(torch.from_numpy(batch)).numpy(), theirs, rtol=0, atol=2e-3)


def clean_fid_features(path, resized, monkeypatch):
    """Run clean-fid's own legacy network on (N,3,S,S) float images in 0..255."""
    state = torch.load(path, weights_only=True)
    monkeypatch.setattr(inception_pytorch, "load_state_dict_from_url", lambda *_, **__: state)
    network = inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False).eval()
    with torch.no_grad():
        return network(resized / 255)[0].flatten(1).numpy(), state["fc.weight"].numpy()


def test_inception_is_clean_fids_network(inception_file, monkeypatch):
    """At 107 pixels, an eighth of the work; the resizing has its own test."""
    monkeypatch.setattr(inception, "SIDE", 107)
    batch = images(2, 107, 107)
    theirs, classifier = clean_fid_features(inception_file, torch.from_numpy(batch).float(), monkeypatch)
    ours = get_extractor("inception", weights=inception_file)(batch)
    assert ours.features.shape == (2, 2048)
    assert_close(ours.features, theirs)
    assert_close(ours.logits, theirs @ classifier.T, 1e-3)


@pytest.mark.slow
def test_inception_is_clean_fids_legacy_route(inception_file, monkeypatch):
    batch = images(2)
    resized = [build_resizer("legacy_pytorch")(x.transpose(1, 2, 0)).transpose(2, 0, 1) for x in batch]
    theirs, _ = clean_fid_features(inception_file, torch.tensor(np.stack(resized)), monkeypatch)
    assert_close(get_extractor("inception", weights=inception_file)(batch).features, theirs)


def test_only_the_published_weights_are_called_fid(inception_file, monkeypatch):
    digest = file_hash(inception_file)
    own = get_extractor("inception", weights=inception_file)
    assert own.name == f"inception@{digest[:8]}"
    assert own.title == f"FD ({own.name})"
    published = WeightsFile(inception.PYTORCH_WEIGHTS.names, "url", digest)
    monkeypatch.setitem(inception.WEIGHTS, "inception", published)
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(inception_file.parent))
    found = get_extractor("inception")
    assert (found.name, found.title, found.hash) == ("inception", "FID", own.hash)
    assert found.has_logits
    assert found.classifies is None


def test_sfids_features_are_seven_channels_of_an_inner_convolution(inception_file):
    """TensorFlow's mixed_6/conv is the first branch of torchvision's Mixed_6d, after its ReLU."""
    batch = images(2)
    network = inception.fid_inception().eval()
    network.load_state_dict(torch.load(inception_file, weights_only=True))
    x = 2 * (resize_legacy(torch.from_numpy(batch)) / 255) - 1
    with torch.no_grad():
        for name, layer in network.named_children():
            if name == "Mixed_6d":
                break
            x = layer(x)
        theirs = F.relu(layer.branch1x1.bn(layer.branch1x1.conv(x)))[:, :7].flatten(1).numpy()
    extractor = get_extractor("inception_mixed_6", weights=inception_file)
    ours = extractor(batch)
    assert ours.features.shape == (2, 2023)
    assert ours.logits is None
    assert not extractor.has_logits
    assert_close(ours.features, theirs)
    assert extractor.hash != get_extractor("inception", weights=inception_file).hash


class SmallInception(nn.Module):
    """The parts of NVIDIA's archive that are used, small: `layers` to 2048 features, `output`."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 7, stride=16), nn.ReLU(), nn.AdaptiveAvgPool2d(16))
        self.output = nn.Linear(2048, 1008)

    def forward(self, img: torch.Tensor, return_features: bool = False):
        features = self.layers((img - 128) / 128).flatten(1)
        return features if return_features else self.output(features).softmax(1)


def test_inception_clean_is_clean_fids_torchscript_route(tmp_path):
    network = spread(SmallInception())
    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(network).save(str(path))
    batch = images(5)
    resized = np.stack([build_resizer("clean")(x.transpose(1, 2, 0)).transpose(2, 0, 1) for x in batch])
    with torch.no_grad():
        theirs = InceptionV3W(str(tmp_path), download=False)(torch.tensor(resized.copy(order="C"))).numpy()
    extractor = get_extractor("inception_clean", weights=path)
    ours = extractor(batch)
    assert_close(ours.features, theirs)
    assert_close(ours.logits, theirs @ network.output.weight.detach().numpy().T, 1e-3)
    np.testing.assert_allclose(extractor(batch, 2).features, ours.features, rtol=0, atol=1e-5)
    grey = images(3, channels=1)
    np.testing.assert_array_equal(extractor(grey).features, extractor(grey.repeat(3, 1)).features)
