"""The denoiser: the papers' U-Net (diffusers' `UNet2DModel`) with class labels and its bottleneck exposed.

Ho et al. (NeurIPS 2020) as re-implemented by pytorch-ddpm, which DDPM, CBDM, T2H and CORAL all build
on: residual blocks with GroupNorm and SiLU, single-head self-attention at one level and in the
middle, the class embedding added to the time embedding. The null label adds nothing: the class table
has K rows and a dropped label is masked, so no method trains a null token.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from ltbench import rng
from ltbench.errors import UsageError, nearest
from ltbench.method import Prediction, Switch


@dataclass(frozen=True)
class UNetConfig:
    """An architecture.

    Attributes
    ----------
    channels
        Width of each level, finest first; each further level halves the resolution.
    attention
        Levels (indices into `channels`) with self-attention; the middle always has it.
    res_blocks
        Residual blocks a level on the way down; one more on the way up.
    norm_groups
        Groups of every GroupNorm; divides every width.
    image_size, image_channels, num_classes
        Of the data; K classes, and K itself is the null label.
    dropout
        Inside the residual blocks.
    """

    channels: tuple[int, ...]
    attention: tuple[int, ...]
    res_blocks: int
    norm_groups: int
    image_size: int = 32
    image_channels: int = 3
    num_classes: int = 10
    dropout: float = 0.1

    def __post_init__(self) -> None:
        factor = 2 ** (len(self.channels) - 1)
        if self.image_size < factor or self.image_size % factor:
            raise UsageError(
                f"image size {self.image_size} cannot be halved {len(self.channels) - 1} times, as this "
                f"U-Net does: choose a multiple of {factor}"
            )
        if any(width % self.norm_groups for width in self.channels):
            raise UsageError(f"every one of model.widths must be a multiple of {self.norm_groups}")

    def unet(self) -> Any:
        """Return diffusers' model of this architecture, in diffusers' own initialisation."""
        attends = [level in self.attention for level in range(len(self.channels))]
        return UNet2DModel(
            sample_size=self.image_size,
            in_channels=self.image_channels,
            out_channels=self.image_channels,
            block_out_channels=self.channels,
            layers_per_block=self.res_blocks,
            down_block_types=tuple("AttnDownBlock2D" if attn else "DownBlock2D" for attn in attends),
            up_block_types=tuple("AttnUpBlock2D" if attn else "UpBlock2D" for attn in reversed(attends)),
            norm_num_groups=self.norm_groups,
            attention_head_dim=None,  # one head
            flip_sin_to_cos=False,  # sines first
            freq_shift=0,
            num_class_embeds=self.num_classes,
            dropout=self.dropout,
        )


_PAPER = UNetConfig(channels=(128, 256, 256, 256), attention=(1,), res_blocks=2, norm_groups=32)

SIZES: dict[str, UNetConfig] = {
    "tiny": UNetConfig(channels=(16, 32), attention=(), res_blocks=1, norm_groups=8),
    "small": UNetConfig(channels=(16, 32, 32), attention=(), res_blocks=1, norm_groups=8),
    # The papers run one network at every resolution, so attention stays at level 1: 16x16 for 32 px
    # images (12.44 GFLOP forward), 32x32 for 64 px (53.8 GFLOP).
    "ddpm32": _PAPER,
    "ddpm64": replace(_PAPER, image_size=64),
}
"""The named sizes (`ltbench.specs.ModelSpec.size`); image size, channels and classes come from the data."""


class Denoiser(nn.Module):
    """eps_theta(x_t, t, y) and the middle block's output.

    Attributes
    ----------
    unet
        Diffusers' `UNet2DModel`; every parameter lives in it.
    config
        The architecture.
    num_classes
        K; label K is the null label.
    shape
        (C, H, W) of an image.
    bottleneck_channels, bottleneck_shape
        Cb and (Cb, h, w) of the middle block's output.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = config.unet()
        self.num_classes = config.num_classes
        self.shape = (config.image_channels, config.image_size, config.image_size)
        self.bottleneck_channels = config.channels[-1]
        side = config.image_size >> (len(config.channels) - 1)
        self.bottleneck_shape = (self.bottleneck_channels, side, side)

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor) -> Prediction:
        """Predict the noise in `x_t`.

        Parameters
        ----------
        x_t
            (B, C, H, W) float, noisy images.
        t
            (B,) int64, time steps in 0..T-1.
        label
            (B,) int64, classes 0..K-1, or K for none.

        Returns
        -------
        Prediction
            Noise (B, C, H, W) and bottleneck (B, Cb, h, w), in the dtype of `x_t` also under autocast.
        """
        unet: Any = self.unet
        known = (label < self.num_classes).unsqueeze(1)
        embedding = unet.time_embedding(unet.time_proj(t).to(x_t.dtype))
        embedding = embedding + known * unet.class_embedding(label.clamp(max=self.num_classes - 1))

        h = unet.conv_in(x_t)
        skips = [h]
        for down in unet.down_blocks:
            h, outputs = down(h, embedding)
            skips.extend(outputs)
        h = bottleneck = unet.mid_block(h, embedding)
        for up in unet.up_blocks:
            n = len(up.resnets)
            h = up(h, tuple(skips[-n:]), embedding)
            del skips[-n:]
        eps = unet.conv_out(unet.conv_act(unet.conv_norm_out(h)))
        return Prediction(eps.to(x_t.dtype), bottleneck.to(x_t.dtype))

    def recompute_activations(self) -> None:
        """Keep only each block's input in a training step and compute the rest again for the backward pass.

        Same numbers, less memory, about a third more time. Dropout is drawn again as it was, and every `Switch`
        stands again as it stood in the forward pass.
        """
        gates = {
            id(v): v for module in self.modules() for v in vars(module).values() if isinstance(v, Switch)
        }
        switches = list(gates.values())

        def remembered(block: nn.Module, *inputs: Any) -> Any:
            if not switches or torch.compiler.is_compiling():  # a traced graph holds their positions
                return checkpoint(block, *inputs, use_reentrant=False)
            positions = [switch.on for switch in switches]

            @contextlib.contextmanager
            def as_it_was() -> Iterator[None]:
                with contextlib.ExitStack() as stack:
                    for switch, on in zip(switches, positions, strict=True):
                        stack.enter_context(switch.set_to(on))
                    yield

            return checkpoint(
                block,
                *inputs,
                use_reentrant=False,
                context_fn=lambda: (contextlib.nullcontext(), as_it_was()),
            )

        unet: Any = self.unet
        for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
            block.gradient_checkpointing, block._gradient_checkpointing_func = True, remembered


def build_denoiser(
    size: str,
    num_classes: int,
    channels: int,
    image_size: int,
    dropout: float = 0.1,
    seed: int = 0,
    architecture: Mapping[str, Any] = MappingProxyType({}),
) -> Denoiser:
    """Return a freshly initialised denoiser on the CPU.

    Parameters
    ----------
    size
        A name in `SIZES`.
    num_classes
        K.
    channels, image_size
        Of the images, C and H = W.
    dropout
        In the residual blocks.
    seed
        Weights come from the stream (seed, ``init``) alone, so all methods start from the same ones.
    architecture
        Fields of `UNetConfig` that replace the named size's (`ltbench.specs.ModelSpec.overrides`).

    Raises
    ------
    UsageError
        For an unknown size, or an image size that cannot be halved as often as the U-Net needs.
    """
    if size not in SIZES:
        raise UsageError(f"unknown model size {size!r}{nearest(size, SIZES)}")
    config = replace(
        SIZES[size],
        **architecture,
        image_size=image_size,
        image_channels=channels,
        num_classes=num_classes,
        dropout=dropout,
    )
    with torch.device("meta"):  # draws nothing from the global generator
        denoiser = Denoiser(config)
    denoiser.to_empty(device="cpu")
    initialise(denoiser, rng.generator(seed, "init"))
    return denoiser


@torch.no_grad()
def initialise(denoiser: Denoiser, generator: torch.Generator) -> None:
    """Set all weights as the released code does.

    Xavier uniform with zero bias, gain 1e-5 on every convolution that closes a residual branch (the
    second of a residual block, an attention's projection) and on the last one of the net, so that each
    branch starts as the identity; GroupNorm 1 and 0; class embedding N(0, 1).
    """
    for name, module in denoiser.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            closing = name.endswith(("conv2", "to_out.0", "conv_out"))
            nn.init.xavier_uniform_(module.weight, gain=1e-5 if closing else 1.0, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.GroupNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, generator=generator)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def flops(denoiser: Denoiser) -> int:
    """Return the floating-point operations (a multiply-add is two) of one image's forward pass.

    Counts convolutions and matrix products by shape alone, on the meta device: nothing is computed.
    """
    model = copy.deepcopy(denoiser).to("meta").eval()
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, *denoiser.shape), torch.empty(1), torch.zeros(1, dtype=torch.long))
    return int(counter.get_total_flops())
