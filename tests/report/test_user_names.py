"""The user's names are the report's: a prepared folder's, its classes', and the study file's title."""

import numpy as np
import pytest
from PIL import Image
from report_folders import make_spec as make_study_spec
from report_folders import write_run
from tiny_runs import make_spec

from ltbench.data import resolve_data
from ltbench.data.prepare.prepare import prepare
from ltbench.environment import Environment
from ltbench.files import read_json, write_json
from ltbench.pipeline import run_stage, stages
from ltbench.report import write_report
from ltbench.report.document import Plot
from ltbench.report.tables.grid import Table
from ltbench.runs.layout import folder_name
from ltbench.specs import DataSpec


def write_images(root):
    stream = np.random.default_rng(0)
    for name, count in (("circle", 20), ("cross", 16)):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(stream.integers(0, 256, (8, 8, 3), np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the runs of two methods on a prepared folder that its user called ``my shapes``."""
    root = tmp_path_factory.mktemp("own")
    prepare("folder_lt", write_images(root / "my_shapes"), root, image_size=8, workers=1)
    data = resolve_data(DataSpec(dataset="folder_lt:my_shapes", imbalance_ratio=0.5, image_size=8), root)
    for method in ("ddpm", "coral"):
        score = {"metrics": ["frechet"], "extractors": ["pixels"], "floor_draws": 2}
        spec = make_spec(method, score=score, sample={"per_class": 4})
        spec = spec.model_copy(update={"data": data})
        for stage in stages(spec):
            run_stage(stage, root / "runs", Environment(data_root=root))
    return root / "runs"


def test_folder_and_classes_go_by_their_own_names(runs, tmp_path):
    report = write_report(runs, tmp_path)
    (scene,) = report.document.scenes
    assert scene.cell.label == "my_shapes, ratio 0.5, 8 px"
    assert [scene.cell.class_name(c) for c in ("0", "1")] == ["circle", "cross"]
    tables = {table.name: table for table in report.document.tables()}
    per_class = next(table for name, table in tables.items() if name.startswith("per-class-frechet"))
    assert [row[0] for row in per_class.rows[:2]] == ["circle", "cross"]
    assert per_class.title.endswith("my_shapes, ratio 0.5, 8 px")
    figures = {figure.name: figure for figure in report.document.figures()}
    (panel,) = figures[f"{scene.cell.slug}-heat"].panels
    assert [name.split(" ")[0] for name in panel.categories] == ["circle", "cross"]
    assert [name for name, _ in figures[f"{scene.cell.slug}-samples"].image.rows] == ["circle", "cross"]
    for page in ("index.html", "details.md"):
        text = (tmp_path / page).read_text()
        assert "circle" in text
        assert scene.cell.key.split("content ")[1] not in text


def test_a_study_files_title_is_the_reports(runs, tmp_path):
    study = runs / "study.toml"
    study.write_text('title = "Shapes & <crosses>"\n')
    try:
        report = write_report(runs, tmp_path / "a")
    finally:
        study.unlink()
    assert "<title>Shapes &amp; &lt;crosses&gt;</title>" in (report.path / "index.html").read_text()
    assert report.document.top.title == "Shapes & <crosses>"
    assert write_report(runs, tmp_path / "b").document.top.title == "runs"


def test_a_broken_study_file_stops_no_report(runs, tmp_path):
    study = runs / "study.toml"
    study.write_text("title = [[[")
    try:
        assert write_report(runs, tmp_path).document.top.title == "runs"
    finally:
        study.unlink()


def named(root, *names):
    """Write a training on a folder of each name, which is known by its content."""
    for i, name in enumerate(names):
        spec = make_study_spec("ddpm", dataset="folder_lt")
        spec = spec.model_copy(update={"data": spec.data.model_copy(update={"content": f"{i:064d}"[::-1]})})
        write_run(root, spec, images=False)
        path = root / folder_name(spec) / "provenance.json"
        kept = read_json(path)
        kept["stages"][0] |= {"data_name": name, "class_names": [f"c{k}" for k in range(10)]}
        write_json(path, kept)
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("猫", "犬"),
        (f"{'traps of the northern valley ' * 2}, summer", f"{'traps of the northern valley ' * 2}, winter"),
    ],
)
def test_folders_of_one_short_name_have_tables_and_figures_of_their_own(names, tmp_path):
    document = write_report(named(tmp_path / "runs", *names), tmp_path / "out").document
    sections = [section for section in document.top.nodes if section.cell is not None]
    assert len(sections) == 2
    for section in sections:
        titles = [node.title for node in section.walk() if isinstance(node, Table)]
        titles += [node.figure.title for node in section.walk() if isinstance(node, Plot)]
        assert len(titles) > 5
        assert all(title.endswith(section.title) for title in titles)
    every = [node for node in document.top.walk() if isinstance(node, Table)]
    assert {table.title for table in document.tables()} == {table.title for table in every}
