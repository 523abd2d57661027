"""Extractors' forward pass on fake `cuda` images: no operation mixes devices, and the host waits for none."""

import pytest
import torch
from fake_gpu import Waits, fake_mode, on_fake_cuda
from published_networks import assert_close, images

from ltbench.extractors import inception
from ltbench.extractors.efficientnet import EfficientNetLite0
from ltbench.extractors.fidelity import ClipBicubic, Fidelity, Normalise
from ltbench.extractors.registry import get_extractor


def of_architecture(name):
    """Return an extractor's network with random weights, which no file has to be there for."""
    if name == "efficientnet_lite0":
        return EfficientNetLite0()
    if name.startswith("inception"):
        pytest.importorskip("cleanfid")
        state = inception.fid_inception().state_dict()
        kinds = {"inception": inception.InceptionPyTorch, "inception_mixed_6": inception.InceptionSpatial}
        return kinds[name](state)
    return get_extractor(name).network


def fake_forward(network, channels, side):
    mode = fake_mode()
    with mode:
        network = on_fake_cuda(network.eval(), mode)
        images = mode.from_tensor(torch.zeros(4, channels, side, side, dtype=torch.uint8)).to("cuda")
        with torch.no_grad(), Waits() as waits:
            features, logits = network(images)
    assert {x.device.type for x in (features, logits) if x is not None} == {"cuda"}
    assert features.shape[0] == 4
    assert features.ndim == 2
    return waits.found


@pytest.mark.parametrize(
    ("name", "channels", "side"),
    [
        ("digits_cnn", 1, 8),
        ("fashion_mnist_cnn", 1, 28),
        ("fashion_mnist_cnn", 1, 16),  # resized first
        ("pixels", 3, 16),
        ("efficientnet_lite0", 3, 32),
        ("inception", 3, 32),
        ("inception_mixed_6", 1, 32),
    ],
)
def test_a_forward_pass_mixes_no_devices_and_waits_for_none(name, channels, side):
    found = fake_forward(of_architecture(name), channels, side)
    # PIL's two resizing matrices are made on the host and copied.
    resizing = ["blocking copy {'cpu'} -> cuda:0"] * (2 if name == "efficientnet_lite0" else 0)
    assert found == resizing


def test_preprocessing_around_another_librarys_network_stays_on_the_device():
    """CLIP and torch-fidelity's networks are taken as they are; what is done to images before them is ours."""

    class Flat(torch.nn.Module):
        resolution = 8

        def __init__(self):
            super().__init__()
            self.model = torch.nn.Module()
            self.model.visual = torch.nn.Flatten()

        def forward(self, images):
            return (images.float().flatten(1),)

    for kind in (Fidelity, ClipBicubic):
        network = kind.__new__(kind)
        torch.nn.Module.__init__(network)
        network.inner, network.has_logits = Flat(), False
        network.normalise = Normalise([0.5] * 3, [0.2] * 3)
        assert fake_forward(network, 1, 32) == []


def test_the_stand_in_sees_a_pass_that_waits():
    class Careless(torch.nn.Module):
        def forward(self, images):
            scale = torch.ones(1).to(images.device)
            return images.float().flatten(1) * scale, None

    assert fake_forward(Careless(), 1, 8) == ["blocking copy {'cpu'} -> cuda:0"]


pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*vgg16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["digits_cnn", "inception"])
def test_cuda_gives_the_cpus_features(name, inception_file):
    batch = images(4, 8, 8, 1)
    weights = inception_file if name == "inception" else None
    cpu, cuda = (get_extractor(name, weights=weights, device=d)(batch) for d in ("cpu", "cuda"))
    assert_close(cuda.features, cpu.features, 1e-3)
