"""The declared contrast: from a study file's ``[contrast]`` to the one comparison that may carry a p-value.

    [contrast]
    method = "coral"           # compositions in any order
    baseline = "ddpm"
    metric = "frechet"         # a name in scores.csv that the study measures
    scope = "tail"             # overall, or a group of classes

It is checked when the study is loaded, before anything trains, and holds for that study's runs alone: other data
cells, samplers and guidances in the same folder were not thought of beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ltbench.errors import UsageError, nearest
from ltbench.metrics.registry import requested_metrics
from ltbench.runs.series import cell_label, label_without
from ltbench.spec import RunSpec
from ltbench.study.keys import canonical_method

SCOPES = ("overall", "head", "middle", "tail", "many", "medium", "few", "macro", "worst")
_FILES = "content "  # part of a label: the hash of files, which a study file does not state


@dataclass(frozen=True)
class Contrast:
    """One comparison, and the protocols (data cell, step, sampler, NFE, guidance) that it was declared for.

    Attributes
    ----------
    method, baseline
        Canonical names of methods.
    metric
        A name in ``scores.csv``.
    scope
        ``overall``, or a group of classes.
    protocols
        Of the study's runs; None: all.
    """

    method: str
    baseline: str = "ddpm"
    metric: str = "frechet"
    scope: str = "overall"
    protocols: frozenset[tuple[object, ...]] | None = None

    def covers(self, label: str, series: Mapping[str, Any]) -> bool:
        """Tell whether a series of the data cell called `label` is among the runs that this was declared for."""
        names = ("step", "sampler", "nfe", "guidance")
        protocol = (label_without(label, _FILES), *(series[name] for name in names))
        return self.protocols is None or protocol in self.protocols


_KEYS = tuple(f.name for f in fields(Contrast) if f.name != "protocols")


def read_contrast(content: Any, where: str, runs: Sequence[RunSpec]) -> Contrast | None:
    """Read a study file's ``[contrast]``; None where there is none.

    Parameters
    ----------
    content
        The table as TOML gives it.
    where
        The file's name, for messages.
    runs
        The study's runs, which must measure what is declared.

    Raises
    ------
    UsageError
        An unknown key, method, metric or scope, or a number that no run of the study will have.
    """
    if content is None:
        return None
    at = f"{where}: [contrast]"
    if not isinstance(content, Mapping) or "method" not in content:
        raise UsageError(f"{at} must be a table with method (and baseline, metric, scope)")
    for key, value in content.items():
        if key not in _KEYS:
            raise UsageError(f"{at}: unknown key {key!r}{nearest(key, _KEYS)}")
        if not isinstance(value, str):
            raise UsageError(f"{at}: {key} must be text, not {value!r}")
    contrast = Contrast(**content)
    methods = (canonical_method(contrast.method, at), canonical_method(contrast.baseline, at))
    if methods[0] == methods[1]:
        raise UsageError(f"{at} compares {methods[0]} with itself: give another method or baseline")
    if contrast.scope not in SCOPES:
        raise UsageError(f"{at}: scope must be one of {', '.join(SCOPES)}, not {contrast.scope!r}")
    _check_measured(contrast, at, runs)
    return Contrast(*methods, contrast.metric, contrast.scope, frozenset(map(_protocol, runs)))


def _check_measured(contrast: Contrast, at: str, runs: Sequence[RunSpec]) -> None:
    """Refuse a metric that the study's runs will have no comparable number of in the declared scope."""
    requests = dict.fromkeys(run.score.metrics for run in runs)
    outputs = {o.name: (o, m) for names in requests for m in requested_metrics(names) for o in m.outputs}
    comparable = {
        name
        for name, (output, metric) in outputs.items()
        if output.better is not None
        and ("overall" if contrast.scope == "overall" else "class") in metric.scopes
        and not (contrast.scope == "overall" and output.per_class)
    }
    if contrast.metric not in comparable:
        raise UsageError(
            f"{at}: this study measures no {contrast.metric!r} in scope {contrast.scope}"
            f"{nearest(contrast.metric, comparable)}; score.metrics says what is measured"
        )


def _protocol(run: RunSpec) -> tuple[object, ...]:
    label = label_without(cell_label(run.data), _FILES)
    return (label, run.train.steps, run.sample.label, run.sample.nfe, run.sample.guidance)
