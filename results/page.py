"""From the committed bundles to results/README.md and docs/findings.md: every number in them is a query.

    python results/page.py            # write both pages and the exposure figure anew
    python results/page.py --check    # exit 1 where a page is not what its template and the scores say

The templates are `pages/*.md.j2`: sentences with calls such as ``{{ digits.diff("coral", where="tail") }}``.
A query without a score is an error and never a blank, so a page cannot state what was not measured.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Mapping
from pathlib import Path

import jinja2
import pandas as pd
from scipy.stats import spearmanr

import ltbench as lt
from ltbench.stats import paired

HERE = Path(__file__).resolve().parent
PAGES = {
    HERE / "pages" / "results.md.j2": HERE / "README.md",
    HERE / "pages" / "findings.md.j2": HERE.parent / "docs" / "findings.md",
}
STOCHASTIC, DETERMINISTIC = "sde-dpmsolver++", "dpmsolver++"
BUDGET = {
    "ddpm": "DDPM",
    "class_balanced": "class-balanced draw",
    "sqrt_sampling": "square-root draw",
    "coral": "CORAL",
    "cbdm": "CBDM",
    "t2h": "T2H",
    "ccua": "CCUA",
}
GROUPS = ("head", "middle", "tail")


class Study:
    """The scores of one bundle, and how a page asks for them.

    Every query takes ``method`` ("cbdm", or "cbdm:published" for a variant), ``where`` ("overall", a third such
    as "tail", "pooled tail", or a class as "9") and filters by column: ``metric`` (default frechet), ``sampler``
    (default the stochastic one), ``guidance`` (0), ``rule`` (plain), ``ratio``, ``step``, ``class_order``, ``split_seed``.
    """

    def __init__(self, folder: Path, **defaults: object) -> None:
        self.folder, self.defaults = folder, defaults

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        """Our own scores, with the grouping into thirds alone."""
        scores = lt.load_scores(self.folder)
        return scores[(scores["origin"] == "ours") & scores["grouping"].isin(["", "thirds"])]

    def values(self, method: str, where: str = "overall", **filters: object) -> pd.Series:
        """Return the values by training seed, ascending.

        Raises
        ------
        LookupError
            No such score, or several of one seed: the query has to say which.
        """
        asked = (
            {"metric": "frechet", "sampler": STOCHASTIC, "guidance": 0.0, "rule": ""}
            | self.defaults
            | filters
        )
        name, _, variant = method.partition(":")
        scope, place = _place(where)
        rows = self.scores
        rows = rows[(rows["method"] == name) & (rows["scope"] == scope) & (rows["class_or_group"] == place)]
        if variant:
            rows = rows[rows["variant"] == variant]
        for column, value in asked.items():
            rows = rows[rows[{"ratio": "imbalance_ratio"}.get(column, column)] == value]
        values = rows.set_index("train_seed")["value"].sort_index()
        if values.empty:
            raise LookupError(f"{self.folder.name}: no score of {method} in {where} with {asked}")
        if not values.index.is_unique:
            raise LookupError(
                f"{self.folder.name}: several scores a seed of {method} in {where} with {asked}"
            )
        return values

    def mean(
        self, method: str, where: str = "overall", digits: int = 2, spread: bool = True, **filters: object
    ) -> str:
        """Return ``mean ± sd`` over training seeds; the value alone where there is one seed."""
        values = self.values(method, where, **filters)
        text = f"{values.mean():.{digits}f}"
        return f"{text} ± {values.std():.{digits}f}" if spread and len(values) > 1 else text

    def sd(self, method: str, where: str = "overall", digits: int = 2, **filters: object) -> str:
        """Return the standard deviation over training seeds."""
        return f"{self.values(method, where, **filters).std():.{digits}f}"

    def percent(self, method: str, where: str = "tail", **filters: object) -> str:
        """Return a rate's mean over seeds in percent."""
        value = 100 * self.values(method, where, **filters).mean()
        return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %"

    def floor(
        self, where: str = "overall", digits: int = 2, metric: str = "frechet", **filters: object
    ) -> str:
        """Return the metric of held-out real images against the reference."""
        return f"{self.values('ddpm', where, metric=f'{metric}.floor', **filters).mean():.{digits}f}"

    def seeds(self, method: str = "ddpm", **filters: object) -> int:
        """Return how many training seeds a method has."""
        return len(self.values(method, **filters))

    def diverged(self, method: str, over: float = 10.0, **filters: object) -> int:
        """Return in how many training seeds the overall FD is over a bound."""
        return int((self.values(method, **filters) > over).sum())

    def diff(
        self, method: str, baseline: str = "ddpm", where: str = "overall", digits: int = 2, **filters: object
    ) -> str:
        """Return ``mean [low, high], k of n seeds`` of the paired difference, as a 95 % t interval."""
        return _difference(
            self.values(method, where, **filters), self.values(baseline, where, **filters), digits
        )

    def rule_diff(self, rule: str, method: str, where: str = "tail", **filters: object) -> str:
        """Return ``mean [low, high], k of n seeds`` of a rule of guidance minus plain guidance, same method and scale."""
        return _difference(
            self.values(method, where, **filters, rule=rule), self.values(method, where, **filters), 2
        )

    def agreement(self, methods: list[str], where: str = "overall", **filters: object) -> str:
        """Return Spearman's correlation of the methods' means under the two kinds of sampler."""
        means = [
            [self.values(method, where, **filters, sampler=sampler).mean() for method in methods]
            for sampler in (STOCHASTIC, DETERMINISTIC)
        ]
        return f"{spearmanr(*means).statistic:.2f}"

    def ranked(
        self, methods: Mapping[str, str], where: str = "overall", **filters: object
    ) -> list[tuple[str, float]]:
        """Return (title, mean), best first."""
        means = {
            title: float(self.values(method, where, **filters).mean()) for method, title in methods.items()
        }
        return sorted(means.items(), key=lambda item: item[1])

    def best(
        self,
        method: str,
        where: str = "overall",
        scales: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0),
        **filters: object,
    ) -> tuple[float, float]:
        """Return (scale, mean) of the guidance scale with the lowest mean: chosen on what it is reported by."""
        means = {
            scale: float(self.values(method, where, **filters, guidance=scale).mean()) for scale in scales
        }
        scale = min(means, key=means.__getitem__)
        return scale, means[scale]


def _difference(a: pd.Series, b: pd.Series, digits: int) -> str:
    result = paired(a, b)
    if result is None:
        raise LookupError("the two have no seed in common")
    if result.n == 1:
        return f"{result.mean:+.{digits}f} (one seed)"
    low, high = f"{result.low:+.{digits}f}", f"{result.high:+.{digits}f}"
    return f"{result.mean:+.{digits}f} [{low}, {high}], {result.agree} of {result.n} seeds"


def _place(where: str) -> tuple[str, str]:
    """Return (scope, class_or_group) of a place in words."""
    if where == "overall":
        return "overall", ""
    if where.startswith("pooled "):
        return "pooled", where.removeprefix("pooled ")
    return ("group", where) if where in (*GROUPS, "macro", "worst") else ("class", where)


def studies() -> dict[str, Study]:
    """Return the committed bundles by the name that templates call them."""
    second = HERE / "second"
    found = {
        "first_digits": Study(
            HERE / "digits", sampler="dpmsolver++ trailing", ratio=0.1, step=1500, sample_seed=0
        ),
        "first_fashion": Study(
            HERE / "fashion",
            sampler="dpmsolver++ trailing",
            ratio=0.01,
            step=4000,
            class_order="identity",
            split_seed=0,
        ),
    }
    for bundle in sorted(second.glob("*/bundle.json")):
        found[bundle.parent.name.replace("-", "_")] = Study(bundle.parent)
    return found


def render(template: Path, context: Mapping[str, object]) -> str:
    """Return a page's text."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["plain"] = lambda value: f"{value:.2f}"
    return environment.from_string(template.read_text(encoding="utf-8")).render(**context)


def draw_exposure(study: Study, path: Path) -> None:
    """Draw scores over how often an image of the rarest class was shown; digits at ratio 0.1, batches of 64."""
    from exposure import draw, exposure

    counts = lt.load_dataset("digits_lt", imbalance_ratio=0.1).counts.tolist()
    titles = {m: t for m, t in BUDGET.items() if m.partition(":")[0] in set(study.scores["method"])}
    draw(exposure(study, titles, counts, 64, guidance=0.0), path)


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or compare them with what is committed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page differs")
    check = parser.parse_args(arguments).check
    found, stale = studies(), 0
    if not check and "digits_budget" in found:
        draw_exposure(found["digits_budget"], HERE / "second" / "digits-budget" / "exposure.png")
    for template, page in PAGES.items():
        text = render(template, found)
        if check and text != page.read_text(encoding="utf-8"):
            print(f"{page} is not what {template.name} and the scores say: run python results/page.py")
            stale += 1
        elif not check:
            page.write_text(text, encoding="utf-8")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
