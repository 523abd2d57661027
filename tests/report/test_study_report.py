"""What a whole study needs of its report: every guidance, honest costs, entanglement, orders, what is missing."""

import numpy as np
import pytest
from report_folders import make_spec, score_rows, write_probes, write_run

from ltbench.errors import CheckpointError
from ltbench.files import read_json, write_json
from ltbench.report import load_results, load_scores, write_report
from ltbench.report.cells import cells
from ltbench.report.document import make_scenes
from ltbench.report.figures.base import figures_of
from ltbench.report.figures.curves import at_most, varied
from ltbench.report.findings import best_guidances, findings
from ltbench.report.protocols import main_protocols, main_series
from ltbench.report.tables.contrasts import glance_table
from ltbench.report.tables.controls import balanced_controls, controls_tables
from ltbench.report.tables.cost import cost_table, entanglement_table, stored_probes
from ltbench.report.tables.differences import differences
from ltbench.report.tables.grid import Bold
from ltbench.report.tables.scores import groups_table, overall_table, pooled_table, settings_table, tail_table
from ltbench.runs.samples import load_confusion

SHIFT = {("coral", 0.0): -1.0, ("coral", 1.0): 2.0}  # better without guidance, worse with it


def shifted(spec, by):
    return [
        row | {"value": repr(float(row["value"]) + by * (row["metric"] == "frechet"))}
        for row in score_rows(spec, seed_noise=0.01, metrics=("frechet", "recall"))
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return two methods, three seeds, guidance 0 and 1, and one fine sampler that only one seed was given."""
    root = tmp_path_factory.mktemp("study") / "runs"
    for method in ("ddpm", "coral"):
        for seed in (0, 1, 2):
            for guidance in (0.0, 1.0):
                spec = make_spec(method, seed, guidance=guidance)
                rows = shifted(spec, SHIFT.get((method, guidance), 0.0))
                write_run(root, spec, rows, images=False)
            write_probes(root, make_spec(method, seed))
        fine = make_spec(method, 0, sampler="ancestral", steps=1000)
        write_run(root, fine, shifted(fine, 0.0), images=False)
    return root


@pytest.fixture(scope="module")
def cell(root):
    (cell,) = cells(load_scores(root))
    return cell


def texts(table):
    return table.rows


def test_main_protocol_is_the_one_with_the_seeds_not_the_finest_sampler(cell):
    assert {one.sampler for one in main_series(cell)} == {"dpmsolver++"}
    assert [[one.guidance for one in b] for b in main_protocols(cell)] == [[0.0, 0.0], [1.0, 1.0]]
    assert all([one.label for one in b] == ["DDPM", "CORAL"] for b in main_protocols(cell))


def test_of_a_guidance_curve_the_fully_scored_are_shown_and_the_best_is_sought_among_all(tmp_path):
    for method in ("ddpm", "coral"):
        for guidance in (0.0, 0.25, 0.5, 1.0, 2.0, 3.0):
            spec = make_spec(method, guidance=guidance)
            metrics = ("frechet", "recall") if guidance in (0, 1) else ("frechet",)
            rows = score_rows(spec, metrics=metrics)
            if guidance == 3.0:
                rows = [row | {"value": "0.5"} for row in rows]
            write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert [block[0].guidance for block in main_protocols(cell)] == [0.0, 1.0]
    assert len(main_protocols(cell, every=True)) == 6
    assert {best.chosen for _, best in best_guidances(cell)} == {3.0}


def test_a_guidance_curve_is_of_one_number_of_sampler_steps(tmp_path):
    """At guidance 0 the points of a sampler sweep stood on the curve: a vertical line in the figure."""
    for seed in (0, 1):
        for steps, guidance in ((5, 0.0), (20, 0.0), (20, 1.0), (20, 2.0), (50, 0.0)):
            if seed == 0 or guidance < 2:
                spec = make_spec("ddpm", seed, steps=steps, guidance=guidance)
                write_run(tmp_path, spec, images=False)
    (scene,) = scenes_of(tmp_path)
    (curve,) = varied(scene, "guidance")
    assert list(zip(curve.x, [one.nfe for one in curve.series], strict=True)) == [(0, 20), (1, 40), (2, 40)]
    assert [curve.x for curve in varied(scene, "nfe")] == [[5, 20, 50]]
    (figure,) = drawn_of(tmp_path, "guidance")
    assert "training seeds 0,1 (n=2)" in figure.caption
    assert "Some points have fewer seeds" in figure.caption


def scenes_of(root, baseline="ddpm"):
    results = load_results(root)
    found = cells(results.scores)
    return make_scenes(found, results, {c.label: differences(c, baseline) for c in found}, baseline)


def drawn_of(root, kind):
    return [f for scene in scenes_of(root) for f in figures_of(scene, [kind]).get(kind, [])]


def test_of_many_curves_each_methods_longest_is_drawn(tmp_path):
    for method in ("ddpm", "coral"):
        for steps in (5, 10, 15, 20, 25, 40, 50, 100):
            for guidance in (0.0, 1.0, 2.0) if steps == 20 else (0.0, 1.0):
                spec = make_spec(method, steps=steps, guidance=guidance)
                write_run(tmp_path, spec, score_rows(spec, metrics=("frechet",)), images=False)
    (scene,) = scenes_of(tmp_path)
    curves = varied(scene, "guidance")
    assert len(curves) == 16
    assert sorted((curve.series[0].method, curve.x) for curve in at_most(curves)) == [
        ("coral", [0, 1, 2]),
        ("ddpm", [0, 1, 2]),
    ]
    assert len(at_most([curve for curve in curves if curve.series[0].method == "ddpm"])) == 8


def test_a_side_question_with_fewer_images_does_not_lead(tmp_path):
    for seed in (0, 1, 2):
        write_run(tmp_path, make_spec("ddpm", seed), images=False)
    write_run(tmp_path, make_spec("ddpm", 0, per_class=10, sampler="ancestral", steps=1000), images=False)
    (cell,) = cells(load_scores(tmp_path))
    frechet = [m.n_generated for m in cell.measures("overall") if m.metric == "frechet"]
    assert frechet == [300, 100]
    for seed in (0, 1, 2):
        for steps in range(5, 17):  # many settings, so that tables and figures show the main ones alone
            write_run(tmp_path, make_spec("ddpm", seed, steps=steps), images=False)
    report = write_report(tmp_path, tmp_path / "report")
    assert "n=100" not in (report.path / "report.md").read_text()
    assert "n=100" in (report.path / "details.md").read_text()
    assert main_series(cell)[0].train_seeds == (0, 1, 2)


def test_findings_are_short_and_hold_at_one_guidance_each(cell):
    frame = differences(cell, "ddpm")
    told = findings([(cell, frame)], "ddpm")
    assert any("ω=0: CORAL beats DDPM" in s for s in told)
    assert any("ω=1: CORAL is worse than DDPM" in s for s in told)
    assert any("best guidance" in s and "choice flatters" in s for s in told)
    assert "3 training seeds" in told[-1]
    assert all(len(s.split()) <= 25 for s in told)
    rows = texts(glance_table([(cell, frame)], "ddpm"))
    assert [(row[-1], row[1]) for row in rows] == [
        ("0", "overall"),
        ("0", "tail"),
        ("1", "overall"),
        ("1", "tail"),
    ]
    assert rows[0][3].startswith("-1.4")
    assert rows[2][3].startswith("+1.6")


def test_one_seed_is_a_measurement_and_no_ranking(tmp_path):
    for method in ("ddpm", "coral"):
        write_run(tmp_path, make_spec(method), images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert findings([(cell, differences(cell, "ddpm"))], "ddpm")[-1].startswith("One training seed")


def test_bold_is_decided_among_rows_of_one_protocol(cell):
    table = overall_table(cell)
    column = table.columns.index("FD (digits_cnn) ↓")
    bold = [row[0] for row in table.rows[:-1] if isinstance(row[column], Bold)]
    assert len(table.rules) >= 2
    assert len(bold) == 2


def test_a_cell_of_many_settings_shows_the_main_ones_first(tmp_path):
    for method in ("ddpm", "coral"):
        for seed in (0, 1):
            for steps in (5, 10, 20, 50, 100, 200, 500) if seed == 0 else (20,):
                write_run(tmp_path, make_spec(method, seed, steps=steps), images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert len(overall_table(cell).rows) == 3
    assert "12 more settings" in overall_table(cell).notes[-1]
    assert len(settings_table(cell).rows) == 15


def test_groups_stand_with_t_intervals_and_the_tail_with_its_measures(cell):
    table = groups_table(cell)
    tail = table.columns.index("tail")
    first = cell.means("group", cell.measures("group")[0], "tail")[main_series(cell)[0].key]
    half, mean = 4.302653 * first.sd / np.sqrt(3), first.mean
    assert texts(table)[0][tail] == f"{mean:.2f} [{mean - half:.2f}, {mean + half:.2f}]"
    assert tail_table(cell).columns[1:3] == ["FD (digits_cnn) ↓", "Recall ↑"]


def test_cost_is_cpu_time_that_other_work_on_the_machine_does_not_move(root):
    results = load_results(root)
    path = next(iter(results.runs.values())).folder / "provenance.json"
    content = read_json(path)
    before = texts(cost_table(cells(results.scores)[0], results.runs))
    try:
        content["stages"][0]["wall_seconds"] *= 50
        write_json(path, content)
        results = load_results(root)
        assert texts(cost_table(cells(results.scores)[0], results.runs)) == before
    finally:
        content["stages"][0]["wall_seconds"] /= 50
        write_json(path, content)
    assert before[0][1:3] == ["2.00e+12", "2.5 (2.5-2.5)"]


def test_a_training_that_was_begun_again_costs_what_its_last_beginning_took(tmp_path):
    write_run(tmp_path, make_spec(), images=False)
    (path,) = tmp_path.glob("*/provenance.json")
    content = read_json(path)
    (stage,) = content["stages"]
    first = stage | {"anew": True, "processor": "Another CPU"}
    content["stages"] = [first, first | {"cpu_seconds": 90.0}, stage | {"anew": False, "cpu_seconds": 30.0}]
    write_json(path, content)
    results = load_results(tmp_path)
    table = cost_table(cells(results.scores)[0], results.runs)
    assert texts(table)[0][2] == "2.0"
    assert "Recorded on Another CPU and Some CPU: times of one do not compare" in table.notes[0]


def test_sample_sets_of_two_trainings_of_one_spec_are_pointed_out(tmp_path):
    for guidance, weights in ((0.0, "aa"), (0.5, "aa"), (1.0, "bb")):
        samples = write_run(tmp_path, make_spec(guidance=guidance), images=False)
        content = read_json(samples / "provenance.json")
        content["stages"][0]["weights"] = weights
        write_json(samples / "provenance.json", content)
        expected = 1 if weights == "bb" else 0
        assert len(load_results(tmp_path).notes) == expected
    assert "come from 2 trainings of one spec" in load_results(tmp_path).notes[0]


def test_entanglement_is_correlated_with_the_score_over_runs(root):
    results = load_results(root)
    (cell,) = cells(results.scores)
    table = entanglement_table(cell, stored_probes(main_series(cell), results.runs))
    assert table.columns[1] == "macro, ω=0, n=6"
    assert "nothing about cause" in table.notes[0].replace("\n", " ")
    without, guided = (float(texts(table)[0][i].split(" ")[0]) for i in (1, 5))
    assert without < -0.5 < 0.5 < guided  # CORAL's probes are better; its score is at one guidance only


def test_confusion_is_drawn_where_it_is_kept(tmp_path):
    samples = write_run(tmp_path, make_spec(), images=False)
    names = list("abcdefghij")  # as scoring writes it: the classes' names, in label order
    table = "label," + ",".join(names) + "\n"
    table += "".join(f"{a}," + ",".join("30" if a == b else "0" for b in names) + "\n" for a in names)
    (samples / "confusion.csv").write_text(table)
    (figure,) = drawn_of(tmp_path, "confusion")
    (panel,) = figure.panels
    assert np.trace(panel.matrix) == pytest.approx(10)
    assert "asked for" in figure.caption
    (cell,) = cells(load_scores(tmp_path))
    assert cell.class_name("3") == "d"  # the data set has numbers alone: the user's names are the report's
    assert load_confusion(samples).loc["3", "3"] == 30
    (samples / "confusion.csv").write_text("label,0\n0,x\n")
    with pytest.raises(CheckpointError, match=r"confusion\.csv cannot be read"):
        load_confusion(samples)


COUNTS = (120, 86, 62, 44, 32, 23, 16, 12, 8, 6)


def write_classes(root, frechet, counts=COUNTS, **spec):
    """Write a run whose classes have the given Frechet distances and training counts."""
    spec = make_spec(**spec)
    rows = [
        row | {"value": repr(float(frechet[int(row["class_or_group"])]))}
        if row["scope"] == "class" and row["metric"] == "frechet"
        else row
        for row in score_rows(spec, counts=counts)
    ]
    write_run(root, spec, rows, images=False)


def tables_of(root):
    return {table.name: table for table in controls_tables(cells(load_scores(root)))}


def test_the_same_class_stands_beside_itself_under_another_order(tmp_path):
    for order, counts in (("identity", COUNTS), ("reversed", COUNTS[::-1])):
        write_classes(tmp_path, np.arange(1, 11) / np.array(counts), counts, order=order)
    table = tables_of(tmp_path)["control-digits-r0.05-and-class-order-reversed"]
    changed = "class order reversed"
    assert table.columns == ["Class", "Images", f"Images, {changed}", "DDPM", f"DDPM, {changed}"]
    rows = texts(table)
    assert rows[0][:3] == ["0", "120", "6"]
    assert rows[9] == ["9", "6", "120", "1.67", "0.08"]
    assert rows[10] == ["these tail classes", "", "", f"{(8 / 12 + 9 / 8 + 10 / 6) / 3:.2f}", "0.11"]


def test_rarity_and_difficulty_are_told_apart_where_they_are_apart(tmp_path):
    """FD = difficulty x count^-power: the table gives both back, whatever the published order mixed up."""
    difficulty = np.array([3, 1, 4, 1.5, 9, 2, 6, 5, 3.5, 8])
    for seed, power in ((0, 0.3), (1, 0.4)):
        for order, counts in (("identity", COUNTS), ("reversed", COUNTS[::-1])):
            frechet = difficulty * np.array(counts, float) ** -power
            write_classes(tmp_path, frechet, counts, seed=seed, order=order)
    write_classes(tmp_path, difficulty, seed=2)  # one order alone says nothing
    (row,) = texts(tables_of(tmp_path)["rarity-digits-r0.05"])
    growth = 10**0.35
    half = 12.7062 * np.log(10) * 0.05  # t of two seeds x sd of b / sqrt(2)
    assert row[-1] == "0,1 (n=2)"
    assert row[1] == f"{growth:.2f} [{growth * np.exp(-half):.2f}, {growth * np.exp(half):.2f}]"
    assert row[2:5] == ["100 %", "4", "9.00"]


def test_another_split_alone_cannot_tell_rarity_from_difficulty(tmp_path):
    write_classes(tmp_path, np.ones(10))
    spec = make_spec()
    other = spec.model_copy(update={"data": spec.data.model_copy(update={"split_seed": 1})})
    write_run(tmp_path, other, score_rows(other), images=False)
    assert list(tables_of(tmp_path)) == ["control-digits-r0.05-and-split-seed-1"]


def test_balanced_controls_stand_beside_the_long_tail_most_images_first(tmp_path):
    write_classes(tmp_path, np.arange(10))
    spec = make_spec(ratio=1.0)
    for count in (6, 120):
        head = None if count == 120 else count
        data = spec.data.model_copy(update={"head_count": head})
        one = spec.model_copy(update={"data": data})
        write_run(tmp_path, one, score_rows(one, counts=(count,) * 10), images=False)
    found = cells(load_scores(tmp_path))
    tail = next(c for c in found if c.imbalance_ratio < 1)
    assert [c.label for c in balanced_controls(tail, found)] == [
        "digits_lt, ratio 1",
        "digits_lt, ratio 1, head count 6",
    ]
    assert not any(balanced_controls(c, found) for c in found if c is not tail)
    tables = tables_of(tmp_path)
    assert [name for name in tables if name.startswith("control-")] == [
        "control-digits-r0.05-and-ratio-1",
        "control-digits-r0.05-and-ratio-1-head-count-6",
    ]
    scarce = tables["control-digits-r0.05-and-ratio-1-head-count-6"]
    assert scarce.columns[2] == "Images, ratio 1, head count 6"
    assert "scarcity" in scarce.notes[0]
    assert texts(scarce)[-1][3] == "8.00"
    spec = make_spec(
        ratio=0.1
    )  # another long tail has the same head, whose table must not take this one's place
    write_run(tmp_path, spec, score_rows(spec, counts=(*COUNTS[:-1], 12)), images=False)
    names = [table.name for table in controls_tables(cells(load_scores(tmp_path)))]
    assert len(names) == len(set(names)) == 3
    assert "control-digits-r0.1-and-ratio-1" in names


def test_long_tails_lead_and_controls_close_and_have_no_tail(tmp_path):
    for method in ("ddpm", "coral"):
        for settings in ({"ratio": 0.1}, {"ratio": 1.0}, {}, {"order": "reversed"}):
            spec = make_spec(method, **settings)
            counts = (120,) * 10 if settings.get("ratio") == 1 else COUNTS
            write_run(tmp_path, spec, score_rows(spec, counts=counts), images=False)
    found = cells(load_scores(tmp_path))
    assert [c.label for c in found] == [
        "digits_lt, ratio 0.1",
        "digits_lt, ratio 0.05",
        "digits_lt, ratio 0.05, class order reversed",
        "digits_lt, ratio 1",
    ]
    control = found[-1]
    assert control.groups() == ["macro", "worst"]
    assert tail_table(control) is None
    assert groups_table(control).columns[1:3] == ["macro mean", "worst class"]
    glance = glance_table([(c, differences(c, "ddpm")) for c in found], "ddpm")
    assert [row[1] for row in glance.rows] == ["overall", "tail"] * 3 + ["overall"]


def test_the_glance_tables_columns_are_methods_whatever_a_cell_calls_them(tmp_path):
    """A cell with two variants of a method labels them by variant; it had columns of its own beside the others'."""
    for ratio in (0.1, 0.05):
        for method, variant in (("ddpm", ""), ("coral", "published"), ("coral", "released"), ("cbdm", "")):
            if ratio == 0.05 or method != "cbdm":
                hyper = {"coral": {"variant": variant}} if variant == "released" else {}
                spec = make_spec(method, ratio=ratio, hyper=hyper)
                rows = [row | {"variant": variant} for row in score_rows(spec)]
                write_run(tmp_path, spec, rows, images=False)
    found = cells(load_scores(tmp_path))
    glance = glance_table([(c, differences(c, "ddpm")) for c in found], "ddpm")
    assert glance.columns[3:-1] == ["CORAL (published) - DDPM", "CORAL (released) - DDPM"]
    assert all(entry != "—" for row in glance.rows for entry in row)
    assert "Methods run in one data cell alone" in glance.notes[0]  # CBDM
    alone = glance_table([(found[1], differences(found[1], "ddpm"))], "ddpm")
    assert alone.columns[3] == "CBDM - DDPM"
    assert "alone" not in alone.notes[0]


def test_kernel_distances_stand_in_the_glance_table_as_a_family_of_their_own(tmp_path):
    """Three paired seeds: -1, -1.1 and -.95 is shown at 5 %, and Frechet differences of .5, -.5 and 0 are not."""
    values = {"ddpm": ((5.0, 6.0, 7.0), (10.0, 20.0, 30.0)), "coral": ((5.5, 5.5, 7.0), (9.0, 18.9, 29.05))}
    for method, (frechet, kernel) in values.items():
        for seed in range(3):
            spec = make_spec(method, seed)
            rows = [r for r in score_rows(spec, metrics=("frechet",)) if r["metric"] == "frechet"]
            distances = [row | {"value": frechet[seed]} for row in rows]
            kernels = [row | {"metric": "kid", "definition": "kid/1", "value": kernel[seed]} for row in rows]
            write_run(tmp_path, spec, distances + kernels, images=False)
    (cell,) = cells(load_scores(tmp_path))
    glance = glance_table([(cell, differences(cell, "ddpm"))], "ddpm")
    assert [row[1] for row in glance.rows] == [
        "overall",
        "tail",
        "overall, KD (digits_cnn)",
        "tail, KD (digits_cnn)",
    ]
    assert glance.rows[0][2].startswith("6.00 ± 1.00")
    assert glance.rows[2][2].startswith("20.0000 ± 10.0000")
    assert not isinstance(glance.rows[0][3], Bold)
    assert glance.rows[2][3].startswith("-1.0167 [")  # the mean of -1, -1.1 and -.95
    assert isinstance(glance.rows[2][3], Bold)
    assert "Kernel distances, where they were scored" in glance.notes[0]


def test_classes_are_drawn_at_all_their_counts_where_there_are_several(tmp_path):
    difficulty = np.array([3, 1, 4, 1.5, 9, 2, 6, 5, 3.5, 8])
    for method in ("ddpm", "coral"):
        for order, counts in (("identity", COUNTS), ("reversed", COUNTS[::-1])):
            frechet = difficulty / np.sqrt(counts)
            write_classes(tmp_path, frechet, counts, method=method, order=order)
    write_classes(tmp_path, difficulty / np.sqrt(120), (120,) * 10, ratio=1.0)
    (figure,) = drawn_of(tmp_path, "counts")
    assert figure.name == "digits-r0.05-counts"
    assert len(figure.panels) == 2
    assert "class order reversed" in figure.caption
    assert "balanced, 120 images a class" in figure.caption
    line = figure.panels[0].marks[0]
    assert line.line
    assert list(line.x) == [6.0, 120.0]


def test_pooled_groups_have_a_table_of_their_own_and_a_dash_its_reason(tmp_path):
    """A group's mean over classes and its pooled value never share a column; what is missing says why."""
    spec = make_spec()
    rows = score_rows(spec, metrics=("frechet",))
    tail = next(r for r in rows if r["scope"] == "group" and r["class_or_group"] == "tail")
    rows.append(
        tail | {"scope": "pooled", "value": "3.5", "n_generated": 90, "grouping": "thirds", "labels": "7 8 9"}
    )
    rows = [
        r
        | (
            {"value": "", "reason": "one image only"}
            if r["class_or_group"] == "9" and r["metric"] == "frechet"
            else {}
        )
        for r in rows
    ]
    write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    pooled = pooled_table(cell)
    assert texts(pooled)[0][1] == "3.50"
    assert "thirds" in pooled.notes[1]
    assert "7 8 9" in pooled.notes[1]
    assert "3.50" not in {text for row in texts(groups_table(cell)) for text in row}
    from ltbench.report.tables.scores import per_class_tables

    table = per_class_tables(cell)[0]
    assert texts(table)[9][2] == "—"
    assert any("9: one image only" in note for note in table.notes)


def test_a_clone_without_images_and_weights_gives_a_report_that_says_what_it_lacks(tmp_path):
    for method in ("ddpm", "coral"):
        write_run(tmp_path / "runs", make_spec(method), images=False)
    report = write_report(tmp_path / "runs", tmp_path / "out")
    text = (report.path / "details.md").read_text()
    assert "## Not drawn" in text
    assert "sample sheet: nowhere; needs stored images" in text
    assert "score at equal steps and FLOPs: nowhere; needs sample sets at several steps" in text
