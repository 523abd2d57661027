"""What a sampler costs and what it changes, read from finished runs: nothing is trained or sampled here.

Results hold the papers' sampler (ancestral, 1000 steps) and faster ones for the same trainings: the bundle
results/digits as it is committed, and what `ltbench run --preset benchmarks/samplers.toml --out FOLDER` makes:

    python benchmarks/run.py --only sampling --results results/digits FOLDER

Frechet distances are those of ``scores.csv``; seconds are those that the sampling stage recorded: CPU seconds on a CPU,
where several runs shared the machine, and the wall's on a GPU.
"""

from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from ltbench.files import read_json
from ltbench.runs.places import places
from ltbench.runs.provenance import compute_seconds, read_provenance
from ltbench.specs import SampleSpec

PAPERS = ("ancestral", 1000)
TIMES_CHEAPER = 30
CELL = ["dataset", "imbalance_ratio", "method", "train_seed"]


def load(roots: list[Path]) -> pd.DataFrame:
    """Return one row a sample set without guidance: its cell, sampler, NFE, Frechet distance, seconds per 1,000."""
    rows, seen = [], set()
    files = [
        file
        for root in roots
        for place in places(root)
        for file in sorted(place.glob("*/samples/*/scores.csv"))
    ]
    for file in files:
        table = pd.read_csv(file, dtype={"class_or_group": str}, keep_default_na=False)
        table = table[(table.metric == "frechet") & (table.scope == "overall")]
        stages = read_provenance(file.parent).get("stages", [])
        sampled = [stage for stage in stages if stage["stage"] == "sample"]
        images = sum(stage.get("images", 0) for stage in sampled)
        if table.empty or not images:
            continue
        row = table.iloc[0].to_dict()
        if row["sample_key"] in seen:  # what is committed counts first
            continue
        seen.add(row["sample_key"])
        row["seconds"] = 1000 * sum(map(compute_seconds, sampled)) / images
        row["sampler"] = SampleSpec.stored(read_json(file.with_name("spec.json"))["sample"]).label
        row["threads"] = max(stage["threads"] for stage in sampled)
        rows.append(row)
    if not rows:
        raise SystemExit(
            f"{' and '.join(map(str, roots))} hold no scored sample set: name folders of finished runs with --results"
        )
    found = pd.DataFrame(rows)
    return found[found.guidance == 0].astype({"value": float})


def is_papers(table: pd.DataFrame) -> pd.Series:
    return (table.sampler == PAPERS[0]) & (table.nfe == PAPERS[1])


def measure(options) -> str:
    """Part ``sampling``: return the tables as Markdown."""
    table = load(options.results)
    cells = table[is_papers(table)].groupby(CELL).size()
    if cells.empty or cells.max() < 2:
        raise SystemExit(
            f"{' and '.join(map(str, options.results))} hold no training sampled by {PAPERS[0]}-{PAPERS[1]} with several "
            "sampling seeds: run its samplers.toml to the end first"
        )
    return "\n\n".join([_cheapest(table, cells.idxmax()), _ranks(table)])


def _cheapest(table: pd.DataFrame, cell: tuple) -> str:
    """Table of one training by all samplers, and the cheapest that is as good as the papers'."""
    own = table[(table[CELL] == pd.Series(cell, CELL)).all(axis=1)]
    papers = own[is_papers(own)]
    limit = papers.value.mean() + 2 * papers.value.std(ddof=1)
    cost = papers.seconds.median()
    lines = [
        f"{cell[2]} on {cell[0]}, imbalance ratio {cell[1]:g}, train seed {cell[3]}, no guidance, "
        f"{int(papers.n_generated.iloc[0])} images, {papers.extractor.iloc[0]} features, "
        f"{int(papers.threads.max())} thread(s). {PAPERS[0]}-{PAPERS[1]} over n = {len(papers)} sampling seeds: "
        f"Frechet distance {papers.value.mean():.3f}, sd {papers.value.std(ddof=1):.3f}; "
        f"as good means at most {limit:.3f}.",
        "",
        "| Sampler | NFE | Frechet distance | as good | s per 1,000 images | times cheaper |",
        "| :-- | --: | --: | :-- | --: | --: |",
    ]
    best = None
    groups = own.groupby(["sampler", "nfe"]).agg(value=("value", "mean"), seconds=("seconds", "median"))
    for (sampler, nfe), row in groups.sort_values("seconds").iterrows():
        good = row.value <= limit
        if good and best is None and (sampler, nfe) != PAPERS:
            best = (sampler, nfe, cost / row.seconds)
        lines.append(
            f"| {sampler} | {nfe} | {row.value:.3f} | {'yes' if good else 'no'} | {row.seconds:.2f} "
            f"| {cost / row.seconds:.1f} |"
        )
    said = "No faster sampler is as good (target MISSED)."
    if best:
        reached = "met" if best[2] >= TIMES_CHEAPER else "MISSED"
        said = (
            f"Cheapest as good: {best[0]} with {best[1]} evaluations, {best[2]:.1f} times cheaper "
            f"(target {TIMES_CHEAPER}: {reached})."
        )
    said += " Seconds are those of the day on which each sample set was made: equal work differs by up to a third."
    return "\n".join([*lines, "", said])


def _ranks(table: pd.DataFrame) -> str:
    """Rank correlation of the runs' scores, and of the methods' means, between each sampler and the papers'."""
    papers = table[is_papers(table) & (table.sample_seed == 0)].set_index(CELL).value
    lines = [
        f"Spearman's rank correlation with the scores by {PAPERS[0]}-{PAPERS[1]} (Frechet distance, overall):",
        "",
        "| Sampler | NFE | over runs (n) | over the methods' means (n) |",
        "| :-- | --: | --: | --: |",
    ]
    for (sampler, nfe), group in table[~is_papers(table)].groupby(["sampler", "nfe"]):
        fast = group[group.sample_seed == 0].set_index(CELL).value
        both = pd.concat([papers, fast], axis=1, join="inner", keys=["papers", "fast"])
        means = both.groupby(CELL[:3]).mean()
        cells = [
            f"{spearmanr(part.papers, part.fast).statistic:.2f} ({len(part)})"
            if len(part) > 2
            else f"- ({len(part)})"
            for part in (both, means)
        ]
        lines.append(f"| {sampler} | {nfe} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)
