"""One image file -> 8-bit pixels, and what of the file they leave out: the reader that all foreign images share.

Orientation (EXIF) is applied, transparency is laid on a stated ground, of an animation the first frame is kept,
a palette or CMYK becomes RGB. More than 8 bits a channel are refused: which 8 of them are meant nobody can tell.
"""

import io
import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from ltbench.data.file_kind import ARCHIVE, kind_of
from ltbench.errors import DataCorrupt, LtbenchError, UsageError
from ltbench.text import visible

GROUND = "white"  # what transparent images are laid on; a browser's
MEND = ": mend or remove it"
_TO_8_BITS = ": convert it to 8 bits"
_SMALLER = ": make it smaller"
_UNPACK = ": unpack it beside the class folders, or remove it"
_CONVERT = ": convert it to PNG or JPEG"
_NO_EXIF = ": turn it upright and save it without EXIF data"
_EXIF = f" has EXIF data that cannot be read, so which side is up cannot be told{_NO_EXIF}"
MOST_NAMED = 20  # unusable files named in one error; the rest are counted
_BITS_PER_SAMPLE = 258  # TIFF's tag
_JPEG_2000_SIZES = b"\xff\x4f\xff\x51"  # start of the codestream, and the marker of its sizes
# What Pillow decodes itself. It reads EPS by starting Ghostscript, and IPTC holds an image of any kind; of WMF, GRIB,
# BUFR, HDF5 and MPEG it knows the names alone.
_FORMATS = (
    "AVIF BLP BMP CUR DCX DDS DIB FITS FLI FTEX GBR GIF ICNS ICO IM IMT JPEG JPEG2000 MCIDAS MSP PCD PCX PIXAR PNG PPM "
    "PSD QOI SGI SPIDER SUN TGA TIFF WEBP XBM XPM XVTHUMB"
)
LARGEST = 1 << 30  # bytes of one image file; what claims more is none
READING = (
    "EXIF orientation applied, transparency on {ground}, first frame of several, colour profiles not applied"
)


@dataclass(frozen=True)
class Decoded:
    """An image as read, and what was done to it.

    Attributes
    ----------
    image
        Mode L or RGB.
    mode
        Pillow's name of the file's own mode.
    frames
        Frames in the file; all but the first are left out.
    turned
        The EXIF orientation was not upright.
    transparent
        Some pixel was, and the ground shows.
    profile
        The file has a colour profile other than sRGB, which is not applied.
    """

    image: Image.Image
    mode: str
    frames: int = 1
    turned: bool = False
    transparent: bool = False
    profile: bool = False


@dataclass
class Tally:
    """What was found in many image files, as a manifest states it."""

    modes: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, decoded: Decoded) -> None:
        """Count one image."""
        self.modes[decoded.mode] += 1
        self.counts["turned"] += decoded.turned
        self.counts["transparent"] += decoded.transparent
        self.counts["animated"] += decoded.frames > 1
        self.counts["frames_left_out"] += decoded.frames - 1
        self.counts["profile"] += decoded.profile

    def merge(self, other: dict[str, dict[str, int]]) -> None:
        """Add another tally's `as_dict`."""
        self.modes.update(other["modes"])
        self.counts.update(other["counts"])

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return JSON-able counts, without those that are zero."""
        counts = {name: n for name, n in sorted(self.counts.items()) if n}
        return {"modes": dict(sorted(self.modes.items())), "counts": counts}

    def sentences(self, ground: str = GROUND) -> list[str]:
        """Return one phrase for everything that a reader of the numbers should know."""
        n = self.counts
        modes = sorted(self.modes.items(), key=lambda item: (-item[1], item[0]))
        sentences = []
        if set(self.modes) - {"L", "RGB"} or len(self.modes) > 1:
            sentences.append("modes: " + ", ".join(f"{count:,} {mode}" for mode, count in modes))
        if n["turned"]:
            sentences.append(f"{n['turned']:,} turned upright as their EXIF orientation says")
        if n["transparent"]:
            sentences.append(f"{n['transparent']:,} with transparency laid on {ground}")
        if n["animated"]:
            sentences.append(
                f"{n['animated']:,} with several frames: the first is kept, {n['frames_left_out']:,} are left out"
            )
        if n["profile"]:
            sentences.append(f"{n['profile']:,} with a colour profile, which is not applied")
        return sentences


def ground_colour(ground: str) -> tuple[int, int, int]:
    """Return the RGB of a ground's name (``white``, ``black``, ``#rrggbb``).

    Raises
    ------
    UsageError
        Neither a name nor ``#rrggbb``.
    """
    try:
        return ImageColor.getrgb(ground)[:3]
    except ValueError as error:
        raise UsageError(f"--ground {ground!r} is no colour: use white, black or #rrggbb") from error


def decode(content: bytes, name: str, channels: int, ground: str = GROUND) -> Decoded:
    """Decode an image file.

    Parameters
    ----------
    content
        The file's bytes.
    name
        What errors call it.
    channels
        1 or 3: what the image is converted to; grey is ITU-R 601 luma.
    ground
        Colour under transparent pixels.

    Raises
    ------
    DataCorrupt
        It is empty, truncated, no image or too large, has more than 8 bits a channel, or its EXIF data, which say
        what side is up, are broken.
    """
    if not content:
        raise DataCorrupt(f"{name} is empty{MEND}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("error", message="(?i).*corrupt exif", category=UserWarning)
            with Image.open(io.BytesIO(content), formats=_formats()) as file:
                if file.mode.startswith(("I", "F")) or _deep(file, content):
                    raise DataCorrupt(f"{name} has more than 8 bits a channel{_TO_8_BITS}")
                return _decoded(file, name, channels, ground)
    except (LtbenchError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise DataCorrupt(_unidentified(content, name)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million"
        raise DataCorrupt(f"{name} has more than the {limit} pixels that are read{_SMALLER}") from error
    except UserWarning as error:
        raise DataCorrupt(f"{name}{_EXIF}") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on broken input
        reason = str(error).partition("<")[0].strip() or type(error).__name__
        raise DataCorrupt(f"{name} cannot be decoded ({reason}){MEND}") from error


@cache
def _formats() -> tuple[str, ...]:
    """Return which formats this Pillow was built to read of those that may be read, in its own order."""
    Image.init()
    allowed = _FORMATS.split()
    return tuple(name for name in Image.ID if name in allowed)


def _unidentified(content: bytes, name: str) -> str:
    """Return what is wrong with bytes that no decoder takes for an image."""
    kind = kind_of(content[:512])
    if kind == ARCHIVE:
        return f"{name} is {kind}{_UNPACK}"
    if kind is not None and kind.endswith("image"):
        return f"{name} is {kind}, which cannot be read{_CONVERT}"
    if kind is not None and kind.endswith("drawing"):
        return f"{name} is {kind}{_CONVERT}"
    if kind is not None:
        return f"{name} is {kind}, no image{MEND}"
    return f"{name} is no image, or truncated at its start{MEND}"


def _decoded(file: Image.Image, name: str, channels: int, ground: str) -> Decoded:
    frames = int(getattr(file, "n_frames", 1))
    profile = file.info.get("icc_profile")
    file.load()
    try:
        upright = ImageOps.exif_transpose(file)
        turned = upright.getexif().get(0x0112) is None and file.getexif().get(0x0112, 1) not in (1, None)
    except MemoryError:
        raise
    except Exception as error:  # Pillow reads EXIF data as a TIFF, whose reader raises nearly anything
        raise DataCorrupt(f"{name}{_EXIF}") from error
    image, transparent = _on_ground(upright, ground)
    return Decoded(
        image.convert("RGB" if channels == 3 else "L"),
        file.mode,
        frames,
        turned,
        transparent,
        isinstance(profile, bytes) and b"sRGB" not in profile,
    )


def _deep(file: Image.Image, content: bytes) -> bool:
    """Tell whether Pillow would cut the file's channels to 8 bits, or mix them up, without a word (16-bit RGB)."""
    if file.format == "TIFF":  # of planar images the tiles do not tell
        bits = file.tag_v2.get(_BITS_PER_SAMPLE, 1)  # type: ignore[attr-defined]
        return any(each > 8 for each in (bits if isinstance(bits, tuple) else (bits,)))
    if file.format == "JPEG2000":
        # The number of channels, then three bytes for each: its bits - 1 (the top bit is the sign), and two steps.
        start = content.find(_JPEG_2000_SIZES) + 42
        count = int.from_bytes(content[start - 2 : start], "big")
        return any(bits & 127 > 7 for bits in content[start : start + 3 * count : 3])
    if file.format == "AVIF":
        start = content.find(b"av1C")
        return start >= 0 and bool(content[start + 6] & 0x40)  # AV1's high_bitdepth

    def parts(value: Any) -> Iterable[Any]:
        if isinstance(value, tuple | list):
            for item in value:
                yield from parts(item)
        else:
            yield value

    for tile in getattr(file, "tile", ()):
        codec, arguments = tile[0], list(parts(tile[3:]))
        if any(isinstance(a, str) and re.search(r";(1[0-9]|32|64)", a) for a in arguments):
            return True
        if codec == "SGI16":
            return True
        if codec in ("ppm", "ppm_plain") and any(isinstance(a, int) and a > 255 for a in arguments):
            return True
    return False


def _on_ground(image: Image.Image, ground: str) -> tuple[Image.Image, bool]:
    """Lay a transparent image on its ground; return it and whether anything of the ground shows."""
    if image.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in image.info:
        return image, False
    layered = image.convert("RGBA")
    if np.asarray(layered.getchannel("A")).min() == 255:
        return layered.convert("RGB"), False
    below = Image.new("RGBA", layered.size, (*ground_colour(ground), 255))
    return Image.alpha_composite(below, layered).convert("RGB"), True


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    """Return an L or RGB image as (C,H,W) uint8."""
    array = np.asarray(image, np.uint8)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def central_square(image: Image.Image, size: int) -> Image.Image:
    """Cut the central square and resample it to `size` pixels a side (Pillow Lanczos)."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def printable(name: str | Path) -> str:
    """Return a path as text that can be printed and stored: bytes that are no UTF-8 become ``\\xNN``."""
    return visible(os.fsencode(name).decode("utf-8", "backslashreplace"))


def wrong_with(path: Path) -> str | None:
    """Return what keeps a directory entry from being an image file, without reading it; None where nothing does."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return "is a link to nothing" if path.is_symlink() else "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if not status.st_size:
        return "is empty"
    if status.st_size > LARGEST:
        return f"has {status.st_size:,} bytes, too many for an image"
    if not os.access(path, os.R_OK):
        return "cannot be read (Permission denied)"
    return None


def all_at_once(problems: Sequence[str]) -> DataCorrupt | None:
    """Return one error that names every unusable file, or None where there is none.

    Parameters
    ----------
    problems
        ``FILE is WHAT: ADVICE``, one a file.
    """
    if not problems:
        return None
    if len(problems) == 1:
        return DataCorrupt(problems[0])
    lines = "".join(f"\n  {problem.removesuffix(MEND)}" for problem in problems[:MOST_NAMED])
    more = f"\n  and {len(problems) - MOST_NAMED:,} more" if len(problems) > MOST_NAMED else ""
    return DataCorrupt(f"{len(problems):,} files cannot be used: mend or remove them{lines}{more}")
