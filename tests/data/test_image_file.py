"""One image file: what is applied, what is counted, what is refused."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, features

from ltbench.data.image_file import (
    Tally,
    all_at_once,
    decode,
    pixels_of,
    printable,
    wrong_with,
)
from ltbench.errors import DataCorrupt, UsageError


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def half_white(mode="RGB"):
    """Return an image whose top half is white."""
    pixels = np.zeros((32, 32), np.uint8)
    pixels[:16] = 255
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {  # how a camera that is held so stores the upright picture
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = half_white()
    upright.paste((255, 0, 0), (0, 0, 8, 8))  # so that mirroring shows too
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    for format in ("JPEG", "PNG"):
        decoded = decode(
            encoded(stored, format, exif=exif, **({"quality": 100} if format == "JPEG" else {})), "x", 3
        )
        error = np.abs(pixels_of(decoded.image).astype(int) - pixels_of(upright).astype(int)).mean()
        assert error < 3
        assert decoded.turned == (orientation > 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_the_ground(mode):
    """A dark object on transparent black was all black: the object and the ground have to differ."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[4:12, 4:12] = (0, 0, 0, 255)
    image = Image.fromarray(pixels, "RGBA")
    if mode == "P":
        flat = Image.fromarray((pixels[..., 3] // 255).astype(np.uint8), "P")
        flat.putpalette([9, 9, 9, 0, 0, 0])
        content = encoded(flat, transparency=0)
    else:
        content = encoded(image.convert(mode))
    for ground, value in (("white", 255), ("black", 0), ("#0000ff", 0)):
        decoded = decode(content, "x", 3, ground)
        assert decoded.transparent
        assert decoded.mode == mode
        found = pixels_of(decoded.image)
        assert found[0, 0, 0] == value
        assert found[:, 8, 8].max() == 0
    assert pixels_of(decode(content, "x", 1, "white").image)[0, 0, 0] == 255


def test_an_opaque_alpha_channel_changes_nothing_and_is_not_counted():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    decoded = decode(encoded(Image.fromarray(pixels).convert("RGBA")), "x", 3)
    assert not decoded.transparent
    np.testing.assert_array_equal(pixels_of(decoded.image), pixels.transpose(2, 0, 1))


def test_half_transparent_is_mixed_with_the_ground():
    decoded = decode(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 51))), "x", 3)  # a fifth of black on white
    assert pixels_of(decoded.image)[0, 0, 0] == 204


def test_frames_are_counted_and_the_first_is_kept():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    for format in ("GIF", "TIFF", "WEBP", "PNG"):
        more = {"lossless": True} if format == "WEBP" else {}
        decoded = decode(encoded(frames[0], format, save_all=True, append_images=frames[1:], **more), "x", 3)
        assert decoded.frames == 3, format
        assert pixels_of(decoded.image)[:, 0, 0].tolist() == [255, 0, 0]


def deep_png(colour):
    """Return a 16-bit PNG, written by hand: Pillow writes no 16-bit RGB."""
    channels = 3 if colour == 2 else 1

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(2 * 4 * channels)) for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 16, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def deep_tiff(planar):
    """Return a 16-bit RGB TIFF, its channels in three planes or in one."""
    strips, size = (3, 32) if planar == 2 else (1, 96)
    data = bytes(range(96))
    after = 8 + len(data)
    tags = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 3, after), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, strips, after + 8 if strips > 1 else 8), (277, 3, 1, 3), (278, 3, 1, 4)]
    tags += [(279, 4, strips, after + 20 if strips > 1 else size), (284, 3, 1, planar)]
    more = struct.pack("<4H", 16, 16, 16, 0) + struct.pack("<6I", 8, 40, 72, size, size, size)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", after + len(more))
    return head + data + more + struct.pack("<H", len(tags)) + entries + bytes(4)


def deep_jpeg_2000(**options):
    """Return a 16-bit RGB JPEG 2000 by its header: Pillow writes no other than 8-bit RGB."""
    content = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG2000", **options))
    first = content.find(b"\xff\x4f\xff\x51") + 42
    content[first : first + 9 : 3] = bytes([15, 15, 15])
    return bytes(content)


def deep_sgi():
    return struct.pack(">hBBHHHH", 474, 0, 2, 3, 4, 4, 3) + bytes(500) + bytes(96)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")
def test_avif_of_10_bits_is_refused(monkeypatch):
    content = encoded(Image.new("RGB", (16, 16)), "AVIF")
    assert decode(content, "x", 3).mode == "RGB"
    opened, deep = Image.open, bytearray(content)  # Pillow writes no 10 bits, and opens no header that lies
    deep[deep.find(b"av1C") + 6] |= 0x40
    monkeypatch.setattr(Image, "open", lambda _, **__: opened(io.BytesIO(content)))
    with pytest.raises(DataCorrupt, match="more than 8 bits a channel"):
        decode(bytes(deep), "x", 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("format", ["JPEG2000", "TIFF", "SGI"])
def test_8_bits_of_formats_that_can_hold_more_are_read(mode, format):
    image = Image.new(mode, (8, 8), (200,) * len(mode) if len(mode) > 1 else 200)
    assert decode(encoded(image, format), "x", 3).mode == mode


@pytest.mark.parametrize(
    "content",
    [
        deep_tiff(1),
        deep_tiff(2),
        deep_jpeg_2000(),
        deep_jpeg_2000(no_jp2=True),
        deep_sgi(),
        deep_png(0),
        deep_png(2),
        encoded(Image.new("I", (4, 4), 70000), "TIFF"),
        encoded(Image.new("F", (4, 4)), "TIFF"),
        b"P6 2 2 65535\n" + bytes(24),
        b"P5 2 2 65535\n" + bytes(8),
    ],
    ids=[
        "rgb tiff",
        "planar tiff",
        "jp2",
        "j2k",
        "sgi",
        "grey png",
        "rgb png",
        "tiff",
        "float tiff",
        "ppm",
        "pgm",
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_more_than_8_bits_are_refused_and_never_cut(content, channels):
    with pytest.raises(DataCorrupt, match=r"^a/b\.png has more than 8 bits a channel: convert it to 8 bits"):
        decode(content, "a/b.png", channels)


def test_the_tally_says_what_was_done():
    tally = Tally()
    exif = Image.Exif()
    exif[0x0112] = 6
    tally.add(decode(encoded(half_white(), "JPEG", exif=exif), "x", 3))
    tally.add(decode(encoded(Image.new("RGBA", (4, 4))), "x", 3))
    tally.add(decode(encoded(half_white("CMYK"), "TIFF"), "x", 3))
    tally.add(decode(encoded(half_white("L")), "x", 3))
    again = Tally()
    again.merge(tally.as_dict())
    assert again.sentences("white") == tally.sentences("white")
    assert tally.as_dict()["counts"] == {"transparent": 1, "turned": 1}
    said = "; ".join(tally.sentences("white"))
    assert "1 turned upright" in said
    assert "1 with transparency laid on white" in said
    assert all(f"1 {mode}" in said for mode in ("RGB", "RGBA", "CMYK", "L"))
    assert Tally().sentences() == []


@pytest.mark.parametrize("side", [1500, 64_000])
def test_too_many_pixels_are_named_as_that(monkeypatch, side):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000_000)
    content = encoded(Image.new("1", (1500, side)))  # Pillow warns over the limit and refuses over twice that
    with pytest.raises(
        DataCorrupt, match="x has more than the 2 million pixels that are read: make it smaller"
    ):
        decode(content, "x", 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html><p>404", "x is an HTML page, no image: mend or remove it"),
        (
            b"\x00\x00\x00\x18ftypheic" + bytes(100),
            "x is a HEIC image, which cannot be read: convert it to PNG",
        ),
        (b"PK\x03\x04" + bytes(100), "x is an archive: unpack it"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "x is a pointer of Git LFS, whose file was not fetched",
        ),
        (bytes(100), "x is no image, or truncated at its start"),
        (b"<svg/>", "x is an SVG drawing: convert it to PNG or JPEG"),
        (b"\xd7\xcd\xc6\x9a\x00\x00" + bytes(100), "x is a WMF drawing: convert it to PNG or JPEG"),
        (
            b"\x01\x00\x00\x00" + bytes(36) + b" EMF" + bytes(100),
            "x is an EMF drawing: convert it to PNG or JPEG",
        ),
        (b"GRIB\x00\x00\x00\x01" + bytes(100), "x is no image"),  # Pillow knows it, and reads none
    ],
)
def test_what_is_no_image_is_named_by_its_content(content, says):
    with pytest.raises(DataCorrupt, match=f"^{says}"):
        decode(content, "x", 3)


EPS = encoded(Image.new("RGB", (8, 8)), "EPS")


def _iptc(content):
    """Wrap an image in IPTC, whose reader opens whatever it holds."""

    def entry(record, tag, data):
        return bytes((0x1C, record, tag)) + len(data).to_bytes(2, "big") + data

    sides = (8).to_bytes(2, "big")
    return (
        entry(3, 60, b"\x01\x00")
        + entry(3, 20, sides)
        + entry(3, 30, sides)
        + entry(3, 120, b"\x05")
        + entry(8, 10, content)
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (EPS, "x is an EPS drawing: convert it to PNG or JPEG"),
        (struct.pack("<7I", 0xC6D3D0C5, 32, len(EPS), 0, 0, 0, 0) + bytes(4) + EPS, "x is an EPS drawing"),
        (_iptc(EPS), "x is no image"),
    ],
    ids=["text", "binary head", "inside IPTC"],
)
def test_no_image_starts_a_program(tmp_path, monkeypatch, content, says):
    """Pillow reads PostScript by Ghostscript, which then runs what a stranger wrote."""
    started, program = tmp_path / "started", tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{started}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # what Pillow has found before
    with pytest.raises(DataCorrupt, match=f"^{says}"):
        decode(content, "x", 3)
    assert not started.exists()


@pytest.mark.parametrize("position", [6, 14])
def test_broken_exif_data_are_named_as_that(position):
    """Position 6: their head, which Pillow raises on; 14: their number of entries, on which it only warns."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = bytearray(encoded(half_white(), "JPEG", exif=exif))
    start = content.find(b"Exif\0\0") + position
    content[start : start + 2] = b"\xff\xff"
    with pytest.raises(DataCorrupt, match="^x has EXIF data that cannot be read.*save it without EXIF data$"):
        decode(bytes(content), "x", 3)


def test_one_unusable_file_is_given_one_advice():
    with pytest.raises(DataCorrupt) as caught:
        decode(encoded(Image.new("I;16", (4, 4))), "x", 1)
    assert str(all_at_once([str(caught.value)])) == "x has more than 8 bits a channel: convert it to 8 bits"
    with pytest.raises(DataCorrupt, match=r"^x is empty: mend or remove it$"):
        decode(b"", "x", 1)


def test_a_ground_that_is_no_colour():
    with pytest.raises(UsageError, match="--ground 'wite' is no colour"):
        decode(encoded(Image.new("RGBA", (4, 4))), "x", 3, "wite")


def test_what_is_no_regular_file_is_told_without_opening_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "empty").touch()
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 2 << 30)
    (tmp_path / "good").write_bytes(b"x")
    assert wrong_with(tmp_path / "pipe") == "is no regular file"
    assert wrong_with(Path("/dev/null")) == "is no regular file"
    assert wrong_with(tmp_path / "gone") == "is a link to nothing"
    assert wrong_with(tmp_path / "empty") == "is empty"
    assert "too many for an image" in wrong_with(tmp_path / "huge")
    assert wrong_with(tmp_path / "good") is None


def test_all_bad_files_stand_in_one_error():
    assert all_at_once([]) is None
    own = "a was changed meanwhile: run the same command again"  # told besides to mend or remove it
    assert str(all_at_once([own])) == own
    error = str(all_at_once([f"file{i} is empty: mend or remove it" for i in range(30)]))
    assert error.startswith("30 files cannot be used: mend or remove them\n  file0 is empty\n")
    assert "file19" in error
    assert "file20" not in error
    assert error.endswith("and 10 more")


def test_any_name_can_be_printed():
    assert printable(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"
    assert printable("a\nb\x1b.png").isprintable()
    printable(os.fsdecode(b"\xff\xfe")).encode("utf-8")
