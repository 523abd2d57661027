"""Features embedded in the plane."""

import numpy as np
from sklearn.manifold import TSNE

from ltbench.scoring.embedding import embed


def test_both_protocols_are_embedded_at_a_perplexity_that_their_images_allow():
    stream = np.random.default_rng(0)
    features = {"labels": np.array([0, 0, 0, 1, 1, 1])}
    features |= {
        name: stream.normal(size=(6, 4)).astype(np.float32)
        for name in ("clean_0", "noised_100", "noised_750")
    }
    found = embed(features)
    assert list(found) == ["labels", "clean_0", "noised_100"]
    alone = TSNE(perplexity=1, max_iter=500, init="pca", random_state=0)  # (6 - 1) // 3
    np.testing.assert_allclose(found["clean_0"], alone.fit_transform(features["clean_0"]), rtol=1e-4)
    assert embed({"labels": features["labels"]}) == {}
