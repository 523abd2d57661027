"""What is claimed of samples from elsewhere."""

import pytest

from ltbench.errors import UsageError
from ltbench.interop.external import ExternalClaims


@pytest.mark.parametrize("name", ["", "a/b", "a b", "../up", ".", "...", "+-"])
def test_a_name_that_is_no_folder_name_is_refused(name):
    with pytest.raises(UsageError, match="--name"):
        ExternalClaims(name)


@pytest.mark.parametrize(
    "claim", [{"nfe": -1}, {"step": -5}, {"guidance": float("nan")}, {"sample_seed": -1}]
)
def test_a_claim_that_no_sampling_has_is_refused(claim):
    with pytest.raises(UsageError, match="must be 0 or more"):
        ExternalClaims("gan", **claim)
