"""A stand-in for the stages: the same artifacts and promises (atomic, resumable, deterministic), no network.

Run as a program it is a worker of the local driver. ``train.learning_rate`` chooses a mishap, see `MISHAPS`.
"""

import hashlib
import json
import os
import resource
import signal
import sys
import time
from dataclasses import replace

import numpy as np

from ltbench.environment import Environment
from ltbench.errors import DataMissing, Interrupted, NonFiniteLoss
from ltbench.files import read_json, replacing, storage_errors, write_json, write_text
from ltbench.pipeline import is_done
from ltbench.sweep import failures, worker

STEP_SECONDS = float(os.environ.get("STUB_STEP_SECONDS", "0.002"))
SAVE_EVERY = 5


def mishap(stage):
    """Return what goes wrong in this stage; the last digits of the learning rate say."""
    return MISHAPS.get(round(stage.spec.train.learning_rate * 1e6) % 100) if stage.kind == "train" else None


def die(_stage, _root):
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(stage, root):
    mark = root / f"{stage.folder.name}.died"
    if not mark.exists():
        mark.write_text("")
        die(stage, root)


def memory_once(stage, root):
    mark = root / f"{stage.folder.name}.failed"
    if not mark.exists():
        mark.write_text("")
        raise MemoryError("Unable to allocate 3 GiB")


def bug(_stage, _root):
    print("about to fail", flush=True)
    raise ZeroDivisionError("division by zero")


def not_finite(_stage, _root):
    raise NonFiniteLoss("the loss became NaN at step 3: lower train.learning_rate")


def missing(_stage, root):
    if not (root / "the-data").exists():
        raise DataMissing("the-data is absent: put it there")


def deaf_once(stage, root):
    mark = root / f"{stage.folder.name}.deaf"
    if not mark.exists():
        mark.write_text("")
        time.sleep(1000)


def nothing(_stage, _root):
    return True


MISHAPS = {1: die, 2: die_once, 3: memory_once, 4: bug, 5: not_finite, 6: missing, 7: deaf_once, 8: nothing}


def weights_of(stage, root):
    return root / stage.folder / "weights" / f"step-{stage.spec.train.steps:08d}.safetensors"


def run_stage(stage, root, env):
    if (wrong := mishap(stage)) and wrong(stage, root):
        return
    {"train": train, "sample": sample, "score": score, "probe": probe}[stage.kind](stage, root, env)


def train(stage, root, env):
    folder, steps = root / stage.folder, stage.spec.train.steps
    checkpoint = folder / "checkpoint.json"
    state = read_json(checkpoint) if checkpoint.exists() else {"step": 0, "hash": stage.folder.name}
    log = folder / "train.csv"
    kept = (
        [line for line in log.read_text().splitlines() if int(line.split(",")[0]) <= state["step"]]
        if log.exists()
        else []
    )
    write_text(log, "".join(f"{line}\n" for line in kept), env.guard)
    while state["step"] < steps:
        time.sleep(STEP_SECONDS)
        state = {"step": state["step"] + 1, "hash": hashlib.sha256(state["hash"].encode()).hexdigest()}
        stopping = env.stop()
        if state["step"] % SAVE_EVERY == 0:
            env.guard()
            with storage_errors(log), log.open("a") as handle:
                handle.write(f"{state['step']},{state['hash']}\n")
        if state["step"] % SAVE_EVERY == 0 or stopping:
            write_json(checkpoint, state, env.guard)
            env.progress({"stage": "train", "step": state["step"], "total": steps, "loss": 1.0})
        if stopping:
            raise Interrupted(f"stopped at step {state['step']}, saved")
    write_text(weights_of(stage, root), state["hash"], env.guard)


def sample(stage, root, env):
    seed = hashlib.sha256(f"{weights_of(stage, root).read_text()} {stage.key}".encode()).digest()[:8]
    for step in range(5):
        time.sleep(STEP_SECONDS)
        if env.stop():
            raise Interrupted("stopped while sampling")
        env.progress({"stage": "sample", "step": step, "total": 5})
    images = np.random.default_rng(int.from_bytes(seed)).integers(0, 256, (8, 32, 32), np.uint8)
    for name, array in (("labels", np.arange(8)), ("images", images)):
        path = root / stage.sample_folder / f"{name}.npy"
        with replacing(path, env.guard) as temporary, temporary.open("wb") as handle:
            np.save(handle, array)


def score(stage, root, env):
    images, done = (
        np.load(root / stage.sample_folder / "images.npy"),
        root / stage.sample_folder / "scored.json",
    )
    requests = json.loads(done.read_text())["requests"] if done.exists() else {}
    write_text(done.with_name("scores.csv"), f"mean\n{images.mean()}\n", env.guard)
    write_json(done, {"requests": {**requests, stage.key: {"mean": float(images.mean())}}}, env.guard)


def probe(stage, root, env):
    text = hashlib.sha256(weights_of(stage, root).read_bytes()).hexdigest()
    write_text(root / stage.folder / "probes" / f"step-{stage.spec.train.steps:08d}.csv", text, env.guard)


def pipeline(_settings):
    return worker.Stages(is_done, run_stage, Environment.of)


if __name__ == "__main__":
    if (share := float(os.environ.get("STUB_DELAY", "1"))) != 1:  # of the seconds between two attempts
        for kind, policy in failures._POLICIES.items():
            failures._POLICIES[kind] = replace(policy, delay=policy.delay * share)
    if limit := int(os.environ.get("STUB_FILE_LIMIT", "0")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.exit(worker.main(sys.argv[1:], pipeline))
