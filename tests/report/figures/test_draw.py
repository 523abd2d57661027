"""Figures as files: charts in a palette, pictures as they are stored."""

import numpy as np
from PIL import Image as Picture

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
