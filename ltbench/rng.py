"""Random streams: every draw comes from a generator made for it, so nothing depends on what was drawn before.

A stream is named by (seed, purpose, index). Its 64-bit seed is SHA-256 of that name, cut.
``torch.Generator.manual_seed`` keeps only the low 32 bits on the CPU (two seeds 2**32 apart give one
stream), so among 50,000 images a shared stream would be likely; `generator` fills the whole
Mersenne-Twister state from the seed instead.
"""

import hashlib

import numpy as np
import torch

_WORDS = 624  # 32-bit words in MT19937's state
_OFFSET = 24  # bytes before them in torch's CPU state: seed, left/seeded, next
_TEMPLATE = torch.Generator().manual_seed(0).get_state().numpy()


def derive(seed: int, purpose: str, index: int = 0) -> int:
    """Return the 64-bit seed of the stream (seed, purpose, index)."""
    name = f"{seed}/{purpose}/{index}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "little")


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """Return a fresh CPU generator for the stream (seed, purpose, index), seeded by all 64 bits."""
    key = derive(seed, purpose, index)
    words = np.frombuffer(hashlib.shake_256(key.to_bytes(8, "little")).digest(_WORDS * 4), "<u4")
    state = _TEMPLATE.copy()
    state[_OFFSET : _OFFSET + _WORDS * 8] = words.astype("<u8").view(np.uint8)
    out = torch.Generator()
    out.set_state(torch.from_numpy(state))
    return out


def numpy_generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """Return a numpy generator for the stream (seed, purpose, index), for work on features."""
    return np.random.Generator(np.random.Philox(key=derive(seed, purpose, index)))


def reseed_global(seed: int, purpose: str, index: int = 0) -> None:
    """Seed the global torch generators; only for dropout, which can use no other."""
    value = derive(seed, purpose, index) & 0x7FFF_FFFF_FFFF_FFFF
    if torch.accelerator.is_available():
        torch.manual_seed(value)
    else:  # torch.manual_seed would format three stack traces for accelerators that may come: 1 ms a step
        torch.default_generator.manual_seed(value)
