"""Each method at the best of its guidance scales, valued on seeds that did not choose it where there are enough."""

from __future__ import annotations

from dataclasses import replace

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.names import pair_title
from ltbench.analysis.protocols import main_protocols
from ltbench.analysis.series import Series, by_key, grouped, joined
from ltbench.stats import Best, best_setting


def best_guidances(cell: CellResults) -> list[tuple[Series, Best]]:
    """Return each method's series at its best guidance of those run under one sampler, the best first.

    On seeds that all of the method's scales have. The series are labelled by their methods.
    """
    measure = cell.frechet("overall")
    blocks = main_protocols(cell, every=True)
    if measure is None or len(blocks) < 2:
        return []
    wide = cell.by_seed("overall", measure)
    first = blocks[0][0]
    rules = {one.rule for one in blocks[0]}  # scales of one rule: another rule's are another axis
    shown = by_key(one for one in joined(blocks) if one.key in wide and one.rule in rules).values()
    methods = grouped((one for one in shown if one.sampler == first.sampler), lambda one: one.pair)
    curves = {pair: rows for pair, rows in methods.items() if len(rows) > 1}
    shared = wide[[one.key for rows in curves.values() for one in rows]].dropna()
    wide = shared if len(shared) else wide  # seeds that all scales of all methods have, where there are any
    out = []
    for pair, rows in curves.items():
        columns = wide[[one.key for one in rows]].set_axis([one.guidance for one in rows], axis=1)
        if (best := best_setting(columns, measure.better or "lower")) is not None:
            chosen = next(one for one in rows if one.guidance == best.chosen)
            out.append((replace(chosen, label=pair_title(pair, list(methods))), best))
    return sorted(out, key=lambda row: row[1].mean)
