"""From one image file to pixels of one size, and from an archive to a file's content."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from ltbench.data.prepare.convert import convert, read_content
from ltbench.errors import DataCorrupt, LtbenchError


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def test_the_central_square_is_kept_and_nothing_beside_it():
    wide = np.zeros((20, 50, 3), np.uint8)
    wide[:, 15:35] = (10, 200, 30)
    for array in (wide, wide.transpose(1, 0, 2)):
        pixels = convert(encoded(Image.fromarray(array)), "x", 8, 3)
        assert pixels.shape == (3, 8, 8)
        assert (pixels == np.array([10, 200, 30])[:, None, None]).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA"])
def test_every_8_bit_mode_becomes_rgb(mode):
    image = Image.new("RGB", (12, 12), (255, 255, 255)).convert(mode)
    content = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    assert (convert(content, "x", 8, 3) == 255).all()
    assert convert(content, "x", 8, 1).shape == (1, 8, 8)


def test_pixels_are_not_changed_where_the_size_is_right():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(convert(encoded(Image.fromarray(pixels)), "x", 16, 3), pixels.transpose(2, 0, 1))


JPEG = encoded(Image.effect_noise((64, 64), 80), "JPEG")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a text file", "is text, no image"),
        (JPEG[: len(JPEG) // 2], "cannot be decoded"),
        (JPEG[:3], "is no image, or truncated at its start"),
        (encoded(Image.effect_noise((64, 64), 80))[:-200], "cannot be decoded .*truncated"),
        (encoded(Image.new("I;16", (8, 8))), "more than 8 bits"),
    ],
    ids=["empty", "text", "half a jpeg", "three bytes", "cut png", "16 bits"],
)
def test_a_broken_image_is_named(content, message):
    with pytest.raises(DataCorrupt, match=f"^some/name.jpg .*{message}"):
        convert(content, "some/name.jpg", 8, 3)


def test_any_flipped_bit_of_an_archive_is_its_content_or_one_sentence(tmp_path):
    """A flip names another compression, an encryption or a broken stream: errors of half a dozen classes."""
    words = bytes(range(200)) * 2
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("train/a.txt", words)
    whole = bytearray((tmp_path / "a.zip").read_bytes())
    told = 0
    for bit in range(8 * len(whole)):
        whole[bit // 8] ^= 1 << bit % 8
        (tmp_path / f"{bit}.zip").write_bytes(whole)
        whole[bit // 8] ^= 1 << bit % 8
        try:
            assert read_content(tmp_path / f"{bit}.zip", "train/a.txt") == words
        except LtbenchError as error:
            told += str(error).endswith("get it again")
        (tmp_path / f"{bit}.zip").unlink()
    assert told > 1000
