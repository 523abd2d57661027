"""Keys: from a run's settings to the hashes by which its stages' products are known.

A key hashes only the fields that differ from their default, so adding a field whose default is the old
behaviour changes no key. Changing what a stage computes bumps that stage's version; a default that changes
keeps the old value as what the key leaves out (`KEY_BASE`), so that the keys of finished results stay.
"""

import functools
import hashlib
import json
from typing import Any

from pydantic import BaseModel

from ltbench.specs.run import RunSpec, ScoreSpec
from ltbench.specs.sampling import KEY_BASE, SampleSpec
from ltbench.specs.training import DataSpec, MethodSpec, ModelSpec, TrainSpec

TRAIN_VERSION = 1


SAMPLE_VERSION = 1


def _differing(model: BaseModel, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True, exclude=set(leave_out))


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def train_key(spec: RunSpec) -> str:
    """Return the full key (64 hex digits) of a training."""
    written = spec.method.model_dump_json()  # hyper-parameters 2 and 2.0 are equal, and their digests are not
    return _train_key(spec.data, spec.model, spec.method, spec.train, spec.train_seed, written)


@functools.lru_cache(maxsize=1 << 14)  # a sweep asks for the same few keys many thousand times
def _train_key(
    data: DataSpec, model: ModelSpec, method: MethodSpec, train: TrainSpec, seed: int, _written: str
) -> str:
    return _digest(
        {
            "version": TRAIN_VERSION,
            "data": _differing(data),
            "model": _differing(model),
            "method": _differing(method),
            "train": _differing(train, frozenset({"steps", "snapshots"})),
            "seed": seed,
        }
    )


def sample_key(spec: RunSpec) -> str:
    """Return the full key (64 hex digits) of a sample set: the training, its step and the sampler."""
    return _sample_key(train_key(spec), spec.train.steps, spec.sample)


@functools.lru_cache(maxsize=1 << 16)
def _sample_key(train: str, step: int, sample: SampleSpec) -> str:
    base = SampleSpec().model_dump(mode="json") | KEY_BASE
    settings = {name: value for name, value in sample.settings.items() if value != base[name]}
    return _digest({"version": SAMPLE_VERSION, "train": train, "step": step, "sample": settings})


def stage_key(spec: RunSpec, kind: str) -> str:
    """Return the full key of a stage's product: weights at a step, a sample set, its scores, its probes."""
    if kind == "sample":
        return sample_key(spec)
    if kind == "score":
        return _stage_key(kind, train_key(spec), spec.train.steps, sample_key(spec), spec.score)
    return _stage_key(kind, train_key(spec), spec.train.steps)


@functools.lru_cache(maxsize=1 << 16)
def _stage_key(kind: str, train: str, step: int, sample: str = "", score: ScoreSpec | None = None) -> str:
    content: dict[str, Any] = {"stage": kind, "train": train, "step": step}
    if score is not None:
        # Defaults that only add rows (pooled groups, cheap intervals) move no key: runs scored before stay
        # finished, and `ltbench evaluate` adds what they lack.
        content |= {"sample": sample, "score": _differing(score)}
    return _digest(content)
