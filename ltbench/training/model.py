"""The network of a run: a spec to U-Net and attached parts, stored weights to a trained one, either to plain weights.

This is the only place that builds a run's network. A parameter that a method adds inside the U-Net and also
returns from `attach` is one parameter: a state holds each tensor once, under the first of its names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from ltbench import rng
from ltbench.data.sources import closed_form
from ltbench.diffusion.closed_form import ClosedForm
from ltbench.diffusion.unet import Denoiser, build_denoiser
from ltbench.errors import CheckpointError, UsageError
from ltbench.method.composition import Composition
from ltbench.method.double import require_float64
from ltbench.method.registry import create
from ltbench.runs.layout import weights_path
from ltbench.runs.weights import load_weights
from ltbench.specs import RunSpec, train_key

EXACT = "exact"
"""The model size that is no U-Net and has nothing to train."""


class Facts(Protocol):
    """What a network needs of its data; a `Dataset` has it, and so has a plan made without the files."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""

    @property
    def num_classes(self) -> int:
        """Number of classes K."""

    @property
    def prior(self) -> np.ndarray:
        """(K,) share of each class in the training set."""


def build_model(spec: RunSpec, facts: Facts, method: Composition | None = None) -> nn.ModuleDict:
    """Return {"denoiser", "methods"}: the U-Net, equal for all methods at a seed, and what methods attach.

    Raises
    ------
    UsageError
        A method attaches what is no module.
    """
    method = create(spec.method) if method is None else method
    model = nn.ModuleDict({"denoiser": plain_denoiser(spec, facts), "methods": nn.ModuleDict()})
    for name, part in method.parts:
        rng.reseed_global(spec.train_seed, f"attach/{name}")
        module: object = part.attach(model["denoiser"])
        if module is None:
            continue
        if not isinstance(module, nn.Module):
            what = module.__name__ if isinstance(module, type) else f"a {type(module).__name__}"
            raise UsageError(
                f"what {name} returns from attach is {what}, and must be a torch.nn.Module or None: an nn.ModuleList "
                "holds several, an nn.ParameterList parameters"
            )
        model["methods"][name] = module  # type: ignore[operator]
    return model


def plain_denoiser(spec: RunSpec, facts: Facts) -> Denoiser:
    """Return the freshly initialised U-Net, to which no method has attached anything."""
    channels, size, _ = facts.shape
    network = spec.model
    if network.size == EXACT:
        return cast(Denoiser, _exact_denoiser(spec, facts))  # is called, sampled and stored alike
    return build_denoiser(
        network.size, facts.num_classes, channels, size, network.dropout, spec.train_seed, network.overrides
    )


def _exact_denoiser(spec: RunSpec, facts: Facts) -> ClosedForm:
    """Return the perfect network for the data set whose distribution is known."""
    if spec.data.dataset != closed_form.SOURCE.name:
        raise UsageError(
            f"model.size=exact is known for data.dataset={closed_form.SOURCE.name} only: choose tiny, small, ddpm32 "
            f"or ddpm64 for {spec.data.dataset}"
        )
    prior = torch.as_tensor(facts.prior)  # of the long-tailed training set: what a perfect network has seen
    means, sds = (torch.from_numpy(v) for v in (closed_form.class_means(), closed_form.class_sds()))
    return ClosedForm(means, sds, prior, facts.shape)


def load_model(
    spec: RunSpec, folder: Path, facts: Facts, device: str | torch.device = "cpu", which: str = "ema"
) -> nn.ModuleDict:
    """Return the trained network of a run at its last step, in eval mode.

    Parameters
    ----------
    spec
        The run whose network it is.
    folder
        The training's folder.
    facts
        The data cell's shape, classes and prior.
    device
        Where the network is put.
    which
        ``ema``, averaged weights, or ``raw``, the last.

    Raises
    ------
    CheckpointError
        The weights are missing, broken, another training's, or do not fit the spec.
    """
    path = weights_path(folder, spec.train.steps)
    model = build_model(spec, facts)
    try:
        load_state(model, load_weights(path, which, train_key(spec)))
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights {path} do not fit the model: delete that file and run again"
        ) from error
    if any(held.dtype == torch.float64 for held in (*model.parameters(), *model.buffers())):
        require_float64(device, f"model.size={spec.model.size}")
    return model.to(device).eval()


def leave_out(spec: RunSpec, model: nn.ModuleDict) -> None:
    """Switch off what ``sample.leave_out`` names in a network that images are about to be drawn from.

    Raises
    ------
    UsageError
        The method has no such part.
    """
    attached = dict(model["methods"].named_children())
    for name, method, part in create(spec.method).left_out(spec.sample.leave_out):
        method.leave_out(part, model["denoiser"], attached.get(name))


def merged_denoiser(spec: RunSpec, model: nn.ModuleDict) -> Denoiser:
    """Return the model's U-Net with all that methods put inside folded into its plain weights; `model` is used up.

    Raises
    ------
    UsageError
        A method leaves parts inside that it does not fold.
    """
    if spec.model.size == EXACT:
        raise UsageError("model.size=exact is a formula and no network: there is nothing to export")
    denoiser: Denoiser = model["denoiser"]  # type: ignore[assignment]
    attached = dict(model["methods"].named_children())
    for name, part in create(spec.method).parts:
        part.merge(denoiser, attached.get(name))
    plain = Denoiser(denoiser.config).state_dict()
    if plain.keys() != denoiser.state_dict().keys():
        left = sorted(plain.keys() ^ denoiser.state_dict().keys())
        raise UsageError(
            f"{spec.method.name} adds parts inside the U-Net that its merge does not fold ({left[0]}): "
            "give the method a merge that leaves the plain network"
        )
    return denoiser


# -- states -----------------------------------------------------------------------------------------


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return name -> parameter or buffer, the objects themselves, each once under its first name."""
    first: dict[int, str] = {}
    tensors = model.state_dict(keep_vars=True)
    return {name: value for name, value in tensors.items() if first.setdefault(id(value), name) == name}


def state_of(
    model: nn.Module, parameters: Iterable[Tensor] = (), values: Iterable[Tensor] = ()
) -> dict[str, Tensor]:
    """Return the model's state, each tensor once; `values` stand in place of their `parameters`."""
    instead = {id(p): value for p, value in zip(parameters, values, strict=True)}
    return {name: instead.get(id(tensor), tensor).detach() for name, tensor in _tensors(model).items()}


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set the model's tensors from a state; names that stand for a tensor already given are not needed.

    Raises
    ------
    RuntimeError
        A tensor is missing, unknown or of another shape.
    """
    aliases = model.state_dict().keys() - _tensors(model).keys()
    given = {name: value for name, value in state.items() if name not in aliases}
    missing = _tensors(model).keys() - given.keys()
    if missing:
        raise RuntimeError(f"the state lacks {sorted(missing)[0]}")
    unknown = model.load_state_dict(given, strict=False).unexpected_keys
    if unknown:
        raise RuntimeError(f"the model has no {unknown[0]}")


def method_tensors(model: nn.ModuleDict) -> set[str]:
    """Return the names, as `state_of` has them, of what methods attach: beside the U-Net, or inside and returned."""
    owned = {id(tensor) for tensor in model["methods"].state_dict(keep_vars=True).values()}
    return {name for name, tensor in _tensors(model).items() if id(tensor) in owned}


def load_initial(model: nn.ModuleDict, weights: Mapping[str, Tensor]) -> None:
    """Start from a trained network; parts of a method that is not (or newly) used are left out.

    Raises
    ------
    CheckpointError
        The weights are another network's; so are those that another method put parts inside of.
    """
    fresh, of_methods = state_of(model), method_tensors(model)
    given = {
        name: value for name, value in weights.items() if name in fresh or not name.startswith("methods.")
    }
    untrained = {name: fresh[name] for name in of_methods - given.keys()}
    try:
        load_state(model, untrained | given)
    except RuntimeError as error:
        raise CheckpointError(
            f"the initial weights do not fit this model ({error}): choose the model.size and data set they were "
            "trained with, and the method where it adds parts inside the network"
        ) from error
