"""Imported runs that tests of interop share."""

import pytest
from official_files import CBDM, prepared

from ltbench.cli.app import main
from ltbench.study.file import load_study


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("ten"), 10)


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("five"), 5)


@pytest.fixture(scope="module")
def cbdm(ten, tmp_path_factory):
    """The golden checkpoint, imported by the command line: output root, its folder, the run it became."""
    out = tmp_path_factory.mktemp("runs")
    command = ["import", CBDM, "-m", "cbdm", "-d", "folder_lt", "--data-root", ten, "--out", out]
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in command])
    assert ended.value.code == 0
    (folder,) = out.iterdir()
    (spec,) = load_study(folder / "study.toml").runs
    return out, folder, spec
