"""A GPU's rules without a GPU: devices of every tensor, what waits for the device, batches made ahead, options."""

import contextlib

import pytest
import torch
from fake_gpu import Waits, fake_mode, on_fake_cuda
from tiny_runs import digits, lively_model, make_spec, same_tensors, tensors, train_in

from ltbench import rng
from ltbench.data import load_dataset
from ltbench.diffusion.calibration import calibrate
from ltbench.diffusion.samplers import sample_batch
from ltbench.environment import Environment
from ltbench.errors import UsageError
from ltbench.method import Prediction, registry
from ltbench.runs.layout import weights_path
from ltbench.runs.weights import save_weights
from ltbench.specs import DataSpec, ModelSpec, SampleSpec, train_key
from ltbench.training import trainer
from ltbench.training.batches import BatchesAhead, BatchSource
from ltbench.training.model import build_model, load_model, state_of
from ltbench.training.trainer import Training

CPU = torch.device("cpu")


def fake_step(name, variant, tmp_path, monkeypatch, **train):
    """Take one training step on fake `cuda` tensors; return what waited and how many copies were made.

    The backward pass is torch's own and needs a driver: it is stood in for by gradients of the right shape.
    """
    parts = {name: {"variant": variant}} if variant else None
    spec = make_spec(
        name, parts, dropout=0.1, label_dropout_mode="sample", label_dropout=0.3, flip=True, **train
    )
    method = registry.create(spec.method)
    draws = BatchSource(digits(), spec.train, method.needs, 0, CPU).draw(0)
    model, mode = build_model(spec, digits(), method), fake_mode()
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)  # not there for fake tensors
    monkeypatch.setattr(rng, "reseed_global", lambda *_: None)  # a generator's state is a tensor
    monkeypatch.setattr(trainer, "build_model", lambda *_: on_fake_cuda(model, mode))
    monkeypatch.setattr(BatchSource, "draw", lambda *_: draws)
    with mode:
        run = Training(spec, digits(), tmp_path, Environment(device="cuda"))
        run._stream = lambda *_: torch.Generator()

        def backward(loss):
            assert loss.requires_grad
            assert loss.device.type == "cuda"
            for p in run.parameters:
                p.grad = torch.empty_like(p)

        monkeypatch.setattr(torch.Tensor, "backward", backward)
        run.model.train()
        with Waits() as waits:
            run._one_step()
        assert all(total.device.type == "cuda" for total in run.totals.values())
        assert {p.device.type for p in run.parameters} == {"cuda"} == {p.device.type for p in run.ema}
    return waits


VARIANTS = [(n, v) for n, method in registry.known_methods().items() for v in method.VARIANTS]
NAMES = [(n, None) for n, method in registry.known_methods().items() if not method.VARIANTS]


@pytest.mark.parametrize(
    ("name", "variant"), [*NAMES, *VARIANTS, ("cbdm+cm", None), ("cm+t2h", None), ("ccua+coral+t2h", None)]
)
def test_a_step_mixes_no_devices_and_waits_for_none(name, variant, tmp_path, monkeypatch):
    # A variant may draw by a ratio, whose power is taken on the host before the first step.
    monkeypatch.setattr("ltbench.training.batches.draw_power", lambda *_: 0.5)
    waits = fake_step(name, variant, tmp_path, monkeypatch)
    assert waits.found == []
    assert waits.copies >= 6  # rows, flips, times, abar, noise, dropped labels


@pytest.mark.parametrize(("name", "variant"), [*NAMES, *VARIANTS, ("cm+t2h", None)])
def test_a_step_on_an_apple_gpu_makes_no_double_there(name, variant, tmp_path, monkeypatch):
    """The stand-in is fake `cuda`, which is said to have no float64: this PyTorch knows no `mps`."""
    monkeypatch.setattr("ltbench.training.batches.draw_power", lambda *_: 0.5)
    monkeypatch.setattr("ltbench.method.double.has_float64", lambda device: device.type == "cpu")
    steps = fake_step(name, variant, tmp_path, monkeypatch)
    assert steps.doubles == []
    assert [found for found in steps.found if "mixes" in found] == []


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpmsolver++", "sde-dpmsolver++"])
@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_a_sampler_on_an_apple_gpu_makes_no_double_there(sampler, guidance, monkeypatch):
    """The stand-in is `meta`: tensors without content, which mix with the CPU's scalars as a GPU's do."""
    monkeypatch.setattr("ltbench.diffusion.samplers.precision", lambda *_: contextlib.nullcontext())
    spec = SampleSpec(sampler=sampler, steps=1000 if sampler == "ancestral" else 4, guidance=guidance)

    def denoiser(x, t, label):
        return Prediction(x * 0.5 + t.view(-1, 1, 1, 1) * 1e-3 + label.view(-1, 1, 1, 1), x)

    denoiser.shape, denoiser.num_classes = (1, 8, 8), 10
    with Waits() as steps:
        draws = [torch.Generator(), torch.Generator()]
        images = sample_batch(denoiser, torch.arange(2), spec, draws, "meta")
    assert images.device.type == "meta"
    assert images.dtype == torch.float32
    assert steps.doubles == []
    assert [found for found in steps.found if "mixes" in found] == []


def test_what_needs_doubles_is_refused_on_an_apple_gpu_in_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="calibration computes in double precision, which mps has not"):
        calibrate(SampleSpec(sampler="ddim", steps=4), "mps")
    spec = make_spec().model_copy(
        update={"model": ModelSpec(size="exact"), "data": DataSpec(dataset="closed_form")}
    )
    cell = load_dataset(spec.data)
    save_weights(
        weights_path(tmp_path, spec.train.steps),
        *[state_of(build_model(spec, cell))] * 2,
        train_key(spec),
        spec.train.steps,
        lambda: None,
    )
    assert load_model(spec, tmp_path, cell)["denoiser"].num_classes == 10
    with pytest.raises(UsageError, match=r"model\.size=exact computes in double precision"):
        load_model(spec, tmp_path, cell, "mps")


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_neither_does_a_step_in_another_precision(precision, tmp_path, monkeypatch):
    assert fake_step("cm+coral", None, tmp_path, monkeypatch, precision=precision).found == []


def test_the_stand_in_sees_what_waits(tmp_path, monkeypatch):
    """The test above can fail: a read of a value, a mixture of devices and a blocking copy are found."""
    method = registry.known_methods()["cbdm"]

    def careless(_self, batch, prediction, _ctx):
        table = torch.ones(3)
        return {
            "moved": prediction.eps.mean() + table.to("cuda").sum(),
            "read": batch.noise[torch.arange(2)].mean(),
        }

    monkeypatch.setattr(method, "regularizers", careless)
    waits = fake_step("cbdm", None, tmp_path, monkeypatch)
    assert [found.split()[0] for found in waits.found] == ["blocking", "aten.index.Tensor"]

    monkeypatch.setattr(
        method, "regularizers", lambda _self, _b, p, _ctx: {"read": p.eps.mean() * p.eps.mean().item()}
    )
    with pytest.raises(Exception, match="local_scalar_dense"):
        fake_step("cbdm", None, tmp_path, monkeypatch)


def test_a_training_with_batches_ahead_ends_bit_identical(tmp_path):
    spec = make_spec("ccua+tempered", dropout=0.1, steps=6, flip=True)
    plain = train_in(tmp_path / "plain", spec)
    run = Training(spec, digits(), tmp_path / "ahead", Environment())
    run.batches = BatchesAhead(run.source, 6)
    run._loop()
    run.batches.close()
    assert same_tensors(tensors(plain, 6), tensors(tmp_path / "ahead", 6))


def after_two_steps(tmp_path, name, dropout=0.3, **environment):
    """Return the state after two steps from awake weights, and the terms' sums."""
    spec = make_spec(name, dropout=dropout, steps=2, learning_rate=1e-3)
    given = state_of(lively_model(spec))
    run = Training(spec, digits(), tmp_path, Environment(**environment), given)
    run.model.train()
    for step in range(2):
        run.step = step
        run._one_step()
    return state_of(run.model), {n: v.item() for n, v in run.totals.items()}


@pytest.mark.parametrize("name", ["ddpm", "cbdm+cm", "ccua"])
def test_recomputed_activations_change_no_bit(tmp_path, name):
    """Also where a method switches a part off for one pass, which the recomputation has to see."""
    plain, terms = after_two_steps(tmp_path / "plain", name)
    again, other = after_two_steps(tmp_path / "again", name, recompute=True)
    assert terms == other
    assert same_tensors(plain, again)


def test_recomputed_activations_need_less_memory():
    def kept(recompute):
        model = lively_model(make_spec("cm"))
        if recompute:
            model["denoiser"].recompute_activations()
        total = 0

        def pack(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            eps = model["denoiser"](torch.randn(16, 1, 8, 8), torch.arange(16), torch.arange(16) % 10).eps
        return total, eps

    assert kept(True)[0] < 0.5 * kept(False)[0]


DEVIATIONS = {
    "channels_last": {"channels_last": True},
    "compiled": {"compile": True},
    "graphs": {"cuda_graphs": True},
    "compiled, recomputed": {"compile": True, "recompute": True},
}


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("channels_last", "ddpm"),
        ("channels_last", "cbdm+cm"),
        ("compiled", "ddpm"),
        pytest.param("compiled", "cbdm+cm", marks=pytest.mark.slow),
        ("compiled, recomputed", "cm"),
        pytest.param("graphs", "ddpm", marks=pytest.mark.slow),
    ],
)
def test_a_speed_option_changes_rounding_only(tmp_path, name, option, monkeypatch):
    """Compiled with the tracing backend, which needs no C compiler: the same graph, an operation at a time.

    Without dropout: channels_last draws other masks, since a mask is drawn in the order of memory.
    """
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **_: compiled(model, backend="aot_eager"))
    torch._dynamo.reset()
    plain, terms = after_two_steps(tmp_path / "plain", name, dropout=0.0)
    other, changed = after_two_steps(tmp_path / "other", name, dropout=0.0, **DEVIATIONS[option])
    assert changed == pytest.approx(terms, rel=1e-4)
    far = [n for n, v in plain.items() if not torch.allclose(other[n], v, rtol=1e-3, atol=1e-4)]
    # Adam moves a weight by 1e-3 whatever the gradient's size, so rounding of a gradient near 0 may show.
    assert len(far) <= len(plain) // 10
    assert all(torch.allclose(other[n], plain[n], atol=4e-3) for n in far)
    torch._dynamo.reset()


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_a_lower_precision_stays_near_single(tmp_path, precision):
    """On a CPU tf32 is fp32; bf16's terms are good to a hundredth."""
    spec = make_spec("cbdm+ccua", steps=1)
    given, found = state_of(lively_model(spec)), {}
    for how in ("fp32", precision):
        run = Training(
            make_spec("cbdm+ccua", steps=1, precision=how), digits(), tmp_path / how, Environment(), given
        )
        run.model.train()
        run._one_step()
        found[how] = {n: v.item() for n, v in run.totals.items()}
    assert found[precision] == pytest.approx(found["fp32"], rel=0.03)
    assert (found[precision] == found["fp32"]) == (precision == "tf32")
