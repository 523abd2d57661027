"""The document tree: it says what could not be drawn."""

from report_folders import make_spec, write_run

from ltbench.report import write_report


def test_a_clone_without_images_and_weights_gives_a_report_that_says_what_it_lacks(tmp_path):
    for method in ("ddpm", "coral"):
        write_run(tmp_path / "runs", make_spec(method), images=False)
    report = write_report(tmp_path / "runs", tmp_path / "out")
    text = (report.path / "details.md").read_text()
    assert "## Not drawn" in text
    assert "sample sheet: nowhere; needs stored images" in text
    assert "score at equal steps and FLOPs: nowhere; needs sample sets at several steps" in text
