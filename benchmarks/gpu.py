"""What a GPU reaches with ltbench, in one table: training, sampling, the host's share, scores, a killed run, graphs.

Called by gpu.sh. Training is the trainer's own step: the 35.7 M U-Net at batch 128 on 3x32x32, everything in it. Each part
stands by itself: one that fails leaves its reason in the table. Times are medians over steps, after a warm-up.
"""

import argparse
import datetime
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import generated
from steps import stepper, synthetic_cell, training_of

HERE = Path(__file__).resolve().parent
SETTINGS = {
    "fp32": {},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "bf16, channels_last": {"precision": "bf16", "channels_last": True},
    "bf16, channels_last, compile": {"precision": "bf16", "channels_last": True, "compile": True},
    "bf16, channels_last, CUDA graphs": {"precision": "bf16", "channels_last": True, "cuda_graphs": True},
}
GRAPHED = (("ddpm", 0.1), ("cbdm", 0.0), ("ccua", 0.0))  # method, dropout: one pass a step, and more
GRAPHED_SAMPLING = {  # where a prediction is still needed when the next network is called, or a step ends
    "autoguidance": {"sampler": "dpmsolver++", "steps": 20, "guidance": 1.0, "rule": "auto", "bad_step": 1},
    "ancestral, omega 0": {"sampler": "ancestral", "steps": 1000},
}


@dataclass(frozen=True)
class Scale:
    """How much is done: on a card, or scaled down to try the script."""

    size: str
    batch: int
    seconds: float  # of timing a setting
    least: int  # steps timed at least
    sampled: int  # images at a time
    sampler_steps: int
    run_size: str
    run_steps: int
    run_batch: int
    per_class: int  # training images a class in the generated files
    generated: int  # images a class that the run generates


FULL = Scale("ddpm32", 128, 4.0, 10, 250, 20, "small", 2000, 128, 500, 25)
SMALL = Scale("tiny", 8, 0.2, 2, 10, 2, "tiny", 120, 8, 50, 4)
Row = tuple[str, str, str]


def wait(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak_memory(device: str) -> str:
    import torch

    return f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB" if device.startswith("cuda") else ""


def timed(one: Callable[[], None], device: str, scale: Scale) -> float:
    """Return the median seconds of a call, three of them as warm-up."""
    for _ in range(3):
        one()
    wait(device)
    taken: list[float] = []
    while len(taken) < scale.least or sum(taken) < scale.seconds:
        start = time.perf_counter()
        one()
        wait(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def fresh(device: str) -> None:
    """Forget compiled graphs and peak memory of what was measured before."""
    import gc

    import torch

    gc.collect()
    torch._dynamo.reset()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_of(device: str, precision: str) -> float | None:
    """Return the card's stated peak FLOP/s, where the table of `ltbench plan --on` has this card."""
    import tomllib

    import ltbench

    if not device.startswith("cuda"):
        return None
    words = set(re.findall(r"[a-z0-9]+", card_name(device).lower()))
    text = (Path(ltbench.__file__).parent / "study" / "cards.toml").read_text(encoding="utf-8")
    for key, card in tomllib.loads(text)["cards"].items():
        if set(key.split("-")) <= words or key.removeprefix("rtx") in words:
            peak = card["peak"].get(precision)
            return None if peak is None else peak * 1e12
    return None


def card_name(device: str) -> str:
    import torch

    from ltbench.runs.provenance import machine

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else str(machine()["processor"])


# -- parts ------------------------------------------------------------------------------------------


def training(device: str, scale: Scale) -> Iterator[Row]:
    """Images a second of a training step in each setting."""
    from ltbench.diffusion.unet import flops
    from ltbench.training.model import plain_denoiser

    cell = synthetic_cell("cifar10_lt", (3, 32, 32))
    for name, given in SETTINGS.items():
        if scale is SMALL and {"compile", "cuda_graphs"} & set(given):
            continue  # a compiler's minute says nothing about the script
        fresh(device)
        try:
            made = training_of("ddpm", cell, device, size=scale.size, batch_size=scale.batch, **given)
            seconds = timed(stepper(made), device, scale)
            work = 3 * scale.batch * flops(plain_denoiser(made.spec, cell)) / seconds
        except Exception as error:  # a compiler that is not there must not cost the other settings
            yield f"training, {name}", "failed", reason(error)
            continue
        top = peak_of(device, given.get("precision", "fp32"))
        share = f", {work / top:.0%} of the stated peak" if top else ""
        note = (
            f"{1000 * seconds:.1f} ms a step, {work / 1e12:.3g} TFLOP/s{share}; {peak_memory(device)}".rstrip(
                "; "
            )
        )
        yield f"training, {name}", f"{scale.batch / seconds:,.0f} images/s", note


def sampling(device: str, scale: Scale) -> Iterator[Row]:
    """Images a second of sampling with guidance in each precision."""
    import torch

    from ltbench.diffusion.samplers import sample
    from ltbench.specs import SampleSpec

    cell = synthetic_cell("cifar10_lt", (3, 32, 32))
    network = training_of("ddpm", cell, device, size=scale.size, batch_size=2).model["denoiser"]
    labels = torch.arange(scale.sampled) % 10
    for precision in ("fp32", "tf32", "bf16"):
        fresh(device)
        asked = SampleSpec(
            sampler="dpmsolver++", steps=scale.sampler_steps, guidance=1.0, clip=True, precision=precision
        )

        def one(asked: SampleSpec = asked) -> None:
            sample(network, labels, sampler=asked, batch_size=scale.sampled, device=device)

        try:
            seconds = timed(one, device, Scale(**{**vars(scale), "least": 2}))
        except Exception as error:
            yield f"sampling, {precision}", "failed", reason(error)
            continue
        note = f"DPM-Solver++ {scale.sampler_steps} steps, guidance 1 (NFE {2 * scale.sampler_steps}), "
        note += f"{scale.sampled} at a time; {peak_memory(device)}"
        yield f"sampling, {precision}", f"{scale.sampled / seconds:,.1f} images/s", note.rstrip("; ")


def device_seconds(events: Iterable[Any]) -> float:
    """Return the seconds of kernels and copies in a profile.

    An operator of the host carries the time of the kernels it started, which have events of their own: counted
    together, each kernel would count twice.
    """
    from torch.autograd import DeviceType

    return (
        sum(
            event.self_device_time_total
            for event in events
            if event.device_type != DeviceType.CPU and not event.is_user_annotation
        )
        / 1e6
    )


def host(device: str, scale: Scale) -> Iterator[Row]:
    """The host's share of a step: wall time in which the device has nothing to do, by the profiler."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from ltbench import rng

    cell = synthetic_cell("cifar10_lt", (3, 32, 32))
    fresh(device)
    made = training_of("ddpm", cell, device, size=scale.size, batch_size=scale.batch, precision="bf16")
    one, steps = stepper(made), 10
    wall = timed(one, device, scale)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.startswith("cuda") else [])]
    with profile(activities=activities) as record:
        for _ in range(steps):
            one()
        wait(device)
    if device.startswith("cuda"):
        busy = device_seconds(record.key_averages()) / steps
        idle = max(0.0, 1 - busy / wall)
        yield (
            "host share, bf16",
            f"{idle:.0%}",
            f"device busy {1000 * busy:.1f} of {1000 * wall:.1f} ms a step",
        )
        waits = sum(
            e.count for e in record.key_averages() if re.search(r"cuda(Stream|Event)Synchronize", e.key)
        )
        yield (
            "waits for the device",
            f"{waits / steps:.1f} a step",
            "calls that wait for a stream or an event",
        )
    else:
        yield "host share, bf16", "", f"the host is the device: {1000 * wall:.1f} ms a step"
    seconds = timed(lambda: made.batches(0), "cpu", scale)
    yield (
        "a batch on the host",
        f"{1000 * seconds:.2f} ms",
        f"{scale.batch} images: order, noise, times, labels",
    )

    def noise() -> None:
        for index in range(scale.sampled):
            torch.randn(3, 32, 32, generator=rng.generator(0, "sample", index))

    seconds = timed(noise, "cpu", scale)
    yield (
        "sampling noise on the host",
        f"{1000 * seconds:.2f} ms",
        f"{scale.sampled} images, a generator each",
    )


def killed(device: str, scale: Scale) -> Iterator[Row]:
    """A run on files in CIFAR-10's format: stopped, killed, gone on with; each step once in its log."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        digests = generated.write_files(work / "data", scale.per_class)
        generated.write_plugin(work / "plugin", digests, scale.per_class)
        generated.write_extractor(work / "features.pt")
        command = [sys.executable, "-m", "ltbench", "run", "-m", "ddpm", "-d", "generated_lt", "-r", "0.1"]
        command += ["--out", str(work / "runs"), "--data-root", str(work / "data"), "--device", device]
        settings = {
            "model.size": scale.run_size,
            "train.steps": scale.run_steps,
            "train.batch_size": scale.run_batch,
            "train.warmup_steps": scale.run_steps // 20,
            "train.ema_decay": 0.99,
            "train.precision": "bf16",
            "sample.sampler": "dpmsolver++",
            "sample.steps": scale.sampler_steps,
            "sample.clip": "true",
            "sample.per_class": scale.generated,
            "score.extractors": f"torchscript:{work / 'features.pt'}",
            "score.metrics": "frechet",
        }
        command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        path = os.pathsep.join(filter(None, (str(work / "plugin"), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        start = time.perf_counter()
        reached = []
        for share, number in ((0.25, signal.SIGINT), (0.6, signal.SIGKILL)):
            reached.append(_until(command, environment, work, int(share * scale.run_steps), number))
        done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
        taken = time.perf_counter() - start
        log = next((work / "runs").glob("*/train.csv")).read_text().splitlines()
        steps = [int(line.partition(",")[0]) for line in log[1:]]
        whole = steps == sorted(set(steps)) and steps[-1] == scale.run_steps
        scores = list((work / "runs").glob("*/samples/*/scores.csv"))
        said = f"stopped at {reached[0]}, killed at {reached[1]}, then to step {steps[-1]}; "
        said += f"log {'whole' if whole else 'BROKEN'}, {len(scores)} sample set scored; {taken:.0f} s with three starts"
        yield (
            f"a run of {scale.run_steps} steps, killed and resumed",
            "done" if whole and scores else "FAILED",
            said,
        )


def _until(command: list[str], environment: dict, work: Path, step: int, number: int) -> int:
    """Run until the log reaches a step, send a signal to the whole group, and return the step then."""
    with (work / "output.txt").open("ab") as output:
        running = subprocess.Popen(
            command, env=environment, cwd=work, stdout=output, stderr=output, start_new_session=True
        )
        limit = time.monotonic() + 240
        while (now := _logged(work)) < step and running.poll() is None and time.monotonic() < limit:
            time.sleep(0.1)
        if number == signal.SIGINT:
            running.send_signal(number)  # the driver asks its workers to save and stop
        elif running.poll() is None:
            os.killpg(running.pid, number)
        running.wait(timeout=120)
    if now == 0:
        raise RuntimeError((work / "output.txt").read_text(errors="replace").strip().splitlines()[-1])
    return now


def _logged(work: Path) -> int:
    for log in (work / "runs").glob("*/train.csv"):
        last = log.read_text().rstrip().rsplit("\n", 1)[-1].partition(",")[0]
        return int(last) if last.isdigit() else 0
    return 0


def metrics(device: str, scale: Scale) -> Iterator[Row]:
    """The same images scored on the device and on the CPU: the largest relative difference of each number."""
    import numpy as np

    from ltbench.scoring.score import score_samples
    from ltbench.specs import RunSpec, ScoreSpec

    cell = synthetic_cell("cifar10_lt", (3, 32, 32))
    stream = np.random.default_rng(1)
    count = 10 * max(20, scale.generated)
    labels = np.arange(count) % 10
    images = stream.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    names = ("frechet", "kid", "precision_recall", "density_coverage")
    tables, seconds = {}, {}
    with tempfile.TemporaryDirectory() as name:
        generated.write_extractor(Path(name) / "features.pt")
        request = ScoreSpec(metrics=names, extractors=(f"torchscript:{name}/features.pt",), floor_draws=1)
        spec = RunSpec(data=cell.spec, score=request)
        for where in ("cpu", device):
            start = time.perf_counter()
            tables[where] = score_samples(cell, images, labels, spec, Path(name) / f"cache-{where}", where)
            seconds[where] = time.perf_counter() - start
    keys = ["metric", "scope", "class_or_group"]
    both = tables["cpu"].merge(tables[device], on=keys, suffixes=("_cpu", "_device"))
    both["difference"] = (both.value_device - both.value_cpu).abs() / both.value_cpu.abs().clip(lower=1e-3)
    worst = both.loc[both.difference.idxmax()]
    yield (
        f"{len(both)} scores against the CPU's",
        f"{both.difference.max():.1e}",
        f"largest relative difference ({worst.metric}, {worst.scope} {worst.class_or_group}); "
        f"{seconds[device]:.1f} s, on the CPU {seconds['cpu']:.1f} s",
    )


def graphs(device: str, scale: Scale) -> Iterator[Row]:
    """A small network's steps a second, eager and by CUDA graphs, and how far the losses of the two are apart."""
    cell = synthetic_cell("digits_lt", (1, 8, 8))
    for method, dropout in GRAPHED:
        name, rates, losses = f"small network, {method}, dropout {dropout:g}", [], []
        try:
            for graphed in (False, scale is FULL):  # a compiler's minute says nothing about the script
                fresh(device)
                made = training_of(
                    method,
                    cell,
                    device,
                    size="tiny",
                    dropout=dropout,
                    batch_size=64,
                    cuda_graphs=graphed,
                    learning_rate=1e-3,
                    warmup_steps=0,
                )
                one = stepper(made)
                for _ in range(20):
                    one()
                losses.append(float(made.totals["loss"]) / 20)
                rates.append(1 / timed(one, device, Scale(**{**vars(scale), "seconds": scale.seconds / 6})))
        except Exception as error:
            yield name, "failed", reason(error)
            continue
        apart = abs(losses[1] - losses[0]) / losses[0]
        note = f"by CUDA graphs, eager {rates[0]:,.0f}; 0.16 M, batch 64, 1x8x8; mean loss of 20 steps {apart:.0e} apart"
        yield name, f"{rates[1]:,.0f} steps/s", note
    yield from graphed_sampling(device, scale)


def graphed_sampling(device: str, scale: Scale) -> Iterator[Row]:
    """Images a second by CUDA graphs after a few training steps by them, eager, and how far the two's images are apart."""
    import torch

    from ltbench.diffusion.samplers import guide, sample
    from ltbench.specs import SampleSpec

    cell, labels = synthetic_cell("digits_lt", (1, 8, 8)), torch.arange(scale.sampled) % 10
    for name, settings in GRAPHED_SAMPLING.items():
        what, rates, images = f"small network, sampling, {name}", [], []
        asked = SampleSpec.model_validate({**settings, "clip": True})
        try:
            for graphed in (False, scale is FULL):
                fresh(device)
                networks = [trained_a_little(cell, device, graphed, seed) for seed in (1, 2)]
                guided = guide(networks[0], asked, None, networks[1])

                def one(guided: Any = guided, asked: SampleSpec = asked) -> torch.Tensor:
                    return sample(guided, labels, sampler=asked, batch_size=scale.sampled, device=device)

                one()  # compiles and records
                start = time.perf_counter()
                images.append(one().int())
                rates.append(scale.sampled / (time.perf_counter() - start))
        except Exception as error:
            yield what, "failed", reason(error)
            continue
        apart = (images[1] - images[0]).abs()
        note = f"by CUDA graphs, eager {rates[0]:,.0f}; {asked.steps} steps; pixels at most {apart.max()} of 255 apart, "
        yield what, f"{rates[1]:,.0f} images/s", note + f"in the mean {apart.float().mean():.1g}"


def trained_a_little(cell: Any, device: str, graphed: bool, seed: int) -> Any:
    """Return a network of stated random weights whose training took some steps, by graphs or not."""
    import torch

    made = training_of("ddpm", cell, device, size="tiny", batch_size=64, cuda_graphs=graphed)
    one, stream = stepper(made), torch.Generator().manual_seed(seed)
    for _ in range(5):
        one()
    with torch.no_grad():
        for parameter in made.parameters:  # the released initial weights predict nothing
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=stream))
    return made.denoiser


PARTS = {
    "training": training,
    "sampling": sampling,
    "host": host,
    "metrics": metrics,
    "killed": killed,
    "graphs": graphs,
}


def reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160].replace("|", "/")


def table(device: str, rows: list[Row], seconds: float, small: bool) -> str:
    """Return the page: what was measured where, and one row a number."""
    import torch

    from ltbench.runs.provenance import code_version, machine

    here, code = machine(), code_version()
    commit = (code.get("git_commit") or code["ltbench"])[:10] + (
        " (changed)" if code.get("git_dirty") else ""
    )
    scaled = (
        " **Scaled down to try the script: no number here says anything about the machine.**" if small else ""
    )
    return "\n".join(
        [
            f"# {card_name(device)}",
            "",
            f"Written by `benchmarks/gpu.sh` in {seconds:.0f} s on {datetime.date.today()}, commit {commit}; "
            f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, {here['cores']} cores of {here['processor']}. "
            f"Training: 35.7 M U-Net, DDPM, batch 128, 3x32x32, dropout 0.1; all times are medians.{scaled}",
            "",
            "| What | Measured | How |",
            "| :-- | --: | :-- |",
            *(f"| {what} | {value} | {how} |" for what, value, how in rows),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="default: cuda; a machine without one ends in a sentence")
    parser.add_argument("--small", action="store_true", help="scaled down, to try the script itself")
    parser.add_argument("--only", help=f"comma-separated parts of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="default: GPU-<card>.md beside this script")
    asked = parser.parse_args()
    import torch

    device = asked.device or "cuda"
    if device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(
            "this machine has no GPU that PyTorch finds; --small --device cpu tries the script itself"
        )
    parts = asked.only.split(",") if asked.only else list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part called {sorted(unknown)[0]!r}: choose from {', '.join(PARTS)}")
    name = re.sub(r"[^A-Za-z0-9]+", "-", card_name(device)).strip("-")
    out = asked.out or HERE / f"GPU-{name}.md"
    if not device.startswith("cuda"):
        torch.set_num_threads(1)
    rows: list[Row] = []
    start, failed = time.perf_counter(), False
    for part in parts:
        print(f"{part} ...", flush=True)
        try:
            for row in PARTS[part](device, SMALL if asked.small else FULL):
                rows.append(row)
                print("  " + " | ".join(row), flush=True)
                out.write_text(
                    table(device, rows, time.perf_counter() - start, asked.small), encoding="utf-8"
                )
        except Exception as error:
            rows.append((part, "failed", reason(error)))
            print(f"  failed: {reason(error)}", flush=True)
        failed |= any(value in ("failed", "FAILED") for _, value, _ in rows)
    out.write_text(table(device, rows, time.perf_counter() - start, asked.small), encoding="utf-8")
    print(f"{out}: {time.perf_counter() - start:.0f} s", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
