"""The house rules that no single module can keep: order of the rooms, owner of a run's folder, size of the root."""

import ast
from pathlib import Path

import pytest

import ltbench

PACKAGE = Path(ltbench.__file__).parent

# From the ground up: a room imports from itself and from the floors before its own, never from a neighbour.
FLOORS = (
    ("errors", "rng", "specs"),
    ("files", "plugins", "spec", "text"),
    ("method", "metrics"),
    ("data", "diffusion", "environment", "runs", "stats"),
    ("extractors", "training"),
    ("scoring", "study"),
    ("league", "pipeline", "report"),
    ("interop", "sweep"),
    ("api",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FLOOR |= {"methods": FLOOR["method"], "baselines": FLOOR["method"], "published": FLOOR["report"]}

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
