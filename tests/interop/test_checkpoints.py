"""The authors' checkpoints become runs that compute what their code computed; runs become what diffusers loads."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import UNet2DModel
from huggingface_hub import ModelCard
from PIL import Image

from ltbench.cli.app import main
from ltbench.cli.exchange import export_network
from ltbench.data import load_dataset
from ltbench.data.prepare.prepare import prepare
from ltbench.diffusion.samplers import sample
from ltbench.diffusion.unet import SIZES, UNetConfig
from ltbench.environment import Environment
from ltbench.errors import CheckpointError, LtbenchError, UsageError
from ltbench.extractors import torchscript
from ltbench.files import read_json
from ltbench.interop.checkpoints import add_initial, guess_dataset, model_settings
from ltbench.interop.import_run import import_run
from ltbench.interop.official import load_official
from ltbench.method.registry import create
from ltbench.pipeline import is_done, load_model, run_stage, stages
from ltbench.runs.layout import kept_steps, weights_path
from ltbench.runs.weights import load_weights
from ltbench.specs import MethodSpec, ModelSpec, train_key
from ltbench.study.file import load_study

GOLDENS = Path(__file__).parents[1] / "goldens"
CBDM, CORAL = (GOLDENS / f"official_{name}_ckpt.pt" for name in ("cbdm", "coral"))
ALIKE = {"atol": 1e-4, "rtol": 0}


def golden(path):
    with np.load(path.with_name(f"{path.stem}_io.npz")) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def prepared(root, classes):
    """Prepare a folder of a few 16x16 images a class."""
    for k in range(classes):
        for i in range(4):
            path = root / "images" / f"class{k}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(10 * k + i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
    prepare("folder_lt", root / "images", root / "data", image_size=16, workers=1)
    return root / "data"


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("ten"), 10)


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("five"), 5)


def imported(path, method, data_root, out, *sets):
    import_run(path, method, out, dataset="folder_lt", sets=sets, data_root=data_root)
    (folder,) = out.glob("folder_lt-*")
    (spec,) = load_study(folder / "study.toml").runs
    return folder, spec


@pytest.fixture(scope="module")
def cbdm(ten, tmp_path_factory):
    """The golden checkpoint, imported by the command line: output root, its folder, the run it became."""
    out = tmp_path_factory.mktemp("runs")
    command = ["import", CBDM, "-m", "cbdm", "-d", "folder_lt", "--data-root", ten, "--out", out]
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in command])
    assert ended.value.code == 0
    (folder,) = out.iterdir()
    (spec,) = load_study(folder / "study.toml").runs
    return out, folder, spec


# -- in ---------------------------------------------------------------------------------------------


def test_an_imported_run_is_trained_and_knows_where_it_is_from(cbdm, ten):
    out, folder, spec = cbdm
    assert is_done(stages(spec)[0], out)
    assert (spec.method.name, spec.train.steps, spec.data.image_size) == ("cbdm", 1000, 16)
    assert read_json(folder / "spec.json")["train_key"] == train_key(spec)
    recorded = read_json(folder / "provenance.json")
    assert recorded["origin"] == "external"
    assert recorded["imported"]["sha256"] == spec.train.imported
    assert spec.data.content == load_dataset(spec.data, ten).manifest["source"]["prepared"]


def check_golden_outputs(predict, theirs):
    """Compare a network, (x, t, label) -> noise, with what the authors' code computed with these weights."""
    io = golden(CBDM)
    with torch.no_grad():
        conditional = predict(io["x"], io["t"], io["y"])
        unconditional = predict(io["x"], io["t"], torch.full_like(io["y"], 10))
    torch.testing.assert_close(conditional, io[f"{theirs}_eps_cond"], **ALIKE)
    torch.testing.assert_close(unconditional, io[f"{theirs}_eps_uncond"], **ALIKE)


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


def test_what_the_file_does_not_say_is_asked_for(ten, tmp_path):
    def run(path, dataset, ratio=None, *sets):
        import_run(
            path,
            "cbdm",
            tmp_path / "runs",
            dataset=dataset,
            flags={"imbalance_ratio": ratio},
            sets=sets,
            data_root=ten,
        )

    with pytest.raises(UsageError, match=r"3 x 16 x 16 images of 10 classes, .* say .* with --dataset"):
        run(CBDM, None)
    with pytest.raises(UsageError, match="did you mean 'cbdm'"):
        import_run(CBDM, "cbdn", tmp_path / "runs", data_root=ten)
    with pytest.raises(UsageError, match="at which imbalance ratio of cifar10_lt"):
        run(CBDM, "cifar10_lt")
    content = torch.load(CBDM, weights_only=True)
    torch.save({key: value for key, value in content.items() if key != "step"}, tmp_path / "last.pt")
    with pytest.raises(UsageError, match="how many steps it was trained: give --step"):
        run(tmp_path / "last.pt", "folder_lt")
    torch.save({key: value for key, value in content.items() if key != "step"}, tmp_path / "ckpt_7.pt")
    assert imported(tmp_path / "ckpt_7.pt", "cbdm", ten, tmp_path / "seven")[1].train.steps == 7
    with pytest.raises(UsageError, match=r"10 classes, but cifar100_lt has 3 x 16 x 16 of 100"):
        run(CBDM, "cifar100_lt", 0.01)
    with pytest.raises(UsageError, match=r"makes 3 x 16 x 16 .* has 3 x 32 x 32 .* or set data.image_size"):
        run(CBDM, "cifar10_lt", 0.01, "data.image_size=32")


def test_of_several_prepared_folders_the_named_one_is_meant(tmp_path):
    data = prepared(tmp_path, 10)  # folder_lt:images
    (tmp_path / "images" / "class0" / "0.png").write_bytes(
        (tmp_path / "images" / "class1" / "0.png").read_bytes()
    )
    prepare("folder_lt", tmp_path / "images", data, image_size=16, workers=1, own_name="two")
    with pytest.raises(UsageError, match="folder_lt:two"):
        import_run(CBDM, "cbdm", tmp_path / "runs", dataset="folder_lt", data_root=data)
    for name in ("images", "two"):
        import_run(CBDM, "cbdm", tmp_path / name, dataset=f"folder_lt:{name}", data_root=data)
        (study,) = (tmp_path / name).glob("*/study.toml")
        (spec,) = load_study(study).runs
        assert (
            spec.data.content
            == read_json(data / "prepared" / f"folder_lt-{name}-16" / "manifest.json")["hash"]
        )
    with pytest.raises(LtbenchError, match="nothing prepared as 'three'"):
        import_run(CBDM, "cbdm", tmp_path / "runs", dataset="folder_lt:three", data_root=data)


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


@pytest.mark.parametrize("content", [b"", b"text" * 50, CBDM.read_bytes()[:9000]])
def test_files_that_are_no_checkpoint(tmp_path, ten, content):
    (tmp_path / "ckpt_1.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated, damaged or no PyTorch checkpoint"):
        imported(tmp_path / "ckpt_1.pt", "cbdm", ten, tmp_path / "runs")


# -- starting from ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["official", "folder", "file"])
def test_fine_tuning_starts_from_the_weights_that_the_key_names(cbdm, ten, tmp_path, kind):
    _, folder, spec = cbdm
    given = {"official": CBDM, "folder": folder, "file": folder / "weights" / "step-00001000.safetensors"}[
        kind
    ]
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
    with pytest.raises(CheckpointError, match="are broken"):
        add_initial(tmp_path / "a.safetensors", tmp_path)
    (tmp_path / "ckpt.pt").write_bytes(b"x" * 99)
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
    "fields",
    [{"attention": (1,)}, {"res_blocks": 3}, {"widths": (0, 8)}, {"widths": (8, 8), "attention": (2,)}],
)
def test_half_an_architecture_is_refused(fields):
    with pytest.raises(ValueError, match=r"model\.(attention|widths)"):
        ModelSpec(**fields)
    assert ModelSpec().overrides == {}
    assert "tiny" in SIZES


# -- out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("weights", "theirs"), [("ema", "ema"), ("raw", "net")])
def test_an_exported_network_computes_the_golden_outputs_in_diffusers(cbdm, tmp_path, weights, theirs):
    export_network(cbdm[1], tmp_path / "out", None, weights)
    unet = UNet2DModel.from_pretrained(tmp_path / "out").eval()
    check_golden_outputs(lambda *inputs: unet(*inputs).sample, theirs)


def test_the_card_states_data_method_protocol_and_scores(cbdm, tmp_path):
    _, folder, spec = cbdm
    card = text_of(folder, tmp_path / "bare")
    assert "None are stored." in card
    samples = folder / "samples" / "0123abcd"
    write_scores(samples / "scores.csv", spec)
    try:
        card = text_of(folder, tmp_path / "scored")
    finally:
        (samples / "scores.csv").unlink()
        samples.rmdir()
    data = ModelCard(card).data
    assert data.library_name == "diffusers"
    assert "long-tailed" in data.tags
    results = {r.metric_name: r for r in data.eval_results}
    assert results["frechet (overall, inception)"].metric_value == 12.5
    assert results["frechet (tail, inception)"].metric_args["sampler"] == "ancestral"
    assert (
        results["frechet (overall, inception)"].dataset_args["imbalance_ratio"] == spec.data.imbalance_ratio
    )
    for words in (
        "folder_lt",
        "Qin et al.",
        "gamma=0.25",
        "1,000 steps",
        "does not tell how it was trained; assumed: Adam 0.0002, batch 128",
        spec.train.imported[:16],
    ):
        assert words in card
    assert (
        "| overall | frechet | inception | 12.5 | 3.25 | 50000 | 50000 | ancestral | 2000 | 1 | 0 |" in card
    )
    assert "| tail | frechet | inception | 40 |  |" in card
    assert "label 10: no label" in card
    assert "| 7 " not in card


@pytest.mark.parametrize("shared", ["export", "ema only", "ddp"])
def test_an_exported_network_and_shared_files_are_imported_again(cbdm, ten, tmp_path, shared):
    """What others share of a network: a folder for diffusers, averaged weights alone, DataParallel's names."""
    _, folder, _ = cbdm
    path = tmp_path / "shared.pt"
    if shared == "export":
        path = tmp_path / "shared"
        export_network(folder, path, None, "ema")
    elif shared == "ema only":
        torch.save(
            {k: v for k, v in torch.load(CBDM, weights_only=True).items() if k in ("ema_model", "fixed_x_T")},
            path,
        )
    else:
        content = torch.load(CBDM, weights_only=True)
        ema = {f"module.{k}": v for k, v in content["ema_model"].items()}
        torch.save(content | {"ema_model": ema}, path)
    import_run(path, "cbdm", tmp_path / "runs", dataset="folder_lt", step=1000, data_root=ten)
    (back,) = (p.parent for p in (tmp_path / "runs").glob("*/spec.json"))
    assert torch.equal(
        read_ema(back)["denoiser.unet.conv_in.weight"], read_ema(folder)["denoiser.unet.conv_in.weight"]
    )


def read_ema(folder):
    return load_weights(weights_path(folder, kept_steps(folder)[-1]), "ema")


def text_of(folder, target):
    export_network(folder, target, None, "ema")
    return (target / "README.md").read_text()


def write_scores(path, spec):
    from ltbench.runs.score_columns import COLUMNS, run_columns

    common = run_columns(spec, 2000) | {
        "metric": "frechet",
        "definition": "frechet/1",
        "extractor": "inception",
    }
    common |= {"n_reference": 50000, "n_generated": 50000, "nfe": 2000, "guidance": 1.0, "class_or_group": ""}
    common |= {"extractor_hash": "e", "reference_hash": "r", "n_train": 12406, "reference": "folder_lt"}
    rows = [
        common | {"scope": "overall", "value": 12.5},
        common | {"scope": "overall", "value": 3.25, "metric": "frechet.floor"},
        common | {"scope": "group", "class_or_group": "tail", "value": 40.0},
        common | {"scope": "class", "class_or_group": "7", "value": 55.0},
    ]
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).reindex(columns=list(COLUMNS)).to_csv(path, index=False)


def test_what_cannot_be_exported_is_refused(cbdm, tmp_path):
    _, folder, _ = cbdm
    cases = [
        ((tmp_path, tmp_path / "x", None, "ema"), "is no training's folder"),
        ((folder, tmp_path / "x", 7, "ema"), "keeps no weights of step 7: there are 1000"),
        ((folder, tmp_path / "x", None, "net"), "--weights takes ema or raw"),
        ((folder, folder / "spec.json", None, "ema"), "spec.json is a file: give a folder with --to"),
    ]
    for arguments, says in cases:
        with pytest.raises(UsageError, match=re.escape(says)):
            export_network(*arguments)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "spec.json").write_text((folder / "spec.json").read_text())
    with pytest.raises(UsageError, match="has no weights yet"):
        export_network(bare, tmp_path / "x", None, "ema")
    (bare / "spec.json").write_text('{"origin": "external", "data": {}}')
    with pytest.raises(UsageError, match="there is no network to export"):
        export_network(bare, tmp_path / "x", None, "ema")
    (bare / "spec.json").write_text('{"data": {"dataset": 3}}')
    with pytest.raises(CheckpointError, match="no run of this version"):
        export_network(bare, tmp_path / "x", None, "ema")
    broken = tmp_path / "broken"
    (broken / "weights").mkdir(parents=True)
    (broken / "spec.json").write_text((folder / "spec.json").read_text())
    whole = (folder / "weights" / "step-00001000.safetensors").read_bytes()
    (broken / "weights" / "step-00001000.safetensors").write_bytes(whole[:5000])
    with pytest.raises(LtbenchError, match="are broken"):
        export_network(broken, tmp_path / "x", None, "ema")
    assert not (tmp_path / "x").exists()
