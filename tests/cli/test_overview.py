"""`ltbench doctor`: what can be run now, and the first thing that each other data set lacks, without torch."""

import subprocess
import sys

import pytest
import torch  # noqa: F401 - so that registries are the real ones

from ltbench.cli import overview
from ltbench.cli.app import main
from ltbench.data.registry import SOURCES


def test_it_answers_without_torch(tmp_path):
    code = (
        "import sys\nfrom ltbench.cli.app import main\n"
        "try:\n    main(['doctor'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "runs now" in done.stdout
    assert "digits_lt" in done.stdout


def test_every_data_set_is_ready_or_lacks_something_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(
        "ltbench.extractors.registry.auto_extractors",
        lambda dataset: ("inception",) if dataset == "cifar10_lt" else (),
    )
    found = {cell.dataset: cell.missing for cell in overview.readiness(tmp_path)}
    assert set(found) >= set(SOURCES.all())
    assert found["digits_lt"] == ()
    files, *rest = found["cifar10_lt"]
    assert files.startswith("its files: download https://www.cs.toronto.edu")
    assert any(lack.startswith("weights of ") and "curl" in lack for lack in rest)


def test_the_first_thing_missing_is_shown_and_the_rest_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        overview, "readiness", lambda _: [overview.Readiness("mine", ("its files: A", "weights: B"))]
    )
    overview.show_overview(tmp_path, tmp_path)
    out = capsys.readouterr().out
    assert "mine  lacks its files: A  (and 1 more)" in out
    assert "weights: B" not in out


def test_gpus_are_read_from_the_driver(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert overview.graphics() == ["NVIDIA H100 80GB HBM3, 81559 MiB"]
    program.write_text("#!/bin/sh\necho 'no driver' >&2\nexit 9\n")
    assert overview.graphics() == []


@pytest.mark.parametrize("flag", ["--all"])
def test_all_shows_libraries_and_extractors(flag, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["doctor", flag, "--data-root", str(tmp_path)])
    out = capsys.readouterr().out
    assert "software" in out
    assert "weights" in out
    assert "vgg16" in out
