"""The league's site: page, tables and specs, and a page a stranger's text cannot run in."""

import html
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
from league_scores import scores
from report_folders import make_spec, score_rows, write_run

from ltbench.errors import StorageError, UsageError
from ltbench.league.page import write_site
from ltbench.league.ranks import league
from ltbench.runs.pack import pack
from ltbench.runs.results import load_scores


@pytest.fixture
def bundles(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    for name, methods in (("one", ("ddpm", "coral")), ("two", ("ddpm", "cbdm"))):
        for method in methods:
            for seed in (0, 1, 2):
                spec = make_spec(method, seed, guidance=1.0 if name == "two" else 0.0)
                write_run(tmp_path / name, spec, score_rows(spec))
        pack([tmp_path / name], tmp_path / "bundles" / name)
    return [tmp_path / "bundles" / name for name in ("one", "two")]


def test_site_holds_page_tables_and_specs(bundles, tmp_path):
    made = write_site(bundles, tmp_path / "site")
    table = pd.read_csv(tmp_path / "site" / "league.csv")
    assert len(table) == made.rows == len(json.loads((tmp_path / "site" / "league.json").read_text()))
    assert set(table["bundle"]) == {"one", "two"}
    assert set(table["status"]) == {"self-reported"}
    for runs in table["runs"]:
        for run in runs.split():
            spec = json.loads(
                (tmp_path / "site" / "specs" / f"{run.lower().replace('_', '-')}.json").read_text()
            )
            assert spec["training"]["train_seed"] in (0, 1, 2)
    data = json.loads(
        (tmp_path / "site" / "data.js").read_text().removeprefix("const LEAGUE = ").rstrip().rstrip(";")
    )
    assert {link for row in data for _, link in row["runs"]} == {
        f"specs/{p.name}" for p in (tmp_path / "site" / "specs").iterdir()
    }


def test_a_bundle_is_verified_once(bundles, tmp_path):
    calls = []

    def verify(root):
        calls.append(root)
        table = load_scores(root)
        names = ["run", "metric", "extractor", "scope", "class_or_group"]
        return table[names].assign(
            samples=[f.split("/")[-1] for f in table["folder"].astype(str)], status="re-scored"
        )

    assert write_site(bundles, tmp_path / "a", verify=verify).statuses == {
        "re-scored": write_site(bundles, tmp_path / "b").rows
    }
    write_site(bundles, tmp_path / "c", verify=verify)
    assert len(calls) == 2
    assert (tmp_path / "c" / "league.csv").read_text() == (tmp_path / "a" / "league.csv").read_text()


def test_a_page_needs_no_cache(bundles, tmp_path, monkeypatch):
    """All was verified, and lost for a cache that could not be written."""
    monkeypatch.setenv("LTBENCH_CACHE", "/dev/null/x")
    nothing = pd.DataFrame(
        columns=["run", "samples", "metric", "extractor", "scope", "class_or_group", "status"]
    )
    made = write_site(bundles, tmp_path / "a", verify=lambda _: nothing)
    assert made.page.is_file()


def test_mistakes_are_one_sentence(bundles, tmp_path):
    (tmp_path / "other" / "one").mkdir(parents=True)
    with pytest.raises(UsageError, match="one name"):
        write_site([bundles[0], tmp_path / "other" / "one"], tmp_path / "site")
    with pytest.raises(UsageError, match="no bundle or folder"):
        write_site([tmp_path / "absent"], tmp_path / "site")
    with pytest.raises(UsageError, match="no bundle given"):
        write_site([], tmp_path / "site")


def test_somebody_elses_index_is_not_written_over(bundles, tmp_path):
    index = tmp_path / "index.html"
    index.write_text("my league")
    with pytest.raises(StorageError, match="index.html is there and was not written by ltbench"):
        write_site(bundles, tmp_path)
    assert index.read_text() == "my league"
    write_site(bundles, tmp_path / "site")
    write_site(bundles, tmp_path / "site")  # its own is


CHROMIUM = next(
    (p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None
)
READER = """<script>
addEventListener("load", () => {
  const out = {}, text = (s) => [...document.querySelectorAll(s)].map((n) => n.textContent);
  const choose = (id, value) => { const s = document.getElementById(id); s.value = value; s.dispatchEvent(new Event("change")); };
  const options = (id) => [...document.getElementById(id).options].map((o) => o.value);
  out.protocols = options("protocol").length;
  out.methods = text("#league tbody td:first-child");
  choose("metric", "recall");
  out.about = document.getElementById("about").textContent;
  choose("metric", "frechet");
  choose("protocol", options("protocol")[1]);
  out.other = text("#league tbody td:first-child");
  document.querySelectorAll("#league th button")[0].click();
  out.ascending = text("#league tbody td:first-child");
  document.querySelectorAll("#league th button")[0].click();
  out.descending = text("#league tbody td:first-child");
  out.sort = document.querySelector("#league th").getAttribute("aria-sort");
  out.links = [...document.querySelectorAll("#league tbody a")].map((a) => a.getAttribute("href"));
  out.errors = window.pageErrors;
  out.hacked = window.hacked || null;
  out.wide = document.documentElement.scrollWidth > innerWidth;
  const pre = document.createElement("pre");
  pre.id = "test";
  pre.textContent = JSON.stringify(out);
  document.body.append(pre);
});
</script>"""


def browse(site, tmp_path, width=1200, reader=READER):
    catch = "<script>window.pageErrors = []; addEventListener('error', (e) => pageErrors.push(e.message));</script>"
    page = (site / "index.html").read_text()
    (site / "test.html").write_text(
        page.replace("<head>", "<head>" + catch, 1).replace("</body>", reader + "</body>")
    )
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--virtual-time-budget=20000",
    ]
    flags += [
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--window-size={width},900",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    command = [CHROMIUM, *flags, "--dump-dom", (site / "test.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert "CONSOLE" not in done.stderr
    return json.loads(html.unescape(re.search(r'<pre id="test">(.*?)</pre>', done.stdout, re.S)[1]))


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize("width", [1200, 500])
def test_page_in_a_real_browser(bundles, tmp_path, width):
    write_site(bundles, tmp_path / "site")
    found = browse(tmp_path / "site", tmp_path, width)
    assert found["errors"] == []
    assert not found["wide"]
    assert found["protocols"] == 2
    assert {tuple(sorted(found["methods"])), tuple(sorted(found["other"]))} == {
        ("coral (published)", "ddpm"),
        ("cbdm", "ddpm"),
    }
    assert "higher is better" in found["about"]
    assert found["ascending"] == sorted(found["other"]) == found["descending"][::-1]
    assert found["sort"] == "descending"
    assert len(found["links"]) == 6
    assert all((tmp_path / "site" / link).is_file() for link in found["links"])


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_strangers_text_is_shown_and_never_run(tmp_path):
    """Whatever the reader of scores lets through must be harmless here too: two walls, each tested alone."""
    from ltbench.league import page as module

    evil = "</script><script>hacked=1</script><img src=x onerror='hacked=1'>"
    table = scores(
        {"ddpm": [1.0, 1.1], evil: [2.0, 2.1]},
        settings=json.dumps({evil: evil}),
        cell=evil,
        reference="=cmd|x",
    )
    rows = league(table.assign(bundle=evil, labels=evil, run=f"../{evil}"))
    (tmp_path / "site").mkdir()
    module._write_tables(rows, tmp_path / "site")
    module._write_page(rows.assign(metric="frechet"), [evil], tmp_path / "site")
    page = "".join((tmp_path / "site" / name).read_text() for name in ("index.html", "data.js"))
    assert "<img" not in page
    assert "<script>hacked" not in page
    assert not any(
        line.startswith(("=", "+", "@"))
        for line in (tmp_path / "site" / "league.csv").read_text().splitlines()
    )
    reader = READER.replace('choose("metric", "recall");', "").replace(
        'choose("protocol", options("protocol")[1]);', ""
    )
    found = browse(tmp_path / "site", tmp_path, reader=reader)
    assert found["hacked"] is None
    assert found["errors"] == []
    assert len(found["methods"]) == 2
    assert all(link.startswith("specs/") and ".." not in link for link in found["links"])
