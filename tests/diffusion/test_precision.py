"""Number formats for a network's passes."""

import pytest
import torch

from ltbench.diffusion.precision import precision


@pytest.mark.parametrize(("name", "tf32"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_precision_sets_and_restores_the_global_switches(name: str, tf32: bool) -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    product = torch.nn.Linear(4, 4)
    with pytest.raises(KeyboardInterrupt), precision(name, "cpu"):  # noqa: PT012 -- inside is what is tested
        assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == tf32
        expected = torch.bfloat16 if name == "bf16" else torch.float32
        assert product(torch.ones(1, 4)).dtype == expected
        raise KeyboardInterrupt
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
    assert product(torch.ones(1, 4)).dtype == torch.float32
