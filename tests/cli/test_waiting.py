"""A wait that is longer than a person likes says what for, and leaves standard error to mistakes."""

import time

from ltbench.cli.console import waiting


def test_a_long_wait_says_what_it_waits_for(capsys):
    with waiting("reading", after=0.05):
        time.sleep(0.5)
    out = capsys.readouterr()
    assert out.out == "... reading\n"
    assert out.err == ""


def test_a_short_wait_says_nothing(capsys):
    with waiting("reading", after=5.0):
        pass
    assert capsys.readouterr() == ("", "")


def test_an_error_ends_the_wait():
    start = time.monotonic()
    try:
        with waiting("reading", after=30.0):
            raise ValueError
    except ValueError:
        pass
    assert time.monotonic() - start < 5
