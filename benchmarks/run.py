"""Speed, measured side by side with the released code, and written to benchmarks/RESULTS.md.

    python benchmarks/run.py --released FOLDER [--only step,methods,host,transfer,settings,calibration,...]

FOLDER holds checkouts of the released code (see `released`). Both sides of a comparison run in turns within
one run, so a ratio holds on a machine where seconds do not. Parts that are not measured keep their section, and
docs/speed-guide.md shows some of them; each says on which machine, with how many threads, when and at which
commit it was made.
"""

import argparse
import datetime
import os
import re
import time
from pathlib import Path

import bundles
import calibration
import costs
import deviations
import host
import profiling
import reports
import sampling
import scorers
import steps
import trials

HERE = Path(__file__).resolve().parent
RESULTS, GUIDE = HERE / "RESULTS.md", HERE.parent / "docs" / "speed-guide.md"
PARTS = {
    "step": ("A training step", steps.compare_steps),
    "methods": ("Every method's step", steps.compare_methods),
    "host": ("The host's share of a GPU's step", host.measure),
    "transfer": ("T2H's transfer", steps.compare_transfer),
    "settings": ("Precision and layout", steps.compare_settings),
    "trials": ("What torch's CPU build offers", trials.measure),
    "deviations": ("What speed options move", deviations.measure),
    "calibration": ("Samplers and a known distribution", calibration.measure),
    "sampling": ("Samplers", sampling.measure),
    "scoring": ("Scoring", scorers.measure),
    "startup": ("Start-up, harness, data preparation", costs.measure),
    "bundles": ("Bundles", bundles.measure),
    "reports": ("Reports", reports.measure),
    "profile": ("Where a step's time goes", profiling.measure),
}
NEED_RELEASED = ("step", "transfer", "scoring")
HEAD = """# Speed

Written by `python benchmarks/run.py`; edit nothing here. A ratio is ours / released unless it says otherwise.
"""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--released", type=Path, help="folder with checkouts of the released code")
    add("--only", help=f"comma-separated parts of {', '.join(PARTS)}")
    add("--pairs", type=int, default=20, help="pairs of measurements of a step (default 20)")
    add("--threads", type=int, default=os.cpu_count(), help="CPU threads a process (default: all cores)")
    add("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    add("--batch", type=int, help="images a step (default 16 on a CPU, 128 on a GPU)")
    add("--method", default="ddpm", help="the method that is profiled")
    add(
        "--results",
        type=Path,
        nargs="+",
        default=[HERE.parent / "results" / "digits"],
        help="finished runs or bundles, for sampling",
    )
    add("--dim", type=int, default=2048, help="features an image, for scoring")
    add("--per-class", type=int, default=50, help="images a class, for scoring")
    add("--runs", type=int, default=10_000, help="runs of the study that the harness is timed on")
    add("--images", type=int, default=2000, help="images prepared")
    add("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    named = asked.only.split(",") if asked.only else list(PARTS)
    if unknown := [name for name in named if name not in PARTS]:
        parser.error(f"no part called {unknown[0]!r}: choose from {', '.join(PARTS)}")
    needing = [name for name in named if name in NEED_RELEASED]
    if needing and asked.released is None:
        parser.error(
            f"{', '.join(needing)} compare with the released code: add --released FOLDER, or --only others"
        )
    if needing and not asked.released.is_dir():
        parser.error(f"--released {asked.released} is no folder: name the one that holds the checkouts")
    asked.parts = named
    return asked


def made_on(asked: argparse.Namespace, seconds: float, load: float) -> str:
    """Return one line: machine, threads, versions, date, commit."""
    from ltbench.runs.provenance import code_version, machine

    here, code = machine(), code_version()
    device = here["gpus"][0] if asked.device == "cuda" else here["processor"]
    versions = ", ".join(
        f"{name} {here['libraries'][name]}" for name in ("torch", "diffusers", "numpy", "scipy")
    )
    commit = (code.get("git_commit") or code["ltbench"])[:10] + (
        " (changed)" if code.get("git_dirty") else ""
    )
    day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    return (
        f"_{device}, {here['cores']} cores, {asked.threads} threads, load {load:.1f} at the start; "
        f"Python {here['python']}, {versions}; {day}, commit {commit}; {seconds:.0f} s._"
    )


def sections(text: str) -> dict[str, str]:
    """Return a results file's sections by part."""
    return dict(re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- /\1 -->", text, re.DOTALL))


def refresh(guide: Path, known: dict[str, str]) -> None:
    """Put the sections that a page of the guide shows into it, without their titles."""
    from ltbench.files import write_text

    text = guide.read_text(encoding="utf-8")
    for name in sections(text).keys() & known.keys():
        body = known[name].split("\n\n", 1)[1]
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)",
            lambda m, b=body: m[1] + b + m[2],
            text,
            flags=re.S,
        )
    write_text(guide, text)


def write(path: Path, found: dict[str, str]) -> None:
    from ltbench.files import write_text

    bodies = [f"<!-- {name} -->\n{found[name]}\n<!-- /{name} -->\n" for name in PARTS if name in found]
    write_text(path, "\n".join([HEAD, *bodies]))


def main() -> None:
    asked = options()
    if asked.device is None:
        import torch

        asked.device = "cuda" if torch.cuda.is_available() else "cpu"
    for name in asked.parts:
        title, measure = PARTS[name]
        print(f"{title} ...", flush=True)
        load, start = os.getloadavg()[0], time.perf_counter()
        body = measure(asked)
        said = made_on(asked, time.perf_counter() - start, load)
        known = sections(asked.out.read_text(encoding="utf-8")) if asked.out.exists() else {}
        known[name] = f"## {title}\n\n{said}\n\n{body}"
        write(asked.out, known)
        if asked.out == RESULTS:
            refresh(GUIDE, known)
        print(body + "\n", flush=True)


if __name__ == "__main__":
    main()
