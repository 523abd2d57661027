"""Settings and environments: speed options, devices, and the sentence where memory or a compiler is missing."""

import json
from pathlib import Path

import pytest
import torch
from tiny_runs import make_spec, tensors, train_in

from ltbench import pipeline
from ltbench.environment import (
    Environment,
    Settings,
    explain_failures,
    set_threads,
    speed_up,
    usable_device,
)
from ltbench.errors import OutOfMemory, UsageError
from ltbench.files import read_json
from ltbench.pipeline import run_stage, stages
from ltbench.runs.layout import folder_name
from ltbench.sweep.failures import classify


def test_speed_options_are_in_no_key_and_reach_the_worker(tmp_path):
    spec = make_spec()
    train, sample = stages(spec)[:2]
    plain = Environment()
    run_stage(train, tmp_path / "plain", plain)
    run_stage(train, tmp_path / "fast", Environment(channels_last=True))
    assert [path.name for path in (tmp_path / "plain").glob("digits*")] == [
        path.name for path in (tmp_path / "fast").glob("digits*")
    ]
    ours, theirs = (tensors(tmp_path / n / folder_name(spec), 2) for n in ("plain", "fast"))
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, atol=2e-5, rtol=1e-4, msg=name)
    recorded = read_json(tmp_path / "fast" / folder_name(spec) / "provenance.json")["stages"][0]
    assert recorded["channels_last"] is True
    assert recorded["compile"] is False
    run_stage(sample, tmp_path / "fast", Environment(channels_last=True))
    assert (tmp_path / "fast" / sample.sample_folder / "images.npy").exists()


def test_compile_takes_the_unet_alone(monkeypatch):
    taken = []
    monkeypatch.setattr(torch, "compile", lambda module, **_: taken.append(module) or module)
    from ltbench.diffusion.unet import build_denoiser

    denoiser = build_denoiser("tiny", 10, 1, 8)
    assert speed_up(denoiser, Environment(compile=True)) is denoiser
    assert taken == [denoiser]
    assert speed_up(denoiser, Environment()) is denoiser
    assert len(taken) == 1


@pytest.mark.slow  # inductor calls a C++ compiler for minutes
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_training_is_the_same_to_rounding(tmp_path, monkeypatch, backend):
    """Dropout included: a compiled network draws it from the same stream."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **_: real(module, backend=backend))
    spec = make_spec("coral", dropout=0.3, steps=2)
    plain = tensors(train_in(tmp_path / "plain", spec), 2)
    fast = tensors(train_in(tmp_path / "fast", spec, compile=True), 2)
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, atol=2e-5, rtol=1e-3, msg=name)


def test_a_machine_without_a_compiler_gets_one_sentence(tmp_path, monkeypatch):
    def fails(*_):
        from torch._inductor.exc import InvalidCxxCompiler

        raise InvalidCxxCompiler

    monkeypatch.setitem(pipeline._RUN, "sample", fails)
    with pytest.raises(UsageError, match=r"No working C\+\+ compiler .* leave --compile out") as caught:
        run_stage(stages(make_spec())[1], tmp_path, Environment(compile=True))
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="No working"):
        run_stage(stages(make_spec())[1], tmp_path, Environment())


@pytest.mark.parametrize(
    ("kind", "spec", "says"),
    [
        ("train", make_spec("ddpm", batch_size=128), r"set train.micro_batch=64 \(now 128\)"),
        ("train", make_spec("ddpm", batch_size=12, micro_batch=6), r"set train.micro_batch=3 \(now 6\)"),
        ("train", make_spec("ddpm", batch_size=8, micro_batch=1), "a smaller model.size"),
        ("train", make_spec("coral", batch_size=128), r"lower train.batch_size \(now 128; coral compares"),
        ("sample", make_spec(), r"--sample-batch 125 \(now 250\)"),
        ("probe", make_spec(), r"--sample-batch 125"),
        ("score", make_spec(), "fewer --workers"),
    ],
)
def test_out_of_memory_says_what_to_lower(kind, spec, says):
    with (
        pytest.raises(OutOfMemory, match=says) as caught,
        explain_failures(kind, spec, Environment(device="cuda")),
    ):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert "\n" not in str(caught.value)
    assert classify(caught.value).must_restart


def test_processes_share_the_batch_that_the_advice_cuts(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with (
        pytest.raises(OutOfMemory, match=r"micro_batch=16 \(now 32\)"),
        explain_failures("train", make_spec("ddpm", batch_size=128), Environment()),
    ):
        raise MemoryError


def test_other_errors_pass_as_they_are():
    with pytest.raises(RuntimeError, match="shape"), explain_failures("train", make_spec(), Environment()):
        raise RuntimeError("shape mismatch")


@pytest.mark.parametrize(
    ("asked", "flag"), [({"compile": True}, "--compile"), ({"cuda_graphs": True}, "--cuda-graphs")]
)
def test_a_machine_without_a_compiler_is_told_which_flag_to_leave_out(asked, flag):
    error = type("InductorError", (RuntimeError,), {"__module__": "torch._inductor.exc"})("no g++\nlong")
    with (
        pytest.raises(UsageError, match=rf"\(no g\+\+\): install .* leave {flag} out"),
        explain_failures("train", make_spec(), Environment(**asked)),
    ):
        raise error
    with pytest.raises(RuntimeError, match="no g"), explain_failures("train", make_spec(), Environment()):
        raise error


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't allocate memory"), OSError(12, "Cannot allocate memory")]
)
def test_a_scoring_that_runs_out_of_memory_says_what_to_ask_less_of(error):
    with (
        pytest.raises(
            OutOfMemory, match=r"score stage: use fewer --workers, or ask for fewer score\.metrics"
        ),
        explain_failures("score", make_spec(), Environment()),
    ):
        raise error


def test_a_stage_that_runs_out_of_memory_names_its_setting(tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(pipeline._RUN, "sample", full)
    with pytest.raises(OutOfMemory, match="sample stage: add --sample-batch 4"):
        run_stage(stages(make_spec())[1], tmp_path, Environment(sample_batch=8))


# -- settings and devices ---------------------------------------------------------------------------------


def test_settings_come_back_from_json_without_what_another_version_wrote():
    settings = Settings(
        Path("data"), "cuda:1", threads=2, checkpoint_seconds=5.0, compile=True, track="wandb"
    )
    stored = json.loads(json.dumps(settings.as_json()))
    assert Settings.from_json({**stored, "option_of_tomorrow": 1}) == settings
    del stored["track"]
    assert Settings.from_json(stored).track == ""


def test_an_environment_has_its_settings_values_and_hooks_that_do_nothing():
    heard = []
    env = Environment.of(Settings(device="cpu", sample_batch=7), progress=heard.append)
    assert (env.device, env.sample_batch, env.stop()) == ("cpu", 7, False)
    env.progress({"step": 1})
    env.guard()
    env.log(1, {"loss": 0.5})
    assert heard == [{"step": 1}]


@pytest.mark.parametrize("name", ["meta", "gpu", "cuda:x", "", "cpu:0:1"])
def test_a_device_that_computes_nothing_is_refused_in_one_sentence(name):
    with pytest.raises(UsageError, match="cannot be used here") as caught:
        usable_device(name)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_here_is_taken_and_none_is_the_default():
    assert usable_device("cpu") == "cpu"
    assert usable_device(None) == ("cuda" if torch.cuda.is_available() else "cpu")


def test_threads_are_set():
    before = torch.get_num_threads()
    try:
        set_threads(before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        set_threads(before)
