"""Double precision: on a device that has it, and on the CPU where it lacks."""

import pytest
import torch

from ltbench.errors import UsageError
from ltbench.method.double import has_float64, require_float64, to_double


def test_only_apples_gpus_lack_it():
    assert [has_float64(d) for d in ("cpu", "cuda:1", torch.device("cpu"), "mps", "mps:0")] == [1, 1, 1, 0, 0]
    require_float64("cuda", "calibration")
    with pytest.raises(UsageError, match="calibration computes in double precision, which mps:0 has not"):
        require_float64("mps:0", "calibration")


def test_a_third_in_single_precision_stays_what_it_was():
    third = torch.tensor(1 / 3)
    assert to_double(third).dtype == torch.float64
    assert to_double(third).item() == 11184811 / 2**25  # the float32 nearest to 1/3
