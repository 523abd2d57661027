"""What tests of extractors share."""

import math

import pytest
import torch

from ltbench.extractors import inception


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory):
    """The 2015-12-05 network's state dict, random."""
    state = inception.fid_inception().state_dict()
    generator = torch.Generator().manual_seed(0)
    for key, value in state.items():
        if value.ndim > 1:
            value.normal_(0, math.sqrt(2 / value[0].numel()), generator=generator)
        elif key.endswith("running_mean"):
            value.normal_(0, 0.1, generator=generator)
    path = tmp_path_factory.mktemp("weights") / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(state, path)
    return path
