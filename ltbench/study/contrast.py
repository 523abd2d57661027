"""The declared contrast: from a study file's ``[contrast]`` to the one comparison that may carry a p-value.

    [contrast]
    method = "coral"           # compositions in any order
    baseline = "ddpm"
    metric = "frechet"         # a name in scores.csv that the study measures
    scope = "tail"             # overall, or a group of classes
    rule = "per_class"         # of guidance; with it, another baseline_rule (cfg), and a method may be its own baseline

It is checked when the study is loaded, before anything trains, and holds for that study's runs alone: other data
cells, samplers and guidances in the same folder were not thought of beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ltbench.diffusion.guidance import evaluations
from ltbench.errors import UsageError, nearest
from ltbench.metrics.registry import requested_metrics
from ltbench.runs.series import cell_label, declared_rule, label_without, settings_of
from ltbench.specs import PLAIN, RunSpec
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
    rule, baseline_rule
        Rules of guidance, where two are compared, at one scale and equal NFE; else blank. By name, or in the words of
        the column ``rule`` of ``scores.csv``, which state the parameters.
    protocols
        Of the study's runs, with the rule of guidance; None: all.
    """

    method: str
    baseline: str = "ddpm"
    metric: str = "frechet"
    scope: str = "overall"
    rule: str = ""
    baseline_rule: str = ""
    protocols: frozenset[tuple[object, ...]] | None = None

    def covers(self, label: str, series: Mapping[str, Any]) -> bool:
        """Tell whether a series of the data cell called `label` is among the runs that this was declared for."""
        settings = json.loads(series.get("settings", "{}"))
        rule, steps = declared_rule(settings), settings.get("sample.steps")
        how = (rule, steps) if rule else (rule, series["nfe"])
        protocol = (label_without(label, _FILES), *(series[n] for n in ("step", "sampler", "guidance")), *how)
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
    if contrast.rule:
        contrast = replace(contrast, baseline_rule=contrast.baseline_rule or PLAIN)
    methods = (canonical_method(contrast.method, at), canonical_method(contrast.baseline, at))
    if methods[0] == methods[1] and contrast.rule == contrast.baseline_rule:
        raise UsageError(f"{at} compares {methods[0]} with itself: give another method or baseline")
    if contrast.scope not in SCOPES:
        raise UsageError(f"{at}: scope must be one of {', '.join(SCOPES)}, not {contrast.scope!r}")
    _check_measured(contrast, at, runs)
    _check_rules(contrast, at, runs)
    return replace(
        contrast, method=methods[0], baseline=methods[1], protocols=frozenset(map(_protocol, runs))
    )


def _check_rules(contrast: Contrast, at: str, runs: Sequence[RunSpec]) -> None:
    """Refuse a rule of guidance that no run of the study has."""
    used = {name for run in runs for name in (run.sample.rule_label or PLAIN, run.sample.rule)}
    for rule in filter(None, (contrast.rule, contrast.baseline_rule)):
        if rule not in used:
            raise UsageError(f"{at}: no run of this study is guided by {rule!r}{nearest(rule, used)}")
    if contrast.baseline_rule and not contrast.rule:
        raise UsageError(f"{at}: baseline_rule goes with rule")


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
    rule, sample = declared_rule(settings_of(run)), run.sample
    # What a rule spares can depend on data that are not here yet; with its steps it says as much.
    how = (rule, sample.steps) if rule else (rule, evaluations(sample).nfe)
    return (label, run.train.steps, sample.label, sample.guidance, *how)
