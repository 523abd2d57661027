"""The report as Markdown: report.md with findings, leading tables and figures, details.md with every table."""

from ltbench.report.content import Content

# What no number of seeds on one split can say, told once on top of the tables.
LIMITS = (
    "Intervals are 95 % t intervals over training seeds, not corrected for the number of comparisons. Seeds "
    "vary initialisation, order and noise on one split and class order: they can say how far another training "
    "of the same data would move a number, not whether a class is bad because it is rare or because it is hard, "
    "nor what other images of the class would have given. Other class orders and splits, where they were run, "
    "have tables of their own."
)


def markdown_page(content: Content) -> str:
    """Return the first page; figures are linked from ``figures/`` beside it."""
    parts = ["# Results\n", *(f"{note}\n" for note in content.results.notes)]
    parts += ["## Findings\n", *(f"- {finding}" for finding in content.findings()), ""]
    parts += [content.glance.markdown()] if content.glance else []
    parts += [f"{LIMITS} Every other table: [details.md](details.md); every number: tables/summary.csv.\n"]
    for section in content.sections:
        parts.append(f"## {section.cell.label}\n")
        parts += [table.markdown() for table in section.tables()]
        for figure in section.figures:
            parts.append(f"**{figure.title}**\n\n![{figure.title}](figures/{figure.name}.png)\n")
            parts.append(f"<sub>{figure.caption}</sub>\n")
    if content.across:
        parts += ["## Rare or hard: other class orders and splits\n", *(t.markdown() for t in content.across)]
    if content.paper:
        parts += ["## The papers' tables\n", *(table.markdown() for table in content.paper)]
    if content.missing:
        parts += ["Missing:\n", *(f"- {line}" for line in content.missing), ""]
    gaps = content.gaps()
    if gaps:
        parts += ["## Not drawn\n", *(f"- {line}" for line in gaps), ""]
    return "\n".join([*parts, _runs(content)])


def details_page(content: Content) -> str:
    """Return the page of all other tables: per class by measure, spread, ranks, every setting."""
    parts = ["# Details\n", "Every other table of [report.md](report.md).\n"]
    for section in content.sections:
        parts += [f"## {section.cell.label}\n", *(table.markdown() for table in section.more())]
    return "\n".join(parts)


def _runs(content: Content) -> str:
    """List the run folders behind each series, so that every number can be traced."""
    lines = ["## Runs\n", "| Data | Method | Series | Folders |", "| :-- | :-- | :-- | :-- |"]
    for section in content.sections:
        for _, one in section.cell.series.iterrows():
            folders = "<br>".join(f"`{name}`" for name in one["runs"])
            lines.append(f"| {section.cell.label} | {one['label']} | `{one['series']}` | {folders} |")
    lines.append(
        "\nA series is one setting over its seeds; tables/summary.csv gives its folders with every number.\n"
    )
    return "\n".join(lines)
