"""The version that the command prints."""

import re
from importlib.metadata import version


def test_version(ltbench):
    code, out, _ = ltbench("--version")
    name, built, system, libraries = out.splitlines()
    assert code == 0
    assert re.fullmatch(r"ltbench \d+\.\d+\.\d+", name)
    assert re.match(r"commit [0-9a-f]{12}|a release|a checkout", built)
    assert system.startswith("Python 3.")
    assert re.search(rf"torch {re.escape(version('torch'))}\b", libraries)
    assert "numpy" in libraries
