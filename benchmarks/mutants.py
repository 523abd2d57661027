"""Mutation testing: a seeded draw of small changes to the scientific core -> which of them no test notices.

    python -m benchmarks.mutants [--sample 200] [--seed 0] [--minutes 60] [--out mutants.csv] [--report MUTANTS.md]

Cosmic Ray makes the mutants; ``mutants.toml`` says of which files, and which tests have to notice. The group's tests
run once unchanged, under coverage, and a mutant meets those of them that enter its function, the quickest first (all
of them where it changes what runs on import); what only another process runs counts as not noticed. Every run is a
fork of one process that holds the libraries and nothing of ours. A mutant that does not end is stopped by its CPU
time, never by the clock, so that a busy machine kills none.

Files are changed in place and put back, so that the tree must be clean. Stopped by ``--minutes`` or Ctrl-C, it reports
what it has; the same command with the same seed goes on where the table ends.
"""

import argparse
import ast
import contextlib
import csv
import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = Path(__file__).with_name("mutants.toml")
COLUMNS = ("module", "operator", "occurrence", "line", "outcome", "noticed_by", "diff")
_SKIPPED = (
    "core/RemoveDecorator",
    "core/ExceptionReplacer",
)  # what a decorator or an except is for has other tests
_LIBRARIES = ("torch", "diffusers", "scipy.stats", "sklearn.datasets", "pandas", "pydantic", "safetensors")
_TOOLS = ("hypothesis", "pytest", "coverage")
_CPU_SECONDS = 40.0  # besides ten times what the tests need: imports take three
_HUNG = 3600.0  # seconds of the clock after which a run that uses no CPU is stopped; it does not count


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


def function_lines(path, line):
    """Return the lines of the innermost function around a line; none where it runs on import."""
    spans = [
        range(node.body[0].lineno, node.end_lineno + 1)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.body[0].lineno <= line <= node.end_lineno
    ]
    return min(spans, key=len, default=range(0))


def all_mutants(config):
    """Return every mutant of the configured files as (work item, number of its group), in a fixed order."""
    from cosmic_ray.commands.init import init
    from cosmic_ray.work_db import WorkDB, use_db

    out = []
    for number, group in enumerate(config["group"]):
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
            out.append((item, number))
    return sorted(out, key=lambda pair: _key(pair[0]))


def _key(item):
    (mutation,) = item.mutations
    return str(mutation.module_path), mutation.operator_name, mutation.occurrence, str(mutation.operator_args)


def drawn(mutants, number, seed):
    """Return a sample of the mutants; each file is drawn from by its share."""
    return random.Random(seed).sample(mutants, min(number, len(mutants)))


# --- running tests ---------------------------------------------------------------------------------------


class Order:
    """Pytest plug-in: keeps the chosen tests, the quickest of the quickest file first, and names what failed."""

    def __init__(self, seconds, chosen=None):
        self.seconds, self.chosen, self.failed = seconds, chosen, ""

    def pytest_collection_modifyitems(self, items):
        if self.chosen is not None:
            items[:] = [item for item in items if item.nodeid in self.chosen]
        of_file = {}
        for item in items:
            of_file[item.path] = of_file.get(item.path, 0.0) + self.seconds.get(item.nodeid, 0.0)
        items.sort(key=lambda item: (of_file[item.path], str(item.path), self.seconds.get(item.nodeid, 0.0)))

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed = self.failed or f"{report.nodeid} (on import)"


class Contexts:
    """Pytest plug-in: says to coverage whose lines come next, and measures each test's CPU seconds."""

    def __init__(self, cover):
        self.cover, self.seconds = cover, {}

    def pytest_runtest_logstart(self, nodeid):
        self.start = time.process_time()
        self.cover.switch_context(nodeid.split("::")[0])  # what a fixture of the file's runs is every test's

    def pytest_runtest_call(self, item):
        self.cover.switch_context(item.nodeid)

    def pytest_runtest_teardown(self, item):
        self.cover.switch_context(item.nodeid.split("::")[0])

    def pytest_runtest_logfinish(self, nodeid):
        self.seconds[nodeid] = time.process_time() - self.start
        self.cover.switch_context("")


def _pytest(tests, plugin):
    import pytest

    return int(
        pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-o", "timeout=0", *tests], plugins=[plugin])
    )


def in_a_fork(work, cpu_seconds):
    """Run ``work()``, which returns what JSON can hold, in a fork; return (what it returned or None, how it ended).

    It ended ``"ended"``, ``"cpu"`` (the limit), ``"hung"`` or ``"died"``.
    """
    with tempfile.TemporaryFile("w+") as answer:
        pid = os.fork()
        if not pid:
            with contextlib.suppress(BaseException):
                os.setsid()
                os.environ["PYTHONDONTWRITEBYTECODE"] = (
                    "1"  # two mutants of one second and size would share a .pyc
                )
                sys.dont_write_bytecode = True
                limit = int(cpu_seconds) + 1
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor in range(3):
                    os.dup2(null, descriptor)
                answer.write(json.dumps(work()))
                answer.flush()
            os._exit(0)
        until = time.monotonic() + max(_HUNG, 20 * cpu_seconds)
        how = ""
        while not how:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                stopped = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
                how = "cpu" if stopped else "ended"
            elif time.monotonic() > until:
                how = "hung"
            else:
                time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        if how == "hung":
            os.waitpid(pid, 0)
        answer.seek(0)
        text = answer.read()
        return (json.loads(text) if text else None), how if text or how != "ended" else "died"


def baseline(group):
    """Run a group's tests unchanged; return CPU seconds by test, and the tests by file and line that run it."""

    def work():
        import coverage

        cover = coverage.Coverage(
            data_file=None, include=[str(ROOT / pattern) for pattern in group["modules"]]
        )
        plugin = Contexts(cover)
        cover.start()
        code = _pytest(group["tests"], plugin)
        cover.stop()
        data = cover.get_data()
        lines = {
            str(Path(path).relative_to(ROOT)): dict(data.contexts_by_lineno(path).items())
            for path in data.measured_files()
        }
        return code, plugin.seconds, lines

    answer, _ = in_a_fork(work, 36_000)
    if answer is None or answer[0] != 0:
        sys.exit(f"error: the tests fail before anything is changed: pytest {' '.join(group['tests'])}")
    return answer[1], answer[2]


def chosen_tests(module, line, seconds, lines):
    """Return the tests that enter the function around a line; None (all) where it runs on import or in no test."""
    span = function_lines(ROOT / module, line)
    contexts = {c for n, names in lines.get(module, {}).items() if int(n) in span for c in names}
    files = tuple(f"{c}::" for c in contexts if "::" not in c and c)
    chosen = {nodeid for nodeid in seconds if nodeid in contexts or (files and nodeid.startswith(files))}
    return chosen or None


def outcome_of(item, seconds, lines):
    """Return how the tests took a mutant (killed, timeout, survived, hung, incompetent), who noticed, and the diff."""
    import cosmic_ray.mutating as mutating
    import cosmic_ray.plugins as plugins

    (mutation,) = item.mutations
    operator = plugins.get_operator(mutation.operator_name)(**mutation.operator_args)
    chosen = chosen_tests(str(mutation.module_path), mutation.start_pos[0], seconds, lines)
    with (
        contextlib.chdir(ROOT),
        mutating.use_mutation(mutation.module_path, operator, mutation.occurrence) as code,
    ):
        if code[1] is None:
            return "incompetent", "", ""
        diff = "\n".join(mutating._make_diff(*code, mutation.module_path)[1:])
        plugin = Order(seconds, chosen)
        tests = sorted({nodeid.split("::")[0] for nodeid in chosen or seconds})
        needed = sum(seconds[nodeid] for nodeid in chosen or seconds)
        answer, how = in_a_fork(lambda: (_pytest(tests, plugin), plugin.failed), _CPU_SECONDS + 10 * needed)
    if how == "hung":
        return "hung", "", diff
    if how == "cpu":
        return "timeout", f"{needed:.0f} s are needed", diff
    if answer is None or answer[0] != 0:
        return "killed", answer[1] if answer else "the process died", diff
    return "survived", "", diff


# --- the table -------------------------------------------------------------------------------------------


def done_before(path):
    """Return the rows that an earlier call left."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def change_of(diff):
    """Return what a mutant's diff takes away and what it puts there, one line each."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    return tuple(" ".join(line[1:].strip() for line in lines if line.startswith(mark)) for mark in "-+")


def report(rows, drawing, equivalent, note=""):
    """Return Markdown: the rate, by file, and every mutant that no test noticed with the reason, if one is stated.

    Parameters
    ----------
    rows
        The table's.
    drawing
        How many were drawn, from which seed, of how many, in words.
    equivalent
        ``mutants.toml``'s entries: module, was, now, reason. They count as not noticed.
    note
        A paragraph below the rate.
    """
    reasons = {(e["module"], e["was"], e["now"]): e["reason"] for e in equivalent}
    killed = [row for row in rows if row["outcome"] in ("killed", "timeout")]
    left = [row for row in rows if row not in killed]
    out = [
        "# Mutants",
        "",
        "Written by `python -m benchmarks.mutants --report`; edit nothing here. Small changes of the scientific core, drawn",
        "at random; one is killed where a test of its own folder fails. One that alters no number counts as not killed.",
        "",
        f"{len(killed)} of {len(rows)} killed ({len(killed) / max(1, len(rows)):.1%}); {drawing}.",
        "",
        *([note.strip(), ""] if note else []),
        "| Files | killed | of |",
        "| :-- | --: | --: |",
    ]
    for folder in sorted({str(Path(row["module"]).parent) for row in rows}):
        of = [row for row in rows if str(Path(row["module"]).parent) == folder]
        out.append(f"| {folder} | {sum(row in killed for row in of)} | {len(of)} |")
    out += ["", "| Not killed | was | is | Why |", "| :-- | :-- | :-- | :-- |"]
    for row in left:
        was, now = change_of(row["diff"])
        why = reasons.get((row["module"], was, now), f"no test ({row['outcome']})")
        cells = (f"`{text.replace('|', chr(92) + '|')}`" for text in (was, now))
        out.append(f"| {row['module']}:{row['line']} | {' | '.join(cells)} | {why} |")
    return "\n".join(out) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    parser.add_argument("--sample", type=int, default=config["sample"])
    parser.add_argument("--seed", type=int, default=config["seed"])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--out", type=Path, default=Path("mutants.csv"))
    parser.add_argument("--report", type=Path, help="Markdown to write the rate and what was left into")
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
    os.chdir(ROOT)
    mutants = all_mutants(config)
    sample = drawn(mutants, options.sample, options.seed)
    rows = done_before(options.out)
    known = {(row["module"], row["operator"], row["occurrence"], row["line"]) for row in rows}
    until = time.monotonic() + options.minutes * 60
    for name in _LIBRARIES + _TOOLS:
        importlib.import_module(name)
    before = {}
    for item, number in sorted(sample, key=lambda pair: pair[1]):
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
        group = config["group"][number]
        if number not in before:
            before[number] = baseline(group)
            spent = sum(before[number][0].values())
            print(
                f"{' '.join(group['tests'])}: {len(before[number][0])} tests, {spent:.0f} s unchanged",
                flush=True,
            )
        row["outcome"], row["noticed_by"], row["diff"] = outcome_of(item, *before[number])
        rows.append(row)
        with options.out.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        print(
            f"{len(rows)}/{len(sample)} {row['outcome']}: {row['module']}:{row['line']} {row['operator']} "
            f"{row['noticed_by']}",
            flush=True,
        )
    killed = sum(row["outcome"] in ("killed", "timeout") for row in rows)
    print(f"{killed} of {len(rows)} tried were noticed; {len(sample)} drawn of {len(mutants)} mutants")
    if options.report:
        drawing = f"{len(sample)} drawn of {len(mutants):,} from seed {options.seed}"
        note = config["note"] if (options.seed, options.sample) == (config["seed"], config["sample"]) else ""
        text = report(rows, drawing, config["equivalent"], note)
        options.report.write_text(text, encoding="utf-8")
    for row in rows:
        if row["outcome"] not in ("killed", "timeout"):
            print(f"\n{row['outcome']}: {row['module']}:{row['line']} {row['operator']}\n{row['diff']}")


if __name__ == "__main__":
    main()
