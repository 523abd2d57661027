"""Inception, VGG16, CLIP and DINOv2: resizing, loading and outputs, on random weights in the real formats."""

import itertools
import math
import os
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cleanfid import inception_pytorch
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.resize import build_resizer
from torch import nn
from torch_fidelity import feature_extractor_clip
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from ltbench.errors import DataCorrupt, DataMissing
from ltbench.extractors import fidelity, inception
from ltbench.extractors.inception import resize_clean, resize_legacy
from ltbench.extractors.registry import get_extractor
from ltbench.extractors.weights import WeightsFile, file_hash

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*vgg16")


def images(count=2, height=32, width=32, channels=3, seed=0):
    shape = (count, channels, height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def spread(module):
    """Give random weights that keep activations of unit size through many layers."""
    generator = torch.Generator().manual_seed(0)
    for p in module.parameters():
        if p.ndim > 1:
            p.data.normal_(0, math.sqrt(2 / p[0].numel()), generator=generator)
    return module


def assert_close(ours, theirs, tolerance=1e-4):
    scale = np.abs(theirs).mean()
    assert scale > 1e-3
    assert theirs.std() > 0.01 * scale
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale)


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


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """The 2015-12-05 network's state dict, random."""
    state = inception.fid_inception().state_dict()
    generator = torch.Generator().manual_seed(0)
    for key, value in state.items():
        if value.ndim > 1:
            value.normal_(0, math.sqrt(2 / value[0].numel()), generator=generator)
        elif key.endswith("running_mean"):
            value.normal_(0, 0.1, generator=generator)
    path = tmp_path_factory.mktemp("weights") / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(state, path)
    return path


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


def test_inception_v3_compat_is_torch_fidelitys(inception_file, monkeypatch):
    name = "inception-v3-compat"
    batch = images(2)
    layers = ["2048", "logits_unbiased"]
    monkeypatch.setattr(FEATURE_EXTRACTORS_REGISTRY[name], "INPUT_IMAGE_SIZE", 107)
    network = FEATURE_EXTRACTORS_REGISTRY[name](name, layers, str(inception_file))
    features, logits = (part.numpy() for part in network(torch.from_numpy(batch)))
    ours = get_extractor(name, weights=inception_file)(batch)
    assert_close(ours.features, features)
    assert_close(ours.logits, logits)


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


def test_names_are_torch_fidelitys():
    assert set(fidelity.NAMES) - {fidelity.CMMD} == set(FEATURE_EXTRACTORS_REGISTRY)
    for name in fidelity.CLIP:
        file = fidelity.weights_file(name)
        assert file.url.endswith(file.names[1])
        assert file.sha256 in file.names[0]
        assert len(file.sha256) == 64


class SmallVGG(nn.Module):
    """torchvision's VGG16 with few channels: seven classifier layers, of which the first four are fc2."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 7, stride=32), nn.ReLU())
        sizes = (4 * 49, 32, 16, 10)
        fc = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        self.classifier = nn.Sequential(fc[0], nn.ReLU(), nn.Dropout(), fc[1], nn.ReLU(), nn.Dropout(), fc[2])

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def test_vgg16_is_fc2_after_its_relu(tmp_path, monkeypatch):
    monkeypatch.setattr("torchvision.models.vgg16", SmallVGG)
    vgg = spread(SmallVGG()).eval()
    path = tmp_path / "vgg16-397923af.pth"
    torch.save(vgg.state_dict(), path)
    batch = images(4)
    extractor = get_extractor("vgg16", weights=path)
    assert not extractor.has_logits
    assert extractor.name == f"vgg16@{file_hash(path)[:8]}"
    x = interpolate_bilinear_2d_like_tensorflow1x(
        torch.from_numpy(batch).float(), size=(224, 224), align_corners=False
    )
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        theirs = F.relu(vgg.classifier[:4](vgg.features((x / 255 - mean) / std).flatten(1))).numpy()
    out = extractor(batch)
    assert out.logits is None
    assert out.features.shape == (4, 16)
    assert_close(out.features, theirs)


@pytest.mark.slow
def test_vgg16_full_size(tmp_path):
    import torchvision

    path = tmp_path / "vgg16.pth"
    torch.save(torchvision.models.vgg16().state_dict(), path)
    assert get_extractor("vgg16", weights=path)(images()).features.shape == (2, 4096)


class SmallCLIP(nn.Module):
    """OpenAI's archive as far as torch-fidelity reads it: the image tower and the text projection."""

    def __init__(self):
        super().__init__()
        self.visual = feature_extractor_clip.VisionTransformer(32, 16, 64, 2, 1, 24)
        self.text_projection = nn.Parameter(torch.zeros(8, 24))

    def forward(self, x):
        return self.visual(x)


def test_clip_is_torch_fidelitys(tmp_path):
    path = tmp_path / "clip.pt"
    torch.jit.trace(SmallCLIP().eval(), torch.zeros(1, 3, 32, 32)).save(str(path))
    batch = images(4)
    network = FEATURE_EXTRACTORS_REGISTRY["clip-vit-b-32"]("clip-vit-b-32", ["clip"], str(path))
    with torch.no_grad():
        theirs = network(torch.from_numpy(batch))[0].numpy()
    assert_close(get_extractor("clip-vit-b-32", weights=path)(batch).features, theirs)


def test_cmmds_clip_resizes_bicubically_without_a_crop(tmp_path):
    path, clip = tmp_path / "clip.pt", SmallCLIP().eval()
    torch.jit.trace(clip, torch.zeros(1, 3, 32, 32)).save(str(path))
    batch = images(4, 20, 50)
    x = F.interpolate(torch.from_numpy(batch).float() / 255, (32, 32), mode="bicubic")
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    with torch.no_grad():
        theirs = clip.visual((x - mean) / std).numpy()
    ours = get_extractor("clip_l14_336", weights=path)
    # torch-fidelity's reader rounds weights to half precision
    np.testing.assert_allclose(ours(batch).features, theirs, atol=3e-3)
    assert ours.hash != get_extractor("clip-vit-l-14-336px", weights=path).hash
    assert fidelity.weights_file("clip_l14_336") == fidelity.weights_file("clip-vit-l-14-336px")


def test_dinov2_is_built_from_the_users_copy_of_its_code(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    layer = nn.Sequential(nn.Conv2d(3, 6, 14, stride=56), nn.Flatten())
    path = tmp_path / "own.pth"
    torch.save(layer.state_dict(), path)
    with pytest.raises(DataMissing, match="needs DINOv2's code: get it with `git clone"):
        get_extractor("dinov2-vit-s-14", weights=path)
    code = tmp_path / fidelity.DINOV2_CODE
    code.mkdir()
    (code / "hubconf.py").write_text(
        "from torch import nn\n"
        "def dinov2_vits14(pretrained):\n"
        "    assert not pretrained\n"
        "    return nn.Sequential(nn.Conv2d(3, 6, 14, stride=56), nn.Flatten())\n"
    )
    batch = images(3)
    x = interpolate_bilinear_2d_like_tensorflow1x(
        torch.from_numpy(batch).float(), size=(224, 224), align_corners=False
    )
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        theirs = layer((x / 255 - mean) / std).numpy()
    assert_close(get_extractor("dinov2-vit-s-14", weights=path)(batch).features, theirs)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


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


@pytest.mark.parametrize(("name", "package"), [("vgg16", "torch_fidelity"), ("inception", "cleanfid")])
def test_absent_packages_are_told(name, package, inception_file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(DataMissing, match=r"install it with `pip install [a-z-]+`"):
        get_extractor(name, weights=inception_file)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["digits_cnn", "inception"])
def test_cuda_gives_the_cpus_features(name, inception_file):
    batch = images(4, 8, 8, 1)
    weights = inception_file if name == "inception" else None
    cpu, cuda = (get_extractor(name, weights=weights, device=d)(batch) for d in ("cpu", "cuda"))
    assert_close(cuda.features, cpu.features, 1e-3)
