"""Calibration by the command: a table, or one sentence."""

import re

import pytest


def test_calibration_prints_what_each_setting_makes_of_a_known_spread(capsys):
    from ltbench.cli.calibrate import show_calibration

    show_calibration("ddim,ancestral", "cpu")
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if re.match(r"ddim +- +logsnr +20 ", line)]
    assert "-12." in row
    assert "off by more than 5 %" in row
    assert any(line.startswith("ddim: first order") for line in lines)
    (ancestral,) = [line for line in lines if re.match(r"ancestral +- +all +1000 ", line)]
    assert "off by" not in ancestral


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--calibrate", "--sampler", "euler"], ["unknown sampler 'euler'"]),
        (["--sampler", "ddim"], ["--calibrate"]),
    ],
)
def test_what_cannot_be_calibrated_is_one_sentence(arguments, words, capsys):
    from ltbench.cli.app import main

    with pytest.raises(SystemExit) as end:
        main(["doctor", *arguments])
    err = capsys.readouterr().err
    assert end.value.code
    assert all(word in err for word in words)
    assert "Traceback" not in err
