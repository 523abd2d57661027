"""Loaded results: what does not belong together is pointed out."""

from report_folders import make_spec, write_run

from ltbench.files import read_json, write_json
from ltbench.report import load_results


def test_sample_sets_of_two_trainings_of_one_spec_are_pointed_out(tmp_path):
    for guidance, weights in ((0.0, "aa"), (0.5, "aa"), (1.0, "bb")):
        samples = write_run(tmp_path, make_spec(guidance=guidance), images=False)
        content = read_json(samples / "provenance.json")
        content["stages"][0]["weights"] = weights
        write_json(samples / "provenance.json", content)
        expected = 1 if weights == "bb" else 0
        assert len(load_results(tmp_path).notes) == expected
    assert "come from 2 trainings of one spec" in load_results(tmp_path).notes[0]
