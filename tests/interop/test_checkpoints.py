"""The authors' checkpoints become runs that compute what their code computed; runs become what diffusers loads."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from official_files import ALIKE, CBDM, CORAL, check_golden_outputs, golden, imported
from safetensors.torch import save_file
from tiny_runs import make_spec

from ltbench.data import load_dataset
from ltbench.diffusion.samplers import sample
from ltbench.diffusion.unet import UNetConfig
from ltbench.environment import Environment
from ltbench.errors import CheckpointError, UsageError
from ltbench.extractors import torchscript
from ltbench.files import read_json
from ltbench.interop.checkpoints import add_initial, guess_dataset, model_settings, study_text
from ltbench.interop.export import export_run
from ltbench.interop.official import load_official
from ltbench.method.registry import create
from ltbench.pipeline import is_done, load_model, run_stage, stages
from ltbench.specs import MethodSpec, ModelSpec, train_key
from ltbench.study.file import load_study


def test_an_imported_run_is_trained_and_knows_where_it_is_from(cbdm, ten):
    out, folder, spec = cbdm
    assert is_done(stages(spec)[0], out)
    assert (spec.method.name, spec.train.steps, spec.data.image_size) == ("cbdm", 1000, 16)
    assert read_json(folder / "spec.json")["train_key"] == train_key(spec)
    recorded = read_json(folder / "provenance.json")
    assert recorded["origin"] == "external"
    assert recorded["imported"]["sha256"] == spec.train.imported
    assert spec.data.content == load_dataset(spec.data, ten).manifest["source"]["prepared"]


@pytest.mark.parametrize(("ours", "theirs"), [("ema", "ema"), ("raw", "net")])
def test_the_pipelines_network_computes_the_golden_outputs(cbdm, ten, ours, theirs):
    out, _, spec = cbdm
    model = load_model(spec, out, load_dataset(spec.data, ten), "cpu", ours)["denoiser"]
    check_golden_outputs(lambda *inputs: model(*inputs).eps, theirs)


def test_the_study_file_of_an_import_says_all_that_was_set(five, tmp_path):
    """Hyper-parameters stood at its top, where no study file may have them."""
    sets = ("coral.variant=published", "coral.tau_sc=0.12", "train.batch_size=48")
    folder, spec = imported(CORAL, "coral", five, tmp_path, *sets)
    assert create("coral", spec.method.hyperparameters).variant == "published"
    assert spec.method.hyperparameters == {"coral": {"tau_sc": 0.12}}
    assert spec.train.batch_size == 48
    assert read_json(folder / "spec.json")["train_key"] == train_key(spec)


@pytest.mark.parametrize("step", [70, "70", 70.0, torch.tensor(70), torch.tensor([70.0])])
def test_a_step_is_read_as_trainers_write_it(ten, tmp_path, step):
    torch.save({**torch.load(CBDM, weights_only=True), "step": step}, tmp_path / "model.pt")
    assert imported(tmp_path / "model.pt", "cbdm", ten, tmp_path)[1].train.steps == 70


@pytest.mark.parametrize("step", [-5, 0, 7.5, "last", float("nan"), torch.zeros(3)])
def test_a_step_that_is_none_is_asked_for(ten, tmp_path, step):
    torch.save({**torch.load(CBDM, weights_only=True), "step": step}, tmp_path / "model.pt")
    with pytest.raises(UsageError, match="does not say how many steps it was trained: give --step"):
        imported(tmp_path / "model.pt", "cbdm", ten, tmp_path)


def test_of_a_file_without_averaged_weights_the_last_are_sampled(ten, tmp_path):
    content = torch.load(CBDM, weights_only=True)
    del content["ema_model"]
    torch.save(content, tmp_path / "ckpt_9.pt")
    _, spec = imported(tmp_path / "ckpt_9.pt", "cbdm", ten, tmp_path)
    assert spec.sample.weights == "raw"
    model = load_model(spec, tmp_path, load_dataset(spec.data, ten), "cpu", spec.sample.weights)["denoiser"]
    check_golden_outputs(lambda *inputs: model(*inputs).eps, "net")


def test_corals_head_comes_along(five, tmp_path):
    folder, spec = imported(CORAL, "coral", five, tmp_path)
    assert (
        create("coral", spec.method.hyperparameters).variant == "released_formula"
    )  # whose code wrote the file
    io, cell = golden(CORAL), load_dataset(spec.data, five)
    for ours, theirs in (("ema", "ema"), ("raw", "net")):
        model = load_model(spec, folder.parent, cell, "cpu", ours)
        with torch.no_grad():
            prediction = model["denoiser"](io["x"], io["t"], io["y"])
            projection = model["methods"]["coral"](prediction.bottleneck.mean((2, 3)))
        torch.testing.assert_close(prediction.eps, io[f"{theirs}_eps_cond"], **ALIKE)
        torch.testing.assert_close(projection, io[f"{theirs}_projection"], **ALIKE)


def test_sampling_goes_through_the_pipeline_and_draws_the_official_networks_images(cbdm, ten):
    out, folder, _ = cbdm
    settings = ["sample.sampler=dpmsolver++", "sample.steps=2", "sample.guidance=0.5", "sample.per_class=1"]
    (spec,) = load_study(folder / "study.toml", settings).runs
    assert train_key(spec) == read_json(folder / "spec.json")["train_key"]
    stage = stages(spec)[1]
    run_stage(stage, out, Environment(data_root=ten))
    made = np.load(out / stage.sample_folder / "images.npy")
    official = sample(load_official(CBDM)[0], torch.arange(10), sampler=spec.sample)
    assert np.abs(made.astype(int) - official.numpy()).max() <= 1  # rounding to uint8


class Corners(torch.nn.Module):
    """A user's extractor: nine pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, ::8, ::8].float().flatten(1)[:, :9]


def test_an_imported_run_is_scored_as_ours_are_and_marked_external(cbdm, ten, tmp_path, monkeypatch):
    """On a machine without Inception's weights, with a network of the user's own."""
    out, folder, _ = cbdm
    torch.jit.script(Corners()).save(tmp_path / "corners.pt")
    monkeypatch.setenv(torchscript.TRUSTED, "")
    torchscript.trust(str(tmp_path / "corners.pt"))
    settings = ["sample.sampler=dpmsolver++", "sample.steps=1", "sample.per_class=3", "score.metrics=frechet"]
    settings += [f"score.extractors=torchscript:{tmp_path / 'corners.pt'}", "score.floor_draws=1"]
    (spec,) = load_study(folder / "study.toml", settings).runs
    for stage in stages(spec):
        run_stage(stage, out, Environment(data_root=ten))
    samples = out / stages(spec)[1].sample_folder
    scores = pd.read_csv(samples / "scores.csv")
    assert set(scores["origin"]) == {"external"}
    assert set(scores["method"]) == {"cbdm"}
    assert set(scores["extractor"]) == {"torchscript:corners"}
    assert (samples / "nearest.npz").exists()
    shutil.rmtree(samples)


def test_lost_weights_are_not_trained_anew(cbdm, ten, tmp_path):
    spec = cbdm[2]
    with pytest.raises(CheckpointError, match="run `ltbench import` again"):
        run_stage(stages(spec)[0], tmp_path, Environment(data_root=ten))


def test_another_file_is_another_run(cbdm, ten, tmp_path):
    content = torch.load(CBDM, weights_only=True)
    content["net_model"]["head.bias"] = content["net_model"]["head.bias"] + 1
    torch.save(content, tmp_path / "ckpt_1000.pt")
    _, other = imported(tmp_path / "ckpt_1000.pt", "cbdm", ten, tmp_path / "runs")
    assert train_key(other) != train_key(cbdm[2])


@pytest.mark.parametrize(
    ("path", "method", "sets", "says"),
    [
        (CBDM, "coral", (), "holds nothing of what coral trains beside the U-Net"),
        (CBDM, "cbdn", (), "did you mean 'cbdm'"),
        (CBDM, "cbdm,ddpm", (), "2 runs are asked for"),
        (CORAL, "cbdm", (), "holds a projection head, which cbdm has no place for"),
        (
            CORAL,
            "coral",
            ("coral.dim=16",),
            r"a head of width 128, but coral makes one of width 16: add --set coral.dim=128",
        ),
    ],
)
def test_a_method_that_the_file_contradicts(ten, five, tmp_path, path, method, sets, says):
    with pytest.raises(UsageError, match=says) as caught:
        imported(path, method, five if path == CORAL else ten, tmp_path / "runs", *sets)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("runs/folder_lt-*"))  # nothing half-made is left


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: {name: value.to("meta") for name, value in state.items()}, "no plain real numbers"),
        (
            lambda state: {name: value.to(torch.complex64) for name, value in state.items()},
            "no plain real numbers",
        ),
        (lambda state: {name: value.to_sparse() for name, value in state.items()}, "no plain real numbers"),
        (lambda state: {name: value.long() for name, value in state.items()}, "no plain real numbers"),
        (
            lambda state: {name: value.to(torch.float8_e4m3fn) for name, value in state.items()},
            "no plain real numbers",
        ),
        (
            lambda state: dict(enumerate(state.values())),
            "ema_model as something else than a table",
        ),
        (lambda state: dict.fromkeys(state, 5), "ema_model as something else than a table"),
        (lambda state: {**state, "more": torch.zeros(2)}, "it has none called more"),
        (lambda state: {**state, "upblocks.99.a.b": torch.zeros(2)}, "other tensors than the official U-Net"),
    ],
)
def test_weights_of_another_kind_are_never_cast_or_passed_over(tmp_path, ten, change, says):
    """The last weights of the file are good: they may not stand in for the averaged ones that were asked for."""
    content = torch.load(CBDM, weights_only=True)
    torch.save({**content, "ema_model": change(content["ema_model"])}, tmp_path / "ckpt_1.pt")
    with pytest.raises(CheckpointError, match=says) as caught:
        imported(tmp_path / "ckpt_1.pt", "cbdm", ten, tmp_path / "runs")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xfe" * 50, CBDM.read_bytes()[:9000]])
def test_files_that_are_no_checkpoint(tmp_path, ten, content):
    (tmp_path / "ckpt_1.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated, damaged or no PyTorch checkpoint"):
        imported(tmp_path / "ckpt_1.pt", "cbdm", ten, tmp_path / "runs")


@pytest.mark.parametrize("kind", ["official", "safetensors", "diffusers", "folder", "file"])
def test_fine_tuning_starts_from_the_weights_that_the_key_names(cbdm, ten, tmp_path, kind):
    _, folder, spec = cbdm
    given = {
        "official": CBDM,
        "safetensors": tmp_path / "shared.safetensors",
        "diffusers": tmp_path / "shared",
        "folder": folder,
        "file": folder / "weights" / "step-00001000.safetensors",
    }[kind]
    save_file(torch.load(CBDM, weights_only=True)["ema_model"], tmp_path / "shared.safetensors")
    export_run(folder, tmp_path / "shared")
    digest = add_initial(given, tmp_path)
    changes = {"steps": 1, "imported": None, "init_weights": digest, "batch_size": 4, "flip": False}
    tuned = spec.model_copy(update={"train": spec.train.model_copy(update=changes)})
    assert train_key(tuned) != train_key(
        tuned.model_copy(update={"train": tuned.train.model_copy(update={"init_weights": None})})
    )
    run_stage(stages(tuned)[0], tmp_path, Environment(data_root=ten))  # warm-up: step 1 moves nothing
    raw = load_model(tuned, tmp_path, load_dataset(spec.data, ten), "cpu", "raw")["denoiser"]
    for ours, theirs in zip(raw.parameters(), load_official(CBDM)[0].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_another_methods_head_is_left_out_of_the_start(five, tmp_path):
    folder, spec = imported(CORAL, "coral", five, tmp_path)
    digest = add_initial(folder, tmp_path)
    changes = {"steps": 1, "imported": None, "init_weights": digest, "batch_size": 4}
    tuned = spec.model_copy(
        update={"train": spec.train.model_copy(update=changes), "method": MethodSpec(name="ddpm")}
    )
    run_stage(stages(tuned)[0], tmp_path, Environment(data_root=five))
    assert is_done(stages(tuned)[0], tmp_path)
    other = tuned.model_copy(update={"model": ModelSpec(size="ddpm32", widths=(32, 64))})
    with pytest.raises(CheckpointError, match=r"initial weights .* choose the model\.size and data set"):
        run_stage(stages(other)[0], tmp_path, Environment(data_root=five))


def test_what_no_training_can_start_from_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist: give a run's folder"):
        add_initial(tmp_path / "none", tmp_path)
    with pytest.raises(UsageError, match="has no weights yet"):
        add_initial(tmp_path, tmp_path)
    (tmp_path / "a.safetensors").write_bytes(b"x" * 99)
    with pytest.raises(CheckpointError, match="is text, no checkpoint"):
        add_initial(tmp_path / "a.safetensors", tmp_path)
    save_file({"weight": torch.ones(2)}, tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="has other tensors than the official U-Net"):
        add_initial(tmp_path / "b.safetensors", tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    with pytest.raises(
        CheckpointError, match=r"holds no config\.json and diffusion_pytorch_model\.safetensors"
    ):
        add_initial(tmp_path / "folder", tmp_path)
    (tmp_path / "ckpt.pt").write_bytes(b"\xfe" * 99)
    with pytest.raises(CheckpointError, match="truncated, damaged"):
        add_initial(tmp_path / "ckpt.pt", tmp_path)


def config(**fields):
    official = {"channels": (128, 256, 256, 256), "attention": (1,), "res_blocks": 2, "norm_groups": 32}
    return UNetConfig(**{**official, "image_size": 32, **fields})


def test_the_papers_network_has_its_name_and_others_are_spelt_out():
    assert model_settings(config()) == {"model.size": "ddpm32"}
    assert model_settings(config(image_size=64)) == {"model.size": "ddpm64"}
    assert model_settings(config(image_size=16)) == {"model.size": "ddpm32"}
    other = model_settings(config(channels=(64, 128), attention=(0, 1), res_blocks=3))
    assert other == {
        "model.size": "ddpm32",
        "model.widths": "64,128",
        "model.attention": "0,1",
        "model.res_blocks": "3",
    }
    (run,) = load_study(None, [f"{key}={value}" for key, value in other.items()]).runs
    assert run.model.overrides == {"channels": (64, 128), "attention": (0, 1), "res_blocks": 3}


@pytest.mark.parametrize(
    ("classes", "channels", "size", "name"),
    [
        (10, 3, 32, "cifar10_lt"),
        (100, 3, 32, "cifar100_lt"),
        (5, 3, 64, "celeba5"),
        (1000, 3, 64, "imagenet_lt"),
    ],
)
def test_classes_and_size_tell_the_papers_data_sets(classes, channels, size, name):
    assert guess_dataset(config(num_classes=classes, image_channels=channels, image_size=size)) == name


@pytest.mark.parametrize(
    "name", ["net-\N{SMILING CAT FACE WITH OPEN MOUTH}.pt", "netz-\u00fc.pt", 'a"b\\c.pt', "a\x7fb\tc.pt"]
)
def test_a_study_file_is_toml_whatever_the_checkpoint_is_called(name):
    text = study_text(make_spec(), Path(name))
    assert tomllib.loads(text)["title"] == f"ddpm imported from {name}"
