"""A stranger's network while it is sampled, and what is refused of it and of the guidance that goes with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from towards_label import TowardsLabel

import ltbench as lt
import ltbench.runs.run as stored
from ltbench.errors import UsageError
from ltbench.method import Prediction


class Noisy(nn.Module):
    """A network whose answer depends on its mode: dropout, and batch statistics that training moves."""

    shape, num_classes = (1, 8, 8), 10

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.dropout, self.norm = nn.Dropout(0.5), nn.BatchNorm2d(1)

    def forward(self, x_t, _t, _label):
        return Prediction(self.norm(self.dropout(self.conv(x_t))), None)


AWAY = {"rule": "auto", "guidance": 1.0}


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: nn.ModuleDict({"denoiser": net})])
@pytest.mark.parametrize("guidance", [0.0, AWAY])
def test_a_network_is_sampled_in_eval_mode_and_left_as_it_was(wrap, guidance):
    network, weaker = Noisy().train(), Noisy().train()
    network.norm.eval()  # frozen statistics, as in fine-tuning
    few = {"steps": 2, "device": "cpu", "guidance": guidance}
    if guidance == AWAY:
        few["away_from"] = wrap(weaker)
    first, again = (lt.sample(wrap(network), [0, 1, 2], **few) for _ in range(2))
    assert np.array_equal(first, again)
    assert [int(each.norm.num_batches_tracked) for each in (network, weaker)] == [0, 0]
    assert [part.training for part in network.modules()] == [True, True, True, False]
    assert all(part.training for part in weaker.modules())


def test_the_mode_comes_back_after_an_error():
    network = Noisy().train()

    def breaks(_t, _labels):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lt.sample(network, [0], steps=1, guidance=breaks, device="cpu")
    assert all(part.training for part in network.modules())


def test_a_callable_that_is_no_module_is_asked_for_eval_too():
    class Wrapped:
        shape, num_classes = Noisy.shape, Noisy.num_classes

        def __init__(self):
            self.network = Noisy().train()
            self.eval = self.network.eval

        def __call__(self, *given):
            return self.network(*given)

    wrapped = Wrapped()
    lt.sample(wrapped, [0], steps=1, device="cpu")
    assert int(wrapped.network.norm.num_batches_tracked) == 0


def test_an_exported_network_has_one_mode():
    network = Noisy().eval()

    def refuses(_mode=True):
        raise NotImplementedError("Calling train() or eval() is not supported yet.")

    network.train = network.eval = refuses
    assert lt.sample(network, [0], steps=1, device="cpu").shape == (1, 1, 8, 8)


@pytest.mark.parametrize("where", ["shape", "num_classes"])
@pytest.mark.parametrize("wrong", [0, -1, "x", None, (8, 8), (1, 8.0, 8), (1, 8, 0), 10.5])
def test_shape_and_classes_are_whole_numbers_above_0(where, wrong):
    model = type("Wrong", (TowardsLabel,), {where: wrong})()
    with pytest.raises(
        UsageError, match=r"three whole numbers \(C, H, W\) and its num_classes one, all above 0"
    ):
        lt.sample(model, [0], steps=1, device="cpu")


def test_shape_and_classes_may_be_torchs_and_numpys():
    kinds = {"shape": torch.Size((1, 4, 4)), "num_classes": np.int64(3)}
    model = type("Other", (TowardsLabel,), kinds)()
    assert lt.sample(model, [0], steps=1, device="cpu").shape == (1, 1, 4, 4)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (type("Data", (), {"shape": (1, 4, 4), "num_classes": 3})(), "must be a callable"),
        (None, "must be a callable"),
        (stored.Run("x", Path("runs/x"), None), r"of a run give run\.model\(\)"),
        ("runs/x", r"of a folder give load_run\(folder\)\.model\(\)"),
    ],
)
def test_what_is_no_network_is_told_where_one_is(model, says):
    with pytest.raises(UsageError, match=says):
        lt.sample(model, [0], steps=1, device="cpu")


def test_how_steps_are_taken_can_be_said_with_the_guidance():
    """There is no keyword for these: they were honoured, and for a while refused."""
    given = {"guidance": 1.0, "clip": True, "order": 3, "spacing": "karras", "precision": "bf16"}
    plain, other = (
        lt.sample(Noisy(), [0, 1], sampler="dpmsolver++", steps=4, guidance=guidance, device="cpu")
        for guidance in (1.0, given)
    )
    assert plain.shape == other.shape
    assert not np.array_equal(plain, other)


@pytest.mark.parametrize(
    ("guidance", "says"),
    [
        ({"guidance": 1, "steps": 5}, r"steps is no setting of a rule .* give it beside guidance, as steps="),
        ({"guidance": 1, "seed": 5}, "give it beside guidance, as seed="),
        ({"guidance": 1, "sampler": "ddim"}, "give it beside guidance, as sampler="),
        ({"guidance": 1, "per_class": 5}, r"only a study has it, as sample\.per_class"),
        (
            {"rule": "interval", "sigma_hi": 5},
            "sigma_hi is no setting of a rule of guidance; did you mean 'sigma_high'",
        ),
        ({3: 5}, "each key of guidance must be a name, not 3"),
        ({"rule": ["interval"]}, "sample: rule: Input should be a valid string"),
    ],
)
def test_a_rule_has_settings_of_its_own_only(guidance, says):
    with pytest.raises(UsageError, match=says):
        lt.sample(TowardsLabel(), [0], guidance=guidance, device="cpu")


def test_arrays_in_place_of_predicted_noise_are_refused():
    model = type(
        "Arrays", (TowardsLabel,), {"__call__": lambda _self, x, _t, _y: Prediction(x.numpy(), None)}
    )()
    with pytest.raises(UsageError, match="it returned eps as a ndarray, which is no tensor"):
        lt.sample(model, [0], steps=1, device="cpu")
