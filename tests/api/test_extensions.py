"""What is available, with its origin."""

import pytest

import ltbench as lt
from ltbench.api.extensions import KINDS
from ltbench.errors import UsageError


def test_what_is_available_comes_with_its_origin():
    for kind in KINDS:
        table = lt.available(kind)
        assert len(table)
        assert (table["origin"] != "").all()
        assert table["name"].is_unique
    with pytest.raises(UsageError, match="'method'; did you mean 'methods'"):
        lt.available("method")
