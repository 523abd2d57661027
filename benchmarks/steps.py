"""A training step and T2H's transfer, ours against the released code's, and where our step's time goes.

Ours is the trainer's own step with everything in it: order, noise and times drawn from their streams, the
method's hooks, backward, clip, Adam, the average of the weights, the log's sums. So ours draws its batch
within the measured time; the released step is given one that lies in memory.
"""

import itertools
import tempfile
from pathlib import Path

import numpy as np
from pairs import Comparison, compare
from released import BY, CLASSES, PRIOR, SIZE, checkouts, commit, images_and_labels

TARGETS = {"ddpm": 1.05, "cbdm": 1.0, "t2h": 1.05, "coral": 1.05}  # most that ours may take of released
SPEED = ("compile", "channels_last", "cuda_graphs", "recompute")
FASTER, SMALLER = 20, 50  # T2H's transfer


def synthetic_cell(dataset: str, shape: tuple[int, int, int]):
    """Return a long-tailed cell of random images, so that no file is needed."""
    from ltbench.data import Dataset, ImageSet
    from ltbench.specs import DataSpec

    stream = np.random.default_rng(0)
    counts = np.array([max(1, round(200 * p)) for p in PRIOR])

    def images(sizes) -> ImageSet:
        labels = np.repeat(np.arange(len(sizes)), sizes)
        return ImageSet(stream.integers(0, 256, (len(labels), *shape), dtype=np.uint8), labels)

    train = images(counts)
    return Dataset(
        spec=DataSpec(dataset=dataset),
        train=train,
        train_positions=np.arange(len(train.labels)),
        reference=train,
        heldout=images(np.ones(CLASSES, int)),
        class_names=tuple(map(str, range(CLASSES))),
        counts=counts,
        head_to_tail=tuple(range(CLASSES)),
        groups={},
        flip_allowed=True,
        manifest={},
    )


def training_of(
    method: str,
    cell,
    device: str,
    *,
    size: str,
    dropout: float = 0.1,
    **settings,
):
    """Return our trainer, ready for its first step; `settings` are train's (batch_size) and a command's (compile)."""
    from ltbench.environment import Environment
    from ltbench.method.registry import resolve
    from ltbench.specs import ModelSpec, RunSpec, TrainSpec
    from ltbench.training.trainer import Training

    spec = RunSpec(
        data=cell.spec,
        model=ModelSpec(size=size, dropout=dropout),
        method=resolve(method, {}),
        train=TrainSpec(**{name: value for name, value in settings.items() if name not in SPEED}),
    )
    env = Environment(device=device, **{name: value for name, value in settings.items() if name in SPEED})
    with tempfile.TemporaryDirectory() as folder:  # a step alone writes nothing
        training = Training(spec, cell, Path(folder), env)
    training.model.train()
    return training


def stepper(training):
    """Return a callable that takes the next step of a training."""

    def one() -> None:
        training._one_step()
        training.step += 1

    return one


def step(method: str, batch: int, device: str, **settings):
    """Our training step, by default as users run it; for `pairs.compare`."""
    import torch

    from ltbench.environment import set_threads
    from ltbench.training import trainer as _imported  # noqa: F401

    def build():
        set_threads(torch.get_num_threads())
        cell = synthetic_cell("cifar10_lt", (3, SIZE, SIZE))
        given = {"size": "ddpm32", "batch_size": batch, "label_dropout": 0.0, **settings}
        return stepper(training_of(method, cell, device, **given))

    return build


def transfer(batch: int, device: str):
    """Our T2H target of a batch; for `pairs.compare`."""
    import torch

    from ltbench import rng
    from ltbench.diffusion.schedule import NUM_TIMESTEPS, add_noise, alpha_bar
    from ltbench.method import Batch
    from ltbench.method.registry import create

    def build():
        method = create("t2h", {})
        x0, y = (part.to(device) for part in images_and_labels(batch))
        t = torch.randint(NUM_TIMESTEPS, (batch,), device=device)
        abar, noise = alpha_bar().to(device)[t], torch.randn_like(x0)
        prior = (torch.tensor(PRIOR) / sum(PRIOR)).to(device)
        given = Batch(
            x0=x0,
            y=y,
            t=t,
            alpha_bar=abar.float(),
            num_timesteps=NUM_TIMESTEPS,
            noise=noise,
            x_t=add_noise(x0, noise, abar),
            label=y,
            dropped=torch.zeros(batch, dtype=torch.bool, device=device),
            prior=prior,
            draw_prior=prior,
        )
        numbers = itertools.count()

        def one() -> None:
            number = next(numbers)
            method.target(given, lambda *names: rng.generator(0, "/".join(names), number))

        return one

    return build


def met(value: float, most: float) -> str:
    return "met" if value <= most else "MISSED"


def compare_steps(options) -> str:
    """Part ``step``: return the table as Markdown."""
    where, rows, notes = checkouts(options.released), [], set()
    batch = options.batch or (128 if options.device == "cuda" else 16)
    for method, most in TARGETS.items():
        given = {"method": method, "batch": batch, "device": options.device}
        found = compare(
            ("steps:step", given),
            ("released:step", {**given, "checkout": str(where[BY[method]])}),
            pairs=options.pairs,
            threads=options.threads,
            device=options.device,
        )
        notes |= {found.notes["released"]} - {""}
        rows.append(
            f"| {method} | {found.seconds['ours'].text()} | {found.seconds['released'].text()} "
            f"| {found.ratio.text()} | {found.cpu_ratio.text()} | {most:g} | {met(found.ratio.median, most)} "
            f"| {found.memory['ours']:.0f} | {found.memory['released']:.0f} |"
        )
        print(rows[-1], flush=True)
    return "\n".join(
        [
            f"One training step: 35.7 M U-Net, batch {batch}, 3x32x32, fp32, dropout 0.1, labels kept; "
            f"n = {options.pairs} pairs, median (quartiles).",
            "",
            "| Method | Ours, s | Released, s | Ratio | CPU ratio | Target | | Ours, MiB | Released, MiB |",
            "| :-- | --: | --: | --: | --: | --: | :-- | --: | --: |",
            *rows,
            "",
            "Ratio: ours / released within a pair, of wall seconds and of CPU seconds. MiB: the most that a process "
            "held beyond its imports. Ours includes drawing the batch; the released step finds it in memory.",
            *_sources(where, notes),
        ]
    )


NO_RELEASED = {  # why a step has none beside it
    "cm": "CM's public repository holds a README alone (its code was read in a copy)",
    "dispersive": "the dispersive loss is released for SiT, another network",
    "min_snr, p2": "Min-SNR and P2 are released for other networks",
    "the draws and class weights": "no code of diffusion models was released for them",
}


def compare_methods(options) -> str:
    """Part ``methods``: every method's step against plain denoising's, ours both, and the released code's beside it."""
    from ltbench.method.registry import known_methods

    batch = options.batch or (128 if options.device == "cuda" else 16)
    given, rows, notes = {"batch": batch, "device": options.device}, [], set()
    where = checkouts(options.released) if options.released else {}
    how = {"pairs": max(2, options.pairs // 4), "threads": options.threads, "device": options.device}
    plain = ("steps:step", {**given, "method": "ddpm"})
    for method in [*known_methods(), "cm+t2h"]:
        ours = ("steps:step", {**given, "method": method})
        cells = [method]
        if method == "ddpm":
            cells += ["", "1", "1", "", ""]
        else:
            found = compare(ours, plain, warmup=1, **how)
            cells += [
                found.seconds["ours"].text(),
                found.ratio.text(),
                found.cpu_ratio.text(),
                f"{found.memory['ours']:.0f}",
                f"{found.memory['released']:.0f}",
            ]
        if BY.get(method) in where:
            other = {**given, "method": method, "checkout": str(where[BY[method]])}
            found = compare(ours, ("released:step", other), warmup=1, **how)
            notes |= {found.notes["released"]} - {""}
            cells += [found.seconds["released"].text(), found.cpu_ratio.text()]
            if method == "ddpm":
                cells[1] = found.seconds["ours"].text()
        else:
            cells += ["-", "-"]
        rows.append(f"| {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return "\n".join(
        [
            f"Every method's step against plain denoising's, both ours: 35.7 M U-Net, batch {batch}, 3x32x32, fp32, labels "
            f"kept; n = {how['pairs']} pairs, median (quartiles). Then the released code's step, and ours by it in CPU "
            "seconds. Where the load at the start is above the cores, seconds are other work's too: read the CPU ratios.",
            "",
            "| Method | Seconds | Ratio to DDPM | CPU ratio | MiB | DDPM, MiB | Released, s | CPU: ours / released |",
            "| :-- | --: | --: | --: | --: | --: | --: | --: |",
            *rows,
            "",
            f"No released step: {'; '.join(NO_RELEASED.values())}.",
            *(_sources(where, notes) if where else []),
        ]
    )


def compare_transfer(options) -> str:
    """Part ``transfer``: return the table as Markdown."""
    where, given = checkouts(options.released), {"batch": 128, "device": options.device}
    found: Comparison = compare(
        ("steps:transfer", given),
        ("released:transfer", {**given, "checkout": str(where["t2h"])}),
        pairs=max(options.pairs, 5),
        threads=options.threads,
        device=options.device,
        count_tensors=True,
    )
    faster, smaller = 1 / found.ratio.median, found.tensors["released"] / found.tensors["ours"]
    return "\n".join(
        [
            f"T2H's transfer of one batch: 128 images of 3x32x32; n = {found.ratio.n} pairs, median (quartiles).",
            "",
            "| | Ours | Released | Released / ours | Target | |",
            "| :-- | --: | --: | --: | --: | :-- |",
            f"| seconds | {found.seconds['ours'].text()} | {found.seconds['released'].text()} "
            f"| {faster:.1f} | {FASTER} | {met(FASTER, faster)} |",
            f"| MiB of tensors | {found.tensors['ours']:.1f} | {found.tensors['released']:.1f} "
            f"| {smaller:.1f} | {SMALLER} | {met(SMALLER, smaller)} |",
            "",
            "MiB of tensors: the most that one call holds at a time beyond its inputs. Ours computes in float64.",
            *_sources({"t2h": where["t2h"]}, {found.notes["released"]} - {""}),
        ]
    )


def compare_settings(options) -> str:
    """Part ``settings``: our step in each precision and layout against our step as it is."""
    variants = {"bf16": {"precision": "bf16"}, "channels_last": {"channels_last": True}}
    if options.device == "cuda":
        variants = {
            "tf32": {"precision": "tf32"},
            **variants,
            "compiled": {"compile": True},
            "bf16, channels_last, compiled": {"precision": "bf16", "channels_last": True, "compile": True},
        }
    batch = options.batch or (128 if options.device == "cuda" else 16)
    given, rows = {"method": "ddpm", "batch": batch, "device": options.device}, []
    pairs = max(2, options.pairs // 4)
    for name, changed in variants.items():
        found = compare(
            ("steps:step", {**given, **changed}),
            ("steps:step", given),
            pairs=pairs,
            threads=options.threads,
            device=options.device,
            warmup=2,
        )
        rows.append(
            f"| {name} | {found.seconds['ours'].text()} | {found.seconds['released'].text()} "
            f"| {found.ratio.text()} | {found.memory['ours']:.0f} | {found.memory['released']:.0f} |"
        )
    return "\n".join(
        [
            f"Our DDPM step with a setting changed against fp32 as it comes: 35.7 M U-Net, batch {batch}, 3x32x32; "
            f"n = {pairs} pairs, median (quartiles).",
            "",
            "| Setting | Changed, s | fp32, s | Changed / fp32 | Changed, MiB | fp32, MiB |",
            "| :-- | --: | --: | --: | --: | --: |",
            *rows,
        ]
    )


def _sources(where: dict[str, Path], notes: set[str]) -> list[str]:
    commits = ", ".join(f"{name} {commit(path)}" for name, path in where.items())
    stood_in = f" Stood in for: {'; '.join(sorted(notes))}." if notes else ""
    return ["", f"Released code, by commit: {commits}; its files are run as they are.{stood_in}"]
