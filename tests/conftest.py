"""One thread a process, and the options of the attack tools: how long they go on, and from which seed.

Several test processes share the cores, and equal thread counts mean equal rounding. The tools' defaults are a few
minutes; a night's run names its own counts.
"""

import os
import pwd

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
os.environ["COLUMNS"] = "80"  # as where no terminal is: what a test reads must not depend on who looks on


@pytest.fixture(autouse=True, scope="session")
def _no_extractors_of_this_user(tmp_path_factory):
    """What the person who runs the tests has trained is theirs: no test sees or changes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("user")))
        yield


@pytest.fixture
def no_home(monkeypatch):
    """Be a container's user: a number that has no name, no home and none of the variables that say where else."""

    def unknown(_):
        raise KeyError("uid not found")

    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("LTBENCH_EXTRACTORS", "LTBENCH_CACHE", "LTBENCH_WEIGHTS", "LTBENCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


LONGEST = ("end_to_end", "sweep", "report", "training", "cli")


def pytest_collection_modifyitems(items):
    """Put the rooms first whose files take longest: a file is one process's, and the last one would run alone."""
    rooms = [item.path.parent.name for item in items]
    ranks = [LONGEST.index(room) if room in LONGEST else len(LONGEST) for room in rooms]
    items[:] = [item for _, item in sorted(zip(ranks, items, strict=True), key=lambda pair: pair[0])]


def pytest_addoption(parser):
    group = parser.getgroup("ltbench", "how long the attack tools (marked slow) go on")
    group.addoption("--kills", type=int, default=20, help="SIGKILLs of the soak; a night: 1000")
    group.addoption("--commands", type=int, default=200, help="command lines of the fuzz; a night: 5000")
    group.addoption(
        "--damages", type=int, default=5, help="damages of each kind a file of the corruption walk"
    )
    group.addoption("--attack-seed", type=int, default=0, help="seed of what the attack tools draw")


@pytest.fixture
def kills(request):
    """Number of SIGKILLs of the soak."""
    return request.config.getoption("--kills")


@pytest.fixture
def commands(request):
    """Number of command lines of the fuzz."""
    return request.config.getoption("--commands")


@pytest.fixture
def damages_a_file(request):
    """Damages of each kind a file of the corruption walk."""
    return request.config.getoption("--damages")


@pytest.fixture
def attack_seed(request):
    """Seed of what the attack tools draw."""
    return request.config.getoption("--attack-seed")
