"""The written report: LaTeX that compiles, an HTML page that works offline, the papers' tables, figures."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from report_folders import (
    make_spec,
    score_rows,
    write_pairs,
    write_probes,
    write_run,
    write_scores,
)

from ltbench.errors import CheckpointError, UsageError
from ltbench.report import load_results, load_scores, write_report
from ltbench.report.aggregate import cells
from ltbench.report.content import Content, Section
from ltbench.report.figures.bottleneck import entanglement_curves, tsne_panels
from ltbench.report.figures.curves import factor_curves
from ltbench.report.figures.memorised import load_pairs, memorisation_pairs
from ltbench.report.figures.style import COLUMN, PAGE, figure_style, legend_columns, method_styles
from ltbench.report.latex import escape, latex_table, write_latex
from ltbench.report.paper import load_published, missing_runs, paper_tables, published_table
from ltbench.report.statistics import contrasts
from ltbench.report.tables import Entry, Table, overall_table
from ltbench.study.file import preset_names


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return two cells with what every kind of table needs, and few figures: they take the time."""
    root = tmp_path_factory.mktemp("pages") / "runs"
    for method in ("ddpm", "coral"):
        for seed in (0, 1):
            spec = make_spec(method, seed)
            write_run(root, spec, score_rows(spec, metrics=("frechet", "recall")), images=seed == 0)
    spec = make_spec("ddpm", ratio=1.0)
    write_run(root, spec, score_rows(spec, metrics=("recall",)), images=False)
    return root


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return write_report(study, tmp_path_factory.mktemp("out"), paper=True)


# -- LaTeX ------------------------------------------------------------------------------------------


def test_latex_escapes_what_latex_reads():
    table = Table(
        "t_1", "a_b & 50 %", ["x_y ↓", "n"], [[Entry("\u03b1{}\\^~#$"), Entry("1 ± 2", True)]], 1, (), ["<5>"]
    )
    text = latex_table(table)
    assert r"a\_b \& 50 \%" in text and r"x\_y \ensuremath{\downarrow}" in text
    assert r"?\{\}\textbackslash{}\textasciicircum{}\textasciitilde{}\#\$" in text
    assert r"\textbf{1 \ensuremath{\pm} 2}" in text and r"\ensuremath{<}5\ensuremath{>}" in text
    assert escape("—") == "--"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles_for_real(study, report, tmp_path):
    found = cells(load_scores(study))
    tables = [overall_table(found[0]), *paper_tables(found)]
    wide = Table("wide", "wide", [f"column {i}" for i in range(30)], [[Entry("12.34 ± 0.56")] * 30], 1)
    write_latex([*tables, wide], tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all-tables.tex"]
    for folder in (tmp_path, report.out / "tables"):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Overfull \\hbox" not in done.stdout
        assert (folder / "all-tables.pdf").read_bytes().startswith(b"%PDF")


# -- HTML -------------------------------------------------------------------------------------------


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.outside = []

    def handle_starttag(self, tag, attrs):
        links = [value for name, value in attrs if name in ("src", "href", "srcset")]
        self.outside += [link for link in links if not link.startswith(("data:", "#"))]


def test_page_is_self_contained(report):
    text = (report.out / "index.html").read_text()
    parser = Links()
    parser.feed(text)
    assert parser.outside == [] and "@import" not in text and "url(" not in text
    assert "fetch(" not in text and "http://" not in text
    for told in ("Findings", "Provenance of every run", "0123456789", "Some CPU", "CORAL - DDPM"):
        assert told in text


def test_page_escapes_what_comes_from_files(tmp_path):
    spec = make_spec("ddpm")
    rows = [row | {"extractor": "<script>alert(1)</script>"} for row in score_rows(spec, metrics=("recall",))]
    write_run(tmp_path / "runs", spec, rows, images=False)
    write_report(tmp_path / "runs", tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert(1)" not in text and "&lt;script&gt;alert(1)" in text


# What a reader does: filter by data set, ratio and metric, sort, pick a class; the outcome goes to <pre id="test">.
READER = """
<script>
window.addEventListener("load", () => {
  const out = {errors: window.pageErrors};
  const change = (id, value) => {
    const select = document.getElementById(id);
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };
  const shown = (query) => [...document.querySelectorAll(query)].filter((e) => !e.closest("[hidden]")).length;
  out.cells = shown("section.cell");
  change("filter-ratio", "0.05");
  out.cellsAtRatio = shown("section.cell");
  change("filter-metric", "");
  out.allMetrics = shown("figure.table[data-metric]");
  change("filter-metric", "Recall");
  out.oneMetric = shown("figure.table[data-metric]");
  const table = [...document.querySelectorAll("figure.table[data-metric=Recall]:not([hidden]) table")].find(
    (t) => !t.closest("[hidden]"));
  const column = () => [...table.tBodies[0].rows].map((row) => row.cells[2].textContent.trim());
  const press = () => table.tHead.rows[0].cells[2].querySelector("button").click();
  const groups = () => [...table.tBodies[1].rows].map((row) => row.cells[0].textContent);
  out.groupsBefore = groups();
  press();
  out.ascending = column();
  press();
  out.descending = column();
  out.sorted = table.tHead.rows[0].cells[2].getAttribute("aria-sort");
  out.groupsAfter = groups();
  const cell = table.closest("section.cell");
  const picker = cell.querySelector(".pick-class");
  picker.value = "3";
  picker.dispatchEvent(new Event("change"));
  out.strips = [...cell.querySelectorAll(".class-samples")].filter((e) => !e.hidden).map((e) => e.dataset.class);
  out.images = [...document.images].every((i) => i.naturalWidth > 0 || i.loading === "lazy");
  out.status = document.getElementById("shown").textContent;
  const pre = document.createElement("pre");
  pre.id = "test";
  pre.textContent = JSON.stringify(out);
  document.body.append(pre);
});
</script>
"""
CHROMIUM = next(
    (p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None
)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_page_in_a_real_browser(report, tmp_path):
    page = tmp_path / "page.html"
    catch = "window.pageErrors = []; addEventListener('error', (e) => pageErrors.push(e.message));"
    text = (report.out / "index.html").read_text()
    page.write_text(
        text.replace("<head>", f"<head><script>{catch}</script>", 1).replace("</body>", READER + "</body>")
    )
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
    ]
    flags += [
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1200,2000",
        "--virtual-time-budget=20000",
    ]
    shot = tmp_path / "shot.png"
    command = [CHROMIUM, *flags, "--dump-dom", f"--screenshot={shot}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    found = json.loads(re.search(r'<pre id="test">(.*?)</pre>', done.stdout, re.S)[1])
    assert found["errors"] == [] and "CONSOLE" not in done.stderr
    assert (found["cells"], found["cellsAtRatio"], found["status"]) == (2, 1, "1 of 2 data cells shown")
    assert (found["allMetrics"], found["oneMetric"]) == (2, 1)
    ascending = [float(text.split(" ")[0]) for text in found["ascending"]]
    assert len(ascending) == 10 and ascending == sorted(ascending) and found["sorted"] == "descending"
    assert [float(text.split(" ")[0]) for text in found["descending"]] == sorted(ascending, reverse=True)
    assert (
        found["groupsBefore"]
        == found["groupsAfter"]
        == ["head", "middle", "tail", "macro mean", "worst class"]
    )
    assert found["strips"] == ["3"] and found["images"]


# -- the papers' tables -----------------------------------------------------------------------------


def test_published_numbers_are_the_papers():
    published = load_published()
    chosen = published[(published["dataset"] == "cifar10_lt") & (published["imbalance_ratio"] == 0.001)]
    fid = chosen[(chosen["metric"] == "fid") & (chosen["method"] == "coral")]
    assert list(fid["value"]) == [11.03] and set(published["confidence"]) <= {"T", "S", "C"}


def test_papers_tables_show_what_is_missing(study):
    found = cells(load_scores(study))
    tables = {table.name: table for table in paper_tables(found)}
    assert tables["paper-cifar"].columns[-5:] == ["FID ↓", "IS ↑", "F8 ↑", "Recall ↑", "F1/8 ↑"]
    assert len(tables["paper-cifar"].rows) == 12
    assert all(entry.text == "—" for row in tables["paper-cifar"].rows for entry in row[-5:])
    assert published_table(found, load_published()) is None
    missing = missing_runs(found, load_published())
    assert any("cifar10_lt-r0.01" in m and "DDPM" in m and "paper/cifar10_lt-r0.01" in m for m in missing)
    asked = [name for line in missing for name in re.findall(r"--preset (\S+?)`", line)]
    assert asked and set(asked) <= set(preset_names())
    assert any(m.startswith("cifar10_lt-r0.02: DDPM") and "--imbalance-ratio 0.02`" in m for m in missing)
    assert "cifar10_lt-r0.02: cm; no method of that name is installed" in missing


def test_papers_tables_set_ours_beside_published(tmp_path):
    for seed, fid in ((0, 6.0), (1, 7.0)):
        spec = make_spec(
            "ddpm", seed, dataset="cifar10_lt", ratio=0.01, sampler="ancestral", steps=1000, guidance=0.8
        )
        rows = [
            r | {"value": str(fid)} for r in score_rows(spec, extractor="inception", metrics=("frechet",))
        ]
        write_scores(tmp_path / f"{seed}" / "samples" / "k" / "scores.csv", rows)
    found = cells(load_scores(tmp_path))
    beside = published_table(found, load_published())
    row = next(r for r in beside.rows if r[3].text.startswith("CORAL"))
    assert [entry.text for entry in row[2:8]] == [
        "FID ↓",
        "CORAL (arXiv 2506.15933v2)",
        "6.17",
        "6.50 ± 0.71",
        "+0.33",
        "0,1 (n=2)",
    ]
    assert "ancestral" in {e.text for e in row} and "2,000" in {e.text for e in row}
    filled = next(t for t in paper_tables(found) if t.name == "paper-cifar")
    assert filled.rows[0][1].text == "DDPM" and filled.rows[0][-5].text == "6.50 ± 0.71"
    absent = [line for line in missing_runs(found, load_published()) if line.startswith("cifar10_lt-r0.01:")]
    assert any("CBDM" in line and "DDPM" not in line for line in absent) and any(
        "IS" in line for line in absent
    )


def test_reversed_class_order_never_fills_a_papers_table(tmp_path):
    spec = make_spec("ddpm", dataset="cifar10_lt", ratio=0.01, order="reversed")
    write_scores(tmp_path / "samples" / "k" / "scores.csv", score_rows(spec, extractor="inception"))
    assert published_table(cells(load_scores(tmp_path)), load_published()) is None


# -- figures ----------------------------------------------------------------------------------------


def test_figures_fit_the_columns_of_a_paper(report):
    pngs = [path for path in report.files if path.suffix == ".png"]
    widths = {round(Image.open(path).size[0] / 200, 1) for path in pngs}
    assert widths and widths <= {COLUMN, PAGE}
    kinds = {path.stem.split("-")[0] for path in pngs}
    assert kinds >= {"per", "count", "samples", "training", "cost"}


def test_a_method_has_one_style_whatever_stands_beside_it():
    alone, beside = method_styles(["coral"]), method_styles(["coral", "ddpm", "mine", "other"])
    assert alone["coral"] == beside["coral"]
    assert len({s.colour for s in beside.values()}) == 4 and len({s.marker for s in beside.values()}) == 4
    assert method_styles(["other", "mine"]) == method_styles(["mine", "other"])


def test_probes_pairs_and_swept_settings_are_drawn(tmp_path):
    root = tmp_path / "runs"
    for method in ("ddpm", "coral"):
        spec = make_spec(method)
        write_pairs(write_run(root, spec, score_rows(spec, metrics=("frechet",))))
        write_probes(root, spec)
        write_run(root, make_spec(method, guidance=1.0), images=False)
    write_run(root, make_spec("coral", hyper={"coral": {"w": 0.5}}), images=False)
    results = load_results(root)
    (cell,) = cells(results.scores)
    styles = method_styles(["ddpm", "coral"])
    with figure_style():
        made = [
            *entanglement_curves(cell, results.runs, styles, tmp_path),
            *tsne_panels(cell, None, results.runs, tmp_path, "ddpm"),
            *memorisation_pairs(cell, tmp_path),
            *factor_curves(cell, results.runs, styles, tmp_path),
        ]
    names = [figure.name.split("-digits")[0] for figure in made]
    wanted = [
        "entanglement-noise",
        "entanglement-training",
        "tsne",
        "nearest",
        "factor-guidance",
        "factor-coral.w",
    ]
    assert names == wanted
    assert all(figure.png.stat().st_size > 5000 and figure.pdf.exists() for figure in made)
    assert "t = 100" in made[1].caption and "true label" not in made[0].caption
    assert all("digits_lt, ratio 0.05" in figure.caption for figure in made)


def test_damaged_probes_and_pairs_are_refused(tmp_path):
    spec = make_spec()
    samples = write_run(tmp_path, spec, images=False)
    write_pairs(samples)
    write_probes(tmp_path, spec)
    features = samples.parent.parent / "probes" / "step-00002000.npz"
    for path in (samples / "nearest.npz", features):
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(CheckpointError, match=r"nearest\.npz cannot be read"):
        load_pairs(samples)
    (run,) = load_results(tmp_path).runs.values()
    with pytest.raises(CheckpointError, match=r"step-00002000\.npz cannot be read"):
        run.probe_features(2000)


def test_log_that_is_still_growing_is_read_up_to_its_last_line(tmp_path):
    samples = write_run(tmp_path, make_spec(), images=False)
    log = samples.parent.parent / "train.csv"
    log.write_bytes(log.read_bytes()[:-4])
    (run,) = load_results(tmp_path).runs.values()
    assert run.train_log()["step"].max() == 1980 and np.isfinite(run.train_log()["denoising"]).all()


def test_unknown_baseline_names_the_nearest(study, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'coral'"):
        write_report(study, tmp_path, baseline="corel")


def test_findings_say_only_what_intervals_support(tmp_path):
    shift = {"far": -3.0, "near": 0.0}
    for name, by in shift.items():
        for seed in (0, 1, 2):
            base = score_rows(make_spec("ddpm", seed), metrics=("frechet",))
            spec = make_spec("coral", seed)
            rows = [r | {"value": repr(float(r["value"]) + by + 0.1 * (seed - 1))} for r in base]
            same = {
                k: row[k]
                for row in score_rows(spec)[:1]
                for k in ("method", "variant", "train_key", "sample_key")
            }
            write_run(tmp_path / name, make_spec("ddpm", seed), base, images=False)
            write_run(tmp_path / name, spec, [row | same for row in rows], images=False)
    told = {}
    for name in shift:
        found = cells(load_scores(tmp_path / name))
        sections = [Section(c, overall_table(c), [], [], [], contrasts(c, "ddpm")) for c in found]
        told[name] = Content(load_results(tmp_path / name), sections, "ddpm").findings()
    assert (
        len(told["far"]) == 1 and "Overall: lower: CORAL -3.00" in told["far"][0] and "3/3" in told["far"][0]
    )
    assert "no difference shown" in told["near"][0] and "lower" not in told["near"][0].split("Tail")[0]


def test_a_legend_takes_the_columns_that_fit():
    """Thirteen samplers' names ran out of the page on both sides."""
    short, long = ["DDPM", "CBDM", "T2H", "CORAL", "floor: real vs real"], ["CORAL (sde-dpmsolver++)"] * 13
    assert legend_columns(short, PAGE) == 5 and legend_columns(short, COLUMN) == 3
    assert legend_columns(long, PAGE) == 3 and legend_columns(long, COLUMN) == 1
    assert legend_columns(["x" * 500], COLUMN) == 1
