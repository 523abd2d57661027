"""A network of the user's own: ``torchscript:PATH``.

The archive's ``forward`` takes a uint8 batch (B,C,H,W) in 0..255 and does its own resizing and
normalisation; it returns the features (B,d), or the features and class scores (B,M) as a tuple.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from ltbench.errors import UsageError
from ltbench.extractors.base import Extractor
from ltbench.extractors.weights import file_hash, load_torchscript

PREFIX = "torchscript:"


class UserNetwork(nn.Module):
    """A TorchScript module whose mistakes are told in one sentence."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.inner = load_torchscript(path)
        returned = next(self.inner.graph.outputs()).type()
        self.has_logits = returned.kind() == "TupleType"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features (B,d) and logits (B,M) or None."""
        shape = "x".join(map(str, images.shape))
        try:
            out = self.inner(images)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # whatever the user's code raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise UsageError(f"{self.path} failed on uint8 images of shape {shape}: {reason}") from error
        parts = out if isinstance(out, tuple) else (out,)
        valid = all(
            isinstance(part, Tensor) and part.ndim == 2 and len(part) == len(images) for part in parts
        )
        if not valid or len(parts) not in (1, 2):
            raise UsageError(
                f"{self.path} must return features (N,d), or features and logits (N,M), "
                f"for uint8 images of shape {shape}"
            )
        return parts[0], parts[1] if len(parts) == 2 else None


def load_user(name: str, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """Return the extractor ``torchscript:PATH``; it is called ``torchscript:STEM`` beside its numbers.

    Raises
    ------
    DataMissing
        No file at PATH.
    UsageError
        No TorchScript archive, or `weights` given besides PATH.
    """
    path = Path(name.removeprefix(PREFIX)).expanduser()
    if weights is not None:
        raise UsageError(f"{name} holds its own weights: leave weights={weights} out")
    digest = file_hash(path)
    try:
        network = UserNetwork(path)
    except RuntimeError as error:
        raise UsageError(f"{path} is not a TorchScript archive: write it with torch.jit.save") from error
    return Extractor(
        f"{PREFIX}{path.stem}",
        network,
        weights_hash=digest,
        preprocessing="torchscript/1",
        has_logits=network.has_logits,
        device=device,
    )
