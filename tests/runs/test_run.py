"""A training's folder: files that were damaged are refused."""

import pytest
from report_folders import (
    make_spec,
    write_pairs,
    write_probes,
    write_run,
)

from ltbench.errors import CheckpointError
from ltbench.runs.results import load_results
from ltbench.runs.samples import load_pairs


def test_damaged_probes_and_pairs_are_refused(tmp_path):
    spec = make_spec()
    samples = write_run(tmp_path, spec, images=False)
    write_pairs(samples)
    write_probes(tmp_path, spec)
    features = samples.parent.parent / "probes" / "step-00002000.npz"
    for path in (samples / "nearest.npz", features):
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(CheckpointError, match=r"nearest\.npz cannot be read"):
        load_pairs(samples)
    (run,) = load_results(tmp_path).runs.values()
    with pytest.raises(CheckpointError, match=r"step-00002000\.npz cannot be read"):
        run.probe_features(2000)
