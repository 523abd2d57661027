"""A batch's sampling noise: from one CPU generator an image to tensors on the device, made ahead on a GPU.

250 generators draw their images' noise in about the time of a GPU's forward pass, so there a thread draws the next
step's while the network runs. The numbers are the same bit for bit: an image's noise is its generator's next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor


class StepNoise:
    """Draws the next noise (B,C,H,W) of a batch, float32 on the device, each time that it is called.

    Parameters
    ----------
    generators : one CPU generator an image.
    shape : (C,H,W) of an image.
    device : where the noise goes.
    """

    def __init__(
        self, generators: Sequence[torch.Generator], shape: Sequence[int], device: torch.device | str
    ) -> None:
        self.generators, self.shape, self.device = generators, tuple(shape), torch.device(device)

    def __call__(self) -> Tensor:
        """Return the next noise on the device."""
        return self.moved(self.draw())

    def draw(self) -> Tensor:
        """Return the next noise in main memory."""
        return torch.stack([torch.randn(self.shape, generator=g) for g in self.generators])

    def moved(self, noise: Tensor) -> Tensor:
        """Return noise on the device; from pinned memory, since another copy waits for all work before it."""
        if self.device.type == "cuda":
            return noise.pin_memory().to(self.device, non_blocking=True)
        return noise.to(self.device)


class NoiseAhead:
    """The same noise, drawn and moved by a thread while the step before it runs.

    On CUDA the copies go through a stream of their own, which the sampling's stream waits for on the device and not on
    the host. One noise more is drawn than is asked for, at the end.
    """

    def __init__(self, source: StepNoise) -> None:
        self.source = source
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="noise")
        self._copies = torch.cuda.Stream(source.device) if source.device.type == "cuda" else None
        self._next: Future[tuple[Tensor, Any]] | None = None

    def __call__(self) -> Tensor:
        """Return the next noise, and have the one after it made."""
        noise, copied = (self._next or self._thread.submit(self._prepare)).result()
        self._next = self._thread.submit(self._prepare)
        if copied is not None:
            stream = torch.cuda.current_stream(self.source.device)
            stream.wait_event(copied)
            noise.record_stream(stream)  # its memory is the copies' stream's until the step is through
        return noise

    def _prepare(self) -> tuple[Tensor, Any]:
        noise = self.source.draw()
        if self._copies is None:
            return self.source.moved(noise), None
        with torch.cuda.stream(self._copies):
            return self.source.moved(noise), self._copies.record_event()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)


@contextlib.contextmanager
def step_noise(
    generators: Sequence[torch.Generator],
    shape: Sequence[int],
    device: torch.device | str,
    ahead: bool,
) -> Iterator[StepNoise | NoiseAhead]:
    """Hold a batch's noise; `ahead` asks for the thread, which a GPU has and a CPU's cores are needed for."""
    source = StepNoise(generators, shape, device)
    if not ahead or source.device.type != "cuda":
        yield source
        return
    made_ahead = NoiseAhead(source)
    try:
        yield made_ahead
    finally:
        made_ahead.close()
