"""What every extractor does: batches, finite features, a hash of weights and preprocessing."""

import numpy as np
import pytest
import torch
from extractor_images import SIDES, Counting, counting, noise

from ltbench.errors import DataCorrupt, OutOfMemory, UsageError
from ltbench.extractors import cnn
from ltbench.extractors.registry import Extractor, get_extractor


@pytest.mark.parametrize("name", sorted(cnn.SHIPPED))
def test_features_do_not_depend_on_batches_order_or_container(name):
    extractor = get_extractor(name)
    images = noise(33, SIDES[name])
    whole = extractor(images)
    assert whole.features.dtype == np.float32
    assert whole.features.shape == (33, 64)
    assert whole.logits.dtype == np.float32
    assert whole.logits.shape == (33, 10)
    for batch_size in (1, 7):
        parts = extractor(images, batch_size)
        np.testing.assert_allclose(parts.features, whole.features, rtol=0, atol=1e-5)
        np.testing.assert_allclose(parts.logits, whole.logits, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(get_extractor(name)(torch.from_numpy(images)).features, whole.features)
    np.testing.assert_allclose(extractor(images[::-1]).features[::-1], whole.features, rtol=0, atol=1e-5)


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(UsageError, match="not finite"):
        counting(value=float("nan"))(noise())


def test_hash_names_weights_and_preprocessing():
    def digest(weights, preprocessing):
        return Extractor("x", Counting(), weights_hash=weights, preprocessing=preprocessing).hash

    assert len({digest(w, p) for w in ("0", "1") for p in ("a/1", "a/2")}) == 4
    assert digest("0", "a/1") == digest("0", "a/1")


class Network(torch.nn.Module):
    """A network that is one function of a batch."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images.float().flatten(1))


def made(function):
    return Extractor("x", Network(function), weights_hash="0", preprocessing="x/1")


def raising(error):
    def function(_):
        raise error

    return function


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.reshape(-1, 1, 8, 8), None),
        lambda x: (x[:1], None),
        lambda x: (x, x[:1]),
        lambda x: (x, x[:, 0]),
        lambda x: (x, x, x),
        lambda x: [x, None, x],
        lambda x: (x.numpy(), None),
        lambda x: (x.to(torch.complex64), None),
        lambda _: None,
        lambda _: (None, None),
    ],
)
def test_what_is_no_features_a_row_an_image_is_refused(function):
    wanted = (
        r"^extractor x must return features \(N,d\), or features and logits \(N,M\), for .* of shape 7x1x8x8$"
    )
    with pytest.raises(UsageError, match=wanted):
        made(function)(noise(7))


def test_features_alone_are_features_without_logits():
    images = noise(2)  # as many as a pair has
    out = made(lambda x: x)(images)
    np.testing.assert_array_equal(out.features, images.reshape(2, -1))
    assert out.logits is None


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x[:, : len(x)], None),
        lambda x: (x, x if len(x) == 4 else None),
        lambda x: (x, x[:, : len(x)]),
    ],
)
def test_batches_of_several_widths_are_refused(function):
    with pytest.raises(UsageError, match="extractor x returned another number of features or logits"):
        made(function)(noise(7), batch_size=4)


def test_what_a_network_raises_is_one_sentence():
    with pytest.raises(
        UsageError, match="^extractor x failed on uint8 images of shape 7x1x8x8: ValueError: boom$"
    ) as raised:
        made(raising(ValueError("boom")))(noise(7))
    assert isinstance(raised.value.__cause__, ValueError)
    with pytest.raises(DataCorrupt, match="as it is"):
        made(raising(DataCorrupt("as it is")))(noise(7))


def test_the_want_of_memory_is_told_as_that():
    with pytest.raises(OutOfMemory, match="x ran out of memory on cpu at 64 images a batch: use fewer"):
        made(raising(torch.cuda.OutOfMemoryError()))(noise(7))
    with pytest.raises(RuntimeError, match="^DefaultCPUAllocator"):  # the stage says what to lower
        made(raising(RuntimeError("DefaultCPUAllocator: can't allocate memory")))(noise(7))


def test_a_fault_of_the_trees_own_networks_stays_a_traceback():
    extractor = get_extractor("digits_cnn")
    extractor.network = Network(raising(ValueError("boom")))
    with pytest.raises(ValueError, match="^boom$"):
        extractor(noise(7))
