"""Another run as the weaker network of guidance: from the folder that a study names to the hash in each run's spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ltbench.diffusion.guidance import needs_network
from ltbench.errors import UsageError
from ltbench.files import user_path
from ltbench.runs.layout import weights_path
from ltbench.runs.networks import keep_network, network_spec, network_weights, read_network
from ltbench.runs.weights import load_weights
from ltbench.specs import RunSpec, is_hash
from ltbench.study.checks import validate
from ltbench.training.guiding import fitted


def with_networks(
    runs: Sequence[RunSpec], root: Path, data_root: Path | None, keep: bool = True
) -> tuple[tuple[RunSpec, ...], dict[str, RunSpec]]:
    """Replace the folders of ``sample.bad_weights`` by the hash of their weights, and keep those below `root`.

    Parameters
    ----------
    runs
        Of a study.
    root
        The output folder.
    data_root
        Where data sets are, whose shape the network must fit.
    keep
        False: nothing is written, as for a plan.

    Returns
    -------
    The runs, and the spec of each weaker network by its hash.

    Raises
    ------
    UsageError, CheckpointError : a folder or hash that holds no network, or one of other classes or another shape.
    """
    read: dict[tuple[str, int | None], tuple[RunSpec, str]] = {}
    specs: dict[str, RunSpec] = {}
    checked: set[tuple[str, str]] = set()
    out = []
    for run in runs:
        name, step = run.sample.bad_weights, run.sample.bad_step
        if name is None or not needs_network(run.sample):
            out.append(run)
            continue
        if (name, step) not in read:
            read[name, step] = _read(name, step, root)
        other, digest = read[name, step]
        pair = (digest, run.data.model_dump_json())
        if pair not in checked:
            checked.add(pair)
            weights = (
                network_weights(root, digest) if is_hash(name) else load_weights(_weights(name, other), "ema")
            )
            fitted(other, weights, run, validate(run, data_root, need_files=False))
        if keep and not is_hash(name) and digest not in specs:
            keep_network(root, user_path(name), other, digest)
        specs[digest] = other
        update = {"bad_weights": digest, "bad_step": None}
        out.append(run.model_copy(update={"sample": run.sample.model_copy(update=update)}))
    return tuple(out), specs


def _read(name: str, step: int | None, root: Path) -> tuple[RunSpec, str]:
    if is_hash(name):
        return network_spec(root, name), name
    folder = user_path(name)
    if not folder.is_dir():
        raise UsageError(
            f"sample.bad_weights={name}: there is no such folder; give a run's folder, or the hash of weights that "
            f"are kept below {root}"
        )
    return read_network(folder, step)


def _weights(name: str, spec: RunSpec) -> Path:
    return weights_path(user_path(name), spec.train.steps)
