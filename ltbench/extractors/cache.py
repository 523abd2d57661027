"""Features on disk: computed once for a set of images, named by what they are of."""

import hashlib
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from torch import Tensor

from ltbench.extractors.base import Extractor, Features
from ltbench.files import replacing


def images_hash(images: np.ndarray | Tensor) -> str:
    """Return 16 hex digits of sha256 over shape and pixels of images (N,C,H,W), uint8."""
    pixels = np.ascontiguousarray(images.cpu().numpy() if isinstance(images, Tensor) else images)
    digest = hashlib.sha256(f"{pixels.dtype}{pixels.shape}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()[:16]


def cached_features(
    extractor: Extractor,
    images: np.ndarray | Tensor,
    folder: Path,
) -> Features:
    """Return ``extractor(images)``, from `folder` where it was computed before.

    The file's name is the hash of the images and of the extractor, so it never goes stale; a file that
    cannot be read is computed again. Files are safetensors (no code runs on loading), written atomically.
    """
    path = Path(folder) / f"{images_hash(images)}-{extractor.hash}.safetensors"
    stored = _read(path, len(images))
    if stored is not None:
        return stored
    out = extractor(images)
    arrays = {"features": out.features} | ({} if out.logits is None else {"logits": out.logits})
    with replacing(path) as temporary:
        about = {"extractor": extractor.name, "sha256": _content_sha256(arrays)}
        safetensors.numpy.save_file(arrays, temporary, metadata=about)
    return out


def _read(path: Path, count: int) -> Features | None:
    try:
        with safetensors.safe_open(path, framework="np") as handle:
            stated = (handle.metadata() or {}).get("sha256")
            arrays = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 -- no mapping
        if stated != _content_sha256(arrays):  # a flipped bit, or a file from before there was a digest
            return None
        out = Features(arrays["features"], arrays.get("logits"))
    except (OSError, KeyError, ValueError, TypeError, safetensors.SafetensorError):
        return None
    return out if len(out) == count else None


def _content_sha256(arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays by name, type, shape and value."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
