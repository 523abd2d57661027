"""The reviewers' checklist, answered from the results."""


def test_the_checklist_answers_every_question(pages_report):
    (table,) = [t for t in pages_report.document.tables() if t.name == "checklist"]
    answers = {row[0]: row[1] for row in table.rows}
    assert len(answers) >= 12
    assert set(answers.values()) <= {"yes", "no", "partly", "not applicable"}
    assert answers["Several training seeds (3 or more) for every row?"] == "no"
    assert answers["One sampler for all methods?"] == "yes"
    assert answers["Baselines include class-balanced sampling?"] == "no"
