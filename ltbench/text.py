"""A user's or a file's text -> the same text in a format's own terms: page, Markdown, LaTeX, CSV, shell, terminal.

Text that comes from a name, a path or a file can hold anything: markup, escape sequences, formulas, quotes.
Whatever writes it into a format passes it through that format's function here, once, where it writes it.
Names that are read from files are besides checked where they are read, see `checked_name`.
"""

from __future__ import annotations

import hashlib
import html as _html
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ltbench.errors import DataCorrupt, LtbenchError

LONGEST_NAME = 200
LONGEST_SLUG = 80
_MARKS = " ._+-:,/()~@"
_BIDI = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")


def _is_hidden(character: str) -> bool:
    """Say whether a character has no glyph of its own: controls, half surrogates, direction marks, separators."""
    return character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def visible(text: str, keep: str = "") -> str:
    r"""Return `text` with every character that a terminal would obey, not show, written out: ESC as ``\x1b``.

    Parameters
    ----------
    text
        Any text, also from a stranger.
    keep
        Control characters that stay (a newline in text of several lines).
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode("ascii") if _is_hidden(c) and c not in keep else c for c in text
    )


def shortened(text: str, longest: int = 200) -> str:
    """Return `text` with every word of more than `longest` characters cut in its middle: a message stays one."""
    return re.sub(
        rf"\S{{{longest + 1},}}",
        lambda match: f"{match[0][: longest // 2]}...{match[0][-longest // 4 :]}",
        text,
    )


def one_line(text: str) -> str:
    """Return `text` in one line: runs of white space are one space, the rest is as `visible` shows it."""
    return visible(" ".join(text.split()))


# --- formats -------------------------------------------------------------------------------------------


def html(text: str) -> str:
    """Escape text for an HTML element or a quoted attribute."""
    return _html.escape(visible(text, keep="\n"), quote=True)


_MARKDOWN = re.compile(r"([\\`*\[\]|<>&]|(?<![^\W_])_|_(?![^\W_])|~~|^\s*(?:[#>+-]|\d+[.)])(?=\s))")


def markdown(text: str) -> str:
    """Escape text for one Markdown line or table cell (GitHub's and CommonMark's): no markup, no HTML, no link."""

    def escaped(match: re.Match[str]) -> str:
        matched = match[0]
        if matched in "<>&":
            return _html.escape(matched)
        if matched == "~~":
            return r"\~\~"
        if len(matched.strip()) > 1:  # "1." would begin a list
            return matched[:-1] + "\\" + matched[-1]
        return matched[: len(matched) - len(matched.lstrip())] + "\\" + matched.lstrip()

    return _MARKDOWN.sub(escaped, one_line(text))


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    '"': r"\textquotedbl{}",
    "±": r"\ensuremath{\pm}",
    "−": r"\ensuremath{-}",
    "Δ": r"\ensuremath{\Delta}",
    "√": r"\ensuremath{\surd}",
    "↓": r"\ensuremath{\downarrow}",
    "↑": r"\ensuremath{\uparrow}",
    "ω": r"\ensuremath{\omega}",
    "–": "--",
    "—": "--",
}  # fmt: skip


_MINUS = re.compile(r"(?<![^\s\[(])-(?=\.?\d|\s)")  # before a number, or between two things


def latex(text: str) -> str:
    """Escape text for LaTeX, a minus as one; a character outside ASCII that has no command here becomes a question mark."""
    shown = _MINUS.sub("−", one_line(text))
    out = []
    for character in shown:
        if character in _LATEX:
            out.append(_LATEX[character])
        elif character.isascii():
            out.append(character)
        else:  # an accented letter keeps its letter
            plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
            out.append("".join(_LATEX.get(c, c) for c in plain) or "?")
    return "".join(out)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)


def csv_cell(text: str) -> str:
    """Return a CSV field that no spreadsheet takes for a formula; numbers stay numbers.

    References
    ----------
    OWASP, "CSV Injection": fields that begin with ``= + - @``, a tab or a line break get a leading apostrophe.
    """
    shown = visible(text, keep="\n\t\r")
    if shown.lstrip(" ")[:1] in tuple("=+-@\t\r\n|%＝＋－＠") and not _NUMBER.fullmatch(shown.strip()):
        return "'" + shown
    return shown


def slug(text: str) -> str:
    """Return a file's name for a title: lower-case letters, digits, dots and dashes, never hidden, never long."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")[:LONGEST_SLUG].rstrip("-.") or "unnamed"


def distinct(names: Sequence[str], things: Sequence[str], longest: int = LONGEST_SLUG) -> list[str]:
    """Return files' names, one of several things told apart by six hex digits of what it names.

    Parameters
    ----------
    names
        (n,) a slug for each thing.
    things
        (n,) what tells them apart, such as a title or a key.
    longest
        Characters of a name that gets digits.
    """
    counts = Counter(names)

    def own(name: str, thing: str) -> str:
        digits = hashlib.sha256(thing.encode(errors="backslashreplace")).hexdigest()[:6]
        return f"{name[: longest - 7].rstrip('-.')}-{digits}"

    return [n if counts[n] == 1 else own(n, thing) for n, thing in zip(names, things, strict=True)]


# --- the shell -----------------------------------------------------------------------------------------


def shell_word(word: str | Path) -> str:
    r"""Quote one word of a printed command, so that it can be copied; ``$'\x1b'`` where it cannot be shown."""
    text = str(word)
    if not any(_is_hidden(c) for c in text):
        return shlex.quote(text)
    out = []
    for character in text:
        if character in "\\'":
            out.append("\\" + character)
        elif _is_hidden(character):
            raw = character.encode("utf-8", "surrogateescape")
            out.extend(f"\\x{byte:02x}" for byte in raw)
        else:
            out.append(character)
    return f"$'{''.join(out)}'"


def command(*words: str | Path | int | float) -> str:
    """Return a command line of these words that a person can copy into a shell."""
    return " ".join(shell_word(word if isinstance(word, Path) else str(word)) for word in words)


# --- names at the door ---------------------------------------------------------------------------------


def is_name(text: str) -> bool:
    """Say whether text can be a name: letters, digits and a few marks, one line, begun by a letter or digit."""
    if not text or len(text) > LONGEST_NAME or text != text.strip():
        return False
    if not text[0].isalnum() or ".." in text.split("/"):
        return False
    return all(c.isalnum() or c in _MARKS or unicodedata.category(c) in ("Mn", "Mc") for c in text)


def as_name(text: str, form: str = "{}") -> str:
    """Return text that was nobody's choice as a name, such as a file's, in a form (``torchscript:{}``).

    Itself where that is a name (see `is_name`), else its `slug`.
    """
    name = form.format(text)
    return name if is_name(name) else form.format(slug(text))


def checked_name(
    text: object, what: str, where: str | Path, error: type[LtbenchError] = DataCorrupt, advice: str = ""
) -> str:
    """Return a name that was read from a file, or refuse it.

    Parameters
    ----------
    text
        What the file holds in the name's place.
    what
        What it names ("method").
    where
        The file.
    error
        Class of the error.
    advice
        How to mend it; ends the error's sentence.

    Raises
    ------
    error
        It is no name, see `is_name`.
    """
    if isinstance(text, str) and is_name(text):
        return text
    shown = one_line(repr(text) if not isinstance(text, str) else text)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    raise error(
        f"{visible(str(where))}: {shown!r} cannot be the name of a {what}: names are letters, digits and "
        f"marks such as . _ + - : / up to {LONGEST_NAME} characters{'; ' + advice if advice else ''}"
    )


def whole_number(text: str) -> int | None:
    """Read a whole number of plain digits, None where it is none; ``²``, ``١`` and a thousand digits are none."""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def foreign_separator(header: Sequence[str]) -> str | None:
    """Return what separates the columns of a header that was read as one with commas and is one without; else None."""
    if len(header) == 1:
        return next((name for mark, name in ((";", "';'"), ("\t", "tabs")) if mark in header[0]), None)
    return None
