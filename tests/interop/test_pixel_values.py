"""From arrays of any scale to 8 bits."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_arrays import pixels


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_scaling_to_floats_and_back_loses_nothing(seed):
    """What `to_uint8` of the samplers wrote comes back to the last bit from either range."""
    from ltbench.interop.pixel_values import to_uint8

    images = pixels(seed=seed)
    for made in ((images / 127.5 - 1).astype(np.float32), (images / 255).astype(np.float32)):
        np.testing.assert_array_equal(to_uint8("theirs", made, None)[0], images)
