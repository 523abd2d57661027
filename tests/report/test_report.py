"""Loading, averaging, tables and the main figures, from small synthetic result folders."""

import numpy as np
import pandas as pd
import pytest
from report_folders import COUNTS, make_spec, score_rows, write_run, write_scores, write_study

from ltbench.analysis.cells import cells
from ltbench.analysis.differences import differences
from ltbench.analysis.names import method_title
from ltbench.analysis.protocols import MOST_METHODS, main_series, shown_blocks
from ltbench.errors import CheckpointError, DataCorrupt, StorageError, UsageError
from ltbench.report import write_report
from ltbench.report.findings import findings
from ltbench.report.tables.contrasts import contrast_table, glance_table, rank_table
from ltbench.report.tables.cost import cost_table
from ltbench.report.tables.grid import Bold
from ltbench.report.tables.scores import (
    groups_table,
    league_table,
    overall_table,
    per_class_tables,
    tail_table,
)
from ltbench.runs.results import load_results, load_scores
from ltbench.runs.samples import first_of_each_class


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study") / "runs")


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return write_report(study, tmp_path_factory.mktemp("report"))


def only_cell(root):
    (cell,) = cells(load_scores(root))
    return cell


def constant_rows(spec, value):
    return [row | {"value": str(value)} for row in score_rows(spec)]


def test_mean_sd_and_n_run_over_training_seeds(tmp_path):
    for seed, value in enumerate((1.0, 2.0, 6.0)):
        spec = make_spec("ddpm", seed)
        write_run(tmp_path, spec, constant_rows(spec, value), images=False)
    cell = only_cell(tmp_path)
    (found,) = cell.means("overall", cell.measures("overall")[0]).values()
    assert (found.mean, found.n) == (3.0, 3)
    assert found.sd == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert found.n_sampling == 0
    assert np.isnan(found.sd_sampling)
    assert [len(one.runs) for one in cell.series] == [3]
    assert overall_table(cell).rows[0][1] == "3.00 ± 2.65"


def test_sampling_seeds_never_enter_the_spread_over_training_seeds(tmp_path):
    for seed in (0, 1):
        spec = make_spec("ddpm", seed)
        write_run(tmp_path, spec, constant_rows(spec, 2.0 + seed), images=False)
    for sampling in (1, 2):
        spec = make_spec("ddpm", sample_seed=sampling)
        write_run(tmp_path, spec, constant_rows(spec, 100.0 * sampling), images=False)
    cell = only_cell(tmp_path)
    (found,) = cell.means("overall", cell.measures("overall")[0]).values()
    assert (found.mean, found.n) == (2.5, 2)
    assert found.sd_sampling == pytest.approx(np.std([2, 100, 200], ddof=1))
    assert found.n_sampling == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"guidance": 1.0},
        {"steps": 10},
        {"sampler": "ddim"},
        {"hyper": {"coral": {"w": 0.5}}},
        {"train": {"batch_size": 64}},
        {"clip": True},
        {"per_class": 60},
    ],
    ids=lambda c: next(iter(c)),
)
def test_whatever_differs_is_a_row_of_its_own(tmp_path, changed):
    for seed in (0, 1):
        write_run(tmp_path, make_spec("coral", seed), images=False)
        write_run(tmp_path, make_spec("coral", seed, **changed), images=False)
    cell = only_cell(tmp_path)
    assert len(cell.series) == 2
    assert len({one.label for one in cell.series}) == 2
    assert set(cell.summary["n"]) == {2}
    assert len(overall_table(cell).rows) >= 2


def test_cells_are_not_mixed(tmp_path):
    for changes in ({}, {"ratio": 0.1}, {"order": "reversed"}):
        write_run(tmp_path, make_spec("ddpm", **changes), images=False)
    labels = [cell.label for cell in cells(load_scores(tmp_path))]
    assert labels == [
        "digits_lt, ratio 0.1",
        "digits_lt, ratio 0.05",
        "digits_lt, ratio 0.05, class order reversed",
    ]


def test_classes_run_head_to_tail_whatever_their_labels(tmp_path):
    spec = make_spec("ddpm", order="reversed")
    write_run(tmp_path, spec, score_rows(spec, counts=COUNTS[::-1]), images=False)
    table = per_class_tables(only_cell(tmp_path))[0]
    assert [row[0] for row in table.rows[:10]] == [str(c) for c in range(9, -1, -1)]
    assert [row[1] for row in table.rows[:2]] == ["120", "86"]
    assert [row[0] for row in table.rows[10:]] == ["head", "middle", "tail", "macro mean", "worst class"]


def test_missing_numbers_are_shown_as_missing(tmp_path):
    spec = make_spec("ddpm")
    write_run(tmp_path, spec, score_rows(spec), images=False)
    spec = make_spec("cbdm")
    rows = [r for r in score_rows(spec, metrics=("frechet",)) if r["class_or_group"] != "9"]
    write_run(tmp_path, spec, rows, images=False)
    cell = only_cell(tmp_path)
    table = overall_table(cell)
    cbdm = next(row for row in table.rows if row[0] == "CBDM")
    recall = table.columns.index("Recall ↑")
    assert cbdm[recall] == "—"
    assert any("not measured" in note for note in table.notes)
    last_class = per_class_tables(cell)[0].rows[9]
    assert last_class[3] == "—"
    assert last_class[2] != "—"


def test_floor_stands_beside_the_score(study):
    table = per_class_tables(only_cell(study))[0]
    assert table.columns[-1] == "Floor"
    assert table.rows[0][-1] == "1.60 ± 0.12"
    assert overall_table(only_cell(study)).rows[-1][0].startswith("real vs real")


def test_same_numbers_in_two_roots_count_once(study, tmp_path):
    import shutil

    shutil.copytree(study, tmp_path / "copy")
    results = load_results([study, tmp_path / "copy"])
    assert len(results.scores) == len(load_scores(study))
    assert "count once" in results.notes[0]


def test_extractor_names_the_frechet_distance(tmp_path):
    for extractor in ("inception", "inception_clean", "vgg16"):
        spec = make_spec("ddpm")
        rows = score_rows(spec, extractor=extractor, metrics=("frechet",))
        write_scores(tmp_path / extractor / "samples" / "a" / "scores.csv", rows)
    columns = [c for c in overall_table(only_cell(tmp_path)).columns if "F" in c]
    assert sorted(columns) == ["FD (vgg16) ↓", "FID (clean) ↓", "FID ↓"]


def test_figure_of_methods_uses_one_protocol(tmp_path):
    for method in ("ddpm", "cbdm", "coral"):
        for guidance in (0.0, 1.0):
            if (method, guidance) != ("coral", 1.0):
                write_run(tmp_path, make_spec(method, guidance=guidance), images=False)
    shown = main_series(only_cell(tmp_path))
    assert [one.guidance for one in shown] == [0.0, 0.0, 0.0]
    assert [one.label for one in shown] == ["DDPM", "CBDM", "CORAL"]


def test_report_writes_every_file_it_names(report):
    assert all(p.stat().st_size > 30 for p in report.files)
    names = {p.name for p in report.files}
    assert {"index.html", "report.md", "details.md", "summary.csv", "series.csv", "forest.png"} <= names
    assert "digits-r0.05-heat.png" in names
    assert not [n for n in names if n.endswith((".pdf", ".tex"))]
    assert max(len(p.stem) for p in report.files) <= 60


def test_report_again_gives_the_same_bytes_and_never_reads_itself(study, report):
    inside = write_report(study, study / "report", title="study")
    again = write_report(study, report.path.parent / "again", title="study")
    for a, b in zip(again.files, inside.files, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name
    assert len(load_scores(study)) == len(load_scores([p for p in study.iterdir() if p.name != "report"]))


def test_every_number_of_the_summary_is_traceable(report, study):
    tables = {p.stem: pd.read_csv(p) for p in report.files if p.suffix == ".csv"}
    series = tables["series"].set_index("series")
    runs = {name for names in series["runs"] for name in names.split(";")}
    assert runs == {p.name for p in study.iterdir() if (p / "spec.json").exists()}
    summary = tables["summary"]
    assert set(summary["series"]) == set(series.index)
    assert summary["mean"].notna().all()
    assert set(summary["measure"]) <= set(tables["measures"]["measure"])


def test_the_first_page_is_short_and_says_how_numbers_were_made(report):
    markdown = (report.path / "report.md").read_text()
    assert len(markdown.splitlines()) < 200
    for told in ("CORAL", "dpmsolver++", "NFE 20", "guidance ω 0", "deterministic sampler", "forest.png"):
        assert told in markdown
    assert 1 <= len(report.document.findings) <= 6
    assert all(len(sentence.split()) <= 25 for sentence in report.document.findings)


def test_folder_that_is_missing_or_empty(tmp_path):
    with pytest.raises(UsageError, match="no results folder"):
        write_report(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no scores in"):
        write_report(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_truncated_scores_are_refused(tmp_path, cut):
    folder = write_run(tmp_path, make_spec(), images=False)
    path = folder / "scores.csv"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(CheckpointError, match=r"scores\.csv is cut off at line"):
        load_scores(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("value", "valu", 1), "lacks the column 'value'"),
        (lambda text: text.replace(",2000,", ",many,"), "column 'step' is not a number"),
        (lambda _: "", "lacks the column"),
    ],
)
def test_damaged_scores_are_refused(tmp_path, damage, message):
    path = write_run(tmp_path, make_spec(), images=False) / "scores.csv"
    path.write_text(damage(path.read_text()))
    with pytest.raises(CheckpointError, match=message):
        load_scores(tmp_path)


def test_broken_spec_and_samples_are_refused(tmp_path):
    samples = write_run(tmp_path, make_spec())
    images = samples / "images.npy"
    images.write_bytes(images.read_bytes()[:200])
    with pytest.raises(DataCorrupt, match="incomplete or truncated"):
        first_of_each_class(samples, 3, ["0"])
    np.save(images, np.zeros((300, 8, 8)))
    with pytest.raises(DataCorrupt, match=r"not uint8 \(N,C,H,W\)"):
        first_of_each_class(samples, 3, ["0"])
    spec = samples.parent.parent / "spec.json"
    spec.write_text(spec.read_text()[:50])
    with pytest.raises(CheckpointError, match="not valid JSON"):
        load_scores(tmp_path)


def test_variant_tells_its_hyperparameters_in_labels_and_the_rest_is_told(tmp_path):
    for hyper in ({}, {"coral": {"w": 0.5}}, {"coral": {"projection": 64}}):
        spec = make_spec("coral", hyper=hyper)
        variant = "released" if "projection" in str(hyper) else "published"
        write_run(tmp_path, spec, [row | {"variant": variant} for row in score_rows(spec)], images=False)
    series = only_cell(tmp_path).series
    assert {one.label for one in series} == {
        "CORAL (published)",
        "CORAL (published, coral.w=0.5)",
        "CORAL (released)",
    }
    assert {one.differs for one in series} == {"", "coral.w=0.5", "coral.projection=64"}


def test_output_that_cannot_be_written(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_report(study, tmp_path / "file")


def test_methods_are_named_as_acronyms_words_or_as_their_authors_wrote_them():
    assert method_title("coral+t2h") == "CORAL+T2H"
    assert method_title("class_balanced") == "class balanced"
    assert method_title("mine") == "mine"
    assert method_title("Ours_v2") == "Ours_v2"


def test_a_method_of_another_guidance_is_a_row_of_that_guidances_block(tmp_path):
    for seed in range(3):
        for method, guidance in (("ddpm", 0.0), ("cbdm", 0.0), ("ddpm", 0.5), ("coral", 0.5)):
            write_run(tmp_path, make_spec(method, seed, guidance=guidance), images=False)
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    rows = [row[0] for row in league_table(cell, results.runs, "ddpm").rows]
    assert rows == ["DDPM, ω=0", "CBDM", "DDPM, ω=0.5", "CORAL"]
    assert [row[0] for row in cost_table(cell, results.runs).rows] == ["DDPM", "CBDM", "CORAL"]


def test_a_balanced_cell_has_no_tail_in_any_table(tmp_path):
    for method in ("ddpm", "coral"):
        for ratio in (0.05, 1.0):
            spec = make_spec(method, ratio=ratio)
            counts = (120,) * 10 if ratio == 1 else COUNTS
            write_run(tmp_path, spec, score_rows(spec, counts=counts), images=False)
    found = cells(load_scores(tmp_path))
    control = found[-1]
    assert tail_table(control) is None
    assert groups_table(control).columns[1:3] == ["macro mean", "worst class"]
    glance = glance_table([(c, differences(c, "ddpm")) for c in found], "ddpm")
    assert [row[1] for row in glance.rows] == ["overall", "tail", "overall"]


def test_a_longer_training_is_shown_and_not_ranked(tmp_path):
    """CORAL at 4,000 steps was bold and first among methods of 2,000, and cost what DDPM costs "at 4,000 steps"."""
    for seed in range(3):
        for method, steps in (("ddpm", 2000), ("cbdm", 2000), ("coral", 4000)):
            spec = make_spec(method, seed)
            spec = spec.model_copy(update={"train": spec.train.model_copy(update={"steps": steps})})
            write_run(tmp_path, spec, score_rows(spec), images=False)
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    assert [row[0] for row in rank_table(cell).rows] == ["DDPM", "CBDM"]
    table = groups_table(cell)
    assert not [entry for row in table.rows if row[0] == "CORAL" for entry in row if isinstance(entry, Bold)]
    league, cost = league_table(cell, results.runs, "ddpm"), cost_table(cell, results.runs)
    for shown, header in ((league, "Steps"), (cost, "Steps")):
        column = shown.columns.index(header)
        assert [row[column] for row in shown.rows] == ["2,000", "2,000", "4,000"]
    assert cost.columns[1] == "FLOPs"


def test_what_is_bold_shares_its_learning_rate(tmp_path):
    for seed in range(3):
        for method, rate in (("ddpm", 0.001), ("ddpm", 0.0002), ("coral", 0.0002)):
            write_run(tmp_path, make_spec(method, seed, train={"learning_rate": rate}), images=False)
    (cell,) = cells(load_scores(tmp_path))
    assert [len(block) for block in shown_blocks(cell, cell.series)] == [2, 1]
    bold = {row[0] for row in overall_table(cell).rows if any(isinstance(entry, Bold) for entry in row)}
    assert bold
    assert "DDPM (train.learning_rate=0.001)" not in bold


def test_methods_beyond_those_that_fit_are_counted(tmp_path):
    methods = ["ddpm", *(f"mine_{i:02d}" for i in range(MOST_METHODS + 1))]
    for method in methods[:MOST_METHODS]:
        write_run(tmp_path, make_spec(method), images=False)
    assert not any("are left out" in text for text in notes_of(tmp_path))
    for method in methods[MOST_METHODS:]:
        write_run(tmp_path, make_spec(method), images=False)
    assert all("2 of 16 methods and variants are left out" in text for text in notes_of(tmp_path))


def notes_of(root):
    """Return what the league, groups, ranks, contrasts and findings say beside their numbers."""
    results = load_results(root)
    (cell,) = cells(results.scores)
    frame = differences(cell, "ddpm")
    tables = (
        league_table(cell, results.runs, "ddpm"),
        groups_table(cell),
        rank_table(cell),
        contrast_table(cell, frame),
    )
    return [*(" ".join(table.notes) for table in tables), " ".join(findings([(cell, frame)], "ddpm"))]
