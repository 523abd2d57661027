"""The house rules that no single module can keep: order of the rooms, owner of a run's folder, size of the root."""

import ast
from pathlib import Path

import pytest

import ltbench

PACKAGE = Path(ltbench.__file__).parent

# From the ground up: a room imports from itself and from the floors before its own, never from a neighbour.
FLOORS = (
    ("errors", "rng", "specs"),
    ("temporary",),
    ("files", "plugins", "spec", "text"),
    ("method", "metrics"),
    ("data", "diffusion", "environment", "runs", "stats"),
    ("analysis", "extractors", "training"),
    ("scoring", "study"),
    ("league", "pipeline", "report"),
    ("interop", "sweep"),
    ("api",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FLOOR |= {"methods": FLOOR["method"], "baselines": FLOOR["method"], "published": FLOOR["analysis"]}

LAYOUT = ("spec.json", "scores.csv", "images.npy", "provenance.json", "train.csv", "samples/")


def modules():
    """Return every module of the package, with its path relative to it."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


class Imports(ast.NodeVisitor):
    """Collects imported modules; what only a type checker reads is no arrow, since nothing runs along it."""

    def __init__(self):
        self.found = []

    def visit_If(self, node):
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            for child in node.body:
                self.visit(child)
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node):
        self.found += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node):
        assert node.level == 0, "imports are absolute"
        self.found += [f"{node.module}.{alias.name}" for alias in node.names]


def imported_rooms(path):
    visitor = Imports()
    visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    parts = [name.split(".") for name in visitor.found if name.startswith("ltbench")]
    return {part[1] for part in parts if len(part) > 1} - {"__version__"}


def test_no_room_imports_from_a_later_floor():
    upward = set()
    for path in modules():
        room = room_of(path)
        if room in ("__init__", "__main__"):
            continue
        for other in imported_rooms(path):
            if other != room and FLOOR[other] >= FLOOR[room]:
                upward.add((path.relative_to(PACKAGE).as_posix(), other))
    assert not upward


def test_every_room_has_a_floor():
    assert {room_of(path) for path in modules()} - {"__init__", "__main__"} <= set(FLOOR)


def test_at_most_ten_loose_modules():
    loose = [path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    assert len(loose) <= 10, loose


def strings(path):
    """Yield every string literal of a module that is no docstring, f-strings' parts included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


STILL_HOLD_LAYOUT: set[str] = set()  # never add to it


def test_only_runs_knows_the_layout_of_a_run_folder():
    holding = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules()
        if room_of(path) != "runs" and any(name in text for text in strings(path) for name in LAYOUT)
    }
    assert holding <= STILL_HOLD_LAYOUT


@pytest.mark.parametrize("package", ["methods", "baselines"])
def test_a_method_imports_the_front_door_of_its_interface_only(package):
    for path in (PACKAGE.parent / package).glob("*.py"):
        assert imported_rooms(path) <= {"method", "diffusion"}, path


# -- the test of `ltbench/a/b.py` is `tests/a/test_b.py` ------------------------------------------------

TESTS = Path(__file__).parent

# Modules without a test file of their own, each with the reason. Take lines out; never add one.
WITHOUT_A_TEST_FILE = {
    "cli/cards.py": "prints what study/test_cards.py tests",
    "cli/commands/exchange.py": "arguments alone: interop/test_export.py and end_to_end/test_external_scores.py",
    "cli/commands/lists.py": "arguments alone: cli/test_lists.py",
    "cli/commands/new.py": "arguments alone: cli/test_new.py",
    "cli/commands/results.py": "arguments alone: cli/commands/test_running.py and end_to_end/test_external_scores.py",
    "cli/commands/statistics.py": "arguments alone: interop/test_statistics.py runs the command",
    "cli/commands/sweeps.py": "arguments alone: cli/test_sweep.py",
    "cli/data.py": "prints: cli/commands/test_data.py",
    "cli/exchange.py": "prints: interop/test_export.py and end_to_end/test_external_scores.py",
    "diffusion/base.py": "dataclasses and protocols alone",
    "pipeline.py": "end_to_end/test_pipeline.py",
    "analysis/cells.py": "analysis/test_cell_results.py",
    "report/figures/axes.py": "report/figures/test_draw.py",
    "report/figures/marks.py": "report/figures/test_draw.py",
    "report/figures/model.py": "dataclasses alone",
    "report/figures/pictures.py": "report/figures/test_draw.py",
    "analysis/series.py": "report/test_report.py",
    "report/tables/grid.py": "report/tables/test_scores.py",
    "report/tables/notes.py": "report/tables/test_scores.py",
    "spec.py": "another name of specs",
    "sweep/torchrun.py": "needs several processes: end_to_end/test_torchrun.py",
}

# Test files of a room that are named by a theme, each with the reason. Take lines out; never add one.
THEMES = {
    "test_house.py": "rules of the whole package",
    "test_project.py": "files around the package",
    "cli/test_fuzz.py": "any nonsense to any command",
    "diffusion/test_device.py": "no part of sampling mixes devices or waits for one",
    "extractors/test_device.py": "no extractor mixes devices or waits for one",
    "methods/test_methods.py": "what holds of every method",
    "methods/test_variants.py": "what holds of every variant",
    "metrics/test_device.py": "no metric mixes devices",
    "metrics/test_metrics.py": "what holds of every metric",
    "report/test_numbers.py": "numbers of a whole report, before and after a change",
    "report/test_report.py": "a whole report",
    "report/test_rules.py": "rules of guidance in every part of a report",
    "report/test_user_names.py": "names that users write, in every part of a report",
    "study/test_hostile.py": "what a stranger may write into a study",
    "sweep/test_soak.py": "kills at random times over a whole sweep",
    "training/test_device.py": "no part of a step mixes devices or waits for one",
}


def test_every_module_has_its_test_file():
    names = [path.relative_to(PACKAGE) for path in modules() if not path.name.startswith("__")]
    missing = {n.as_posix() for n in names if not (TESTS / n.parent / f"test_{n.name}").is_file()}
    assert missing - set(WITHOUT_A_TEST_FILE) == set(), "give each a test file: tests/ROOM/test_MODULE.py"
    done = set(WITHOUT_A_TEST_FILE) - missing
    assert done == set(), "these have a test file, or are gone: take their lines out"


def test_every_test_file_of_a_room_is_a_modules():
    themes = set()
    for path in TESTS.rglob("test_*.py"):
        name = path.relative_to(TESTS)
        if name.parts[0] in ("docs", "end_to_end"):  # what crosses rooms
            continue
        rooms = [PACKAGE / name.parent]
        if name.parts[0] == "methods":
            rooms = [PACKAGE.parent / "methods", PACKAGE.parent / "baselines"]
        module = path.stem.removeprefix("test_")
        if not any((r / f"{module}.py").is_file() or (r / module / "__init__.py").is_file() for r in rooms):
            themes.add(name.as_posix())
    assert themes - set(THEMES) == set(), "move each test to the file of the module that it tests"
    assert set(THEMES) - themes == set(), "these are gone, or are a module's: take their lines out"
