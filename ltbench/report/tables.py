"""The tables: built once, printed in the terminal, as Markdown, and (see latex.py) as LaTeX."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import rich.table
from rich.text import Text

from ltbench.report.aggregate import Cell, main_protocols
from ltbench.report.naming import (
    COMPANIONS,
    MISSING,
    forward_passes,
    guidance_text,
    integer,
    mean_sd,
    method_title,
    metric_style,
    metric_title,
    number,
)
from ltbench.report.statistics import by_seed
from ltbench.stats import Better, best_and_ties

FLOOR = "real vs real (floor)"
_MOST_ROWS = 12  # series in the overall table; a cell with more shows the main protocols


@dataclass(frozen=True)
class Entry:
    """One table cell: its text, bold or not."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table before it is printed.

    Attributes
    ----------
    name : file name without suffix.
    title : one line.
    columns : headers; the first `text_columns` of them are left-aligned text.
    rows : entries, one list a row.
    rules : indices of rows that have a rule above them.
    notes : sentences below the table: what was measured, on what, with what.
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list[Entry]]
    text_columns: int = 1
    rules: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the table as GitHub Markdown with its title and notes."""
        align = [":--" if i < self.text_columns else "--:" for i in range(len(self.columns))]
        lines = [self.columns, align, *([_markdown(e) for e in row] for row in self.rows)]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        notes = "".join(f"\n<sub>{note}</sub>  " for note in self.notes if note)
        return f"**{self.title}**\n\n{body}\n{notes}\n"

    def rich(self, notes: int | None = None) -> rich.table.Table:
        """Return the table for the terminal, with the first `notes` notes, or all."""
        caption = "\n".join([n for n in self.notes if n][:notes])
        out = rich.table.Table(
            title=Text(self.title), title_justify="left", caption=Text(caption), caption_justify="left"
        )
        for i, column in enumerate(self.columns):
            out.add_column(
                Text(column), justify="left" if i < self.text_columns else "right", overflow="fold"
            )
        for i, row in enumerate(self.rows):
            cells = (Text(e.text, style="bold" if e.bold else "") for e in row)
            out.add_row(*cells, end_section=i + 1 in self.rules)
        return out


def _markdown(entry: Entry) -> str:
    text = entry.text.replace("|", "\\|")
    return f"**{text}**" if entry.bold and text != MISSING else text


def slug(text: str) -> str:
    """Turn a label into a file name."""
    return "-".join("".join(c if c.isalnum() or c in "._" else " " for c in text.lower()).split())


def overall_table(cell: Cell, most: int | None = None) -> Table:
    """Build the table of overall scores of one data cell: a row a series, a column a measure (the first `most`).

    Rows stand in blocks of one protocol each, and bold is decided within a block. A cell with many settings
    shows the main protocol at every guidance; `settings_table` has them all.
    """
    blocks = shown_blocks(cell, cell.series)
    if len(cell.series) > _MOST_ROWS:
        blocks = main_protocols(cell)
    name, title = f"overall-{slug(cell.label)}", f"Overall scores, {cell.label}"
    return _scores_table(cell, blocks, name, title, most)


def settings_table(cell: Cell) -> Table | None:
    """Build the table of every setting that was run (samplers, steps, hyper-parameters), where that is more."""
    if len(cell.series) <= _MOST_ROWS:
        return None
    blocks = shown_blocks(cell, cell.series)
    name, title = f"settings-{slug(cell.label)}", f"Every setting, overall scores, {cell.label}"
    return _scores_table(cell, blocks, name, title, None)


def _scores_table(cell: Cell, blocks: list[pd.DataFrame], name: str, title: str, most: int | None) -> Table:
    every = cell.measured("overall", blocks)
    measures = every.head(most) if most else every
    body = SeriesRows.of(blocks)
    floors: list[Entry] = []
    for _, measure in measures.iterrows():
        style = metric_style(measure["metric"])
        found = cell.summary_of("overall", measure).set_index("series")
        bold = bold_in_blocks(cell.points_of("overall", measure), blocks, style.better)
        for row, key in zip(body.rows, body.keys, strict=True):
            row.append(score_entry(found, key, style.decimals, key in bold))
        floors.append(Entry(floor_text(cell, "overall", measure, "", style.decimals)))
    rows = body.rows
    if any(entry.text != MISSING for entry in floors):
        rows = body.with_floors(FLOOR, floors)
    left_out = len(cell.series) - len(body.keys)
    more = f"{left_out} more settings (samplers, steps, hyper-parameters): in details.md." if left_out else ""
    return Table(
        name,
        title,
        body.headers + measure_titles(measures),
        rows,
        len(body.headers),
        tuple(end for end in body.ends if end < len(rows)),
        [body.constants, *table_notes(cell, measures, "overall"), _more(len(every) - len(measures)), more],
    )


@dataclass(frozen=True)
class SeriesRows:
    """The left part of a table of series: what describes each of them, in blocks of one protocol.

    Attributes
    ----------
    keys : the series, a row each.
    headers : of the describing columns.
    constants : a sentence of what is alike in all rows.
    rows : their entries so far; scores are appended.
    ends : rows after which a block ends.
    """

    keys: list[str]
    headers: list[str]
    constants: str
    rows: list[list[Entry]]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, blocks: list[pd.DataFrame]) -> "SeriesRows":
        """Describe the series of all blocks, in their order."""
        series = pd.concat(blocks, ignore_index=True)
        columns, constants = protocol_columns(series)
        rows = [[Entry(texts[i]) for _, texts in columns] for i in range(len(series))]
        ends = tuple(int(end) for end in np.cumsum([len(block) for block in blocks]))
        return cls(list(series["series"]), [header for header, _ in columns], constants, rows, ends)

    def with_floors(self, label: str, floors: list[Entry]) -> list[list[Entry]]:
        """Return the rows and, below them, what they are read against."""
        return [*self.rows, [Entry(label), *[Entry("")] * (len(self.headers) - 1), *floors]]


def shown_blocks(cell: Cell, series: pd.DataFrame) -> list[pd.DataFrame]:
    """Split series into those that share training length, sampler, evaluations and guidance, in print order."""
    protocol = pd.DataFrame(
        {"step": series["step"], "sampler": series["sampler"], "passes": forward_passes(series)}
    ).assign(guidance=series["guidance"], origin=series["origin"])
    keys = protocol.map(str).agg("|".join, axis=1)
    main = list(main_protocols(cell)[0]["series"])
    order = {key: not set(rows["series"]) & set(main) for key, rows in series.groupby(keys)}
    size = protocol.assign(key=keys, other=keys.map(order)).drop_duplicates("key")
    size = size.sort_values(["other", "step", "sampler", "passes", "guidance"], kind="stable")
    return [series[keys == key] for key in size["key"]]


def bold_in_blocks(points: pd.DataFrame, blocks: list[pd.DataFrame], better: Better | None) -> set[str]:
    """Return what is printed bold among the series of each block (see `stats.best_and_ties`)."""
    wide = by_seed(points)
    return {
        key
        for block in blocks
        for key in best_and_ties(wide[[k for k in block["series"] if k in wide]], better)
    }


def _more(left_out: int) -> str:
    return f"{left_out} more measures: in report.md and summary.csv." if left_out else ""


def measure_titles(measures: pd.DataFrame) -> list[str]:
    """Name measures; where two would print alike, what differs tells them apart."""
    titles = [metric_title(m["metric"], m["extractor"]) for _, m in measures.iterrows()]
    for column, show in (
        ("extractor", str),
        ("definition", str),
        ("n_generated", "n={:,.0f}".format),
        ("reference", "{}".format),
        ("n_reference", "{:,.0f} real".format),
        ("extractor_hash", "extractor {:.8}".format),
        ("reference_hash", "reference {:.8}".format),
    ):
        for title in {t for t in titles if titles.count(t) > 1}:
            twins = [i for i, t in enumerate(titles) if t == title]
            values = measures.iloc[twins][column]
            if len(values.unique()) > 1:
                for i, value in zip(twins, values, strict=True):
                    name, arrow = (title[:-2], title[-2:]) if title[-1] in "↓↑" else (title, "")
                    titles[i] = f"{name} ({show(value)}){arrow}"
    return titles


def score_entry(summary: pd.DataFrame, series: str, decimals: int, bold: bool = False) -> Entry:
    """Print one mean ± sd of `summary` (indexed by series), a dash where it was not measured."""
    if series not in summary.index:
        return Entry(MISSING)
    row = summary.loc[series]
    row = row.iloc[0] if isinstance(row, pd.DataFrame) else row
    return Entry(mean_sd(row["mean"], row["sd"], decimals), bold)


def floor_text(cell: Cell, scope: str, measure: pd.Series, place: str, decimals: int) -> str:
    """Print what a score is read against: its floor over repeated draws, or its companion's value."""
    if measure["metric"] in COMPANIONS:
        beside = measure.copy()
        beside["metric"] = COMPANIONS[measure["metric"]][0]
        return number(at_place(cell.points_of(scope, beside, sizes=False), place)["value"].mean(), decimals)
    mean = at_place(cell.points_of(scope, measure, "floor"), place)["value"].mean()
    sd = at_place(cell.points_of(scope, measure, "floor_sd"), place)["value"].mean()
    return mean_sd(mean, sd, decimals)


def at_place(frame: pd.DataFrame, place: str) -> pd.DataFrame:
    """Keep one class or group; overall rows may name their place "" or "all"."""
    return frame if place == "" else frame[frame["class_or_group"] == place]


def protocol_columns(series: pd.DataFrame) -> tuple[list[tuple[str, list[str]]], str]:
    """Split what describes series into columns that differ and a sentence of what is alike."""
    columns = [("Method", [method_title(m) for m in series["method"]])]
    alike = []
    for header, name, show in (
        ("Variant", "variant", str),
        ("Settings", "differs", str),
        ("Step", "step", integer),
        ("Sampler", "sampler", str),
        ("NFE", "nfe", integer),
        ("Guidance ω", "guidance", guidance_text),
        ("Origin", "origin", str),
    ):
        texts = [show(v) for v in series[name]]
        if name == "nfe" and len(set(texts)) > 1 and len(set(forward_passes(series).map(str))) == 1:
            alike.append(
                f"NFE {' or, with guidance, '.join(dict.fromkeys(sorted(texts, key=lambda t: int(t.replace(',', '')))))}"
            )
        elif len(set(texts)) > 1:
            columns.append((header, [t or "" for t in texts]))
        elif texts[0] and name != "differs" and texts[0] != "ours":
            alike.append(f"{header[:1].lower() + header[1:] if header != 'NFE' else header} {texts[0]}")
    columns.append(("Seeds", [seeds_text(s) for s in series["train_seeds"]]))
    return columns, (f"All rows: {', '.join(alike)}." if alike else "")


def seeds_text(seeds: tuple[int, ...]) -> str:
    """Print training seeds: how many and which (``0-2 (n=3)``)."""
    if not seeds:
        return MISSING
    dense = seeds == tuple(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 2
    return (f"{seeds[0]}-{seeds[-1]}" if dense else ",".join(map(str, seeds))) + f" (n={len(seeds)})"


def _told(measure: pd.Series, title: str) -> list[str]:
    """Name definition and extractor, the latter unless the title does."""
    extractor = measure["extractor"]
    return [*([extractor] if extractor and f"({extractor})" not in title else []), measure["definition"]]


def table_notes(cell: Cell, measures: pd.DataFrame, scope: str) -> list[str]:
    """Say below a table what its numbers are: measures, sizes, spread, and what these seeds cannot say."""
    titles = dict(zip(measures.index, measure_titles(measures), strict=True))
    what = []
    for _, rows in measures.groupby(["n_generated", "n_reference", "reference"], sort=False):
        told = "; ".join(
            f"{titles[i].rstrip(' ↓↑')} ({', '.join(_told(m, titles[i]))})" for i, m in rows.iterrows()
        )
        first = rows.iloc[0]
        made, real = integer(first["n_generated"]), integer(first["n_reference"])
        per = " a class" if scope == "class" else ""
        what.append(f"{made} generated against {real} real images of {first['reference']}{per}: {told}")
    several = any(len(s) > 1 for s in cell.series["train_seeds"])
    sampling = "; ".join(
        f"{label} {', '.join(map(str, seeds))}"
        for label, seeds in zip(cell.series["label"], cell.series["sample_seeds"], strict=True)
        if len(seeds) > 1
    )
    notes = [". ".join(what) + "."]
    if several:
        notes.append(
            "Mean ± standard deviation over training seeds at one sampling seed; bold, among the rows of one "
            "protocol: the best mean and all that cannot be told from it (paired t tests, Holm's correction over all "
            "pairs of rows at 5 %), so that an equal row stays plain in one column of twenty."
        )
    else:
        notes.append("One training seed: no spread, and no row is marked as best.")
    if "floor" in set(cell.points["role"]):
        notes.append(
            "Floor: held-out real images against the same reference, ± over repeated draws of as many "
            "images as are generated or held out, whichever is fewer."
        )
    if sampling:
        notes.append(f"Sampled more than once ({sampling}): that spread is kept apart, in summary.csv.")
    notes.append(
        f"{MISSING}: not measured. Seeds vary initialisation, order and noise on one split and class order: "
        "they cannot tell rarity from a class's difficulty, nor the luck of which images were kept."
    )
    return [note for note in notes if note]
