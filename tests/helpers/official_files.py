"""Official checkpoints kept as goldens, the folders they fit, and their outputs."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ltbench.data.prepare.prepare import prepare
from ltbench.interop.import_run import import_run
from ltbench.study.file import load_study

GOLDENS = Path(__file__).parents[1] / "goldens"
CBDM, CORAL = (GOLDENS / f"official_{name}_ckpt.pt" for name in ("cbdm", "coral"))
ALIKE = {"atol": 1e-4, "rtol": 0}


def golden(path):
    with np.load(path.with_name(f"{path.stem}_io.npz")) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def prepared(root, classes):
    """Prepare a folder of a few 16x16 images a class."""
    for k in range(classes):
        for i in range(4):
            path = root / "images" / f"class{k}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(10 * k + i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
    prepare("folder_lt", root / "images", root / "data", image_size=16, workers=1)
    return root / "data"


def imported(path, method, data_root, out, *sets):
    import_run(path, method, out, dataset="folder_lt", sets=sets, data_root=data_root)
    (folder,) = out.glob("folder_lt-*")
    (spec,) = load_study(folder / "study.toml").runs
    return folder, spec


def check_golden_outputs(predict, theirs):
    """Compare a network, (x, t, label) -> noise, with what the authors' code computed with these weights."""
    io = golden(CBDM)
    with torch.no_grad():
        conditional = predict(io["x"], io["t"], io["y"])
        unconditional = predict(io["x"], io["t"], torch.full_like(io["y"], 10))
    torch.testing.assert_close(conditional, io[f"{theirs}_eps_cond"], **ALIKE)
    torch.testing.assert_close(unconditional, io[f"{theirs}_eps_uncond"], **ALIKE)
