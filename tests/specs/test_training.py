"""What is trained: networks of one's own levels."""

import pytest
from pydantic import ValidationError

from ltbench.specs import ModelSpec


def test_attention_names_levels_from_nought():
    assert ModelSpec(widths=(32, 64), attention=(0, 1)).attention == (0, 1)
    for level in (-1, 2):
        with pytest.raises(ValidationError, match="must name levels"):
            ModelSpec(widths=(32, 64), attention=(level,))
