"""Train a shipped extractor: ``python -m ltbench.extractors.train digits_cnn --out ltbench/extractors``.

The network sees the balanced pool of its data set and is tested on the held-out images; one thread, every
draw from a named stream, so the same command on the same machine gives the same file. Augmentation is a
shift of at most one pixel: enough to keep the features of pool and held-out images alike (an extractor
that knows its pool by heart would call new real images distant), and no interpolation, so that the
features stay sensitive to blur.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from ltbench import rng
from ltbench.data import load_dataset
from ltbench.data.resample import area_resample
from ltbench.errors import LtbenchError
from ltbench.extractors.base import Extractor
from ltbench.extractors.cnn import SHIPPED, Design, SmallCNN, load_shipped
from ltbench.files import replacing, write_json
from ltbench.specs import DataSpec


@dataclass(frozen=True)
class Recipe:
    """How a shipped extractor is trained.

    Attributes
    ----------
    epochs, batch_size
        Passes over the pool, images a step.
    learning_rate, weight_decay
        Of AdamW; the rate rises and falls once (one-cycle).
    shift
        Largest shift of an image, in pixels.
    resized
        Share of batches that are first area-resampled to a random allowed size, so that a cell of
        any size is served by one network.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    shift: int
    resized: float


RECIPES = {
    "digits_cnn": Recipe(30, 64, 3e-3, 0.5, shift=1, resized=0.0),
    "fashion_mnist_cnn": Recipe(10, 128, 3e-3, 0.05, shift=1, resized=0.3),
}


def shifted(images: Tensor, limit: int, stream: torch.Generator) -> Tensor:
    """Shift each image (B,C,H,W) by its own whole number of pixels up to `limit`, filling with black."""
    count, _, height, width = images.shape
    down, right = torch.randint(0, 2 * limit + 1, (2, count), generator=stream)
    rows = (down[:, None] + torch.arange(height))[:, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, :]
    padded = F.pad(images, (limit,) * 4)
    return padded[torch.arange(count)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)


def print_epoch(done: int, epochs: int, loss: float) -> None:
    """Print how far a training is."""
    print(f"epoch {done}/{epochs}  loss of the last batch {loss:.3f}", flush=True)


def fit(
    name: str,
    design: Design,
    recipe: Recipe,
    images: Tensor,
    labels: Tensor,
    seed: int,
    progress: Callable[[int, int, float], None] = print_epoch,
) -> SmallCNN:
    """Return a network trained on uint8 images (N,C,H,W) of the largest size it takes, with labels (N,).

    Every image is seen once an epoch; where classes are of unequal size, each class as often instead, its images
    drawn with replacement. `progress` is called with the epochs done, all epochs and the last batch's loss.
    """
    rng.reseed_global(seed, f"extractor/{name}/weights")
    network = design.network().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps = len(images) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.epochs * steps
    )
    counts = torch.bincount(labels, minlength=design.num_classes)
    for epoch in range(recipe.epochs):
        stream = rng.generator(seed, f"extractor/{name}/epoch", epoch)
        if counts.min() == counts.max():
            order = torch.randperm(len(images), generator=stream)
        else:
            order = torch.multinomial(1 / counts[labels], len(images), replacement=True, generator=stream)
        for step in range(steps):
            rows = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            batch = shifted(images[rows], recipe.shift, stream).float()
            if torch.rand((), generator=stream) < recipe.resized:
                side = int(torch.randint(design.sizes[0], design.sizes[1] + 1, (), generator=stream))
                batch = F.interpolate(batch, size=(side, side), mode="area")
            loss = F.cross_entropy(network(batch)[1], labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        progress(epoch + 1, recipe.epochs, loss.item())
    return network


def write_weights(path: Path, network: SmallCNN) -> None:
    """Write a network as safetensors."""
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors))


def accuracy(extractor: Extractor, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images (N,C,H,W) whose label (N,) an extractor's class scores name, to four digits."""
    logits = extractor(images).logits
    assert logits is not None
    return round(float((logits.argmax(1) == labels).mean()), 4)


def train(name: str, seed: int, out: Path, data_root: Path | None = None) -> dict[str, Any]:
    """Train shipped extractor `name`, write its weights and record into `out`, return the record."""
    torch.set_num_threads(1)
    design, recipe = SHIPPED[name], RECIPES[name]
    smallest, largest = design.sizes
    spec = DataSpec.model_validate({"dataset": design.dataset, "imbalance_ratio": 1.0, "image_size": largest})
    cell = load_dataset(spec, data_root)
    pool, heldout = cell.reference, cell.heldout
    started = time.process_time()
    network = fit(name, design, recipe, torch.as_tensor(pool.images), torch.as_tensor(pool.labels), seed)
    seconds = time.process_time() - started
    path = out / f"{name}.safetensors"
    write_weights(path, network)
    extractor = load_shipped(name, path)
    sizes = sorted({*range(smallest, largest + 1, 4), design.side})
    record = {
        "name": name,
        "weights_sha256": extractor.weights_hash,
        "hash": extractor.hash,
        "dataset": design.dataset,
        "dataset_manifest": cell.manifest_hash,
        "pool_images": len(pool),
        "pool_accuracy": accuracy(extractor, pool.images, pool.labels),
        "heldout_images": len(heldout),
        "heldout_accuracy": {
            str(size): accuracy(extractor, area_resample(heldout.images, size), heldout.labels)
            for size in sizes
        },
        "parameters": sum(p.numel() for p in network.parameters()),
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "command": f"python -m ltbench.extractors.train {name} --seed {seed} --out ltbench/extractors",
        "cpu_seconds": round(seconds),
        "torch": torch.__version__,
    }
    write_json(out / f"{name}.json", record)
    return record


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and train; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ltbench.extractors.train", description=__doc__)
    parser.add_argument("name", choices=sorted(SHIPPED), help="which extractor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for weights and record")
    parser.add_argument("--data-root", type=Path, default=None, help="where the data set's files are")
    options = parser.parse_args(arguments)
    try:
        record = train(options.name, options.seed, options.out, options.data_root)
    except LtbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.out / options.name}.safetensors  held-out accuracy {record['heldout_accuracy']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
