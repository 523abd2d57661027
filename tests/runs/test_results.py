"""Loaded results: what does not belong together is pointed out."""

import pytest
from report_folders import make_spec, write_run

from ltbench.errors import CheckpointError
from ltbench.files import read_json, write_json
from ltbench.runs.results import load_results, study_title


def test_sample_sets_of_two_trainings_of_one_spec_are_pointed_out(tmp_path):
    for guidance, weights in ((0.0, "aa"), (0.5, "aa"), (1.0, "bb")):
        samples = write_run(tmp_path, make_spec(guidance=guidance), images=False)
        content = read_json(samples / "provenance.json")
        content["stages"][0]["weights"] = weights
        write_json(samples / "provenance.json", content)
        expected = 1 if weights == "bb" else 0
        assert len(load_results(tmp_path).notes) == expected
    assert "come from 2 trainings of one spec" in load_results(tmp_path).notes[0]


def _twice(root, value):
    """Write a run whose file states its first number again, with `value` (None: as before)."""
    scores = write_run(root, make_spec(), images=False) / "scores.csv"
    header, first, *_ = scores.read_text().splitlines()
    fields = dict(zip(header.split(","), first.split(","), strict=True))
    fields["value"] = fields["value"] if value is None else value
    scores.write_text(scores.read_text() + ",".join(fields.values()) + "\n")
    return fields["metric"]


def test_a_row_that_was_copied_counts_once_and_is_noted(tmp_path):
    _twice(tmp_path, None)
    (note,) = load_results(tmp_path).notes
    assert note.startswith("1 numbers were found in more than one place")


@pytest.mark.parametrize("value", ["99", ""])
def test_one_file_that_states_a_number_twice_and_differently_is_refused(tmp_path, value):
    metric = _twice(tmp_path, value)
    with pytest.raises(CheckpointError, match=rf"scores\.csv states {metric} \(overall\) as .* and (99|nan)"):
        load_results(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_study_has_its_title_however_an_editor_saved_it(tmp_path, encoding):
    (tmp_path / "study.toml").write_text("title = 'Étude'\n", encoding=encoding)
    assert study_title(tmp_path) == "Étude"
    (tmp_path / "study.toml").write_bytes(b"title = '\xff'")
    assert study_title(tmp_path) == ""
