"""The page: it works offline, escapes what it shows, and answers to a reader in a real browser."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from report_folders import (
    make_spec,
    score_rows,
    write_run,
)

from ltbench.errors import CheckpointError
from ltbench.report import write_report


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.outside = []

    def handle_starttag(self, _tag, attrs):
        links = [value for name, value in attrs if name in ("src", "href", "srcset")]
        self.outside += [link for link in links if not link.startswith(("data:", "#"))]


def test_page_is_self_contained(pages_report):
    text = (pages_report.path / "index.html").read_text()
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
window.addEventListener("load", () => whenDrawn(() => {
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
}));
</script>
"""


CHROMIUM = next(
    (p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None
)


def browse(folder, tmp_path, reader, width=1200):
    """Return what a script reads off a report's page in a real browser."""
    page = tmp_path / "page.html"
    catch = """
    window.pageErrors = []; addEventListener("error", (e) => pageErrors.push(e.message));
    window.whenDrawn = (then, left = 100) =>
      document.querySelector("figure.chart svg text") || !left ? then() : setTimeout(() => whenDrawn(then, left - 1), 100);
    """
    text = (folder / "index.html").read_text()
    page.write_text(
        text.replace("<head>", f"<head><script>{catch}</script>", 1).replace("</body>", reader + "</body>")
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
    assert "CONSOLE" not in done.stderr
    return json.loads(html.unescape(read[1]))


OFF_THE_AXIS = """
<script>
window.addEventListener("load", () => whenDrawn(() => {
  const forest = document.querySelector("figure.chart[data-chart=forest]");
  const rows = () => [...forest.querySelectorAll("svg text")].map((e) => e.textContent).filter((t) => /CORAL|CBDM/.test(t));
  const out = {errors: window.pageErrors, all: rows()};
  document.querySelector("#filter-methods input[value=cbdm]").click();
  out.left = rows();
  document.querySelector("#filter-methods input[value=coral]").click();
  out.none = rows();
  const pre = document.createElement("pre");
  pre.id = "test";
  pre.textContent = JSON.stringify(out);
  document.body.append(pre);
}));
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_method_off_the_axis_keeps_its_row_on_the_page(tmp_path):
    for method, value in (("ddpm", 5.0), ("coral", 500.0), ("cbdm", 4.0)):
        for seed in (0, 1):
            spec = make_spec(method, seed)
            rows = [row | {"value": repr(value + seed)} for row in score_rows(spec, metrics=("frechet",))]
            write_run(tmp_path / "runs", spec, rows, images=False)
    write_report(tmp_path / "runs", tmp_path / "out")
    found = browse(tmp_path / "out", tmp_path, OFF_THE_AXIS)
    assert found["errors"] == []
    off = "CORAL: +495, off the axis"
    assert sorted(found["all"]) == ["CBDM", "CBDM", off, off]
    assert found["left"] == [off, off]
    assert found["none"] == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize("width", [1200, 500])
def test_page_in_a_real_browser(pages_report, tmp_path, width):
    found = browse(pages_report.path, tmp_path, READER, width)
    assert found["errors"] == []
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
