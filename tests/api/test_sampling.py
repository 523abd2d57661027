"""A stranger's network while it is sampled: dropout and statistics, and the mode that it is left in."""

import numpy as np
import pytest
import torch
from torch import nn

import ltbench as lt
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
