"""Tempered draws: what is asked of the data."""

import pytest

from ltbench.method import DrawRatio, Needs, registry


def test_tempered_asks_for_its_draw():
    assert registry.create_method("tempered").needs == Needs(draw=0.75)
    assert registry.create_method("tempered", smallest_draw=0.1).needs == Needs(draw=DrawRatio(0.1))
    assert registry.create("coral+tempered", {"tempered": {"power": 0.25}}).needs.draw == 0.25
    for bad in (-0.1, 1.5):
        with pytest.raises(ValueError, match=r"the power of a draw must be in \[0, 1\]"):
            Needs(draw=bad)
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        DrawRatio(0.0)
