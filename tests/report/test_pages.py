"""The written report: LaTeX that compiles, an HTML page that works offline, the papers' tables, figures."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import typer.main
from PIL import Image
from report_folders import (
    make_spec,
    score_rows,
    write_pairs,
    write_probes,
    write_run,
    write_scores,
)

from ltbench.cli.app import app
from ltbench.errors import CheckpointError, UsageError
from ltbench.report import load_results, load_scores, write_report
from ltbench.report.cells import cells
from ltbench.report.document import make_scenes
from ltbench.report.figures import draw as drawing
from ltbench.report.figures.axes import COLUMN, PAGE
from ltbench.report.figures.base import KINDS, figures_of, method_styles
from ltbench.report.figures.draw import draw
from ltbench.report.names import known_methods_in_tree
from ltbench.report.render import latex_table, write_latex
from ltbench.report.tables.differences import differences
from ltbench.report.tables.grid import Bold, Table
from ltbench.report.tables.published import load_published, missing_runs, paper_tables, published_table
from ltbench.report.tables.scores import overall_table
from ltbench.runs.samples import load_pairs
from ltbench.study.presets import preset_names


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return two cells with what every kind of table needs, and few figures: they take the time."""
    root = tmp_path_factory.mktemp("pages") / "runs"
    for method in ("ddpm", "coral"):
        for seed in (0, 1):
            spec = make_spec(method, seed)
            write_run(root, spec, score_rows(spec, metrics=("frechet", "recall")), images=seed == 0)
    for guidance in (1.0, 2.0):
        spec = make_spec("coral", 0, guidance=guidance)
        write_run(root, spec, score_rows(spec, metrics=("frechet", "recall")), images=False)
    spec = make_spec("ddpm", ratio=1.0)
    write_run(root, spec, score_rows(spec, metrics=("recall",)), images=False)
    return root


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return write_report(study, tmp_path_factory.mktemp("out"), paper=True, title="My <study> & more")


# -- LaTeX ------------------------------------------------------------------------------------------


def test_latex_escapes_what_latex_reads():
    table = Table("t_1", "a_b & 50 %", ["x_y ↓", "n"], [["{}~#$", Bold("1 ± 2")]], 1, (), ["<5>"])
    text = latex_table(table)
    assert r"a\_b \& 50 \%" in text
    assert r"x\_y \ensuremath{\downarrow}" in text
    assert r"\{\}\textasciitilde{}\#\$" in text
    assert r"\textbf{1 \ensuremath{\pm} 2}" in text
    assert r"\ensuremath{<}5\ensuremath{>}" in text


def test_a_table_longer_than_a_page_is_cut_in_latex():
    rows = [[str(i)] for i in range(70)]
    text = latex_table(Table("long", "Long", ["n"], rows, 1, (30, 65), ["a note"]))
    assert [f"({i} of 3)" in text for i in (1, 2, 3)] == [True] * 3
    assert text.count("a note") == 1
    assert text.count("midrule") == 3 + 1  # a rule where a part begins is the part's own
    assert text.count(r"\label{tab:long}") == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles_for_real(study, report, tmp_path):
    found = cells(load_scores(study))
    tables = [overall_table(found[0]), *paper_tables(found, load_published())]
    wide = Table("wide", "wide", [f"column {i}" for i in range(30)], [["12.34 ± 0.56"] * 30], 1)
    write_latex([*tables, wide], tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all-tables.tex"]
    for folder in (tmp_path, report.path / "tables"):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Overfull \\hbox" not in done.stdout
        assert (folder / "all-tables.pdf").read_bytes().startswith(b"%PDF")


# -- HTML -------------------------------------------------------------------------------------------


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.outside = []

    def handle_starttag(self, _tag, attrs):
        links = [value for name, value in attrs if name in ("src", "href", "srcset")]
        self.outside += [link for link in links if not link.startswith(("data:", "#"))]


def test_page_is_self_contained(report):
    text = (report.path / "index.html").read_text()
    parser = Links()
    parser.feed(text)
    assert parser.outside == []
    assert "@import" not in text
    assert "url(" not in text
    assert "fetch(" not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    for told in (
        "Overview",
        "Provenance of every run",
        "0123456789",
        "Some CPU",
        "CORAL - DDPM",
        "Checklist",
    ):
        assert told in text
    assert "My &lt;study&gt; &amp; more" in text
    assert "My <study>" not in text
    assert len(text) < 6 << 20


def test_page_escapes_what_comes_from_files(tmp_path):
    """Two walls: a name is refused where it is read; free text, as a study's title, is escaped where it is shown."""
    spec, evil = make_spec("ddpm"), "<script>alert(1)</script>\x1b[2J"
    rows = [row | {"extractor": evil} for row in score_rows(spec, metrics=("recall",))]
    write_run(tmp_path / "names", spec, rows, images=False)
    with pytest.raises(CheckpointError, match="cannot be the name of"):
        write_report(tmp_path / "names", tmp_path / "out")
    write_run(tmp_path / "runs", spec, score_rows(spec, metrics=("recall",)), images=False)
    write_report(tmp_path / "runs", tmp_path / "out", title=evil)
    text = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not any("\x1b" in path.read_text() for path in (tmp_path / "out").glob("*.*[dlv]"))


# What a reader does: filter by ratio, guidance and method, sort, fold, point; the outcome goes to <pre id="test">.
READER = """
<script>
window.addEventListener("load", () => setTimeout(() => {
  const out = {errors: window.pageErrors};
  const change = (id, value) => {
    const select = document.getElementById(id);
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };
  const seen = (query) => [...document.querySelectorAll(query)].filter((e) => !e.closest("[hidden]")).length;
  out.cells = seen("section.cell");
  change("filter-ratio", "0.05");
  out.cellsAtRatio = seen("section.cell");
  const forest = document.querySelector("figure.chart[data-chart=forest]");
  const bars = document.querySelector("figure.chart[data-chart$=class-frechet]");
  out.figures = seen("figure.chart svg[role=img]");
  out.marks = bars.querySelectorAll("polygon, circle").length;
  out.legend = bars.querySelector(".legend").textContent;
  const league = document.getElementById("table-league-digits-r0.05").querySelector("table");
  const rows = () => [...league.querySelectorAll("tbody tr:not([hidden])")].length;
  out.rows = rows();
  const box = document.querySelector("#filter-methods input[value=coral]");
  box.click();
  out.rowsWithout = rows();
  out.marksWithout = bars.querySelectorAll("polygon, circle").length;
  out.legendWithout = bars.querySelector(".legend").textContent;
  box.click();
  change("filter-guidance", "2");
  out.rowsAtTwo = rows();
  change("filter-guidance", "");
  const table = document.querySelector("figure[id^=table-per-class-recall] table");
  const column = () => [...table.tBodies[0].rows].map((row) => row.cells[2].textContent.trim());
  const press = () => table.tHead.rows[0].cells[2].querySelector("button").click();
  press();
  out.ascending = column();
  press();
  out.descending = column();
  out.sorted = table.tHead.rows[0].cells[2].getAttribute("aria-sort");
  out.fixed = getComputedStyle(table.tBodies[0].rows[0].cells[0]).position;
  const fold = document.querySelector("details.fold");
  out.closed = !fold.open;
  fold.querySelector("summary").click();
  out.opened = fold.open;
  const values = forest.querySelector("details");
  values.open = true;
  out.tip = bars.querySelector("g.hit title").textContent;
  out.images = [...document.images].every((i) => i.naturalWidth > 0 || i.loading === "lazy");
  out.named = [...document.querySelectorAll("svg[role=img]")].every((e) => e.getAttribute("aria-label").trim());
  out.wide = document.documentElement.scrollWidth - innerWidth;
  out.status = document.getElementById("shown").textContent;
  document.getElementById("theme").click();
  const first = getComputedStyle(document.body).backgroundColor;
  document.getElementById("theme").click();
  out.themes = first !== getComputedStyle(document.body).backgroundColor;
  setTimeout(() => {
    out.values = forest.querySelectorAll(".values tr").length;
    const pre = document.createElement("pre");
    pre.id = "test";
    pre.textContent = JSON.stringify(out);
    document.body.append(pre);
  }, 300);
}, 800));
</script>
"""
CHROMIUM = next(
    (p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None
)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize("width", [1200, 500])
def test_page_in_a_real_browser(report, tmp_path, width):
    page = tmp_path / "page.html"
    catch = "window.pageErrors = []; addEventListener('error', (e) => pageErrors.push(e.message));"
    text = (report.path / "index.html").read_text()
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
        f"--window-size={width},4000",
        "--virtual-time-budget=20000",
    ]
    command = [CHROMIUM, *flags, "--dump-dom", page.as_uri()]
    for _ in range(3):  # on a busy machine the virtual time can be over before the page has loaded
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        if read := re.search(r'<pre id="test">(.*?)</pre>', done.stdout, re.S):
            break
    assert read, done.stderr
    found = json.loads(read[1])
    assert found["errors"] == []
    assert "CONSOLE" not in done.stderr
    assert (found["cells"], found["cellsAtRatio"], found["status"]) == (2, 1, "1 of 2 data cells, 2 methods")
    assert found["figures"] > 1
    assert "CORAL" in found["legend"]
    assert "CORAL" not in found["legendWithout"]
    assert 0 < found["marksWithout"] < found["marks"]
    assert found["rowsWithout"] < found["rows"]
    assert found["rowsAtTwo"] <= found["rows"]
    ascending = [float(text.split(" ")[0]) for text in found["ascending"]]
    assert len(ascending) == 10
    assert ascending == sorted(ascending)
    assert found["sorted"] == "descending"
    assert [float(text.split(" ")[0]) for text in found["descending"]] == sorted(ascending, reverse=True)
    assert found["fixed"] == "sticky"
    assert found["closed"]
    assert found["opened"]
    assert "DDPM" in found["tip"]
    assert found["values"] > 2
    assert found["images"]
    assert found["named"]
    assert found["themes"]
    assert found["wide"] <= 0  # nothing but tables scrolls sideways, on a phone too


# -- the papers' tables -----------------------------------------------------------------------------


def test_published_numbers_are_the_papers():
    published = load_published()
    chosen = published[(published["dataset"] == "cifar10_lt") & (published["imbalance_ratio"] == 0.001)]
    fid = chosen[(chosen["metric"] == "fid") & (chosen["method"] == "coral")]
    assert list(fid["value"]) == [11.03]
    assert set(published["confidence"]) <= {"T", "S", "C"}


def test_papers_tables_show_what_is_missing(study):
    found, published = cells(load_scores(study)), load_published()
    tables = {table.name: table for table in paper_tables(found, published)}
    cifar = tables["paper-cifar10_lt"]
    assert cifar.columns[2:8] == [
        "FID ↓",
        "IS ↑",
        "KID, subsets ↓",
        "F8 ↑",
        "Recall ↑",
        "F1/8 ↑",
    ] or "KID" in str(cifar.columns)
    assert all(entry == "—" for row in cifar.rows for entry in row[2:])
    assert {row[1] for row in cifar.rows} >= {"DDPM", "CBDM", "T2H", "CORAL"}
    assert published_table(found, published) is None
    every = published_table(found, published, every=True)
    assert len(every.rows) == len(published)


def test_printed_commands_are_ones_that_the_command_line_takes(study):
    """`--imbalance-ratio nan` and unknown data sets were printed as commands; a new metric ended the report."""
    published = load_published()
    further = published.iloc[:1].assign(metric="kid", dataset="digits_lt", imbalance_ratio=0.05)
    odd = published.iloc[:2].assign(
        metric="sfid", dataset=["digits_lt", "no_such_set"], imbalance_ratio=[0.05, np.nan]
    )
    rows = pd.concat([published, further, odd], ignore_index=True)
    lines = missing_runs(cells(load_scores(study)), rows)
    commands = [part for line in lines for part in re.findall(r"`ltbench ([^`]*)`", line)]
    assert len(commands) > 3
    root = typer.main.get_command(app)
    for command in commands:
        name, *words = shlex.split(command)
        root.commands[name].make_context(name, words)
        assert "nan" not in words
    assert any("no_such_set is installed" in line for line in lines)
    assert any("evaluate" in line and line.startswith("digits_lt-r0.05: KID") for line in lines), lines
    assert any("sFID; no metric of that name" in line for line in lines)
    presets = [name for line in lines for name in re.findall(r"--preset (\S+)", line)]
    assert presets
    assert set(presets) <= set(preset_names())


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
    row = next(r for r in beside.rows if r[6].startswith("CORAL"))
    at = dict(zip(beside.columns, row, strict=True))
    assert row[2:7] == ["FID ↓", "6.17", "6.50 ± 0.71", "+0.33", "CORAL (arXiv 2506.15933v2)"]
    assert (at["Theirs: sampler"], at["Ours: sampler"], at["NFE"], row[8:10]) == (
        "ancestral",
        "ancestral",
        "2,000",
        ["1,000", "50,000"],
    )
    assert "ancestral sampling, which is stochastic" in beside.notes[0]
    filled = next(t for t in paper_tables(found, load_published()) if t.name == "paper-cifar10_lt")
    assert any(r[1] == "DDPM" and r[2] == "6.50 ± 0.71" for r in filled.rows)
    absent = [line for line in missing_runs(found, load_published()) if line.startswith("cifar10_lt-r0.01:")]
    assert any("CBDM" in line and "DDPM" not in line for line in absent)
    assert any("IS;" in line for line in absent)


def test_reversed_class_order_never_fills_a_papers_table(tmp_path):
    spec = make_spec("ddpm", dataset="cifar10_lt", ratio=0.01, order="reversed")
    write_scores(tmp_path / "samples" / "k" / "scores.csv", score_rows(spec, extractor="inception"))
    assert published_table(cells(load_scores(tmp_path)), load_published()) is None


# -- figures ----------------------------------------------------------------------------------------


def test_figures_fit_the_columns_of_a_paper(report):
    pngs = [path for path in report.files if path.suffix == ".png"]
    widths = {round(Image.open(path).size[0] / 200, 1) for path in pngs}
    assert widths
    assert widths <= {COLUMN, PAGE}
    assert {p.stem for p in report.files if p.suffix == ".pdf"} == {p.stem for p in pngs}
    assert {"forest", "digits-r0.05-class-frechet", "digits-r0.05-samples", "digits-r0.05-training"} <= {
        p.stem for p in pngs
    }


def test_a_method_has_one_style_whatever_stands_beside_it():
    known = ["ddpm", "cbdm", "coral"]
    alone, beside = method_styles(["coral"], known), method_styles(["coral", "ddpm", "mine", "other"], known)
    assert alone["coral"] == beside["coral"]
    shown = [beside[m] for m in ("coral", "ddpm", "mine", "other")]
    assert len({s.colour for s in shown}) == 4
    assert len({s.marker for s in shown}) == 4
    assert method_styles(["other", "mine"], known) == method_styles(["mine", "other"], known)


def test_no_two_methods_of_the_tree_look_alike():
    from ltbench.method.registry import known_methods

    styles = method_styles(known_methods(), known_methods())
    assert (
        len({(style.colour, style.marker) for style in styles.values()})
        == len(known_methods())
        == len(styles)
    )


def test_every_method_of_the_tree_has_a_colour_and_a_marker_of_its_own():
    """CORAL had CBDM's: twelve styles for fourteen methods."""
    known = known_methods_in_tree()
    styles = method_styles(known, known)
    assert len({styles[name].colour for name in known}) == len(known) > 12
    more = [*known[:10], "mine", "other", "third", "fourth"]
    beside = method_styles(more, known)
    assert len({beside[name].colour for name in more}) == len(more)
    assert all(beside[name] == styles[name] for name in known[:10])


def test_a_script_without_a_main_guard_draws_on_several_cores_and_no_torch_is_loaded(tmp_path):
    """Workers of a spawning pool ran the caller's script anew, and the report ended in a traceback."""
    root = tmp_path / "runs"
    for method, hyper in (("ddpm", {}), ("coral", {"coral": {"w": 0.5}}), ("coral", {})):
        for guidance in (0.0, 1.0):
            spec = make_spec(method, hyper=hyper, guidance=guidance)
            write_run(root, spec, images=False)
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from ltbench.report import write_report\n"
        "from ltbench.report.figures import draw\n"
        "draw._cores = lambda: 2\n"
        f"written = write_report({str(root)!r}, {str(tmp_path / 'out')!r}, all_figures=True)\n"
        "assert len([p for p in written.files if p.suffix == '.png']) >= 8, written.files\n"
        "assert all(p.is_file() for p in written.files)\n"
        "assert 'torch' not in sys.modules\n"
        "print('once')\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "once\n"


def test_probes_pairs_and_swept_settings_are_drawn(tmp_path):
    root = tmp_path / "runs"
    for method in ("ddpm", "coral"):
        spec = make_spec(method)
        write_pairs(write_run(root, spec, score_rows(spec, metrics=("frechet",))))
        write_probes(root, spec)
        write_run(root, make_spec(method, guidance=1.0), images=False)
    write_run(root, make_spec("coral", hyper={"coral": {"w": 0.5}}), images=False)
    report = write_report(root, tmp_path / "out", all_figures=True)
    results = load_results(root)
    (cell,) = cells(results.scores)
    (scene,) = make_scenes([cell], results, {cell.label: differences(cell, "ddpm")}, "ddpm")
    made = figures_of(scene)
    assert set(made) >= {
        "noise",
        "entanglement",
        "tsne",
        "nearest",
        "guidance",
        "hyper",
        "heat",
        "class",
        "cost",
    }
    assert set(made) <= set(KINDS)
    assert "t = 100" in made["entanglement"][0].caption
    assert "true label" not in made["noise"][0].caption
    assert all("digits_lt, ratio 0.05" in f.caption for figures in made.values() for f in figures)
    drawn = {p.stem for p in report.files if p.suffix == ".png"}
    assert {f.name for figures in made.values() for f in figures} <= drawn
    kept = sorted(root.glob("*/probes/tsne-*.npz"))
    assert len(kept) == 2  # beside the probe, and not computed again
    before = [p.stat().st_mtime_ns for p in kept]
    write_report(root, tmp_path / "again", all_figures=True)
    assert [p.stat().st_mtime_ns for p in kept] == before


def test_one_guidance_axis_is_of_one_kind_of_sampler(tmp_path):
    """A scale of guidance means one thing to a deterministic and another to a stochastic sampler."""
    for sampler, steps in (("dpmsolver++", 20), ("ancestral", 1000)):
        for guidance in (0.0, 1.0):
            write_run(
                tmp_path, make_spec("ddpm", sampler=sampler, steps=steps, guidance=guidance), images=False
            )
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    (scene,) = make_scenes([cell], results, {cell.label: differences(cell, "ddpm")}, "ddpm")
    curves = figures_of(scene, ["guidance"])["guidance"]
    assert sorted(f.name for f in curves) == [
        "digits-r0.05-guidance-deterministic",
        "digits-r0.05-guidance-stochastic",
    ]
    assert all(len(panel.marks) == 1 for f in curves for panel in f.panels)


def test_figures_drawn_on_several_cores_are_the_same(report, tmp_path, monkeypatch):
    figures = report.document.figures()[:8]
    monkeypatch.setattr(drawing, "_cores", lambda: 2)
    told = []
    several = draw(figures, tmp_path / "a", progress=lambda done, of: told.append((done, of)))
    monkeypatch.setattr(drawing, "_cores", lambda: 1)
    one = draw(figures, tmp_path / "b")
    assert [p.read_bytes() for p in several] == [p.read_bytes() for p in one]
    assert told == [(i + 1, 8) for i in range(8)]


def test_the_checklist_answers_every_question(report):
    (table,) = [t for t in report.document.tables() if t.name == "checklist"]
    answers = {row[0]: row[1] for row in table.rows}
    assert len(answers) >= 12
    assert set(answers.values()) <= {"yes", "no", "partly", "not applicable"}
    assert answers["Several training seeds (3 or more) for every row?"] == "no"
    assert answers["One sampler for all methods?"] == "yes"
    assert answers["Baselines include class-balanced sampling?"] == "no"


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
    assert run.train_log()["step"].max() == 1980
    assert np.isfinite(run.train_log()["denoising"]).all()


def test_unknown_baseline_names_the_nearest(study, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'coral'"):
        write_report(study, tmp_path, baseline="corel")
