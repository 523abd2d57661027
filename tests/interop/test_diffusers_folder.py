"""An exported folder is what diffusers loads, and predicts what our denoiser predicts."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from official_files import GOLDENS
from safetensors.torch import load_file, save_file

from ltbench.errors import CheckpointError, StorageError, UsageError
from ltbench.interop import diffusers_folder
from ltbench.interop.diffusers_folder import export_diffusers, load_diffusers
from ltbench.interop.official import load_official


def test_round_trip_through_diffusers(tmp_path: Path) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    folder = tmp_path / "new" / "export"
    for _ in range(2):  # a second export replaces the first
        export_diffusers(denoiser, folder, card="# CBDM\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "model_index.json",
        "scheduler",
        "unet",
    ]
    assert (folder / "README.md").read_text() == "# CBDM\n"
    assert json.loads((folder / "config.json").read_text())["_class_name"] == "UNet2DModel"

    unet, report = UNet2DModel.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    x = torch.randn(11, *denoiser.shape, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0, 999, 11).long()
    label = torch.arange(11)  # the last one is the null label
    with torch.no_grad():
        torch.testing.assert_close(unet(x, t, label).sample, denoiser(x, t, label).eps, atol=1e-5, rtol=1e-5)
    assert not unet.class_embedding.weight[-1].any()


def test_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="cannot write"):
        export_diffusers(denoiser, tmp_path / "taken", card="")


@pytest.mark.parametrize("index", [None, "[]", "{", '{"_class_name": "DDPMPipeline"}'])
def test_a_folder_of_others_is_not_written_into(tmp_path: Path, index: str | None) -> None:
    """Their README.md and config.json were replaced."""
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    theirs = {"README.md": "mine", "config.json": "{}"} | (
        {} if index is None else {"model_index.json": index}
    )
    for name, content in theirs.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match="holds files that are no earlier export: give .* --to"):
        export_diffusers(denoiser, tmp_path, card="")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == theirs


def test_a_repository_without_files_and_what_a_stopped_export_left_are_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    (tmp_path / ".git").mkdir()
    monkeypatch.delattr(diffusers_folder, "_link")
    with pytest.raises(NameError):
        export_diffusers(denoiser, tmp_path, card="")
    monkeypatch.undo()
    assert (tmp_path / "config.json").is_file()
    export_diffusers(denoiser, tmp_path, card="")
    assert load_diffusers(tmp_path).config.num_classes == denoiser.num_classes


def test_what_is_exported_is_read_back_to_the_bit(tmp_path: Path) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    export_diffusers(denoiser, tmp_path / "export", card="")
    back = load_diffusers(tmp_path / "export")
    assert back.config == dataclasses.replace(denoiser.config, dropout=back.config.dropout)
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in denoiser.state_dict().items())
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        (tmp_path / "export" / name).unlink()  # a folder as pipelines keep it
    assert torch.equal(load_diffusers(tmp_path / "export").unet.conv_in.weight, denoiser.unet.conv_in.weight)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"[]"),
        ("config.json", b'{"down_block_types": 5}'),
        ("config.json", b"{}"),
        ("diffusion_pytorch_model.safetensors", b""),
        ("diffusion_pytorch_model.safetensors", b"\xff" * 100),
    ],
)
def test_folders_that_are_none_are_refused_in_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    export_diffusers(denoiser, tmp_path / "export", card="")
    (tmp_path / "export" / name).unlink()
    (tmp_path / "export" / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_diffusers(tmp_path / "export")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "export") in str(caught.value)
    with pytest.raises(CheckpointError, match="holds no config.json"):
        load_diffusers(tmp_path)


def test_quantised_tensors_are_no_weights(tmp_path: Path) -> None:
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    export_diffusers(denoiser, tmp_path / "export", card="")
    weights = tmp_path / "export" / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    weights.unlink()
    save_file(state | {"conv_in.weight": state["conv_in.weight"].to(torch.int8)}, weights)
    with pytest.raises(CheckpointError, match=r"int8 numbers in conv_in\.weight: save it again"):
        load_diffusers(tmp_path / "export")


def resaved(folder: Path, **settings: Any) -> Path:
    """Return an exported folder whose network is said to have other settings; one ``left out`` is diffusers' default."""
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    export_diffusers(denoiser, folder, card="")
    stated = json.loads((folder / "config.json").read_text()) | settings
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps({k: v for k, v in stated.items() if v != "left out"}))
    return folder


@pytest.mark.parametrize(
    ("name", "theirs", "told"),
    [
        ("attention_head_dim", 8, "attention_head_dim=8 in place of None"),
        ("attention_head_dim", "left out", "attention_head_dim=8 in place of None"),
        ("flip_sin_to_cos", True, "flip_sin_to_cos=True in place of False"),
        ("freq_shift", 1, "freq_shift=1 in place of 0"),
        ("act_fn", "gelu", "act_fn='gelu' in place of 'silu'"),
        ("norm_eps", 1e-6, "norm_eps=1e-06 in place of 1e-05"),
    ],
)
def test_a_network_of_the_same_tensors_and_another_function_is_refused(
    tmp_path: Path, name: str, theirs: Any, told: str
) -> None:
    """diffusers' own defaults differ from the papers' in heads and time embedding, and sampled noise."""
    with pytest.raises(CheckpointError, match=re.escape(f"papers' kind ({told}): only networks")):
        load_diffusers(resaved(tmp_path / "export", **{name: theirs}))


def test_the_same_function_in_other_words_is_read(tmp_path: Path) -> None:
    width, groups = 32, 32
    words = {
        "attention_head_dim": 64,
        "attn_norm_num_groups": groups,
        "act_fn": "swish",
        "norm_eps": "left out",
        "dropout": 0.3,
    }
    folder = resaved(tmp_path / "export", **words, time_embedding_dim=4 * width, num_train_timesteps=1000)
    denoiser, unet = load_diffusers(folder), UNet2DModel.from_pretrained(folder)
    x = torch.randn(2, *denoiser.shape, generator=torch.Generator().manual_seed(0))
    t, label = torch.tensor([0, 999]), torch.tensor([0, 3])
    with torch.no_grad():
        torch.testing.assert_close(unet(x, t, label).sample, denoiser(x, t, label).eps, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "kind", [{"max_shard_size": "200KB"}, {"safe_serialization": False}, {"variant": "ema"}]
)
def test_folders_that_diffusers_saved_otherwise_are_read_once_saved_as_the_message_says(
    tmp_path: Path, kind: dict[str, Any]
) -> None:
    """Shards, pickled weights and variants were "no folder that diffusers wrote"."""
    denoiser, _ = load_official(GOLDENS / "official_cbdm_ckpt.pt")
    export_diffusers(denoiser, tmp_path / "export", card="")
    network = UNet2DModel.from_pretrained(tmp_path / "export")
    network.save_pretrained(tmp_path / "other" / "unet", **kind)
    with pytest.raises(CheckpointError, match="save it again") as caught:
        load_diffusers(tmp_path / "other")
    command = str(caught.value).partition(" as UNet2DModel")[2].replace("FOLDER", "folder")
    eval(f"UNet2DModel{command}", {"UNet2DModel": UNet2DModel, "folder": tmp_path / "again"})
    again = load_diffusers(tmp_path / "again")
    for name, value in denoiser.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
