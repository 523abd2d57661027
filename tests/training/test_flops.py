"""What a step costs, in counts: parameters, FLOPs and passes, so that a change that makes it dearer is seen."""

import pytest
import torch
from tiny_runs import make_spec
from torch.utils.flop_counter import FlopCounterMode

from ltbench import rng
from ltbench.data.facts import static_facts
from ltbench.diffusion.unet import build_denoiser, count_parameters, flops
from ltbench.errors import UsageError
from ltbench.method import Batch, Context, Method, Needs
from ltbench.method.composition import Composition, loss_terms
from ltbench.method.registry import create, known_methods
from ltbench.study.file import load_study
from ltbench.study.presets import preset_names
from ltbench.training.flops import method_passes, passes_of, training_flops

# (size, classes, channels, pixels) -> trainable parameters, forward FLOPs of an image
NETWORKS = {
    ("tiny", 10, 1, 8): (164_625, 7_684_096),
    ("small", 10, 1, 16): (267_953, 30_572_544),
    ("ddpm32", 10, 3, 32): (35_751_427, 12_443_713_536),
    ("ddpm32", 100, 3, 32): (35_797_507, 12_443_713_536),
    ("ddpm64", 5, 3, 64): (35_748_867, 53_787_230_208),
    ("ddpm64", 1000, 3, 64): (36_258_307, 53_787_230_208),
    # 512 numbers a further class, as the papers' embedding has
    ("ddpm64", 200, 3, 64): (35_748_867 + 195 * 512, 53_787_230_208),
    ("ddpm64", 365, 3, 64): (35_748_867 + 360 * 512, 53_787_230_208),
    ("ddpm64", 8142, 3, 64): (35_748_867 + 8137 * 512, 53_787_230_208),
}
# A step of 16 digits with the tiny network: FLOPs of a pass forward and backward; passes a method makes, and
# FLOPs of its own beside them.
BATCH, PASS = 16, 366_936_064
BOTTLENECK = 32 * 4 * 4
EXPERTS = [
    (64, 32),
    (32, 32),
    (48, 32),
    (32, 32),
    (32, 32),
    (48, 16),
    (16, 16),
    (32, 16),
    (16, 16),
]  # in, out
STEPS = {
    "cbdm": (2, 0),
    "ccua": (
        2,
        3 * 2 * BATCH * BATCH * BOTTLENECK,
    ),  # one product of the batch with itself, and its gradients
    "cm": (
        2,
        sum(3 * 2 * 3 * o * 3 * max(min(i, o) // 10, 1) * 3 * i for i, o in EXPERTS),
    ),  # B A once a step
    "dispersive": (1, 3 * 2 * BATCH * BATCH * BOTTLENECK),
    "coral": (1, 3 * 2 * BATCH * (32 + BATCH) * 128),  # its head, and the batch's similarities
    "t2h": (1, 2 * BATCH * BATCH * 64),  # one product of the batch with itself
}


def network_of(run):
    """Return a run's row of `NETWORKS`; imagenet_lt's and folder_lt's own numbers lie in their files."""
    facts = static_facts(run.data, None)
    channels, size, _ = facts.shape
    return run.model.size, facts.num_classes, channels, size


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_network_has_its_counts(network):
    denoiser = build_denoiser(*network)
    assert (count_parameters(denoiser), flops(denoiser)) == NETWORKS[network]


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_runs_a_network_that_is_counted(preset):
    runs = [
        run
        for run in load_study(preset).runs
        if run.model.size != "exact" and run.data.dataset != "folder_lt"
    ]  # a formula has no parameters, a folder's numbers lie in its files
    assert {network_of(run) for run in runs} <= NETWORKS.keys()


def batch_of(size, facts):
    stream = rng.generator(0, "account")
    images, y = torch.randn(size, *facts.shape, generator=stream), torch.arange(size) % facts.num_classes
    prior = torch.as_tensor(facts.prior).float()
    return Batch(
        x0=images,
        y=y,
        t=y * 100,
        alpha_bar=torch.full((size,), 0.5),
        num_timesteps=1000,
        noise=images,
        x_t=images,
        label=y,
        dropped=torch.zeros(size, dtype=torch.bool),
        prior=prior,
        draw_prior=prior,
        reference=(images, y),
        counts=(1000 * prior).long(),
    )


@pytest.mark.parametrize("name", known_methods())
def test_a_step_makes_its_passes_forward_and_backward_and_no_more(name):
    passes, more = STEPS.get(name, (1, 0))
    spec = make_spec(name)
    facts, composition = static_facts(spec.data, None), create(spec.method)
    denoiser = build_denoiser(*network_of(spec), dropout=0.0)
    images = spec.train.steps * spec.train.batch_size
    assert method_passes(spec, facts) == passes
    assert training_flops(spec, facts) == 3 * passes * flops(denoiser) * images

    attached = {part: method.attach(denoiser) for part, method in composition.parts}
    given = batch_of(BATCH, facts)

    def context(part):
        return Context(denoiser, attached[part], rng.generator(0, "context"), BATCH)

    with FlopCounterMode(display=False) as counter:
        target = composition.target(given, lambda *names: rng.generator(0, "/".join(names)))
        prediction = denoiser(given.x_t, given.t, given.label)
        torch.stack(
            tuple(loss_terms(composition, given, prediction, target, context).values())
        ).sum().backward()
    assert counter.get_total_flops() == passes * PASS + more


def test_a_method_that_asks_for_all_that_a_batch_promises_is_counted():
    """The stand-in had no counts, no signal to noise, another bottleneck than the network's, and no graph: plug-ins
    could not be planned."""

    class Asking(Method):
        name = "asking"
        needs = Needs(reference="balanced")

        def attach(self, unet):
            side = unet.config.image_size // 2 ** (len(unet.config.channels) - 1)
            return torch.nn.Linear(unet.bottleneck_channels * side * side, 3)

        def regularizers(self, batch, prediction, ctx):
            ctx.denoiser(batch.x_t, batch.t, batch.reference[1])
            rarity = batch.snr.clamp(max=5) / batch.counts[batch.y]
            (slope,) = torch.autograd.grad(prediction.eps.square().sum(), prediction.eps, retain_graph=True)
            flat = ctx.modules(prediction.bottleneck.flatten(1)).square().mean(1)
            return {"term": (rarity * flat).mean() + slope.mean()}

    spec = make_spec("ddpm")
    assert passes_of(spec, static_facts(spec.data, None), Composition([Asking()])) == 2


def test_a_method_that_forgets_to_return_its_terms_is_told_by_the_plan():
    forgetful = type("Forgetful", (Method,), {"name": "forgetful", "regularizers": lambda *_: None})()
    spec = make_spec("ddpm")
    with pytest.raises(UsageError, match="forgetful returns from regularizers is None"):
        passes_of(spec, static_facts(spec.data, None), Composition([forgetful]))
