"""CCUA and the dispersive loss against the released code's arrays: values, gradients, dropped labels, processes."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_batch import golden_batch

from ltbench.baselines import dispersive
from ltbench.method import Context, DrawRatio, Needs, Prediction, registry
from ltbench.method.composition import loss_terms
from ltbench.methods import ccua

ARRAYS = dict(np.load(Path(__file__).parents[1] / "goldens" / "ccua_dispersive_k5.npz"))
CLOSE = {"rtol": 1e-5, "atol": 1e-7}
K = 5


def array(name):
    return torch.from_numpy(np.asarray(ARRAYS[name]))


class Golden:
    """The stub eps = scale[label] x_t with given bottlenecks; it records which labels it saw."""

    def __init__(self, dropped=False):
        self.scale = array("scale").requires_grad_()
        self.null = array("bottleneck_null").requires_grad_()
        self.seen = []
        dropped = torch.full(array("y").shape, dropped) if isinstance(dropped, bool) else dropped
        self.batch = golden_batch(array, array("alphas_bar").float(), K, dropped)

    def denoise(self, x_t, _t, label):
        self.seen.append("null" if bool((label == K).all()) else "cond")
        bottleneck = self.null if self.seen[-1] == "null" else array("bottleneck_cond")
        return Prediction(self.scale[label].view(-1, 1, 1, 1) * x_t, bottleneck)

    def terms(self, name="ccua", hyperparameters=None, **context):
        composition, batch = registry.create(name, hyperparameters), self.batch
        prediction = self.denoise(batch.x_t, batch.t, batch.label)

        def make(_):
            return Context(self.denoise, None, torch.Generator(), len(batch.y), **context)

        return loss_terms(composition, batch, prediction, batch.noise, make)


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("variant", ["gathered", "released"])
def test_every_term_and_gradient_is_the_released_codes(dropped, variant):
    golden, prefix = Golden(dropped), "drop_" * dropped
    terms = golden.terms(hyperparameters={"ccua": {"variant": variant}})
    named = {"ddpm": "denoising", "ccua_ucl": "ccua.ucl", "ccua_al": "ccua.alignment"}
    for theirs, ours in named.items():
        np.testing.assert_allclose(terms[ours].item(), ARRAYS[f"{prefix}{theirs}_loss"].item(), **CLOSE)
    total = sum(terms.values())
    np.testing.assert_allclose(total.item(), ARRAYS[f"{prefix}ccua_loss"].item(), **CLOSE)
    inputs = [golden.scale, golden.null]
    for term, name in ((terms["ccua.ucl"], "ucl"), (terms["ccua.alignment"], "al"), (total, "loss")):
        if not term.requires_grad:
            assert dropped
            assert name == "al"
            continue
        found = torch.autograd.grad(term, inputs, retain_graph=True, allow_unused=True)
        for gradient, of in zip(found, ("scale", "bottleneck_null"), strict=True):
            key = f"{prefix}ccua_{name}_grad_{of}"
            if key not in ARRAYS:
                continue
            gradient = torch.zeros(()) if gradient is None else gradient
            difference = gradient.expand(ARRAYS[key].shape).numpy() - ARRAYS[key]
            assert np.linalg.norm(difference) <= 1e-5 * np.linalg.norm(ARRAYS[key]) + 1e-12, key
    # The released code makes a null pass also where the first one was one; ours uses it again.
    assert golden.seen == (["null"] if dropped else list(ARRAYS["calls"]))


def test_the_contrast_of_each_image():
    z = array("bottleneck_null")
    ucl = ccua.unconditional_contrast(z, 0.1)
    rounding = 3e-7  # of the released log-sum-exp in single precision near log 1
    np.testing.assert_allclose(ucl, ARRAYS["ccua_ucl"], rtol=1e-5, atol=rounding)
    np.testing.assert_allclose(ucl * array("t") / 1000, ARRAYS["ccua_ucl_weighted"], rtol=1e-5, atol=rounding)
    naive = []
    for i in range(len(z)):
        cosine = [
            float(torch.cosine_similarity(z[i].flatten(), z[j].flatten(), dim=0)) for j in range(len(z))
        ]
        naive.append(math.log(1 + sum(math.exp((c - 1) / 0.1) for j, c in enumerate(cosine) if j != i)))
    np.testing.assert_allclose(ucl, naive, rtol=2e-5)


def test_the_contrast_lies_between_its_bounds():
    alike, apart = torch.ones(7, 3, 2, 2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(ccua.unconditional_contrast(alike, 0.1), torch.full((7,), math.log(7)))
    torch.testing.assert_close(
        ccua.unconditional_contrast(apart, 0.1), torch.full((2,), math.log1p(math.exp(-20)))
    )
    assert ccua.unconditional_contrast(alike[:1], 0.1).tolist() == [0]


def test_the_contrast_stays_in_single_precision_under_autocast():
    z = torch.randn(16, 8, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = ccua.unconditional_contrast(z, 0.1)
        spread = dispersive.dispersion(z, 1.0)
    assert torch.equal(inside, ccua.unconditional_contrast(z, 0.1))
    assert torch.equal(spread, dispersive.dispersion(z, 1.0))


def test_dropped_images_are_contrasted_and_not_aligned_and_the_mean_is_over_all():
    dropped = torch.arange(20) % 4 == 0
    golden = Golden(dropped)
    terms = golden.terms()
    whole = Golden().terms()
    assert golden.seen == ["cond", "null"]
    torch.testing.assert_close(terms["ccua.ucl"], whole["ccua.ucl"])
    kept = array("ccua_al_weighted")[~dropped].sum() / 20
    torch.testing.assert_close(terms["ccua.alignment"].detach(), kept, rtol=1e-5, atol=1e-7)


def test_variants_differ_as_documented():
    published = Golden().terms(hyperparameters={"ccua": {"variant": "published"}})
    torch.testing.assert_close(published["ccua.ucl"].detach(), array("ccua_ucl").mean())
    assert torch.equal(published["ccua.alignment"], Golden().terms()["ccua.alignment"])
    gathered = []
    Golden().terms(
        hyperparameters={"ccua": {"variant": "released"}}, gather=lambda x: gathered.append(x) or x
    )
    assert not gathered
    doubled = Golden().terms(gather=lambda x: torch.cat([x, x]))
    assert doubled["ccua.ucl"] > 0.2 > Golden().terms()["ccua.ucl"]  # each image now meets its double
    equal = "".join(["glo", "bal"])  # the setting's name, and another object than the constant in the code
    golden = Golden()
    context = Context(golden.denoise, None, torch.Generator(), 20, gather=lambda x: torch.cat([x, x]))
    prediction = golden.denoise(golden.batch.x_t, golden.batch.t, golden.batch.label)
    method = ccua.CCUA(ccua.Hyperparameters(negatives=equal))
    again = method.regularizers(golden.batch, prediction, context)
    torch.testing.assert_close(again["ucl"], doubled["ccua.ucl"])
    resampled = registry.create_method("ccua", variant="resampled")
    assert resampled.needs == Needs(draw=DrawRatio(0.1), batch_coupled=True)
    assert registry.create("ccua+class_balanced").needs.draw == "balanced"


# -- dispersive -----------------------------------------------------------------------------------------


def test_the_dispersion_and_its_gradient_are_the_released_ones():
    z = array("bottleneck_null").requires_grad_()
    value = dispersive.dispersion(z, 1.0)
    np.testing.assert_allclose(value.item(), ARRAYS["dispersive_full"].item(), **CLOSE)
    (gradient,) = torch.autograd.grad(value, z)
    expected = ARRAYS["dispersive_full_grad_bottleneck"]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    half = dispersive.dispersion(array("bottleneck_null"), 0.5)
    np.testing.assert_allclose(half.item(), ARRAYS["dispersive_full_tau0.5"].item(), **CLOSE)


def test_the_dispersive_variants():
    golden = Golden(True)  # its first pass shows the null bottleneck
    torch_variant = golden.terms("dispersive")["dispersive.dispersion"]
    np.testing.assert_allclose(torch_variant.item(), ARRAYS["dispersive_weighted_0.25"].item(), **CLOSE)
    paper = golden.terms("dispersive", {"dispersive": {"variant": "paper"}})["dispersive.dispersion"]
    np.testing.assert_allclose(paper.item(), 0.5 * ARRAYS["dispersive_full_tau0.5"].item(), **CLOSE)
    assert len(golden.seen) == 2  # no further pass


def test_the_dispersion_lies_between_its_bounds():
    assert dispersive.dispersion(torch.ones(9, 4), 1.0).item() == pytest.approx(0, abs=1e-6)
    far = 1e4 * torch.eye(9)
    assert dispersive.dispersion(far, 1.0).item() == pytest.approx(math.log(1 / 9), rel=1e-6)


# -- processes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "term"), [("ccua", "ucl"), ("dispersive", "dispersion")])
def test_two_processes_have_the_gradient_of_one(name, term):
    """Each process contrasts all bottlenecks; gradients flow back to their owner and are averaged."""
    method, whole = registry.create_method(name), Golden(True)
    features = torch.randn(20, 6, 2, 2, generator=torch.Generator().manual_seed(3))
    mix = torch.eye(6).requires_grad_()

    def bottleneck(rows):
        return torch.einsum("kc,bchw->bkhw", mix, features[rows])

    def value(rows, gather):
        per_image = ("x0", "y", "t", "alpha_bar", "noise", "x_t", "label", "dropped")
        part = dataclasses.replace(whole.batch, **{f: getattr(whole.batch, f)[rows] for f in per_image})
        prediction = Prediction(part.x_t, bottleneck(rows))
        context = Context(whole.denoise, None, torch.Generator(), 20, gather=gather)
        return method.regularizers(part, prediction, context)[term]

    one = value(slice(0, 20), lambda x: x)
    (expected,) = torch.autograd.grad(one, mix)
    halves = (slice(0, 10), slice(10, 20))

    def gather(local):
        everything = torch.cat([bottleneck(rows) for rows in halves])
        return everything if local.dim() == 4 else whole.batch.t / 1000

    terms = [value(rows, gather) for rows in halves]
    torch.testing.assert_close(torch.stack(terms), one.expand(2))
    (found,) = torch.autograd.grad(sum(terms) / 2, mix)
    torch.testing.assert_close(found, expected)
