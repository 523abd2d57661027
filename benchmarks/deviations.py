"""How far the options of speed and memory move a training: losses and weights beside those of plain fp32 on a CPU."""

import torch

STEPS = 30
METHODS = ("ddpm", "cbdm+cm")
OPTIONS = {  # name -> environment, training settings
    "once more, unchanged": ({}, {}),
    "`--recompute`": ({"recompute": True}, {}),
    "`--channels-last`": ({"channels_last": True}, {}),
    "`--compile`": ({"compile": True}, {}),
    "`train.precision=tf32`": ({}, {"precision": "tf32"}),
    "`train.precision=bf16`": ({}, {"precision": "bf16"}),
}


def trained(method: str, environment: dict, settings: dict) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Return each step's loss and the weights after the last of `STEPS` steps of a small training."""
    from steps import synthetic_cell, training_of

    cell = synthetic_cell("digits_lt", (1, 8, 8))
    given = {"batch_size": 32, "learning_rate": 1e-3, "warmup_steps": 0, "flip": False, **settings}
    training = training_of(method, cell, "cpu", size="tiny", dropout=0.0, **environment, **given)
    losses = []
    for _ in range(STEPS):
        training.totals = {}
        training._one_step()
        training.step += 1
        losses.append(float(training.totals["loss"]))
    return losses, {name: p.detach().clone() for name, p in training.model.named_parameters()}


def measure(options) -> str:
    """Part ``deviations``: return the table as Markdown."""
    from ltbench.environment import set_threads

    set_threads(options.threads)
    rows = []
    for method in METHODS:
        losses, weights = trained(method, {}, {})
        largest = max(float(p.abs().max()) for p in weights.values())
        for name, (environment, settings) in OPTIONS.items():
            torch._dynamo.reset()
            others, moved = trained(method, environment, settings)
            absolute = max(abs(a - b) for a, b in zip(losses, others, strict=True))
            relative = max(abs(a - b) / abs(a) for a, b in zip(losses, others, strict=True))
            first = abs(losses[0] - others[0]) / abs(losses[0])
            known = {n.replace("_orig_mod.", ""): p for n, p in moved.items()}
            apart = max(float((known[n] - p).abs().max()) for n, p in weights.items())
            rows.append(
                f"| {name} | {method} | {first:.1e} | {absolute:.1e} | {relative:.1e} | {apart:.1e} |"
            )
            print(rows[-1], flush=True)
    return "\n".join(
        [
            f"{STEPS} steps of a `tiny` training (8x8, batch 32, rate 1e-3, no dropout) from equal weights on this CPU, "
            f"against the same in plain fp32, where the loss falls from {losses[0]:.2f} to {losses[-1]:.2f} "
            f"({METHODS[-1]}) and the largest weight is {largest:.1f}.",
            "",
            "| Option | Method | Loss, first step, relative | Loss, most, absolute | Loss, most, relative | Weights, most |",
            "| :-- | :-- | --: | --: | --: | --: |",
            *rows,
            "",
            "The first step is the option's own rounding; later ones add what training makes of it. A CPU has no TF32: "
            "there the setting is fp32. CUDA graphs start the kernels of `--compile` and need a GPU. With dropout "
            "`--channels-last` also draws other masks, in the order of memory.",
        ]
    )
