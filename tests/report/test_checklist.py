"""The reviewers' checklist, answered from the results."""

from report_folders import make_spec, write_run
from report_scenes import scenes_of

from ltbench.report.checklist import checklist_table


def test_the_checklist_answers_every_question(pages_report):
    (table,) = [t for t in pages_report.document.tables() if t.name == "checklist"]
    answers = {row[0]: row[1] for row in table.rows}
    assert len(answers) >= 12
    assert set(answers.values()) <= {"yes", "no", "partly", "not applicable"}
    assert answers["Several training seeds (3 or more) for every row?"] == "no"
    assert answers["One sampler for all methods?"] == "yes"
    assert answers["Baselines include class-balanced sampling?"] == "no"


def spread_of(root):
    return {row[0]: row[1:] for row in checklist_table(scenes_of(root)).rows}["Spread shown with every mean?"]


def test_spread_is_shown_with_every_mean_only_where_every_row_has_it(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, make_spec("ddpm", seed), images=False)
    assert spread_of(tmp_path)[0] == "yes"
    write_run(tmp_path, make_spec("coral", 0), images=False)
    answer, where = spread_of(tmp_path)
    assert answer == "no"
    assert where.endswith("none where a row has one seed")
