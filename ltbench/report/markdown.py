"""The report as one Markdown file: findings, tables, figures, runs."""

from ltbench.report.content import Content


def markdown_page(content: Content) -> str:
    """Return the page; figures are linked from ``figures/`` beside it."""
    parts = ["# Results\n", *(f"{note}\n" for note in content.results.notes)]
    parts += ["## Findings\n", *(f"- {finding}" for finding in content.findings()), ""]
    for section in content.sections:
        parts.append(f"## {section.cell.label}\n")
        parts += [table.markdown() for table in section.tables()]
        for figure in section.figures:
            parts.append(f"**{figure.title}**\n\n![{figure.title}](figures/{figure.name}.png)\n")
            parts.append(f"<sub>{figure.caption}</sub>\n")
    if content.paper:
        parts += ["## The papers' tables\n", *(table.markdown() for table in content.paper)]
    if content.missing:
        parts += ["Missing:\n", *(f"- {line}" for line in content.missing), ""]
    return "\n".join([*parts, _runs(content)])


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
