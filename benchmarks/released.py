"""The released implementations, imported from checkouts as they are; nothing of theirs is in this tree.

    --released FOLDER    a folder that holds checkouts of CBDM's, T2H's and CORAL's code, and CCUA's, under any name

A checkout is recognised by what its ``diffusion.py`` defines. CCUA's imports einops and info_nce, which are not ours.
CM's public repository holds a README alone (Feng-Hong/ImbDiff-CM at 7e4d5e9; its code of 04262d7, which the tests'
arrays are from, was read in another project's copy). DDPM is CBDM's trainer with its term switched off, which is
pytorch-ddpm's. What such a file imports but does not need is stood in for (`stand_ins`), and so is
the device where there is no GPU: the code calls ``.cuda()``. A step is what their ``main.py`` does with a
batch: zero_grad, trainer, backward, clip, optimiser, scheduler, `ema` (taken from that file). Loading of data
and the summary writer are left out. Their label dropout decides for a whole batch, one in ten: such a step has
less to do, so it is repeated until the labels stay.
"""

import ast
import copy
import importlib.util
import subprocess
import sys
import types
from pathlib import Path

BY = {"ddpm": "cbdm", "cbdm": "cbdm", "t2h": "t2h", "coral": "coral", "ccua": "ccua"}  # method -> checkout
CLASSES, TIMES, SIZE = 10, 1000, 32
PRIOR = [0.01 ** (k / (CLASSES - 1)) for k in range(CLASSES)]  # CIFAR-10-LT at ratio 0.01


def checkouts(folder: Path) -> dict[str, Path]:
    """Return method -> checkout, or end with one sentence."""
    found = {}
    for file in sorted([*folder.glob("*/diffusion.py"), *folder.glob("*/*/*/diffusion.py")]):
        text = file.read_text(encoding="utf-8", errors="replace")
        if "class GaussianDiffusionTrainer" not in text or not (file.parent / "main.py").exists():
            continue
        marks = {"ccua": "uncond_info_nce", "t2h": "do_transfer_x0", "coral": "SupConLoss"}
        kind = next((name for name, mark in marks.items() if mark in text), "cbdm")
        found[kind] = file.parent
    missing = sorted({"cbdm", "t2h", "coral"} - found.keys())
    if missing:
        raise SystemExit(
            f"{folder} holds no checkout of the released code of {', '.join(missing)}: clone the repositories "
            "that `ltbench methods` names into it, or choose other parts with --only"
        )
    return found


def commit(checkout: Path) -> str:
    """Return the checkout's commit and whether a file of its own was changed."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(checkout), *words], capture_output=True, text=True
        ).stdout.strip()

    changed = any(
        line[:2].strip() == "M" and line.endswith(".py") for line in git("status", "-s").splitlines()
    )
    return (git("rev-parse", "--short", "HEAD") or "no git") + (" (changed)" if changed else "")


def stand_ins(device: str) -> list[str]:
    """Put modules into `sys.modules` for those that are imported but absent, and say which."""
    import torch
    from torch import nn

    done = []

    def absent(name: str) -> bool:
        return name not in sys.modules and importlib.util.find_spec(name) is None

    if absent("ipdb"):
        sys.modules["ipdb"] = types.ModuleType("ipdb")
        done.append("ipdb (empty)")
    if absent("pytorch_metric_learning"):
        from ltbench.methods.coral import supcon

        class SupConLoss(nn.Module):
            def __init__(self, temperature: float) -> None:
                super().__init__()
                self.temperature = temperature

            def forward(self, projection, labels):
                anchors = supcon(projection, labels, self.temperature)
                return anchors.sum() / (anchors > 0).sum().clamp(min=1)

        package = types.ModuleType("pytorch_metric_learning")
        package.losses = types.SimpleNamespace(SupConLoss=SupConLoss)
        sys.modules["pytorch_metric_learning"] = package
        done.append("pytorch_metric_learning (our SupCon)")
    if device == "cpu":
        torch.Tensor.cuda = lambda self, *_, **__: self
        done.append(".cuda() (stays on the CPU)")
    return done


def load(checkout: Path, device: str):
    """Return the checkout's modules ``diffusion`` and ``model.model`` and what stood in."""
    done = stand_ins(device)
    sys.path.insert(0, str(checkout))
    return importlib.import_module("diffusion"), importlib.import_module("model.model"), done


def function_of(file: Path, name: str):
    """Return one function of a script that cannot be imported, compiled from the file where it lies."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    wanted = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    namespace: dict = {}
    exec(compile(ast.Module(wanted, []), str(file), "exec"), namespace)
    return namespace[name]


def trainer_of(method: str, diffusion, network, weight):
    """Return the released trainer around `network`, with the settings of its own comparison."""
    schedule = (network, 1e-4, 0.02, TIMES, None, CLASSES, True)
    trainer = diffusion.GaussianDiffusionTrainer
    if method == "ccua":
        terms = {"ccua_ucl": 1.0, "ccua_al": 1.0}
        return trainer(*schedule, weight[None], transfer_x0=False, **terms)
    if method == "t2h":
        return trainer(*schedule, weight[None], transfer_x0=True, transfer_mode="t2h")
    common = (*schedule, method == "cbdm", 1.0, weight, False)
    if method == "coral":
        return trainer(*common, supcon=True, supcon_weight=0.01, temperature_scaling=1.0, supcon_temp=0.1)
    return trainer(*common)


def images_and_labels(batch: int, seed: int = 0):
    """Return a batch (B,3,32,32) in [-1, 1] and long-tailed labels."""
    import torch

    stream = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(PRIOR), batch, replacement=True, generator=stream)
    return torch.rand(batch, 3, SIZE, SIZE, generator=stream) * 2 - 1, labels


def step(method: str, checkout: str, batch: int, device: str):
    """A training step of the released code; for `pairs.compare`."""
    import torch

    root = Path(checkout)
    diffusion, model, done = load(root, device)
    update = function_of(root / "main.py", "ema")

    def build():
        torch.manual_seed(0)
        kind = {} if method == "ccua" else {"augm": False}
        network = model.UNet(TIMES, 128, [1, 2, 2, 2], [1], 2, 0.1, cond=True, num_class=CLASSES, **kind)
        average = copy.deepcopy(network)
        weight = torch.tensor(PRIOR) / sum(PRIOR)
        trainer = trainer_of(method, diffusion, network, weight).to(device)
        average.to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-4)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step, 5000) / 5000)
        images, labels = images_and_labels(batch)
        images, labels = images.to(device), labels.to(device)
        kept = []
        network.register_forward_pre_hook(
            lambda _module, _args, kwargs: kept.append(kwargs.get("y") is not None), with_kwargs=True
        )

        def one() -> bool:
            kept.clear()
            optimizer.zero_grad()
            terms = [term.mean() for term in trainer(images, labels)]
            loss = terms[0]
            if method == "cbdm" and terms[1] > 0:
                loss = loss + terms[1]
            if method == "coral":
                loss = loss + terms[2] * 0.1
            if method == "ccua":
                loss = loss + terms[2] + terms[3]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            update(network, average, 0.9999)
            loss.item()  # their progress bar shows it at every step
            return kept[0]  # the first pass is the one whose labels may be dropped

        one.note = "; ".join(done)
        return one

    return build


def transfer(checkout: str, batch: int, device: str):
    """T2H's released transfer of a batch's targets; for `pairs.compare`."""
    import torch

    diffusion, _, done = load(Path(checkout), device)

    def build():
        trainer = trainer_of("t2h", diffusion, None, torch.tensor(PRIOR) / sum(PRIOR)).to(device)
        x_0, y = (part.to(device) for part in images_and_labels(batch))
        noise = torch.randn_like(x_0)
        t = torch.randint(TIMES, (batch,), device=device)
        root, rest = trainer.sqrt_alphas_bar[t], trainer.sqrt_one_minus_alphas_bar[t]
        x_t = (root[:, None, None, None] * x_0 + rest[:, None, None, None] * noise).float()
        clean = x_0 + trainer.sigma_t[t].float()[:, None, None, None] * noise

        def one() -> None:
            trainer.do_transfer_x0(x_t, clean, x_0, t, y, return_transfer_label=True)

        one.note = "; ".join(done)
        return one

    return build
