"""The network that a run's images are guided away from: from a spec to the weaker network of autoguidance.

It is an earlier snapshot of the run's own training, or another run's network that is kept by its hash; of that the
averaged weights are taken, whole. Both predict for the same labels, so they must be of the same classes and shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from ltbench.data import get_source
from ltbench.diffusion.guidance import needs_network
from ltbench.diffusion.unet import Denoiser
from ltbench.errors import CheckpointError, UsageError
from ltbench.runs.layout import folder_name, kept_steps
from ltbench.runs.networks import network_spec, network_weights
from ltbench.specs import RunSpec, is_hash
from ltbench.training.model import Facts, build_model, leave_out, load_model, load_state


def other_spec(spec: RunSpec, root: Path) -> RunSpec | None:
    """Return the spec of the network that a run is guided away from, or None where it is the run's own.

    Raises
    ------
    CheckpointError : another run's network is not kept below `root`.
    """
    sample = spec.sample
    if not needs_network(sample):
        return None
    digest, early = sample.other_network
    if digest is not None:
        return network_spec(root, digest)
    return spec.model_copy(update={"train": spec.train.model_copy(update={"steps": early})})


def load_other(spec: RunSpec, root: Path, facts: Facts, device: str = "cpu") -> Denoiser | None:
    """Return the network that a run is guided away from, in eval mode, or None where it is the run's own.

    Raises
    ------
    CheckpointError : it is not there, broken, or of other classes or another shape.
    """
    other = other_spec(spec, root)
    if other is None:
        return None
    digest = spec.sample.bad_weights
    if digest is None:
        folder, step = root / folder_name(spec), other.train.steps
        kept = kept_steps(folder)
        if step not in kept:
            raise CheckpointError(
                f"{folder} keeps no weights of step {step}, which sample.bad_step names: there are "
                f"{', '.join(map(str, kept))}; train with train.snapshots={step} in another --out to have it"
            )
        model = load_model(other, root / folder_name(spec), facts, device, spec.sample.weights)
        leave_out(spec, model)
        return cast(Denoiser, model["denoiser"])
    if not is_hash(digest):
        raise UsageError(
            f"sample.bad_weights={digest} is a path, which `ltbench run` replaces by the weights' hash"
        )
    return cast(Denoiser, fitted(other, network_weights(root, digest), spec, facts)["denoiser"]).to(device)


def fitted(other: RunSpec, weights: Mapping[str, Tensor], spec: RunSpec, facts: Facts) -> nn.ModuleDict:
    """Return another run's network with its weights, in eval mode, built for the data of the run it is to guide.

    Raises
    ------
    CheckpointError : it is of other classes or another shape.
    """
    model = build_model(other, facts)
    try:
        _check_size(other, spec, facts)
        load_state(model, weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"the network of sample.bad_weights ({other.method.name} on {other.data.dataset}, model.size="
            f"{other.model.size}) does not fit {spec.data.dataset} ({reason}): name a run of the same classes and image size"
        ) from error
    return model.eval()


def _check_size(other: RunSpec, spec: RunSpec, facts: Facts) -> None:
    """Refuse a network of other images' size, which a convolutional network's weights do not tell."""
    source, own = get_source(other.data.dataset), facts.shape[1]
    if (other.data.dataset, other.data.image_size) != (spec.data.dataset, spec.data.image_size):
        size = source.size(other.data.image_size)
        if size != own:
            raise RuntimeError(f"it was trained on images of {size} x {size}, not {own} x {own}")
