"""What is trained: networks of one's own levels."""

import pytest
from pydantic import ValidationError

from ltbench.diffusion.unet import SIZES
from ltbench.specs import ModelSpec


def test_attention_names_levels_from_nought():
    assert ModelSpec(widths=(32, 64), attention=(0, 1)).attention == (0, 1)
    for level in (-1, 2):
        with pytest.raises(ValidationError, match="must name levels"):
            ModelSpec(widths=(32, 64), attention=(level,))


@pytest.mark.parametrize(
    "fields",
    [{"attention": (1,)}, {"res_blocks": 3}, {"widths": (0, 8)}, {"widths": (8, 8), "attention": (2,)}],
)
def test_half_an_architecture_is_refused(fields):
    with pytest.raises(ValueError, match=r"model\.(attention|widths)"):
        ModelSpec(**fields)
    assert ModelSpec().overrides == {}
    assert "tiny" in SIZES
