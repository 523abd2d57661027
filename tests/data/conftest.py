"""What tests of data sets share."""

import pytest

from ltbench.data.registry import SOURCES
from ltbench.plugins import Extension


@pytest.fixture
def use(monkeypatch):
    """Put tiny sources in the registry's place."""

    def put(source):
        monkeypatch.setitem(SOURCES.extensions(), source.name, Extension(source.name, source, "tests"))
        return source

    return put
