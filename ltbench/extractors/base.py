"""What an extractor is: uint8 images in, float32 features (and logits, where it has a classifier) out."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ltbench.errors import OutOfMemory, UsageError
from ltbench.plugins import in_one_sentence


@dataclass(frozen=True)
class Features:
    """What an extractor says of N images.

    Attributes
    ----------
    features
        (N,d) float32.
    logits
        (N,M) float32 class scores before the softmax, or None where the network has no classifier.
    """

    features: np.ndarray
    logits: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class ExtractorRow:
    """Whether an extractor can be used here; one line of `ltbench doctor`.

    Attributes
    ----------
    name, title
        As in `Extractor`.
    found
        Whether its weights are there (they are read and checked only when it is used).
    at
        The file, or None.
    looked
        Every folder looked in.
    advice
        How to get the weights.
    """

    name: str
    title: str
    found: bool
    at: Path | None
    looked: tuple[Path, ...]
    advice: str


class Extractor:
    """A frozen network with its preprocessing.

    Parameters
    ----------
    name
        What a user types and what stands beside each number.
    network
        Takes a uint8 batch (B,C,H,W) on its own device, preprocessing included; returns the
        features (B,d) and the logits (B,M) or None; or the features alone.
    weights_hash
        sha256 of the weights file.
    preprocessing
        Names the preprocessing and its version; changing what it computes changes this.
    title
        What a Frechet distance on these features may be called; default ``FD (name)``.
    classifies
        The data set whose K labels the logits are, in label order, or None.
    has_logits
        Whether the network has a classifier.
    channels
        Numbers of channels it takes.
    sizes
        (smallest, largest) side of the square images it takes, or None for any image.
    batch_size
        Images a forward pass unless the caller says otherwise.
    device
        Where the network runs.

    Attributes
    ----------
    hash
        16 hex digits of sha256 over weights and preprocessing; equal hashes mean equal features.
    blamed
        What a sentence about its network's mistakes names, such as the package that it is of; empty for the tree's
        own, whose faults stay what they are.
    """

    def __init__(  # noqa: PLR0913 -- what an extractor states of itself, given by name
        self,
        name: str,
        network: nn.Module,
        *,
        weights_hash: str,
        preprocessing: str,
        title: str | None = None,
        classifies: str | None = None,
        has_logits: bool = False,
        channels: tuple[int, ...] = (1, 3),
        sizes: tuple[int, int] | None = None,
        batch_size: int = 64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.name = name
        self.title = title or f"FD ({name})"
        self.weights_hash = weights_hash
        self.hash = hashlib.sha256(f"{weights_hash}/{preprocessing}".encode()).hexdigest()[:16]
        self.classifies = classifies
        self.has_logits = has_logits
        self.channels = channels
        self.sizes = sizes
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.blamed = f"extractor {name}"
        self.network = network.eval().requires_grad_(False).to(self.device)

    def __repr__(self) -> str:
        return f"Extractor({self.name!r}, hash={self.hash!r}, device={str(self.device)!r})"

    def __call__(self, images: np.ndarray | Tensor, batch_size: int | None = None) -> Features:
        """Return the features of images (N,C,H,W), uint8.

        The result does not depend on `batch_size` beyond float32 rounding: the network is in evaluation
        mode and TF32 is off whatever the training allowed.

        Raises
        ------
        UsageError
            Images of a shape this extractor does not take, features that are not finite, or a network that fails or
            returns anything but a row an image.
        OutOfMemory
            A batch does not fit the device.
        """
        self.check(images)
        size = batch_size or self.batch_size
        features: list[Tensor] = []
        logits: list[Tensor] = []
        try:
            with torch.inference_mode(), _full_float32():
                for start in range(0, len(images), size):
                    batch = images[start : start + size]
                    if isinstance(batch, np.ndarray):
                        batch = torch.from_numpy(batch.copy())  # may be a read-only memory map
                    feature, logit = self._forward(batch.to(self.device))
                    features.append(feature.float().cpu())
                    if logit is not None:
                        logits.append(logit.float().cpu())
        except torch.cuda.OutOfMemoryError as error:
            raise OutOfMemory(
                f"{self.name} ran out of memory on {self.device} at {size} images a batch: use fewer"
            ) from error
        widths = {part.shape[1] for part in features}, {part.shape[1] for part in logits}
        if max(map(len, widths)) > 1 or len(logits) not in (0, len(features)):
            raise UsageError(
                f"{self.blamed or self.name} returned another number of features or logits for another batch: "
                "they must not depend on which images are in one"
            )
        out = Features(torch.cat(features).numpy(), torch.cat(logits).numpy() if logits else None)
        if not np.isfinite(out.features).all():
            raise UsageError(
                f"{self.name} returned features that are not finite: its weights file is broken, "
                "get it again or choose another extractor"
            )
        return out

    def _forward(self, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the network's features (B,d) and logits (B,M) or None of a batch on its device."""
        of = f"uint8 images of shape {'x'.join(map(str, batch.shape))}"
        guard = in_one_sentence(lambda: f"{self.blamed} failed on {of}")
        with guard if self.blamed else contextlib.nullcontext():
            out = self.network(batch)
        feature, *more = out if isinstance(out, tuple | list) and out else (out,)
        logit = more[0] if more else None
        given = [feature] if logit is None else [feature, logit]
        if len(more) > 1 or not all(_is_rows(part, len(batch)) for part in given):
            raise UsageError(
                f"{self.blamed or self.name} must return features (N,d), or features and logits (N,M), for {of}"
            )
        return feature, logit

    def check(self, images: np.ndarray | Tensor) -> None:
        """Raise `UsageError` for images this extractor does not take."""
        if images.ndim != 4 or images.dtype not in (torch.uint8, np.uint8):
            shape = "x".join(map(str, images.shape))
            raise UsageError(f"extractors take uint8 images (N,C,H,W), not {images.dtype} of shape {shape}")
        count, channels, height, width = images.shape
        if not count:
            raise UsageError(f"{self.name} got no images: a class or sample set is empty")
        check_shape(self.name, self.channels, self.sizes, (channels, height, width))


def _is_rows(part: object, count: int) -> bool:
    """Tell whether a network's output is a real matrix with a row an image."""
    return isinstance(part, Tensor) and part.ndim == 2 and len(part) == count and not part.is_complex()


def check_shape(
    name: str, channels: tuple[int, ...], sizes: tuple[int, int] | None, shape: tuple[int, ...]
) -> None:
    """Raise `UsageError` for images of a shape (C,H,W) that an extractor with these channels and sizes does not take."""
    count, height, width = shape
    square = sizes is None or (height == width and sizes[0] <= height <= sizes[1])
    if count not in channels or not square:
        side = ""
        if sizes is not None:
            low, high = sizes
            side = f"{low}x{low} " if low == high else f"square {low}..{high} pixel "
        raise UsageError(
            f"{name} takes {side}images of {' or '.join(map(str, channels))} channel(s), "
            f"not {height}x{width} of {count}: choose another extractor"
        )


@contextlib.contextmanager
def _full_float32() -> Iterator[None]:
    """Turn TF32 off: it changes Inception features in the third digit."""
    matmul = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)


@dataclass(frozen=True)
class ExtractorSource:
    """An extractor by name, before its weights are read: what a package registers.

    Attributes
    ----------
    name
        What a user types: lower-case letters, digits, and any of ``_ + . -``.
    load
        (name, weights file or None for the usual one, device) -> the `Extractor`; raises `DataMissing`
        with what to get and where to put it.
    describe
        Name -> whether and where its weights lie; reads nothing large.
    resizing
        How it resizes images, where one network is offered with several ways: ``legacy``, ``clean``.
    network
        What the extractors of one network have in common, where there are several.
    """

    name: str
    load: Callable[[str, Path | None, torch.device | str], Extractor]
    describe: Callable[[str], ExtractorRow]
    resizing: str = ""
    network: str = ""
