"""What a method asks for and is given: refused draws, signal to noise, a switch that falls back."""

import dataclasses

import pytest
import torch

from ltbench.method import Batch, DrawRatio, Needs
from ltbench.method.base import Switch


def batch(**fields):
    names = [f.name for f in dataclasses.fields(Batch) if f.default is dataclasses.MISSING]
    return Batch(**dict.fromkeys(names, None) | fields)


def test_signal_to_noise_is_of_the_level_or_as_given():
    """abar = 1/2, 4/5, 1/5: 1, 4 and 1/4."""
    made = batch(alpha_bar=torch.tensor([0.5, 0.8, 0.2]))
    torch.testing.assert_close(made.signal_to_noise, torch.tensor([1, 4, 0.25]))
    exact = torch.tensor([9999.0])
    assert batch(alpha_bar=torch.tensor([0.9999]), snr=exact).signal_to_noise is exact
    assert batch(prior=torch.ones(7)).num_classes == 7


@pytest.mark.parametrize("power", [-0.1, 1.1])
def test_a_power_outside_0_and_1_is_no_draw(power):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        Needs(draw=power)


@pytest.mark.parametrize("needs", [{"draw": "uniform"}, {"reference": "ballanced"}])
def test_a_need_of_another_name_is_refused(needs):
    """A draw ended training in a bare KeyError; a reference was none, without a word."""
    with pytest.raises(ValueError, match=r"not '(uniform|ballanced)'"):
        Needs(**needs)


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        ({"draw": ["balanced"]}, r"a DrawRatio, not \['balanced'\]"),
        ({"draw": True}, "a DrawRatio, not True"),  # was a power of 1, the natural draw
        ({"draw": None}, "a DrawRatio, not None"),
        ({"draw": float("nan")}, r"in \[0, 1\], not nan"),
        ({"batch_coupled": "no"}, "batch_coupled is True or False, not 'no'"),
    ],
)
def test_a_need_of_another_type_is_refused(needs, says):
    with pytest.raises(ValueError, match=says):
        Needs(**needs)


@pytest.mark.parametrize("smallest", [True, "a tenth", None])
def test_a_ratio_is_a_number(smallest):
    with pytest.raises(ValueError, match=f"must be a number, not {smallest!r}"):
        DrawRatio(smallest)


@pytest.mark.parametrize("smallest", [0, -1, 1.01])
def test_a_share_of_nothing_or_of_more_than_the_largest_is_no_ratio(smallest):
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        DrawRatio(smallest)
    assert Needs(draw=DrawRatio(1)).draw.smallest == 1


def test_a_switch_is_as_before_also_after_an_error():
    for before in (True, False):
        switch, inside = Switch(before), []

        def fail(switch=switch, inside=inside):
            inside.append(switch.on)
            raise KeyError

        with pytest.raises(KeyError), switch.set_to(not before):
            fail()
        assert inside == [not before]
        assert switch.on is before
