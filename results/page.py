"""From the committed bundles to results/README.md and docs/findings.md: every number in them is a query.

    python results/page.py            # write both pages and the exposure figure anew
    python results/page.py --check    # exit 1 where a page is not what its template and the scores say, or a number is lost

The templates are `pages/*.md.j2`: sentences with calls such as ``{{ digits.diff("coral", where="tail") }}``.
A query without a score is an error and never a blank, so a page cannot state what was not measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import jinja2
from exposure import draw_exposure, shown
from study import Study

HERE = Path(__file__).resolve().parent
PAGES = {
    HERE / "pages" / "results.md.j2": HERE / "README.md",
    HERE / "pages" / "findings.md.j2": HERE.parent / "docs" / "findings.md",
}


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
    return environment.from_string(template.read_text(encoding="utf-8")).render(**context)


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
    for told in filter(None, (study.miscounted() for study in found.values())) if check else ():
        print(told)
        stale += 1
    for template, page in PAGES.items():
        text = render(template, {**found, "shown": shown})
        if check and text != page.read_text(encoding="utf-8"):
            print(f"{page} is not what {template.name} and the scores say: run python results/page.py")
            stale += 1
        elif not check:
            page.write_text(text, encoding="utf-8")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
