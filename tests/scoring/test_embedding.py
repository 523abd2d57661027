"""Features embedded in the plane."""

import numpy as np
from report_folders import make_spec as make_run_spec
from report_folders import write_probes, write_run
from sklearn.manifold import TSNE

from ltbench.runs.results import load_results
from ltbench.runs.run import write_embedding
from ltbench.scoring import embedding
from ltbench.scoring.embedding import embed, keep_embeddings


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


def test_an_embedding_that_is_kept_is_not_made_again(tmp_path, monkeypatch):
    spec = make_run_spec("ddpm", 0)
    write_run(tmp_path, spec, images=False)
    write_probes(tmp_path, spec, steps=(1000, 2000))
    (run,) = load_results(tmp_path).runs.values()
    places = {"labels": np.array([0, 1]), "clean_0": np.zeros((2, 2))}
    write_embedding(run.folder, 1000, places)
    write_embedding(run.folder, 2000, {})
    made = []
    monkeypatch.setattr(embedding, "embed", lambda features: made.append(sorted(features)) or places)
    keep_embeddings([(run, 1000), (run, 2000), (run, float("nan"))])
    assert len(made) == 2  # of step 2000, whose file holds nothing, and of an external set, which has no step
    assert run.embedding(2000)["labels"].tolist() == [0, 1]
