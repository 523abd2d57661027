"""Per-class Frechet distance and precision / recall beside their naive forms: time, memory, growth.

    python benchmarks/metrics.py [--small] [--only frechet|manifold|classes] [--threads 2]

1. frechet: 100 classes x 500 samples x 2048 dimensions. The naive form takes scipy's matrix square root of the
   product of two 2048 x 2048 covariances, a class at a time; it is timed on `NAIVE_CLASSES` of them.
2. manifold: improved precision and recall, 50,000 against 50,000 x 2048. The naive form holds dense distance
   matrices; it is timed at a size that fits (its memory at full size is computed, not allocated).
3. classes: the per-class Frechet distance over 25, 50 and 100 classes of one size.

Each part runs in a process of its own, so that its peak memory is its own.

Measured on two threads of an Intel Xeon (AMX), the machine quiet, 2026-11-24: frechet 5.6 CPU s for 100 classes, naive
27.6 s for two, 246 times; 65, 68 and 71 ms a class at 25, 50 and 100 classes. manifold: 414 CPU s (209 s wall), 2.07 GiB at
the peak, inputs included; the dense matrices alone would take 27.9 GiB.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.linalg import sqrtm

from ltbench.metrics.frechet import frechet_distance
from ltbench.metrics.manifold import precision_recall

NAIVE_CLASSES = 2
GIB = 2**30


def features(n: int, d: int, seed: int) -> np.ndarray:
    """Correlated float32 features with a falling spectrum, as a network's are."""
    rng = np.random.default_rng(seed)
    out = rng.standard_normal((n, d), np.float32)
    out *= (1 + np.arange(d, dtype=np.float32)) ** -0.5
    return out


def naive_frechet(real: np.ndarray, fake: np.ndarray) -> float:
    s1, s2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    shift = np.sum((real.mean(0) - fake.mean(0)) ** 2)
    return float(shift + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1 @ s2)).real)


def naive_precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 3) -> dict[str, float]:
    x, y = torch.from_numpy(real), torch.from_numpy(fake)
    real_radius = torch.cdist(x, x).kthvalue(k + 1, dim=1).values
    fake_radius = torch.cdist(y, y).kthvalue(k + 1, dim=1).values
    cross = torch.cdist(x, y)
    return {
        "precision": float((cross <= real_radius[:, None]).any(dim=0).double().mean()),
        "recall": float((cross <= fake_radius).any(dim=1).double().mean()),
    }


class Seconds(float):
    """CPU seconds over all threads (a busy machine changes them little); shown with the wall's."""

    wall: float

    def __format__(self, spec: str) -> str:
        return f"{float(self):{spec}} s CPU ({self.wall:{spec}} s wall)"


def timed(call: Callable[[], Any]) -> tuple[Any, Seconds]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = call()
    seconds = Seconds(time.process_time() - cpu)
    seconds.wall = time.perf_counter() - wall
    return value, seconds


def peak() -> float:
    """Return this process's peak resident memory in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def per_class(real: np.ndarray, fake: np.ndarray, labels: np.ndarray, classes: int) -> list[float]:
    """Return each class's Frechet distance."""
    return [frechet_distance(real[labels == c], fake[labels == c]) for c in range(classes)]


def frechet(small: bool) -> None:
    classes, n, d = (5, 100, 256) if small else (100, 500, 2048)
    real, fake = features(classes * n, d, 0), features(classes * n, d, 1)
    labels = np.arange(classes * n) % classes
    ours, seconds = timed(lambda: per_class(real, fake, labels, classes))
    some = range(min(NAIVE_CLASSES, classes))
    naive, naive_seconds = timed(lambda: [naive_frechet(real[labels == c], fake[labels == c]) for c in some])
    error = max(abs(ours[c] / naive[c] - 1) for c in some)
    print(
        f"frechet: {classes} classes x {n} x {d}: {seconds:.1f}; naive, {len(some)} classes: {naive_seconds:.1f};"
        f" {naive_seconds / len(some) / (seconds / classes):.0f} times faster a class;"
        f" largest relative difference {error:.1e}; peak {peak():.2f} GiB"
    )


def manifold(small: bool) -> None:
    n, d = (2000, 256) if small else (50_000, 2048)
    real, fake = features(n, d, 0), features(n, d, 1) * np.float32(0.97)
    inputs = peak()
    value, seconds = timed(lambda: precision_recall(real, fake, k=3))
    print(
        f"manifold: {n} against {n} x {d}: {seconds:.0f}, peak {peak():.2f} GiB with the inputs"
        f" ({inputs:.2f} before); {value}; three dense float32 matrices alone: {3 * 4 * n * n / GIB:.1f} GiB"
    )


def dense(small: bool) -> None:
    n, d = (2000, 256) if small else (5000, 2048)
    real, fake = features(n, d, 0), features(n, d, 1) * np.float32(0.97)
    ours, seconds = timed(lambda: precision_recall(real, fake, k=3))
    blocked = peak()
    naive, naive_seconds = timed(lambda: naive_precision_recall(real, fake))
    print(
        f"manifold, {n} against {n} x {d}: float64 {seconds:.1f}, peak {blocked:.2f} GiB; naive float32"
        f" {naive_seconds:.1f}, peak {peak():.2f} GiB; {ours} and {naive}"
    )


def classes(small: bool) -> None:
    counts, n, d = ((2, 4, 8), 50, 256) if small else ((25, 50, 100), 500, 2048)
    parts = []
    for k in counts:
        real, fake, labels = features(k * n, d, 0), features(k * n, d, 1), np.arange(k * n) % k
        _, seconds = timed(lambda r=real, f=fake, y=labels, k=k: per_class(r, f, y, k))
        parts.append(f"{k}: {seconds:.1f}, {1000 * seconds / k:.0f} ms CPU each")
    print(f"frechet by number of classes of {n} x {d}: " + "; ".join(parts))


PARTS = {"frechet": [frechet], "manifold": [manifold, dense], "classes": [classes]}


def _run(part: Callable[[bool], None], small: bool, threads: int) -> None:
    torch.set_num_threads(threads)
    part(small)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--small", action="store_true", help="seconds instead of minutes: checks that all runs"
    )
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"{platform.processor() or platform.machine()}, {args.threads} threads of {os.cpu_count()} cores,"
        f" load {load:.1f}, torch {torch.__version__}, numpy {np.__version__}"
    )
    for var in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[var] = str(args.threads)  # read by the fresh processes below: scipy gets as many
    context = multiprocessing.get_context("spawn")
    for name in [args.only] if args.only else PARTS:
        for part in PARTS[name]:
            process = context.Process(target=_run, args=(part, args.small, args.threads))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{part.__name__} failed with exit code {process.exitcode}")


if __name__ == "__main__":
    main()
