"""One data cell's results: the numbers of a measure at a place, by series and seed."""

import re

import pytest
from report_folders import COUNTS, make_spec, score_rows, uneven, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.names import OWN
from ltbench.analysis.protocols import main_series
from ltbench.report import write_report
from ltbench.runs.results import load_scores


def test_by_seed_takes_the_main_sampling_seed_only(contrast_study):
    (cell,) = cells(load_scores(contrast_study))
    wide = cell.by_seed("overall", cell.measures("overall")[0])
    key = next(one.key for one in cell.series if one.method == "ddpm")
    rows = cell.points[(cell.points["series"] == key) & (cell.points["sample_seed"] == 0)]
    expected = rows[(rows["scope"] == "overall") & (rows["metric"] == "frechet") & (rows["role"] == "")]
    assert wide[key].dropna().to_list() == pytest.approx(
        expected.sort_values("train_seed")["value"].to_list()
    )


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


def test_sizes_that_differ_between_classes_alone_make_one_measure(tmp_path):
    """Each class's size was a measure of its own: ten, of one class each, and the first alone led."""
    for seed in (0, 1):
        even, own = make_spec("ddpm", seed), make_spec("coral", seed)
        write_run(tmp_path, even, score_rows(even, metrics=("frechet",)), images=False)
        write_run(tmp_path, own, uneven(score_rows(own, metrics=("frechet",))), images=False)
    (cell,) = cells(load_scores(tmp_path))
    sizes = {m.n_generated: m for m in cell.measures("class")}
    assert sorted(sizes) == [OWN, 30]
    keys = {one.method: one.key for one in cell.series}
    for label in map(str, range(10)):
        assert list(cell.means("class", sizes[OWN], label)) == [keys["coral"]]
        assert list(cell.by_seed("class", sizes[30], label)) == [keys["ddpm"]]
    assert cell.images(sizes[OWN], "n_generated") == f"{min(COUNTS)} to {max(COUNTS)}"
    assert cell.images(sizes[30], "n_generated") == "30"


def test_a_floor_is_of_the_sample_sets_that_it_stands_beside(tmp_path):
    """Floors of 100 and of 300 images were averaged, and called one of 300."""
    for seed in (0, 1, 2):
        for per_class, floor in ((30, 0.5), (10, 2.0)):
            if per_class == 30 or seed == 0:
                spec = make_spec("ddpm", seed, per_class=per_class)
                rows = score_rows(spec, metrics=("frechet",))
                floors = [r | ({"value": floor} if r["metric"] == "frechet.floor" else {}) for r in rows]
                write_run(tmp_path, spec, floors, images=False)
    (cell,) = cells(load_scores(tmp_path))
    own, fewer = (m for m in cell.measures("overall") if m.metric == "frechet")
    assert cell.floor("overall", own) == pytest.approx((0.5, 0.05, 300))
    assert cell.floor("overall", fewer) == pytest.approx((2.0, 0.05, 100))
    assert cell.floor("overall", own.any_size)[0] == 0.5, "of several sizes that of most sample sets"


def test_cells_of_one_short_name_are_told_apart(tmp_path):
    """The tables and figures of one took the places of the other's: a report goes by their names."""
    write_run(tmp_path, make_spec("ddpm"), images=False)
    for size in (8, 16):
        spec = make_spec("ddpm", ratio=0.1)
        data = spec.data.model_copy(update={"image_size": size})
        write_run(tmp_path, spec.model_copy(update={"data": data}), images=False)
    found = {cell.label: cell.slug for cell in cells(load_scores(tmp_path))}
    assert found.pop("digits_lt, ratio 0.05") == "digits-r0.05"
    assert len(set(found.values())) == len(found) == 2
    assert all(re.fullmatch("digits-r0.1-[0-9a-f]{6}", slug) for slug in found.values())


def test_means_run_over_seeds_whose_classes_have_other_sizes(tmp_path):
    """As of images whose labels were drawn: the mean was the first seed's own, beside a test over all."""
    for seed in (0, 1, 2):
        spec, counts = make_spec("coral", seed), [n + seed for n in COUNTS]
        rows = uneven(score_rows(spec, metrics=("frechet",)), counts)
        least = {"n_generated": min(counts)}
        rows = [row | (least if row["scope"] == "group" else {}) for row in rows]
        write_run(tmp_path, spec, rows, images=False)
    (cell,) = cells(load_scores(tmp_path))
    (measure,) = (m for m in cell.measures("class") if m.metric == "frechet")
    for scope, place in (("class", "3"), ("group", "tail")):
        values = cell.by_seed(scope, measure.any_size, place).to_numpy()
        (found,) = cell.means(scope, measure.any_size, place).values()
        assert (found.n, found.mean) == (3, pytest.approx(values.mean()))
        assert found.sd == pytest.approx(values.std(ddof=1))
    assert cell.means("class", measure, "3")[cell.series[0].key].n == 3


def test_values_a_seed_are_of_the_main_sampling_seed_and_of_images_from_elsewhere_the_one_there_is(tmp_path):
    for seed, value in ((0, 3.0), (1, 5.0)):
        spec = make_spec("ddpm", seed)
        rows = [row | {"value": repr(value)} for row in score_rows(spec, metrics=("frechet",))]
        write_run(tmp_path, spec, rows, images=False)
    spec = make_spec("my_gan")
    elsewhere = {"origin": "external", "train_seed": "", "step": "", "value": "7.0"}
    write_run(
        tmp_path, spec, [row | elsewhere for row in score_rows(spec, metrics=("frechet",))], images=False
    )
    (cell,) = cells(load_scores(tmp_path))
    measure = cell.frechet("overall")
    values = {one.method: cell.seed_values(measure, one.key).tolist() for one in cell.series}
    assert values == {"ddpm": [3.0, 5.0], "my_gan": [7.0]}
    assert cell.seed_values(measure, "no such series").tolist() == []
