"""Networks of torch-fidelity and CMMD: VGG-16, CLIP, DINOv2, against their own code."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from published_networks import SmallVGG, assert_close, images, spread
from torch import nn
from torch_fidelity import feature_extractor_clip
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from ltbench.errors import DataCorrupt, DataMissing
from ltbench.extractors import fidelity
from ltbench.extractors.registry import get_extractor
from ltbench.extractors.weights import file_hash

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*vgg16")


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


def test_names_are_torch_fidelitys():
    assert set(fidelity.NAMES) - {fidelity.CMMD} == set(FEATURE_EXTRACTORS_REGISTRY)
    for name in fidelity.CLIP:
        file = fidelity.weights_file(name)
        assert file.url.endswith(file.names[1])
        assert file.sha256 in file.names[0]
        assert len(file.sha256) == 64


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


def test_a_file_whose_published_hash_is_not_known_is_named_by_its_own(tmp_path, monkeypatch, caplog):
    """Of DINOv2's largest network no hash is known: any file of its name is read, and told apart by what it is."""
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path))
    layer = nn.Sequential(nn.Conv2d(3, 6, 14, stride=56), nn.Flatten())
    code = tmp_path / fidelity.DINOV2_CODE
    code.mkdir()
    (code / "hubconf.py").write_text(
        "from torch import nn\n"
        "def dinov2_vitg14(pretrained):\n"
        "    return nn.Sequential(nn.Conv2d(3, 6, 14, stride=56), nn.Flatten())\n"
    )
    for size in ("g", "l"):
        torch.save(layer.state_dict(), tmp_path / f"dinov2_vit{size}14_pretrain.pth")
    path = tmp_path / "dinov2_vitg14_pretrain.pth"
    assert get_extractor("dinov2-vit-g-14").name == f"dinov2-vit-g-14@{file_hash(path)[:8]}"
    assert f"{path} is read unchecked" in caplog.text
    with pytest.raises(DataCorrupt, match="not the published file"):
        get_extractor("dinov2-vit-l-14")


@pytest.mark.parametrize(("name", "package"), [("vgg16", "torch_fidelity"), ("inception", "cleanfid")])
def test_absent_packages_are_told(name, package, inception_file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(DataMissing, match=r"install it with `pip install [a-z-]+`"):
        get_extractor(name, weights=inception_file)
