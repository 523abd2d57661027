"""CM against the released code's arrays, and on the real network: layers, switch, merge, compositions."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from golden_batch import golden_batch
from tiny_runs import digits, lively_model, make_spec, tensors, train_in

from ltbench.baselines import t2h
from ltbench.diffusion.unet import build_denoiser, count_parameters
from ltbench.environment import Environment
from ltbench.errors import UsageError
from ltbench.interop.export import export_run
from ltbench.method import Batch, Context, Prediction, Switch, registry
from ltbench.method.composition import loss_terms
from ltbench.methods import cm
from ltbench.runs.spec_files import open_folder
from ltbench.training.model import build_model, leave_out, load_model
from ltbench.training.trainer import Training

ARRAYS = dict(np.load(Path(__file__).parents[1] / "goldens" / "cm_k5.npz"))
CLOSE = {"rtol": 1e-5, "atol": 1e-7}


def array(name):
    return torch.from_numpy(np.asarray(ARRAYS[name]))


class Golden:
    """The stub eps = (scale_general[y] + on * scale_expert[y]) x_t with the method's own kind of switch."""

    def __init__(self, dropped=False):
        self.general = array("scale_general").requires_grad_()
        self.expert = array("scale_expert").requires_grad_()
        self.modules = cm.ExpertParts([], Switch())
        # In double precision: the forced transfer at t = 0 is divided by 1 - abar = 1e-4.
        self.batch = golden_batch(array, array("alphas_bar"), 5, torch.full(array("y").shape, dropped))

    def denoise(self, x_t, _t, label):
        scale = self.general[label] + self.modules.switch.on * self.expert[label]
        return Prediction(scale.view(-1, 1, 1, 1) * x_t, torch.zeros(len(x_t), 1, 1, 1))

    def terms(self, name, w_div, weight=1.0):
        composition = registry.create(name, {"cm": {"w_div": w_div, "weight": weight}})
        batch, size = self.batch, len(self.batch.y)
        target = composition.target(batch, lambda *_: torch.Generator())

        def make(_):
            return Context(self.denoise, self.modules, torch.Generator(), size)

        return loss_terms(composition, batch, self.denoise(batch.x_t, batch.t, batch.label), target, make)


@pytest.mark.parametrize("w_div", [0.2, 1.0])
@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("name", ["cm", "cm+t2h"])
def test_loss_and_gradients_are_the_released_codes(name, dropped, w_div, monkeypatch):
    monkeypatch.setattr(t2h, "draw", lambda *_: array("t2h_z_drawn"))
    prefix = f"{'drop_' * dropped}{'t2h' if name == 'cm+t2h' else 'pure'}"
    golden, key = Golden(dropped), f"{prefix}_wcon1_wdiv{w_div:g}"
    terms = golden.terms(name, w_div)
    np.testing.assert_allclose(terms["denoising"].item(), ARRAYS[f"{prefix}_denoising_loss"].item(), **CLOSE)
    capacity = terms["cm.capacity"]
    np.testing.assert_allclose(capacity.item(), ARRAYS[f"{key}_capacity_loss"].item(), **CLOSE)
    scales = [golden.general, golden.expert]
    for total, part in ((capacity, "capacity_grad"), (sum(terms.values()), "grad")):
        for gradient, which in zip(
            torch.autograd.grad(total, scales, retain_graph=True), ("general", "expert"), strict=True
        ):
            expected = ARRAYS[f"{key}_{part}_{which}"]
            # The two passes' parts cancel in the general scale: rounding is relative to either of them.
            scale = max(np.abs(expected).max(), np.abs(ARRAYS[f"{key}_grad_expert"]).max())
            np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(sum(terms.values()).item(), ARRAYS[f"{key}_loss"].item(), **CLOSE)


def test_at_zero_weight_an_expert_part_that_predicts_changes_no_bit_of_the_gradients():
    golden = Golden()
    terms, scales = golden.terms("cm", 1.0, weight=0.0), [golden.general, golden.expert]
    assert torch.equal(sum(terms.values()), terms["denoising"])
    whole, plain = (
        torch.autograd.grad(t, scales, retain_graph=True) for t in (sum(terms.values()), terms["denoising"])
    )
    assert all(map(torch.equal, whole, plain))


@pytest.mark.parametrize("w_div", [0.2, 1.0])
@pytest.mark.parametrize("prefix", ["pure", "drop_pure"])
def test_the_term_alone_has_the_released_values_and_gradients(prefix, w_div):
    key, drop = f"{prefix}_wcon1_wdiv{w_div:g}", "drop_" * prefix.startswith("drop")
    h1, h2 = (array(f"{drop}{name}").requires_grad_() for name in ("h1", "h2"))
    by_class = cm.coefficients(array("prior"), 1.0, w_div).float()
    np.testing.assert_allclose(by_class[array("y")], ARRAYS[f"{key}_coefficient"], **CLOSE)
    term = cm.capacity(h1, h2, by_class[array("y")])
    np.testing.assert_allclose(term.item(), ARRAYS[f"{key}_capacity_loss"].item(), **CLOSE)
    for gradient, which in zip(torch.autograd.grad(term, (h1, h2)), ("h1", "h2"), strict=True):
        np.testing.assert_allclose(gradient, ARRAYS[f"{key}_capacity_grad_{which}"], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("w_div", ["0.2", "1"])
def test_the_coefficients_over_ten_classes(w_div):
    other = np.load(Path(__file__).parents[1] / "goldens" / "weights_guidance_k10.npz")
    prior = torch.from_numpy(other["counts"]).double()
    found = cm.coefficients(prior / prior.sum(), 1.0, float(w_div))
    np.testing.assert_allclose(found, other[f"cm_coefficient_wcon1_wdiv{w_div}"], rtol=1e-10)
    balanced = cm.coefficients(torch.full((10,), 0.1), 1.0, 1.0)
    torch.testing.assert_close(balanced, torch.zeros(10).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("prefix", "stride"), [("layer", 1), ("stride2_layer", 2)])
def test_a_layer_is_the_released_one(prefix, stride):
    layer_and_output(prefix, stride)


def layer_and_output(prefix, stride):
    """Return the golden layer's output and the layer, each step of the way compared with the arrays."""
    conv = torch.nn.Conv2d(20, 32, 3, stride=stride, padding=1)
    conv.weight.data, conv.bias.data = array(f"{prefix}_weight").clone(), array(f"{prefix}_bias").clone()
    switch = Switch()
    layer = cm.ExpertConv2d(conv, cm.rank_of(20, 32, 0.1), switch)
    assert layer.A.shape == array(f"{prefix}_A").shape
    assert layer.B.shape == array(f"{prefix}_B").shape
    x = array(f"{prefix}_x")
    torch.testing.assert_close(layer(x), conv(x), rtol=0, atol=0)  # B = 0: on is off
    layer.A.data, layer.B.data = array(f"{prefix}_A").clone(), array(f"{prefix}_B").clone()
    on = layer(x)
    np.testing.assert_allclose(on.detach(), ARRAYS[f"{prefix}_on"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        layer.whole_weight().detach(), ARRAYS[f"{prefix}_merged"], rtol=1e-5, atol=1e-7
    )
    with cm.ExpertParts([layer], switch).general_only():
        np.testing.assert_allclose(layer(x).detach(), ARRAYS[f"{prefix}_off"], rtol=1e-5, atol=1e-6)
    return on, layer


@pytest.mark.parametrize(("prefix", "stride"), [("layer", 1), ("stride2_layer", 2)])
def test_a_layers_gradients_are_the_released_ones(prefix, stride):
    """The arrays are the gradients of sum(on^2) / 7, which every one of them agrees with."""
    on, layer = layer_and_output(prefix, stride)
    found = torch.autograd.grad(on.square().sum() / 7, [layer.A, layer.B, layer.weight])
    for gradient, name in zip(found, ("A", "B", "weight"), strict=True):
        expected = ARRAYS[f"{prefix}_grad_{name}"]
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


# -- the network ----------------------------------------------------------------------------------------


def test_the_papers_network_gains_its_parameters():
    denoiser = build_denoiser("ddpm32", 10, 3, 32)
    before, names = count_parameters(denoiser), set(denoiser.state_dict())
    torch.manual_seed(0)
    parts = registry.create_method("cm").attach(denoiser)
    assert count_parameters(denoiser) - before == 3_129_984 == count_parameters(parts)
    assert len(parts.A) == 27
    assert {a.shape[0] // 3 for a in parts.A} == {12, 25}
    added = {name for name in denoiser.state_dict() if name not in names}
    assert names <= set(denoiser.state_dict())
    assert all(n.startswith("unet.up_blocks.") for n in added)
    assert all(not b.any() for b in parts.B)
    for a in parts.A:
        c_in = a.shape[1] // 3
        assert a.std().item() * 3 * c_in**0.5 == pytest.approx(1, rel=0.05)
        # Normal, not uniform: a uniform draw of this spread ends at sqrt(3) standard deviations.
        assert (a.abs().max() / a.std()).item() > 3


def network(name="cm", seed=5):
    """The tiny network with awake branches, and expert parts that do something."""
    return lively_model(make_spec(name), seed)


INPUT = (
    torch.randn(6, 1, 8, 8),
    torch.tensor([0, 10, 400, 800, 950, 999]),
    torch.tensor([0, 3, 9, 5, 10, 10]),
)


def test_the_switch_is_restored_after_an_exception_and_nests():
    model = network()
    parts, denoiser = model["methods"]["cm"], model["denoiser"].eval()
    on = denoiser(*INPUT).eps
    with contextlib.suppress(KeyError), parts.general_only():
        with parts.general_only():
            off = denoiser(*INPUT).eps
        assert torch.equal(denoiser(*INPUT).eps, off)
        raise KeyError
    assert torch.equal(denoiser(*INPUT).eps, on)
    assert not torch.allclose(on, off, atol=1e-3)


def test_at_the_start_the_term_and_its_gradients_are_zero():
    spec = make_spec("cm")
    model = build_model(spec, digits())
    denoiser, parts = model["denoiser"].train(), model["methods"]["cm"]  # dropout is 0 in this spec
    y = INPUT[2].clamp(max=9)
    batch = SimpleNamespace(
        x_t=INPUT[0], t=INPUT[1], label=INPUT[2], y=y, prior=torch.from_numpy(digits().prior).float()
    )
    prediction = denoiser(*INPUT)
    (term,) = (
        registry.create_method("cm")
        .regularizers(batch, prediction, Context(denoiser, parts, torch.Generator(), 6))
        .values()
    )
    assert term.item() == 0
    gradients = torch.autograd.grad(term, list(model.parameters()), allow_unused=True)
    assert all(g is None or not g.any() for g in gradients)
    started = torch.autograd.grad(denoiser(*INPUT).eps.square().sum(), list(parts.B))
    assert all(g.any() for g in started)  # denoising alone wakes the expert part


def test_merged_weights_predict_the_same():
    model = network()
    denoiser = model["denoiser"].eval()
    on, names = denoiser(*INPUT).eps, set(build_model(make_spec(), digits())["denoiser"].state_dict())
    registry.create_method("cm").merge(denoiser, model["methods"]["cm"])
    assert set(denoiser.state_dict()) == names
    torch.testing.assert_close(denoiser(*INPUT).eps, on, rtol=0, atol=1e-6)


def test_an_export_holds_the_merged_network(tmp_path):
    from diffusers import UNet2DModel

    spec = make_spec("cm+t2h", {"cm": {"variant": "released"}}, steps=4)
    folder = train_in(open_folder(spec, tmp_path), spec)
    export_run(folder, tmp_path / "diffusers")
    exported = UNet2DModel.from_pretrained(tmp_path / "diffusers").eval()
    model = load_model(spec, folder, digits())
    with torch.no_grad():
        torch.testing.assert_close(exported(*INPUT).sample, model["denoiser"](*INPUT).eps, rtol=0, atol=1e-6)
    saved = tensors(folder, 4)
    assert not any(name.startswith(("ema.methods", "raw.methods")) for name in saved)
    parts = [name for name in saved if name.startswith("ema.") and name.endswith(".B")]
    assert parts
    assert all(not torch.equal(saved[n], saved[n.replace("ema.", "raw.", 1)]) for n in parts)


def test_the_expert_part_is_left_out_by_name():
    model = network()
    denoiser, on = model["denoiser"].eval(), model["denoiser"].eval()(*INPUT).eps
    leave_out(make_spec("cm"), model)
    assert torch.equal(denoiser(*INPUT).eps, on)
    leave_out(make_spec("cm", sample={"leave_out": ("cm.expert",)}), model)
    with model["methods"]["cm"].general_only():
        general = denoiser(*INPUT).eps
    assert torch.equal(denoiser(*INPUT).eps, general)
    assert not torch.equal(general, on)
    with pytest.raises(UsageError, match=r"'cm' has no part 'cm.exprt' .*did you mean 'cm.expert'"):
        leave_out(make_spec("cm", sample={"leave_out": ("cm.exprt",)}), model)
    with pytest.raises(
        UsageError, match=r"'ddpm' has no part 'cm.expert' that sampling can leave out: it has none"
    ):
        leave_out(make_spec("ddpm", sample={"leave_out": ("cm.expert",)}), model)


def test_both_passes_draw_dropout_of_their_own(tmp_path):
    """At B = 0 the passes differ by their masks alone, so the term is not zero with dropout and zero without."""
    for dropout, differs in ((0.5, True), (0.0, False)):
        run = Training(make_spec("cm", dropout=dropout), digits(), tmp_path / str(dropout), Environment())
        run.model.load_state_dict(
            {
                n: v + 0.1 * torch.randn_like(v) * (not n.endswith((".B", ".A")))
                for n, v in run.model.state_dict().items()
            },
            strict=False,
        )
        for b in run.model["methods"]["cm"].B:
            b.data.zero_()
        run.model.train()
        run._one_step()
        assert (run.totals["cm.capacity"].item() != 0) == differs


def test_other_methods_passes_run_with_the_expert_part():
    model = network("cbdm+cm")
    parts, denoiser, seen = model["methods"]["cm"], model["denoiser"], []

    def watched(x_t, t, label):
        seen.append(parts.switch.on)
        return denoiser(x_t, t, label)

    composition = registry.create("cbdm+cm")
    y = INPUT[2].clamp(max=9)
    prior = torch.from_numpy(digits().prior).float()
    batch = Batch(
        x0=INPUT[0],
        y=y,
        t=INPUT[1],
        alpha_bar=torch.full((6,), 0.5),
        num_timesteps=1000,
        noise=INPUT[0],
        x_t=INPUT[0],
        label=y,
        dropped=torch.zeros(6, dtype=torch.bool),
        prior=prior,
        draw_prior=prior,
    )
    composition.regularizers(batch, watched(*INPUT), lambda _: Context(watched, parts, torch.Generator(), 6))
    assert seen == [True, True, False]  # the main pass, CBDM's, CM's


def test_a_negative_loss_trains_on_and_is_logged(tmp_path):
    spec = make_spec("cm", {"cm": {"w_con": 0.0, "w_div": 50.0, "weight": 100.0}}, steps=50, dropout=0.3)
    folder = train_in(tmp_path, spec)
    rows = (folder / "train.csv").read_text().splitlines()
    row = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert float(row["cm.capacity"]) < 0
    assert float(row["loss"]) < 0


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_a_compiled_network_follows_the_switch_with_one_graph_for_each_position(backend):
    from torch._dynamo.testing import CompileCounterWithBackend

    model = network()
    parts, denoiser = model["methods"]["cm"], model["denoiser"].eval()
    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(denoiser, backend=counter)
    on = denoiser(*INPUT).eps
    with parts.general_only():
        off = denoiser(*INPUT).eps
    for _ in range(3):
        torch.testing.assert_close(compiled(*INPUT).eps, on, rtol=1e-5, atol=1e-5)
        with parts.general_only():
            torch.testing.assert_close(compiled(*INPUT).eps, off, rtol=1e-5, atol=1e-5)
    assert counter.frame_count == 2
    torch._dynamo.reset()


def test_a_class_without_images_has_no_share_by_hand():
    # pi = 3/4, 1/4, 0: shares of 1/pi are 1/4, 3/4, 0; K (pi - share) = 3/2, -3/2, 0
    got = cm.coefficients(torch.tensor([0.75, 0.25, 0.0]), 1.0, 1.0)
    assert got.tolist() == pytest.approx([1.5, -1.5, 0.0])
