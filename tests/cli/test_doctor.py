"""The doctor finds what is there, says how to get what is not, and notices a number that is off."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ltbench.cli import doctor
from ltbench.cli.app import main
from ltbench.cli.doctor import CHECK_VALUES, CheckResult, CheckValue, check_golden, examine
from ltbench.data import SOURCES, load_dataset
from ltbench.errors import DataMissing
from ltbench.extractors.registry import cached_features, get_extractor, known_extractors
from ltbench.metrics.frechet import frechet_distance
from ltbench.specs import DataSpec


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    """No weights and no data but what the packages ship."""
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def by_name(findings):
    return {(found.topic, found.name): found for found in findings}


def test_every_data_set_and_extractor_is_found_or_has_advice(tmp_path):
    found = by_name(examine(tmp_path / "data", tmp_path / "runs"))
    assert {name for topic, name in found if topic == "data"} == set(SOURCES.all())
    assert {name for topic, name in found if topic == "weights"} == {row.name for row in known_extractors()}
    assert found["data", "digits_lt"].state == found["weights", "digits_cnn"].state == "ok"
    missing = found["data", "celeba5"]
    assert missing.state == "missing"
    assert "ltbench data prepare celeba5" in missing.advice
    assert all(one.advice for one in found.values() if one.state == "missing")


def test_weights_that_are_put_where_it_says_are_found(tmp_path):
    """The advice names a folder; a file there ends the complaint."""
    before = by_name(examine(tmp_path))["weights", "inception"]
    target = before.advice.split(" -o ")[1].split()[0]
    assert before.state == "missing"
    assert target.startswith(str(tmp_path))
    (tmp_path / "weights").mkdir()
    Path(target).write_bytes(b"")
    assert by_name(examine(tmp_path))["weights", "inception"].state == "ok"


def test_an_extra_that_is_not_installed_is_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    found = by_name(examine(tmp_path))
    assert "pip install 'ltbench[slurm]'" in found["software", "submitit"].advice


def test_a_prepared_folder_that_is_broken_hides_nothing(tmp_path):
    folder = tmp_path / "prepared" / "celeba5-64"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    found = by_name(examine(tmp_path))
    assert "manifest.json cannot be read" in found["data", "celeba5"].text
    assert found["data", "digits_lt"].state == "ok"


def test_the_command_prints_it_all_and_succeeds(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--golden", "--data-root", str(tmp_path), "--out", str(tmp_path / "runs")])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "torch" in shown
    assert "digits_cnn" in shown
    assert "GB free" in shown
    assert shown.count("the files of cifar10_lt are missing") >= len(CHECK_VALUES)


def digits_check(**changes):
    cell = load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=1.0))
    extractor = get_extractor("digits_cnn")
    train, test = (
        extractor(images).features for images in (cell.reference.images[:300], cell.heldout.images)
    )
    value = frechet_distance(train, test)
    return dataclasses.replace(
        CheckValue("frechet", "frechet", "digits_cnn", 300, None, value, 1e-3 * value), **changes
    )


def run(check, tmp_path):
    (result,) = check_golden(None, tmp_path, checks=[check], dataset="digits_lt")
    return result


def test_a_right_number_agrees_and_a_wrong_one_does_not(tmp_path):
    check = digits_check()
    assert run(check, tmp_path).agrees is True
    assert run(dataclasses.replace(check, value=check.value * 1.1), tmp_path).agrees is False
    assert run(dataclasses.replace(check, train=250), tmp_path).agrees is False


def test_a_score_of_one_set_takes_the_training_images_only(tmp_path):
    check = CheckValue("inception_score", "inception_score", "digits_cnn", None, 0, 0.0, 1e9)
    value = run(check, tmp_path).value
    cell = load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=1.0))
    logits = cached_features(get_extractor("digits_cnn"), cell.reference.images, tmp_path).logits
    from ltbench.metrics.inception_score import inception_score

    expected = inception_score(logits, seed=0, splits=10)
    assert value == pytest.approx(
        next(iter(expected.values())) if isinstance(expected, dict) else expected[0]
    )
    assert 5 < value <= 10
    assert "vs test" not in check.name


def test_missing_weights_are_named_and_do_not_stop_the_other_checks(tmp_path):
    lacking = digits_check(extractor="inception")
    results = check_golden(None, tmp_path, checks=[lacking, digits_check()], dataset="digits_lt")
    assert results[0].value is None
    assert "curl" in results[0].missing
    assert results[0].agrees is None
    assert results[1].agrees is True


def test_a_value_that_is_off_fails_the_command(tmp_path, monkeypatch, capsys):
    wrong = CheckResult(CHECK_VALUES[0], 3.5)
    monkeypatch.setattr(doctor, "check_golden", lambda *_, **__: [wrong])
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--golden", "--data-root", str(tmp_path)])
    assert ended.value.code == 1
    assert "differs" in capsys.readouterr().out


def test_the_published_values_are_those_on_record():
    values = [check.value for check in CHECK_VALUES]
    assert values == [3.1508, 11.23678, 10.32333, -2.908e-05, 0.6852, 0.6908, 110.281]
    assert all(0 < check.tolerance <= 0.05 * max(abs(check.value), 0.01) for check in CHECK_VALUES[:3])
    assert np.isfinite(values).all()
    assert issubclass(DataMissing, Exception)
