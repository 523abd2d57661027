"""Studies that several files of tests read: fixtures, for the conftest of a room that needs them."""

import pytest
from report_folders import make_spec, score_rows, write_probes, write_run, write_study

from ltbench.analysis.cells import cells
from ltbench.report import write_report
from ltbench.runs.results import load_scores


@pytest.fixture(scope="session")
def contrast_study(tmp_path_factory):
    root = write_study(tmp_path_factory.mktemp("study"), methods=("ddpm", "coral"))
    write_run(root, make_spec("ddpm", 0, sample_seed=1), images=False)
    write_run(root, make_spec("coral", 0, guidance=1.0), images=False)
    write_run(root, make_spec("cbdm", 9), images=False)
    return root


@pytest.fixture(scope="session")
def pages_study(tmp_path_factory):
    """Return two cells with what every kind of table needs, and few figures: they take the time."""
    root = tmp_path_factory.mktemp("pages") / "runs"
    for method in ("ddpm", "coral"):
        for seed in (0, 1):
            spec = make_spec(method, seed)
            write_run(root, spec, score_rows(spec, metrics=("frechet", "recall")), images=seed == 0)
    for guidance in (1.0, 2.0):
        spec = make_spec("coral", 0, guidance=guidance)
        write_run(root, spec, score_rows(spec, metrics=("frechet", "recall")), images=False)
    spec = make_spec("ddpm", ratio=1.0)
    write_run(root, spec, score_rows(spec, metrics=("recall",)), images=False)
    return root


@pytest.fixture(scope="session")
def pages_report(pages_study, tmp_path_factory):
    return write_report(pages_study, tmp_path_factory.mktemp("out"), paper=True, title="My <study> & more")


SHIFT = {("coral", 0.0): -1.0, ("coral", 1.0): 2.0}  # better without guidance, worse with it


def with_noise(spec, by):
    return [
        row | {"value": repr(float(row["value"]) + by * (row["metric"] == "frechet"))}
        for row in score_rows(spec, seed_noise=0.01, metrics=("frechet", "recall"))
    ]


@pytest.fixture(scope="session")
def seeds_root(tmp_path_factory):
    """Return two methods, three seeds, guidance 0 and 1, and one fine sampler that only one seed was given."""
    root = tmp_path_factory.mktemp("study") / "runs"
    for method in ("ddpm", "coral"):
        for seed in (0, 1, 2):
            for guidance in (0.0, 1.0):
                spec = make_spec(method, seed, guidance=guidance)
                rows = with_noise(spec, SHIFT.get((method, guidance), 0.0))
                write_run(root, spec, rows, images=False)
            write_probes(root, make_spec(method, seed))
        fine = make_spec(method, 0, sampler="ancestral", steps=1000)
        write_run(root, fine, with_noise(fine, 0.0), images=False)
    return root


@pytest.fixture(scope="session")
def seeds_cell(seeds_root):
    (cell,) = cells(load_scores(seeds_root))
    return cell
