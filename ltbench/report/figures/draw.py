"""Figures as data -> PNG and PDF files, at sizes that fit a paper's columns; several at once on several cores."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from importlib import resources
from pathlib import Path

import matplotlib as mpl
from joblib import Parallel, delayed
from matplotlib.figure import Figure as Canvas
from PIL import Image as Picture

from ltbench.files import replacing
from ltbench.report.figures.axes import draw_images, plot
from ltbench.report.figures.model import Figure

_WORTH_A_PROCESS = 4  # figures that a further process must have to be worth its start

Progress = Callable[[int, int], None]


def draw(
    figures: Sequence[Figure], folder: Path, *, pdf: bool = False, progress: Progress | None = None
) -> list[Path]:
    """Write each figure as ``NAME.png`` (and ``NAME.pdf``), without dates: the same scores give the same bytes.

    Parameters
    ----------
    figures
        What to draw.
    folder
        Where the files are written; made where it is absent.
    pdf
        Write PDFs too.
    progress
        Called with (drawn, of how many).

    Returns
    -------
    The files, a figure's PNG first.
    """
    workers = max(1, min(_cores(), len(figures) // _WORTH_A_PROCESS))
    pool = Parallel(workers, return_as="generator_unordered", max_nbytes=None)
    tell = progress or (lambda *_: None)
    try:
        for done, _ in enumerate(pool(delayed(_draw_one)(figure, folder, pdf) for figure in figures), 1):
            tell(done, len(figures))
    except BrokenProcessPool:  # a process was killed, perhaps for want of memory: one figure at a time, here
        for done, figure in enumerate(figures, 1):
            _draw_one(figure, folder, pdf)
            tell(done, len(figures))
    return [path for figure in figures for path in _paths(figure, folder, pdf)]


def _cores() -> int:
    """Return the processors for one-threaded drawing: those given to this process, over the threads each takes."""
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # "4,2": of nested regions
    threads = max(1, int(stated)) if stated.isascii() and stated.isdecimal() else 1
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, given // threads)


def _paths(figure: Figure, folder: Path, pdf: bool) -> list[Path]:
    return [folder / f"{figure.name}.{suffix}" for suffix in (("png", "pdf") if pdf else ("png",))]


def _draw_one(figure: Figure, folder: Path, pdf: bool) -> list[Path]:
    paths = _paths(figure, folder, pdf)
    with (
        resources.as_file(resources.files("ltbench.report") / "ltbench.mplstyle") as sheet,
        mpl.rc_context(fname=sheet),
    ):
        canvas = plot(figure) if figure.image is None else draw_images(figure, figure.image)
        for path in paths:
            with replacing(path) as temporary:
                if path.suffix == ".pdf":
                    metadata = {"CreationDate": None, "Title": figure.title}
                    canvas.savefig(temporary, format="pdf", metadata=metadata)
                else:
                    _save_png(canvas, temporary, palette=figure.image is None)
    return paths


def _save_png(canvas: Canvas, path: Path, palette: bool) -> None:
    """Write a PNG; of a `palette` of 256 colours, a third of the bytes, which a chart can do with and a photo cannot."""
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", metadata={"Software": None})
    if palette:
        picture = Picture.open(buffer)
        chart = picture.convert("RGB").quantize(256, dither=Picture.Dither.NONE)
        buffer = io.BytesIO()
        chart.save(buffer, "PNG", dpi=picture.info["dpi"])
    path.write_bytes(buffer.getvalue())
