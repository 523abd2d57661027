"""One network, rebuilt in one place: parts inside the U-Net that are returned as well, through every file."""

import contextlib
import math

import pytest
import torch
from diffusers import UNet2DModel
from tiny_runs import checkpoint, digits, make_spec, same_tensors, tensors, train_in
from torch import nn
from torch.nn.utils import parametrize

from ltbench.diffusion.unet import count_parameters
from ltbench.environment import Environment
from ltbench.errors import CheckpointError, Interrupted, UsageError
from ltbench.interop.export import export_run
from ltbench.method import Method, registry
from ltbench.plugins import Extension
from ltbench.runs.spec_files import open_folder
from ltbench.training.model import build_model, load_model, load_state, method_tensors, state_of
from ltbench.training.trainer import Training


class LowRank(nn.Module):
    """W -> W + B A, reshaped: a part of the network that the method returns as well."""

    def __init__(self, weight, rank=2):
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight[0].numel()) * 0.1)
        self.up = nn.Parameter(torch.randn(len(weight), rank) * 0.1)

    def forward(self, weight):
        return weight + (self.up @ self.down).view_as(weight)


class Adapter(Method):
    """Adds a low-rank part to two convolutions of the U-Net and returns the parts."""

    name = "adapter"

    def places(self, unet):
        return [unet.unet.conv_in, unet.unet.up_blocks[0].resnets[0].conv1]

    def attach(self, unet):
        parts = nn.ModuleList()
        for place in self.places(unet):
            part = LowRank(place.weight)
            parametrize.register_parametrization(place, "weight", part)
            parts.append(part)
        return parts

    def merge(self, unet, _modules):
        for place in self.places(unet):
            parametrize.remove_parametrizations(place, "weight", leave_parametrized=True)


class Unmerged(Adapter):
    name = "unmerged"

    def merge(self, unet, _modules):
        pass


class Beside(Method):
    """Keeps the network's names: its part is a child of a convolution, which stays as it was."""

    name = "beside"

    def attach(self, unet):
        unet.unet.conv_out.part = LowRank(unet.unet.conv_out.weight)
        return unet.unet.conv_out.part


@pytest.fixture(autouse=True)
def _strangers(monkeypatch):
    strangers = {m.name: Extension(m.name, m, "this file") for m in (Adapter, Unmerged, Beside)}
    monkeypatch.setattr(registry.METHODS, "_found", {**registry.METHODS.extensions(), **strangers})
    torch.set_num_threads(1)


def averaged_by_hand(spec, folder):
    """Train step by step and keep the average of every parameter by name, in float64."""
    run = Training(spec, digits(), folder, Environment())
    decay, named = spec.train.ema_decay, dict(run.model.named_parameters())
    average = {name: p.detach().double().clone() for name, p in named.items()}
    step = run._one_step

    def watched():
        step()
        for name, p in named.items():
            average[name].mul_(decay).add_(p.detach().double(), alpha=1 - decay)

    run._one_step = watched
    run.run()
    return average, run


def trained(tmp_path, name="adapter", **changes):
    """A finished training in its own folder below `tmp_path`, as `ltbench run` leaves it."""
    spec = make_spec(name, **{"steps": 6, "ema_decay": 0.75} | changes)
    return spec, train_in(open_folder(spec, tmp_path), spec)


def test_a_part_inside_the_network_is_one_parameter():
    model = build_model(make_spec("adapter"), digits())
    plain = build_model(make_spec(), digits())
    inside = list(model["methods"].parameters())
    assert count_parameters(model) == count_parameters(plain) + sum(p.numel() for p in inside)
    assert len(model.state_dict()) == len(state_of(model)) + len(inside)  # torch itself lists them twice
    assert method_tensors(model) == {
        name for name in state_of(model) if ".parametrizations.weight.0." in name
    }
    assert not any(name.startswith("methods.") for name in state_of(model))


def test_sampled_weights_are_the_average_of_every_part(tmp_path):
    spec = make_spec("adapter", steps=6, ema_decay=0.75)
    average, _ = averaged_by_hand(spec, tmp_path)
    model = load_model(spec, tmp_path, digits())
    last = load_model(spec, tmp_path, digits(), which="raw")
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach().double(), average[name], rtol=1e-5, atol=1e-7)
    for p, raw in zip(model["methods"].parameters(), last["methods"].parameters(), strict=True):
        assert not torch.equal(p, raw)
    names = {name.removeprefix("ema.") for name in tensors(tmp_path, 6) if name.startswith("ema.")}
    assert names == set(state_of(model))


def test_its_gradient_is_clipped_once(tmp_path):
    spec = make_spec("adapter", steps=1, grad_clip=1e-3)
    train_in(tmp_path, spec)
    state = checkpoint(tmp_path)["optimizer"]["state"]
    norm = torch.stack([10 * state[i]["exp_avg"].norm() for i in state]).norm()
    assert len(state) == len(list(build_model(spec, digits()).parameters()))
    assert float(norm) == pytest.approx(1e-3, rel=1e-4)


def test_a_resumed_training_is_bit_identical(tmp_path):
    spec = make_spec("adapter", steps=6, dropout=0.1)
    whole = train_in(tmp_path / "whole", spec)
    with contextlib.suppress(Interrupted):
        train_in(tmp_path / "parts", spec, stop=iter([False, False, True]).__next__)
    assert checkpoint(tmp_path / "parts")["step"] == 3
    train_in(tmp_path / "parts", spec)
    assert same_tensors(tensors(tmp_path / "parts", 6), tensors(whole, 6))


def test_an_export_is_the_plain_network_with_the_same_noise(tmp_path):
    spec, folder = trained(tmp_path)
    assert export_run(folder, tmp_path / "diffusers") == 6
    exported = UNet2DModel.from_pretrained(tmp_path / "diffusers").eval()
    model = load_model(spec, folder, digits())["denoiser"]
    x, t, y = torch.randn(5, 1, 8, 8), torch.tensor([0, 10, 400, 800, 999]), torch.tensor([0, 3, 9, 5, 10])
    with torch.no_grad():
        torch.testing.assert_close(exported(x, t, y).sample, model(x, t, y).eps, rtol=0, atol=1e-6)
        assert not torch.allclose(
            model(x, t, y).eps, build_model(make_spec(), digits())["denoiser"].eval()(x, t, y).eps
        )


def test_a_method_that_does_not_merge_is_refused_in_one_sentence(tmp_path):
    _, folder = trained(tmp_path, "unmerged", steps=1)
    with pytest.raises(UsageError, match="unmerged adds parts inside the U-Net that its merge does not fold"):
        export_run(folder, tmp_path / "diffusers")


def test_a_training_starts_from_its_own_weights_and_not_from_another_methods(tmp_path):
    _, folder = trained(tmp_path)
    given = {n.removeprefix("ema."): v for n, v in tensors(folder, 6).items() if n.startswith("ema.")}
    run = Training(make_spec("adapter"), digits(), tmp_path / "again", Environment(), given)
    assert same_tensors(state_of(run.model), given)
    with pytest.raises(CheckpointError, match=r"do not fit this model \(.*conv_in.*\): .*and the method"):
        Training(make_spec(), digits(), tmp_path / "plain", Environment(), given)


def test_plain_weights_start_a_method_whose_parts_sit_inside(tmp_path):
    plain = train_in(tmp_path / "plain", make_spec(steps=2))
    given = {n.removeprefix("ema."): v for n, v in tensors(plain, 2).items() if n.startswith("ema.")}
    spec = make_spec("beside")
    run = Training(spec, digits(), tmp_path / "new", Environment(), given)
    fresh = state_of(build_model(spec, digits()))
    started = state_of(run.model)
    for name, value in started.items():
        assert torch.equal(value, given.get(name, fresh[name])), name
    assert len(started) == len(given) + 2


def test_files_that_hold_a_part_under_both_names_are_read():
    """As they were written before a part inside the network counted once: the first name's tensor is the averaged."""
    spec = make_spec("adapter", steps=1)
    model = build_model(spec, digits())
    both = {name: torch.full_like(v, math.pi) for name, v in model.state_dict().items()}
    both |= {n: torch.zeros_like(v) for n, v in both.items() if n.startswith("methods.")}
    load_state(model, both)
    assert all(bool((p == math.pi).all()) for p in model["methods"].parameters())


@pytest.mark.parametrize(
    ("attached", "says"),
    [
        ([nn.Identity()], "is a list, and must be a torch.nn.Module"),
        (nn.Parameter(torch.zeros(3)), "is a Parameter, and must be a torch.nn.Module"),
        (nn.Linear, "is Linear, and must be a torch.nn.Module"),
    ],
)
def test_what_is_attached_and_is_no_module_is_refused_in_one_sentence(attached, says):
    odd = type("Odd", (Method,), {"name": "odd", "attach": lambda *_: attached})()
    with pytest.raises(UsageError, match=f"what odd returns from attach {says} or None"):
        build_model(make_spec("ddpm"), digits(), registry.Composition([odd]))
