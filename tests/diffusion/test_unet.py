"""The denoiser against the papers' counts, diffusers' own forward pass and the released initialisation."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ltbench import rng
from ltbench.diffusion.precision import precision
from ltbench.diffusion.unet import (
    SIZES,
    Denoiser,
    UNetConfig,
    build_denoiser,
    count_parameters,
    flops,
    initialise,
)
from ltbench.errors import UsageError

TINY = replace(SIZES["tiny"], image_size=8, image_channels=1, num_classes=10, dropout=0.0)


def lively(config: UNetConfig = TINY) -> Denoiser:
    """A denoiser whose every weight matters (the released initialisation silences each branch)."""
    denoiser = Denoiser(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            spread = 0.3 if parameter.dim() == 1 else 1 / math.sqrt(parameter[0].numel())
            parameter.normal_(0, spread, generator=generator)
    return denoiser.eval()


def batch(config: UNetConfig = TINY, n: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(n, config.image_channels, config.image_size, config.image_size, generator=generator)
    t = torch.linspace(0, 999, n).long()
    label = torch.arange(n) % (config.num_classes + 1)
    label[-1] = config.num_classes
    return x, t, label


def on_meta(size: str, **changes: int) -> Denoiser:
    with torch.device("meta"):
        return Denoiser(replace(SIZES[size], **changes))


@pytest.mark.parametrize(("num_classes", "parameters"), [(10, 35_751_427), (100, 35_797_507)])
def test_papers_parameter_counts(num_classes: int, parameters: int) -> None:
    assert count_parameters(on_meta("ddpm32", num_classes=num_classes)) == parameters


@pytest.mark.parametrize(("size", "gigaflop"), [("ddpm32", 12.44), ("ddpm64", 53.8)])
def test_papers_cost(size: str, gigaflop: float) -> None:
    assert flops(on_meta(size)) / 1e9 == pytest.approx(gigaflop, rel=0.01)


def test_flops_of_one_convolution_by_hand() -> None:
    """A multiply-add is two operations; the flops of conv_in alone are 2 * 9 * C_in * C_out * H * W."""
    narrow, wide = (on_meta("tiny", image_channels=c, image_size=8) for c in (1, 3))
    width = SIZES["tiny"].channels[0]
    assert flops(wide) - flops(narrow) == 2 * (2 * 9 * width * 64 * 2)  # conv_in and conv_out


def test_forward_is_diffusers_own_with_a_zero_null_row() -> None:
    config = UNetConfig(
        (16, 32, 32), attention=(1,), res_blocks=2, norm_groups=8, image_size=16, num_classes=4
    )
    denoiser = lively(config)
    reference = replace(config, num_classes=5).unet().eval()
    state = copy.copy(denoiser.unet.state_dict())
    state["class_embedding.weight"] = torch.cat([state["class_embedding.weight"], torch.zeros(1, 64)])
    reference.load_state_dict(state)
    kept: list[Tensor] = []
    reference.mid_block.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    x, t, label = batch(config)
    with torch.no_grad():
        prediction = denoiser(x, t, label)
        expected = reference(x, t, label).sample
    assert expected.std() > 0.05
    torch.testing.assert_close(prediction.eps, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prediction.bottleneck, kept[0], atol=1e-5, rtol=1e-5)
    assert prediction.bottleneck.shape == (6, denoiser.bottleneck_channels, 4, 4)


def test_null_label_adds_nothing_and_trains_nothing() -> None:
    denoiser = lively()
    x, t, _ = batch()
    null = torch.full_like(t, denoiser.num_classes)
    before = denoiser(x, t, null).eps
    before.square().mean().backward()
    table = denoiser.unet.class_embedding.weight
    assert table.shape[0] == denoiser.num_classes
    assert table.grad is not None
    assert not table.grad.any()
    with torch.no_grad():
        table.add_(1.0)
    torch.testing.assert_close(denoiser(x, t, null).eps, before)
    assert not torch.allclose(denoiser(x, t, null - 1).eps, before, atol=1e-3)


def test_initialisation_is_the_released_one() -> None:
    denoiser = build_denoiser("small", 10, 3, 16, 0.1, seed=7)
    closing = 0
    for name, module in denoiser.unet.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            fan_out = module.weight.numel() // module.weight.shape[1]
            bound = math.sqrt(6 / (fan_in + fan_out))
            if any(part in name for part in ("conv2", "to_out", "conv_out")):
                closing += 1
                bound *= 1e-5
            assert 0.9 * bound < module.weight.abs().max() <= bound, name
            assert not module.bias.any(), name
        elif isinstance(module, nn.GroupNorm):
            assert (module.weight == 1).all(), name
            assert not module.bias.any(), name
    blocks = sum(type(module).__name__ in ("ResnetBlock2D", "Attention") for module in denoiser.modules())
    assert closing == blocks + 1
    table = denoiser.unet.class_embedding.weight.detach()
    assert table.std() == pytest.approx(1, abs=0.15)
    assert table.mean() == pytest.approx(0, abs=0.15)
    assert denoiser(*batch(denoiser.config)).eps.abs().max() < 1e-3


def test_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    first = build_denoiser("tiny", 10, 1, 8, 0.1, seed=0)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn, "building a denoiser drew from the global generator"
    again, other = (
        build_denoiser("tiny", 10, 1, 8, 0.0, seed=0),
        build_denoiser("tiny", 10, 1, 8, 0.1, seed=1),
    )
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(first.unet.conv_in.weight, other.unet.conv_in.weight)


@pytest.mark.parametrize(
    ("size", "image_size", "channels"), [("tiny", 8, 1), ("tiny", 28, 1), ("small", 16, 1), ("small", 28, 3)]
)
def test_shapes(size: str, image_size: int, channels: int) -> None:
    denoiser = build_denoiser(size, 5, channels, image_size)
    prediction = denoiser(*batch(denoiser.config))
    assert denoiser.shape == prediction.eps.shape[1:] == (channels, image_size, image_size)
    assert prediction.bottleneck.shape[:2] == (6, denoiser.bottleneck_channels)
    assert denoiser.unet.mid_block.attentions[0] is not None


@pytest.mark.parametrize(
    ("size", "image_size", "mends"),
    [
        ("ddpm32", 30, "multiple of 8"),
        ("small", 14, "multiple of 4"),
        ("ddmp32", 32, "did you mean 'ddpm32'"),
    ],
)
def test_unusable_size_says_how_to_mend_it(size: str, image_size: int, mends: str) -> None:
    with pytest.raises(UsageError, match=mends):
        build_denoiser(size, 10, 3, image_size)


def test_bf16_autocast_returns_float32_close_to_fp32() -> None:
    denoiser = lively()
    x, t, label = batch()
    with torch.no_grad():
        exact = denoiser(x, t, label)
        with precision("bf16", "cpu"):
            rounded = denoiser(x, t, label)
    assert rounded.eps.dtype == rounded.bottleneck.dtype == torch.float32
    assert not torch.equal(rounded.eps, exact.eps)
    assert (rounded.eps - exact.eps).norm() < 0.05 * exact.eps.norm()


def test_bf16_autocast_trains() -> None:
    denoiser = lively()
    with precision("bf16", "cpu"):
        denoiser(*batch()).eps.square().mean().backward()
    gradients = [parameter.grad for parameter in denoiser.parameters()]
    assert all(g is not None and g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


def test_channels_last_changes_nothing() -> None:
    denoiser = lively()
    x, t, label = batch()
    with torch.no_grad():
        plain = denoiser(x, t, label)
        other = denoiser.to(memory_format=torch.channels_last)(
            x.to(memory_format=torch.channels_last), t, label
        )
    torch.testing.assert_close(other.eps, plain.eps, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other.bottleneck, plain.bottleneck, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_whole_changes_nothing(backend: str) -> None:
    denoiser = lively()
    x, t, label = batch()
    compiled = torch.compile(denoiser, backend=backend, fullgraph=True)
    plain, other = denoiser(x, t, label), compiled(x, t, label)
    torch.testing.assert_close(other.eps, plain.eps, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other.bottleneck, plain.bottleneck, atol=1e-5, rtol=1e-5)


def test_wrapped_for_several_processes(tmp_path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        denoiser = lively()
        wrapped = nn.parallel.DistributedDataParallel(copy.deepcopy(denoiser))
        for model in (denoiser, wrapped):
            prediction = model(*batch())
            (prediction.eps.square().mean() + prediction.bottleneck.square().mean()).backward()
        for plain, other in zip(denoiser.parameters(), wrapped.parameters(), strict=True):
            torch.testing.assert_close(other.grad, plain.grad)
    finally:
        torch.distributed.destroy_process_group()


def test_initialise_resets_every_weight() -> None:
    denoiser = build_denoiser("tiny", 10, 1, 8, seed=0)
    fresh = copy.deepcopy(denoiser.state_dict())
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.fill_(math.nan)
    initialise(denoiser, rng.generator(0, "init"))
    for name, value in denoiser.state_dict().items():
        assert torch.equal(value, fresh[name]), name
