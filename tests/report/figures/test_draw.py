"""Figures as files: charts in a palette, pictures as they are stored."""

import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture
from report_folders import (
    make_spec,
    write_run,
)

from ltbench.report.figures import draw as drawing
from ltbench.report.figures.axes import COLUMN, PAGE
from ltbench.report.figures.draw import draw
from ltbench.report.figures.model import Figure, Image, Mark, Panel, Style

CHART = Figure(
    "chart",
    "A chart",
    "A caption.",
    [Panel("t", "x", "y", [Mark("DDPM", [0, 1, 2], [1, 3, 2], Style("#0072B2", "o"), line=True)])],
)


def test_a_chart_is_stored_in_a_palette_with_its_colours_and_size(tmp_path):
    """A chart has few colours: as full colour it took three times the bytes, in git and in a paper."""
    (path,) = draw([CHART], tmp_path)
    picture = Picture.open(path)
    assert picture.mode == "P"
    assert np.isclose(picture.info["dpi"], 200, atol=0.01).all()
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    blue = (np.abs(pixels.astype(int) - [0x00, 0x72, 0xB2]).max(axis=1) <= 2).sum()
    assert blue > 50  # the marks' own colour is kept
    assert (pixels == 255).all(axis=1).mean() > 0.5  # on white


def test_stored_images_are_drawn_in_their_own_colours(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    image = Image([("cat", "n = 5")], [("DDPM", "ddpm")], {(0, 0): colours})
    (path,) = draw([Figure("sheet", "A sheet", "A caption.", image=image)], tmp_path)
    drawn = set(map(tuple, np.asarray(Picture.open(path).convert("RGB")).reshape(-1, 3).tolist()))
    assert set(map(tuple, colours.reshape(-1, 3).tolist())) <= drawn


def test_figures_fit_the_columns_of_a_paper(pages_report):
    pngs = [path for path in pages_report.files if path.suffix == ".png"]
    widths = {round(Picture.open(path).size[0] / 200, 1) for path in pngs}
    assert widths
    assert widths <= {COLUMN, PAGE}
    assert {p.stem for p in pages_report.files if p.suffix == ".pdf"} == {p.stem for p in pngs}
    assert {"forest", "digits-r0.05-class-frechet", "digits-r0.05-samples", "digits-r0.05-training"} <= {
        p.stem for p in pngs
    }


def test_names_of_any_length_leave_room_for_what_is_drawn(tmp_path):
    """Matplotlib's layout gives up, with a warning, where names take all of a panel."""
    name, style = "CORAL (" + "coral.weight=0.123, " * 12 + ")", Style("#0072B2", "o")
    marks = [Mark(name, [0.0], [0.0], style), Mark("_hidden", [1.0], [1.0], style)]
    sideways = [Panel(name, "x", "", marks, categories=[name] * 2, sideways=True)] * 2
    heat = [Panel("", "x", "", categories=[name] * 3, matrix=[[0.0] * 3] * 2, row_names=[name] * 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for panels in (sideways, heat, [Panel(name, "x", "y", marks, categories=[name] * 3)]):
            draw([Figure("long", "F", "A caption.", panels, len(panels))], tmp_path)


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


def test_figures_drawn_on_several_cores_are_the_same(pages_report, tmp_path, monkeypatch):
    figures = pages_report.document.figures()[:8]
    monkeypatch.setattr(drawing, "_cores", lambda: 2)
    told = []
    several = draw(figures, tmp_path / "a", progress=lambda done, of: told.append((done, of)))
    monkeypatch.setattr(drawing, "_cores", lambda: 1)
    one = draw(figures, tmp_path / "b")
    assert [p.read_bytes() for p in several] == [p.read_bytes() for p in one]
    assert told == [(i + 1, 8) for i in range(8)]


def test_figures_are_drawn_here_where_the_system_kills_a_process(tmp_path, monkeypatch):
    """For want of memory, say: a worker of a pool that is killed breaks the pool."""

    class Heavy:
        home = os.getpid()
        name, title, caption, panels, across = "heavy", CHART.title, CHART.caption, CHART.panels, CHART.across

        @property
        def image(self):
            if os.getpid() != self.home:
                os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(drawing, "_cores", lambda: 2)
    written = draw([Heavy(), *(replace(CHART, name=f"chart-{i}") for i in range(7))], tmp_path)
    assert len(written) == 8
    assert all(path.stat().st_size for path in written)


@pytest.mark.parametrize("threads", ["nonsense", "", "0", "-1", "1,2", "\u0663"])
def test_a_number_of_threads_that_is_none_counts_as_one(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    expected = drawing._cores()
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert drawing._cores() == expected
