"""Mutation testing: a seeded draw of small changes to the scientific core -> which of them no test notices.

    python -m benchmarks.mutants [--sample 200] [--seed 0] [--minutes 60] [--out mutants.csv]

Cosmic Ray makes the mutants; ``mutants.toml`` says of which files, and which tests have to notice. Files are changed in
place and put back, so that the tree must be clean. Stopped by ``--minutes`` or Ctrl-C, it reports what it has; the
same command with the same seed goes on where the table ends.
"""

import argparse
import ast
import csv
import random
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = Path(__file__).with_name("mutants.toml")
COLUMNS = ("module", "operator", "occurrence", "line", "outcome", "diff")
_SKIPPED = (
    "core/RemoveDecorator",
    "core/ExceptionReplacer",
)  # what a decorator or an except is for has other tests


def docstring_lines(path):
    """Return the lines of docstrings and annotations' imports, where a change changes nothing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            lines |= set(range(body[0].lineno, body[0].end_lineno + 1))
        for note in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(note, ast.AST):  # `int | None` is no binary operation that runs
                lines |= set(range(note.lineno, note.end_lineno + 1))
    return lines


def all_mutants(config):
    """Return every mutant of the configured files as (work item, tests), in a fixed order."""
    from cosmic_ray.commands.init import init
    from cosmic_ray.work_db import WorkDB, use_db

    out = []
    for group in config["group"]:
        paths = sorted({path for pattern in group["modules"] for path in ROOT.glob(pattern)})
        paths = [path.relative_to(ROOT) for path in paths if path.name != "__init__.py"]
        with use_db(":memory:", WorkDB.Mode.create) as database:
            init(paths, database, {})
            items = list(database.work_items)
        quiet = {path: docstring_lines(ROOT / path) for path in paths}
        for item in items:
            (mutation,) = item.mutations
            if (
                mutation.operator_name in _SKIPPED
                or mutation.start_pos[0] in quiet[Path(mutation.module_path)]
            ):
                continue
            out.append((item, group["tests"]))
    return sorted(out, key=lambda pair: _key(pair[0]))


def _key(item):
    (mutation,) = item.mutations
    return str(mutation.module_path), mutation.operator_name, mutation.occurrence, str(mutation.operator_args)


def drawn(mutants, number, seed):
    """Return a sample of the mutants; each file is drawn from by its share."""
    return random.Random(seed).sample(mutants, min(number, len(mutants)))


def outcome_of(item, tests, timeout):
    """Return how the tests took a mutant: killed, survived, incompetent; and its diff."""
    from cosmic_ray.mutating import mutate_and_test

    command = shlex.join([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests])
    result = mutate_and_test(item.mutations, command, timeout)
    return str(getattr(result.test_outcome, "value", result.worker_outcome.value)), result.diff or ""


def done_before(path):
    """Return the rows that an earlier call left."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    parser.add_argument("--sample", type=int, default=config["sample"])
    parser.add_argument("--seed", type=int, default=config["seed"])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--out", type=Path, default=Path("mutants.csv"))
    options = parser.parse_args(arguments)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if changed:
        sys.exit("error: files are changed in place and put back: commit or stash yours first")
    mutants = all_mutants(config)
    sample = drawn(mutants, options.sample, options.seed)
    rows = done_before(options.out)
    known = {(row["module"], row["operator"], row["occurrence"], row["line"]) for row in rows}
    until = time.monotonic() + options.minutes * 60
    for item, tests in sample:
        (mutation,) = item.mutations
        row = {
            "module": str(mutation.module_path),
            "operator": mutation.operator_name,
            "occurrence": str(mutation.occurrence),
            "line": str(mutation.start_pos[0]),
        }
        if tuple(row.values()) in known:
            continue
        if time.monotonic() > until:
            break
        row["outcome"], row["diff"] = outcome_of(item, tests, config["timeout"])
        rows.append(row)
        with options.out.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        print(
            f"{len(rows)}/{len(sample)} {row['outcome']}: {row['module']}:{row['line']} {row['operator']}",
            flush=True,
        )
    killed = sum(row["outcome"] != "survived" for row in rows)
    print(f"{killed} of {len(rows)} tried were noticed; {len(sample)} drawn of {len(mutants)} mutants")
    for row in rows:
        if row["outcome"] == "survived":
            print(f"\nsurvived: {row['module']}:{row['line']} {row['operator']}\n{row['diff']}")


if __name__ == "__main__":
    main()
