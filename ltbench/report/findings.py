"""Findings: from the frame of differences and the scores to a few short sentences, and each best guidance.

A sentence has at most 25 words and no list of numbers: the forest plot and the tables beside it have those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from ltbench.diffusion.registry import kind
from ltbench.report.cells import CellResults, block_title, long_tails, main_protocols, method_and_variant
from ltbench.report.names import (
    group_title,
    guidance_text,
    mean_sd,
    method_title,
    metric_title,
    number,
    output_of,
)
from ltbench.report.tables.differences import PLACES, declared_rows, difference_text, of_measure, pair_title
from ltbench.report.tables.grid import Entry, Table, Tags
from ltbench.stats import Best, best_setting, holm

MOST_WORDS = 25
MOST_SENTENCES = 6
_NAMED = 3  # methods by name in a sentence

Sections = Sequence[tuple[CellResults, pd.DataFrame]]


def findings(sections: Sections, baseline: str) -> list[str]:
    """Return three to six sentences on who is ahead, where, how surely, and at what price."""
    frames = dict(sections)
    leading = long_tails([cell for cell, _ in sections])
    drafts: list[Iterator[str]] = [_declared(sections)]
    for cell in leading[:2]:
        drafts += [
            _ahead(cell, frames[cell], baseline),
            _best(cell),
            _memorised(cell),
        ]
    out: list[str] = []
    for draft in [*drafts, _sureness(leading)]:
        out += [s for s in draft if len(s.split()) <= MOST_WORDS and s not in out]
    last = out[-1:]  # how sure it all is stays
    return [*out[: MOST_SENTENCES - 1], *last] if len(out) > MOST_SENTENCES else out


def _ahead(cell: CellResults, frame: pd.DataFrame, baseline: str) -> Iterator[str]:
    """Say of each guidance which methods are shown to be better or worse than the baseline."""
    measure = cell.frechet("overall")
    if measure is None or frame.empty:
        return
    title = metric_title("frechet", measure["extractor"], arrow=False).partition(" (")[0]
    for block in main_protocols(cell)[:2]:
        rows = of_measure(frame, measure)
        rows = rows[rows["series"].isin(block["series"]) & rows["class_or_group"].isin(PLACES)]
        if rows.empty:
            continue
        rows = rows.assign(differs=holm(rows["p_t"]))
        names = dict(zip(block["series"], block["label"], strict=True))
        at = f"ω={guidance_text(block['guidance'].iloc[0])}"
        told = []
        for place in PLACES:
            here = rows[(rows["class_or_group"] == place) & rows["differs"]]
            better = [names[s] for s in here[here["mean"] < 0]["series"]]
            worse = [names[s] for s in here[here["mean"] > 0]["series"]]
            where = "in the tail " if place else ""
            if better:
                told.append(
                    f"{where}{_several(better)} {'beats' if len(better) == 1 else 'beat'} {method_title(baseline)}"
                )
            elif worse:
                told.append(
                    f"{where}{_several(worse)} {'is' if len(worse) == 1 else 'are'} worse than {method_title(baseline)}"
                )
            elif place == "":
                told.append(f"no method is shown to differ from {method_title(baseline)}")
        yield f"{_short(cell)}, {at}: {'; '.join(told)} ({title}, Holm 5 %)."


def _several(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    if len(unique) > _NAMED:
        return f"{len(unique)} methods"
    return ", ".join(unique[:-1]) + (" and " if len(unique) > 1 else "") + unique[-1]


def _short(cell: CellResults) -> str:
    parts = cell.label.split(", ")
    return ", ".join(parts[:2]).replace(", ratio", "")


def _best(cell: CellResults) -> Iterator[str]:
    """Say who leads where each method has its own best guidance."""
    measure = cell.frechet("overall")
    rows = best_guidances(cell)
    if measure is None or len(rows) < 2:
        return
    rows = sorted(rows, key=lambda row: row[1].mean)
    (name, best), (second, next_best) = rows[0], rows[1]
    how = "chosen on other seeds" if all(b.held_out for _, b in rows) else "choice flatters"
    decimals = output_of("frechet").decimals
    yield (
        f"{_short(cell)}, each method at its best guidance: lowest FD has {name} with {number(best.mean, decimals)}, "
        f"then {second} with {number(next_best.mean, decimals)} (n={best.n}, {how})."
    )


def _memorised(cell: CellResults) -> Iterator[str]:
    """Name the method that copies most in the tail, against what is expected of real images."""
    measure = cell.leading("memorisation_rate", "group")
    if measure is None or "tail" not in cell.groups():
        return
    block = main_protocols(cell)[0]
    found = cell.column("group", measure, "tail")["mean"]
    found = found[found.index.isin(block["series"])]
    if not len(found):
        return
    names = dict(zip(block["series"], block["label"], strict=True))
    companion = measure.copy()
    companion["metric"] = "memorisation_expected"
    expected = float(cell.points_of("group", companion, "tail", sizes=False)["value"].mean())
    worst = str(found.idxmax())
    if found[worst] > 2 * expected:
        yield (
            f"{_short(cell)}: {names[worst]} memorises most: {100 * found[worst]:.0f} % of its tail images lie nearer "
            f"to training images than real ones do (expected {100 * expected:.0f} %)."
        )


def _sureness(leading: Sequence[CellResults]) -> Iterator[str]:
    seeds = sorted({len(s) for cell in leading for s in main_protocols(cell)[0]["train_seeds"]})
    if not seeds:
        return
    told = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    if seeds[-1] == 1:
        yield "One training seed: these are measurements, and no ranking."
    else:
        yield f"Intervals rest on {told} training seeds of one data split; they say nothing about other splits."


def _declared(sections: Sections) -> Iterator[str]:
    """Say what the contrast that the study file declared came to, at the main protocols of every data cell."""
    for cell, frame in sections:
        for _, row in declared_rows(cell, frame).iterrows():
            where = group_title(row["class_or_group"])
            title = metric_title(row["metric"], row["extractor"], arrow=False).partition(" (")[0]
            yield (
                f"Declared beforehand, {_short(cell)}: {row['label']} - {row['baseline_label']}, {where} {title} "
                f"{difference_text(row)} ({row['p']})."
            )


# -- best guidance --------------------------------------------------------------------------------------------


def best_guidances(cell: CellResults) -> list[tuple[str, Best]]:
    """Return each method's best guidance of those run under one sampler, on seeds that all its guidances have."""
    measure = cell.frechet("overall")
    blocks = main_protocols(cell, every=True)
    if measure is None or len(blocks) < 2:
        return []
    wide = cell.by_seed("overall", measure)
    series = pd.concat(blocks)
    series = series[series["series"].isin(wide.columns)].drop_duplicates("series")
    series = series[series["sampler"] == blocks[0]["sampler"].iloc[0]]
    pairs = set(method_and_variant(series))
    several = series.groupby(["method", "variant"])["series"].transform("size") > 1
    shared = wide[list(series[several]["series"])].dropna()
    wide = shared if len(shared) else wide  # seeds that all scales of all methods have, where there are any
    out = []
    for pair, rows in series.groupby(["method", "variant"], sort=False):
        columns = wide[list(rows["series"])].set_axis(list(rows["guidance"]), axis=1)
        best = best_setting(columns, output_of("frechet").better or "lower")
        if best is not None and len(rows) > 1:
            out.append((pair_title((str(pair[0]), str(pair[1])), pairs), best))
    return out


def best_guidance_table(cell: CellResults) -> Table | None:
    """Build the table of each method at its best guidance, valued on seeds that did not choose it where possible."""
    measure = cell.frechet("overall")
    rows = sorted(best_guidances(cell), key=lambda row: row[1].mean)
    if measure is None or not rows:
        return None
    decimals = output_of("frechet").decimals
    block = main_protocols(cell)[0]
    entries = [
        [
            Entry(name),
            Entry(mean_sd(best.mean, best.sd, decimals)),
            Entry(f"{best.chosen:g}"),
            Entry(str(best.n)),
            Entry("on the other half of the seeds" if best.held_out else "on the same scores: flatters"),
        ]
        for name, best in rows
    ]
    mean, sd, n = cell.floor("overall", measure)
    title = metric_title("frechet", measure["extractor"])
    kinds = kind(block["sampler"].iloc[0])
    notes = [
        f"Best of the scales run under one sampler ({block['sampler'].iloc[0]}, {kinds}), on seeds that all scales of the "
        "method have. With four seeds or more each half of them chooses a scale and the other half gives the value; "
        "with fewer the value is of the scores that chose it, and flatters. "
        f"Floor: {mean_sd(mean, sd, decimals)}{f' (n={n:,.0f})' if n == n else ''}."
    ]
    tags: list[Tags] = []
    return Table(
        f"best-guidance-{cell.slug}",
        f"Each method at its best guidance, {cell.label}",
        ["Method", title, "ω", "Common seeds", "Valued"],
        entries,
        1,
        (),
        notes,
        1,
        tags,
    )


__all__ = ["MOST_SENTENCES", "MOST_WORDS", "best_guidance_table", "best_guidances", "block_title", "findings"]
