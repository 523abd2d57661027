"""What torch's CPU build offers beside what our step does: each tried in pairs, kept where a tenth is gained.

Tried on the two networks that laptops train, and dropout on the papers' too. What is tried for dropout draws a mask
from Philox, a generator of counters, 16 bits an element: no state, and four elements a draw.
"""

import contextlib

import numpy as np
from pairs import compare
from steps import stepper, synthetic_cell, training_of

GAIN = 0.9  # a ratio of CPU seconds below which a trial is worth keeping
SIZES = {"tiny": ((1, 8, 8), 64, 0.0), "small": ((1, 16, 16), 64, 0.1), "ddpm32": ((3, 32, 32), 4, 0.1)}
TRIALS = {  # name -> (what changes, on which networks)
    "channels_last (oneDNN's nhwc layout)": ({"channels_last": True}, ("tiny", "small")),
    "without oneDNN (im2col and BLAS)": ({"onednn": False}, ("tiny", "small")),
    "graph capture (torch.compile, inductor)": ({"compile": True}, ("tiny", "small")),
    "dropout by counter (Philox)": ({"counter": True}, ("small", "ddpm32")),
}


def philox_dropout():
    """Return a stand-in for torch's dropout that draws 16 bits an element from a counter's stream."""
    import torch

    calls = 0

    def dropout(x, p=0.5, training=True, *_):
        nonlocal calls
        if not training or p == 0:
            return x
        calls += 1
        bits = np.random.Philox(key=calls).random_raw(-(-x.numel() // 4)).view(np.uint16)[: x.numel()]
        kept = torch.from_numpy(bits >= round(p * 65536)).view(x.shape)
        return x * kept / (1 - p)

    return dropout


def step(size: str, onednn: bool = True, counter: bool = False, **changed):
    """A DDPM step of our trainer with something changed; for `pairs.compare`."""
    import torch

    def build():
        shape, batch, dropout = SIZES[size]
        if counter:
            torch.nn.functional.dropout = philox_dropout()
        cell = synthetic_cell("cifar10_lt", shape)
        one = stepper(
            training_of("ddpm", cell, "cpu", size=size, dropout=dropout, batch_size=batch, **changed)
        )

        def run() -> None:
            with contextlib.nullcontext() if onednn else torch.backends.mkldnn.flags(enabled=False):
                one()

        return run

    return build


def measure(options) -> str:
    """Part ``trials``: return the table as Markdown."""
    rows = []
    for name, (changed, sizes) in TRIALS.items():
        for size in sizes:
            found = compare(
                ("trials:step", {"size": size, **changed}),
                ("trials:step", {"size": size}),
                pairs=options.pairs if size != "ddpm32" else max(3, options.pairs // 5),
                threads=options.threads,
                warmup=2,
            )
            ratio = found.cpu_ratio
            kept = "yes" if ratio.high < GAIN else "no"
            rows.append(f"| {name} | {size} | {found.ratio.text()} | {ratio.text()} | {ratio.n} | {kept} |")
            print(rows[-1], flush=True)
    return "\n".join(
        [
            "A DDPM step with something changed against the step as it is, on one thread, in turns; a ratio below 1 is "
            f"quicker; median (quartiles). Kept where the upper quartile of the CPU ratio is below {GAIN:g}.",
            "",
            "| Trial | Network | Wall ratio | CPU ratio | Pairs | Worth it |",
            "| :-- | :-- | --: | --: | --: | :-- |",
            *rows,
            "",
            "Compiling itself, before the first step, is not counted; `--compile` offers it to whoever trains for long.",
        ]
    )
