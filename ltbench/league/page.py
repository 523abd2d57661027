"""The league page: from bundles to a static folder with one page, its data as CSV and JSON, and every run's spec.

    index.html  league.js  league.css  data.js    the page: filters by data cell, protocol, measure and place
    league.csv  league.json                       the same rows for programs
    specs/RUN.json                                what each row's trainings were, spec and keys

Bundles are strangers' files: nothing in them is executed, their text reaches the page only as data that the script
puts in as text, and every file's name is made here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

import ltbench
from ltbench.errors import StorageError, UsageError
from ltbench.files import read_json, refuse_foreign, write_json, write_text
from ltbench.league.ranks import Place, league, status_of
from ltbench.runs.bundle import Bundle, is_bundle, read_bundle, unpack
from ltbench.runs.bundle_format import is_zip
from ltbench.runs.layout import SAMPLES, SPEC
from ltbench.runs.places import cache_folder
from ltbench.runs.results import load_scores
from ltbench.temporary import scratch_folder
from ltbench.text import csv_cell, html, slug

Verify = Callable[[Path], pd.DataFrame]
"""From a folder of runs to the rows of `ltbench.interop.verify.Verification`."""


@dataclass(frozen=True)
class Site:
    """A league page that was written: where, how many rows, and how many of them in each status."""

    page: Path
    rows: int
    statuses: dict[str, int]


def write_site(bundles: Sequence[Path], out: Path, *, verify: Verify | None = None) -> Site:
    """Write the league page of `bundles` to the folder `out`.

    Parameters
    ----------
    bundles
        Bundles, or folders of runs.
    out
        The folder; a league's earlier files in it are replaced.
    verify
        Says what each number is worth; None: all are self-reported. Kept by the bundle's digest, so that a
        page over many bundles checks a bundle once.

    Raises
    ------
    UsageError
        No bundle is given, two have one name, or none holds a ranked number.
    DataCorrupt
        A bundle was changed or cut.
    StorageError
        `out` cannot be written, or has an index.html that is no league's.
    """
    if not bundles:
        raise UsageError("no bundle given: name what `ltbench pack` wrote")
    names = [slug(path.stem if is_zip(path) else path.resolve().name) for path in bundles]
    if len(set(names)) < len(names):
        raise UsageError("two bundles have one name: rename one, so that rows can say where they are from")
    refuse_foreign(out / "index.html", "<title>ltbench league</title>")
    tables: list[pd.DataFrame] = []
    worth: dict[Place, str] = {}
    for name, path in zip(names, bundles, strict=True):
        with scratch_folder() as scratch:
            root, digest = _unpacked(path, scratch)
            tables.append(load_scores(root).assign(bundle=name))
            specs = _specs(root)
            for run, spec in specs.items():
                write_json(out / "specs" / f"{slug(run)}.json", spec)
            if verify is not None:
                keys = {(r, s): k for r, spec in specs.items() for s, k in spec["sample_keys"].items()}
                worth |= status_of(_verified(root, digest, verify), keys, name)
    rows = league(pd.concat(tables, ignore_index=True), worth)
    if rows.empty:
        raise UsageError("the bundles hold no ranked numbers: score their samples first")
    _write_tables(rows, out)
    _write_page(rows, names, out)
    return Site(
        out / "index.html", len(rows), {str(k): int(v) for k, v in rows["status"].value_counts().items()}
    )


def _unpacked(path: Path, scratch: Path) -> tuple[Path, str | None]:
    if not is_bundle(path):
        if not path.is_dir():
            raise UsageError(f"no bundle or folder at {path}: give what `ltbench pack` wrote")
        return path, None
    bundle: Bundle = read_bundle(path)
    unpack(bundle, scratch / "runs")
    return scratch / "runs", bundle.digest


def _specs(root: Path) -> dict[str, dict[str, Any]]:
    """Return each run's spec, with its sample sets' keys by folder."""
    out = {}
    for path in sorted(root.glob(f"*/{SPEC}")):
        samples = {p.parent.name: read_json(p) for p in sorted(path.parent.glob(f"{SAMPLES}/*/{SPEC}"))}
        keys = {
            name: str(spec.get("sample_key", "")) for name, spec in samples.items() if isinstance(spec, dict)
        }
        out[path.parent.name] = {"training": read_json(path), "samples": samples, "sample_keys": keys}
    return out


def _verified(root: Path, digest: str | None, verify: Verify) -> pd.DataFrame:
    """Verify, or read what an earlier page found of the same bytes with the same code."""
    if digest is None:
        return verify(root)
    kept = cache_folder() / "verified" / f"{digest[:32]}-{ltbench.__version__}.csv"
    columns = ["run", "samples", "metric", "extractor", "scope", "class_or_group", "status"]
    if kept.is_file():
        rows = pd.read_csv(kept, keep_default_na=False, dtype=str)
        if set(columns) <= set(rows):
            return rows
    rows = verify(root)
    with contextlib.suppress(StorageError, OSError):  # a page needs no cache, and verifying took minutes
        write_text(kept, rows[columns].to_csv(index=False))
    return rows


def _write_tables(rows: pd.DataFrame, out: Path) -> None:
    plain = rows.drop(columns=["settings", "decimals"]).assign(runs=[" ".join(r) for r in rows["runs"]])
    for column in plain.select_dtypes(exclude="number"):
        plain[column] = plain[column].map(csv_cell)
    write_text(out / "league.csv", plain.to_csv(index=False))
    write_text(out / "league.json", rows.to_json(orient="records", indent=1) + "\n")


def _write_page(rows: pd.DataFrame, names: Sequence[str], out: Path) -> None:
    links = pd.Series(
        [[[run, f"specs/{slug(run)}.json"] for run in runs] for runs in rows["runs"]], rows.index
    )
    data = rows.assign(runs=links)
    text = data.to_json(orient="records")
    for character in "<>&\u2028\u2029":  # what could end a script element, or a line within a string
        text = text.replace(character, f"\\u{ord(character):04x}")
    write_text(out / "data.js", f"const LEAGUE = {text};\n")
    folder = resources.files("ltbench.league") / "templates"
    for name in ("league.js", "league.css"):
        write_text(out / name, (folder / name).read_text(encoding="utf-8"))
    page = (folder / "league.html").read_text(encoding="utf-8")
    about = {"@BUNDLES@": ", ".join(names), "@ROWS@": str(len(rows)), "@VERSION@": ltbench.__version__}
    for mark, value in about.items():
        page = page.replace(mark, html(value))
    write_text(out / "index.html", page)


def summary_line(site: Site) -> str:
    """Return what was written in one line, for the terminal."""
    worth = ", ".join(f"{count} {status}" for status, count in sorted(site.statuses.items()))
    return f"{site.rows} rows ({worth}): {site.page}"
