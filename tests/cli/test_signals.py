"""A signal ends any command in one sentence: the real process, at moments from its first import to its last file."""

import signal
import subprocess
import sys
import time

import pytest

from ltbench.cli.signals import STOPPED, Stopping

SLOW = """
import sys, time
from ltbench.cli import app
import ltbench.runs.pack as pack
from ltbench.files import replacing

def write(roots, target, **_):
    with replacing(target) as temporary:
        temporary.write_bytes(b"half")
        print("writing", flush=True)
        time.sleep(60)

pack.pack = write
app.main(["pack", "x", "-o", "bundle.zip"])
"""


def start(code, tmp_path, ignored=()):
    def prepare():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
        if signal.SIGINT not in ignored:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=prepare,
    )


def assert_ends_in_a_sentence(process, waiting, number, times=1):
    """Send a signal once the process has printed `waiting`."""
    assert process.stdout.readline() == f"{waiting}\n"
    for _ in range(times):
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, f"{STOPPED}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_while_a_file_is_written_ends_in_a_sentence_and_leaves_no_file(tmp_path, number, times):
    assert_ends_in_a_sentence(start(SLOW, tmp_path), "writing", number, times)
    assert list(tmp_path.iterdir()) == []


def test_a_hangup_that_is_ignored_as_under_nohup_stops_nothing(tmp_path):
    process = start(SLOW, tmp_path, ignored=[signal.SIGHUP])
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_while_the_commands_are_imported_ends_in_the_same_sentence(tmp_path, number):
    (tmp_path / "typer.py").write_text("print('importing', flush=True)\nimport time\ntime.sleep(60)\n")
    process = start("from ltbench.cli.app import main; main(['methods'])", tmp_path)
    assert_ends_in_a_sentence(process, "importing", number)


SWALLOWING = """
import time
from ltbench.cli import app, version

class Callback:
    def __del__(self):
        print("importing", flush=True)
        time.sleep(60)

def version_text():
    {}
    time.sleep(60)

version.version_text = version_text
app.main(["--version"])
"""
WAYS = {
    "caught": "try:\n        print('importing', flush=True); time.sleep(60)\n    except BaseException: pass",
    "wrapped": "try:\n        print('importing', flush=True); time.sleep(60)\n"
    "    except BaseException as error: raise RuntimeError('Failed to import') from error",
    "in a callback": "Callback()",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_stop_that_a_library_swallows_stops_all_the_same(tmp_path, way, number):
    process = start(SWALLOWING.format(WAYS[way]), tmp_path)
    assert_ends_in_a_sentence(process, "importing", number)


WATCHING = """
import time
from ltbench.cli import app, sweep, version

class Row:
    state, task = "queued", None

def version_text():
    sweep.survey = lambda *_: [Row()]
    sweep.counts = lambda rows: {"queued": 1}
    sweep._can_go_on = lambda rows: True
    sweep.draw = lambda *_, **__: "drawn"
    sweep.watch_tasks([], None)
    return "watched"

version.version_text = version_text
app.main(["--version"])
"""


def test_a_stop_of_what_only_watches_ends_the_watching_alone(tmp_path):
    process = start(WATCHING, tmp_path)
    assert process.stdout.readline() == "1 queued\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("drawn\nwatched\n")


def test_a_block_that_hears_no_signal_leaves_handlers_as_they_were():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Stopping():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
