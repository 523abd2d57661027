"""Studies that several files of tests read."""

import pytest
from report_folders import make_spec, write_run, write_study


@pytest.fixture(scope="session")
def contrast_study(tmp_path_factory):
    root = write_study(tmp_path_factory.mktemp("study"), methods=("ddpm", "coral"))
    write_run(root, make_spec("ddpm", 0, sample_seed=1), images=False)
    write_run(root, make_spec("coral", 0, guidance=1.0), images=False)
    write_run(root, make_spec("cbdm", 9), images=False)
    return root
