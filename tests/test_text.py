"""Text in formats: what a stranger's name could do to a terminal, a page, a table, a spreadsheet or a shell."""

import csv
import io
import subprocess
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ltbench import errors, text

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=http://evil.example/x.png>',
    "![x](http://evil.example/t.png)",
    "[click](javascript:alert(1))",
    "a|b",
    "`rm -rf`",
    "\x1b[31mred\x1b]0;title\x07",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(A1)",
    "-2+3",
    "\t=1",
    "[/red]",
    "[bold]x",
    r"\input{/etc/passwd}",
    "$x^2$ & 5 % # _ {} ~",
    "name with 'quotes' and $HOME",
    "line\nbreak",
    "\u202etxt.exe",
    "\udce9",
    "# head",
    "1. item",
    "- item",
    "**bold** _it_ ~~gone~~",
]
ANY = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40))


class _Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@given(ANY)
def test_a_page_shows_the_text_and_nothing_else(value):
    seen = _Seen()
    seen.feed(f'<p title="{text.html(value)}">{text.html(value)}</p>')
    seen.close()
    assert [tag for tag, _ in seen.tags] == ["p"]
    assert seen.tags[0][1]["title"] == seen.text == text.visible(value, keep="\n")


@given(ANY)
def test_no_format_passes_on_what_a_terminal_obeys(value):
    for escape in (text.html, text.markdown, text.latex, text.csv_cell, text.shell_word):
        out = escape(value)
        assert not any(text._is_hidden(c) and c not in "\n\t\r" for c in out), escape
        out.encode("utf-8")  # a half surrogate cannot be written
    for escape in (text.markdown, text.latex, text.one_line):
        assert "\n" not in escape(value)


@pytest.mark.parametrize("value", HOSTILE)
def test_markdown_keeps_neither_tags_nor_links_nor_cells(value):
    out = text.markdown(value)
    bare = out.replace("\\\\", "")
    for mark in "<>":
        assert mark not in out
    for mark in "|[]`*":
        assert all(bare[i - 1] == "\\" for i, c in enumerate(bare) if c == mark)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ema_decay = 0.9", "ema_decay = 0.9"),  # as the field writes it: no noise in what is harmless
        ("coral+t2h (seed 1, 50 steps)", "coral+t2h (seed 1, 50 steps)"),
        ("_x_", r"\_x\_"),
        ("a < b & c", "a &lt; b &amp; c"),
        ("# head", r"\# head"),
        ("1. item", r"1\. item"),
        ("-1.5", "-1.5"),
    ],
)
def test_markdown_of_small_cases(value, shown):
    assert text.markdown(value) == shown


@given(ANY)
def test_latex_holds_no_command_of_the_text(value):
    out = text.latex(value)
    assert out.isascii()
    for known in sorted(text._LATEX.values(), key=len, reverse=True):
        out = out.replace(known, "")
    assert not set(out) & set("\\{}$&#^_%~")


def test_a_minus_is_one_in_latex_and_a_hyphen_is_none():
    shown = text.latex("CBDM - DDPM: -2.84 [-3.10, -.5], seeds 0-2, log-SNR, 1e-5")
    minus = r"\ensuremath{-}"
    assert shown == f"CBDM {minus} DDPM: {minus}2.84 [{minus}3.10, {minus}.5], seeds 0-2, log-SNR, 1e-5"


@given(ANY)
@example("-1.5")
@example("-1.5e-3")
@example("-inf")
def test_no_field_is_a_formula_and_numbers_stay(value):
    out = text.csv_cell(value)
    try:
        float(value)
    except ValueError:
        assert out.lstrip(" ")[:1] not in tuple("=+-@\t\r\n")
    handle = io.StringIO()
    csv.writer(handle).writerow([out])
    assert next(csv.reader(io.StringIO(handle.getvalue(), newline="")))[0] == out


@pytest.mark.parametrize("value", ["-1.5", "+3", "1e-9", "-inf", "nan", "-0"])
def test_numbers_are_no_formulas(value):
    assert text.csv_cell(value) == value


@pytest.mark.parametrize(
    "value", [*HOSTILE, "data [old]", "~/x", "a;b", "$(id)", "caf\u00e9", "", "-x", "a\\b\n'c"]
)
def test_a_printed_word_reaches_the_program_as_it_was(value):
    shown = text.command("printf", "%s", value)
    assert not any(text._is_hidden(c) for c in shown)
    got = subprocess.run(
        ["bash", "-c", shown.replace("printf ", "printf -- ", 1)], capture_output=True, check=True
    )
    assert got.stdout == value.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "name",
    ["ddpm", "coral+t2h", "dpmsolver++", "sde-dpmsolver++", "coral:published+t2h:released", "torchscript:/a/b.pt",
     "folder_lt:pets", "CORAL (published)", "frechet/1", "kid.at_floor_n", "7", "Größe 3", "été"],
)  # fmt: skip
def test_names_that_people_give_are_names(name):
    assert text.checked_name(name, "method", "scores.csv") == name


@pytest.mark.parametrize(
    "name",
    [
        *(h for h in HOSTILE if h != "1. item"),
        "a/../../x",
        "",
        " x",
        "x" * 201,
        "../x",
        None,
        5,
        "a\u0000b",
        "a=b<c",
    ],
)
def test_what_is_no_name_is_refused_with_the_file(name):
    with pytest.raises(
        errors.DataCorrupt, match=r"^some/scores\.csv: .* cannot be the name of a method"
    ) as caught:
        text.checked_name(name, "method", "some/scores.csv")
    message = str(caught.value)
    assert len(message) < 400
    assert not any(text._is_hidden(c) for c in message)


@given(ANY)
def test_a_slug_is_a_safe_file_name(value):
    out = text.slug(value)
    assert out
    assert len(out) <= 80
    assert out[0] not in ".-"
    assert set(out) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


def test_names_that_would_be_one_are_told_apart_by_what_they_name():
    assert text.distinct(["a", "b"], ["one", "two"]) == ["a", "b"]
    first, other, alone = text.distinct(["name", "name", "b"], ["one", "two", "three"], longest=12)
    assert alone == "b"
    assert first == text.distinct(["name", "name"], ["one", "four"], longest=12)[0]  # whatever the other is
    assert first[:5] == other[:5] == "name-"
    assert len(first) == len(other) == 11
    assert first != other
    assert len(text.distinct(["longer name", "longer name"], ["one", "two"], longest=12)[0]) == 12


def test_a_message_is_short_whatever_stands_in_it():
    assert text.shortened("no file /a/b: look there") == "no file /a/b: look there"
    out = text.shortened(f"no file {'x' * 5000}y: look there")
    assert len(out) < 250
    assert out.startswith("no file xxx")
    assert out.endswith("xy: look there")
