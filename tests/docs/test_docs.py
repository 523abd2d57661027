"""The documentation is true: every command in it runs, the site builds strictly, sentences of the README stay short."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>bash|python)\n(?P<text>.*?)^```", re.S | re.M
)
ILLUSTRATIONS = ("method-guide.md", "README.md")  # pieces of a method; the README's are run by test_packaging


@dataclass(frozen=True)
class Block:
    """A fenced block that a reader may copy."""

    language: str
    text: str
    mark: str

    @property
    def slow(self) -> bool:
        return self.mark == "slow"


def blocks(page):
    found = [
        Block(m["language"], m["text"], m["mark"] or "")
        for m in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]
    return [b for b in found if b.language == "bash" or page.name not in ILLUSTRATIONS]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def execute(block, folder):
    """Run a block as a reader would, in the page's folder; a failure shows the command and what it printed."""
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1", "LTBENCH_DATA": ""}
    del environment["LTBENCH_DATA"]
    if block.mark.startswith("file: "):
        (folder / block.mark.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
    if block.language == "python":
        command = [sys.executable, "-c", block.text]
    else:
        command = ["bash", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


WITH_BLOCKS = [page for page in PAGES if blocks(page)]


@pytest.mark.parametrize("page", [p for p in WITH_BLOCKS if not all(b.slow for b in blocks(p))], ids=name_of)
def test_quick_commands_run(page, tmp_path):
    """Up to the page's first slow block, from which on commands may need what it made."""
    for block in blocks(page):
        if block.slow:
            break
        execute(block, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", [p for p in WITH_BLOCKS if any(b.slow for b in blocks(p))], ids=name_of)
def test_every_command_of_a_page_runs_in_order(page, tmp_path):
    for block in blocks(page):
        execute(block, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_are_not_run_are_still_commands(page):
    """In text and in other fences: each `ltbench WORD` names a command of the program."""
    import typer

    from ltbench.cli.tree import app

    commands = set(typer.main.get_command(app).commands)
    text = page.read_text(encoding="utf-8")
    fenced = "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", text, re.S | re.M))
    code = [*fenced.splitlines(), *re.findall(r"^    (.*)", text, re.M), *re.findall(r"`([^`\n]+)`", text)]
    for command, rest in re.findall(r"^(?:torchrun .* -m )?ltbench +([a-z]+)(.*)", "\n".join(code), re.M):
        assert command in commands, command
        used = re.findall(r"(?<![\w-])(--[a-z-]+)", rest.split("#")[0])
        assert set(used) <= flags_of(command), (command, rest)


def flags_of(command):
    import typer

    from ltbench.cli.tree import app

    found = typer.main.get_command(app).commands[command]
    parts = [found, *getattr(found, "commands", {}).values()]
    return {flag for part in parts for p in part.params for flag in (*p.opts, *p.secondary_opts)} | {
        "--help",
        "--version",
    }


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site/reference/methods/index.html").read_text(encoding="utf-8")
    assert "coral" in reference
    assert "Paper against code" in reference
    assert "n_generated" in (tmp_path / "site/reference/scores/index.html").read_text(encoding="utf-8")
    api = (tmp_path / "site/reference/api/index.html").read_text(encoding="utf-8")
    assert all(f"ltbench.api.{name}" in api for name in ("load_study", "run", "compare", "report"))


def test_every_picture_is_there_and_used():
    used = set()
    for page in PAGES:
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).resolve().is_file(), (page, target)
            used.add((page.parent / target).resolve())
    assert set((ROOT / "docs/img").iterdir()) <= used


def prose(text):
    """Return the text without fences, tables, headings and link targets."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#", "    ", "!"))]
    return "\n".join(re.sub(r"^[-*] |^\d+\. ", "\n", line) for line in lines)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs/index.md", ROOT / "docs/start.md"], ids=name_of
)
def test_sentences_are_short(page):
    for paragraph in re.split(r"\n\s*\n", prose(page.read_text(encoding="utf-8"))):
        for sentence in re.split(r"(?<=[.!?:])\s+", " ".join(paragraph.split())):
            assert len(sentence.split()) <= 25, sentence


def test_the_readme_fits_on_a_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


# -- examples -----------------------------------------------------------------------------------------

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
QUICK = ("add_a_metric", "own_folder")


def test_examples_are_short_and_listed():
    assert len(SCRIPTS) >= 5
    assert len(NOTEBOOKS) >= 2
    listed = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    for path in SCRIPTS:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 60
        assert f"`{path.name}`" in listed
    for path in NOTEBOOKS:
        import json

        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert (
            sum(
                len(cell["source"].splitlines() if isinstance(cell["source"], str) else cell["source"])
                for cell in cells
            )
            < 60
        )
        assert f"`{path.name}`" in listed


def run_script(path, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("LTBENCH_DATA", None)
    done = subprocess.run(
        [sys.executable, str(path)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", [p for p in SCRIPTS if p.stem in QUICK], ids=lambda p: p.stem)
def test_a_quick_example_runs(path, tmp_path):
    assert run_script(path, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", [p for p in SCRIPTS if p.stem not in QUICK], ids=lambda p: p.stem)
def test_an_example_runs(path, tmp_path):
    assert run_script(path, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert outputs
    assert not [o for o in outputs if o["output_type"] == "error"]


# -- nothing is left out, nothing is out of place ------------------------------------------------------


def test_every_command_has_a_place_in_the_guide():
    """Beside the generated reference: on a page that says what it is for."""
    import typer

    from ltbench.cli.tree import app

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    commands = typer.main.get_command(app).commands
    named = {
        f"{name} {child}" if child else name
        for name, command in commands.items()
        for child in getattr(command, "commands", {"": None})
    }
    assert {name for name in named if not re.search(rf"ltbench {name}\b|`{name}`", text)} == set()


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert pages <= set(re.findall(r"([a-z/-]+\.md)$", text, re.M))


@pytest.mark.parametrize("page", sorted((ROOT / "docs/concepts").glob("*.md")), ids=name_of)
def test_every_concept_has_a_picture(page):
    assert re.search(r"!\[[^\]]+\]\(\.\./img/[a-z-]+\.svg\)", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "results/README.md"], ids=name_of)
def test_every_row_of_a_table_has_the_columns_of_its_head(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table[:200]


def generated(name):
    """Return a page that mkdocs makes from the code."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return hooks.PAGES[f"reference/{name}.md"]()


def sections(text):
    return {part.splitlines()[0]: part for part in text.split("\n## ")[1:]}


def test_every_method_has_its_equation_and_the_paper_against_the_code():
    from ltbench.method.registry import known_methods

    found = sections(generated("methods"))
    for name in known_methods():
        assert re.search(r"^    .*=", found[name], re.M), name
        assert "**Paper against code**" in found[name], name


def test_every_metric_and_setting_is_documented():
    from ltbench.cli.settings import settings
    from ltbench.metrics.registry import REGISTRY

    found = sections(generated("metrics"))
    for metric in REGISTRY.values():
        assert metric.source in found[metric.name]
        module = inspect.getmodule(inspect.unwrap(metric.function))
        assert module.__doc__.splitlines()[0] in found[metric.name]
        assert module.__name__ != "ltbench.metrics.base"
    page = generated("settings")
    assert [s.key for s in settings() if f"`{s.key}`" not in page or not s.help] == []


def test_make_targets_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"^    make ([a-z]+)", page.read_text(encoding="utf-8"), re.M):
            assert re.search(rf"^{target}:", makefile, re.M), target
    assert shutil.which("bash")
