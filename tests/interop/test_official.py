"""Official checkpoints: the authors' own outputs are reproduced; files that are none are refused."""

import argparse
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ltbench.errors import CheckpointError, LtbenchError, UsageError
from ltbench.interop.official import load_official

GOLDENS = Path(__file__).parents[1] / "goldens"
CBDM, CORAL = (GOLDENS / f"official_{name}_ckpt.pt" for name in ("cbdm", "coral"))


def golden(path: Path) -> dict[str, Tensor]:
    with np.load(path.with_name(f"{path.stem}_io.npz")) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.mark.parametrize("which", ["net", "ema"])
@pytest.mark.parametrize("path", [CBDM, CORAL], ids=["cbdm", "coral"])
def test_reproduces_the_official_outputs(path: Path, which: Any) -> None:
    denoiser, extras = load_official(path, which)
    io = golden(path)
    with torch.no_grad():
        conditional = denoiser(io["x"], io["t"], io["y"])
        unconditional = denoiser(io["x"], io["t"], torch.full_like(io["y"], denoiser.num_classes))
    torch.testing.assert_close(conditional.eps, io[f"{which}_eps_cond"], atol=1e-4, rtol=0)
    torch.testing.assert_close(unconditional.eps, io[f"{which}_eps_uncond"], atol=1e-4, rtol=0)
    assert extras["step"] == 1000
    if path == CORAL:
        pooled = conditional.bottleneck.mean(dim=(2, 3))
        projection = torch.nn.functional.linear(pooled, **extras["mean_proj"])
        torch.testing.assert_close(projection, io[f"{which}_projection"], atol=1e-4, rtol=0)
    else:
        assert extras["mean_proj"] is None


def test_reads_the_architecture_from_the_file() -> None:
    config = load_official(CORAL)[0].config
    assert (config.channels, config.attention, config.res_blocks) == ((32, 64, 64), (1,), 1)
    assert (config.image_size, config.image_channels, config.num_classes) == (16, 3, 5)


def test_averaged_weights_are_the_default() -> None:
    default, ema, net = load_official(CBDM)[0], load_official(CBDM, "ema")[0], load_official(CBDM, "net")[0]
    assert torch.equal(default.unet.conv_in.weight, ema.unet.conv_in.weight)
    assert not torch.equal(default.unet.conv_in.weight, net.unet.conv_in.weight)
    assert not default.training


def edited(tmp_path: Path, **changes: Any) -> Path:
    content = torch.load(CBDM, weights_only=True) | changes
    torch.save({key: value for key, value in content.items() if value is not None}, tmp_path / "ckpt_7.pt")
    return tmp_path / "ckpt_7.pt"


def without(prefix: str, **added: Tensor) -> dict[str, Tensor]:
    state = torch.load(CBDM, weights_only=True)["ema_model"]
    return {key: value for key, value in state.items() if not key.startswith(prefix)} | added


def with_nan() -> dict[str, Tensor]:
    state = dict(torch.load(CBDM, weights_only=True)["ema_model"])
    state["head.weight"] = state["head.weight"].clone()
    state["head.weight"][0, 0, 0, 0] = float("nan")
    return state


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "ema.module."]
)
@pytest.mark.parametrize(
    "kind", ["whole", "ema only", "state_dict", "bare", "bare safetensors", "flat safetensors"]
)
def test_files_as_people_share_them(tmp_path: Path, prefix: str, kind: str) -> None:
    """DataParallel's and torch.compile's prefixes, averaged weights alone, bare state dicts, safetensors."""
    content = torch.load(CBDM, weights_only=True)
    models = {
        name: {f"{prefix}{key}": value.contiguous() for key, value in content[name].items()}
        for name in ("ema_model", "net_model")
    }
    path = tmp_path / f"ckpt_9.{'safetensors' if 'safetensors' in kind else 'pt'}"
    if kind == "whole":
        torch.save(content | models, path)
    elif kind == "ema only":
        torch.save({"ema_model": models["ema_model"], "step": 9}, path)
    elif kind == "state_dict":
        torch.save({"state_dict": models["ema_model"], "global_step": 9}, path)
    elif kind == "bare":
        torch.save(models["ema_model"], path)
    elif kind == "bare safetensors":
        save_file(models["ema_model"], path)
    else:
        save_file(
            {f"{name}.{k}": v.clone() for name, state in models.items() for k, v in state.items()}, path
        )
    expected = load_official(CBDM)[0].state_dict()
    found = load_official(path)[0].state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_namespace_is_named_and_how_to_save_without_it(tmp_path: Path) -> None:
    path = edited(tmp_path, args=argparse.Namespace(lr=1))
    with pytest.raises(
        CheckpointError, match=r"argparse.Namespace beside its tensors.*save it again without"
    ) as caught:
        load_official(path)
    assert "\n" not in str(caught.value)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/ltbench-executed",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ema_model": None}, "holds no ema_model weights"),
        ({"ema_model": [1, 2]}, "ema_model as something else than a table"),
        ({"ema_model": {}}, "holds no ema_model weights"),
        ({"ema_model": without("label_embedding")}, "trained without labels"),
        (  # not that it was trained without labels
            {"ema_model": {("module." * (k != "head.weight")) + k: v for k, v in without("nothing").items()}},
            "other tensors",
        ),
        ({"ema_model": with_nan()}, "NaN or infinite numbers in 1 of .* tensors .first: head.weight"),
        ({"ema_model": without("downblocks.2.attn.proj_q.weight")}, "other tensors.*to_q"),
        ({"ema_model": without("head")}, "other tensors.*head.weight"),
        ({"ema_model": without("upblocks")}, "other tensors"),
        ({"ema_model": without("nothing", extra=torch.zeros(2))}, "other tensors"),
        ({"ema_model": without("nothing", **{"augm.proj.weight": torch.zeros(2)})}, "other tensors"),
        ({"ema_model": without("nothing", **{"tail.2.bias": torch.zeros(2)})}, "other tensors.*conv_out"),
        ({"fixed_x_T": [1.0]}, "fixed_x_T a list"),
        ({"ema_model": without("nothing") | {3: torch.zeros(1)}}, "ema_model as something else than a table"),
        ({"fixed_x_T": torch.zeros(1, 3, 15, 15)}, "image size 15"),
        ({"step": Malicious()}, "holds a posix.mkdir beside its tensors, which could run code"),
    ],
)
def test_other_contents_are_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    path = edited(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=says) as caught:
        load_official(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("/tmp/ltbench-executed").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "truncated, damaged"),
        (b"hello world" * 20, "text, no checkpoint"),
        (CBDM.read_bytes()[:9000], "truncated, damaged"),
        (CBDM.read_bytes()[:-200], "truncated, damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "truncated, damaged"),
    ],
    ids=["empty", "text", "truncated early", "truncated late", "image"],
)
def test_damaged_files_are_refused_in_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "ckpt_7.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(path))} is {says}"):
        load_official(path)


def test_missing_file_and_wrong_weights(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(CheckpointError, match="cannot read"):
            load_official(path)
    with pytest.raises(UsageError, match="not 'raw'"):
        load_official(CBDM, "raw")  # type: ignore[arg-type]
    assert issubclass(CheckpointError, LtbenchError)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_flipped_bit_inside_a_weight_is_refused(tmp_path: Path, place: float) -> None:
    """PyTorch reads the numbers and does not compare them with the archive's checksums."""
    damaged = bytearray(CBDM.read_bytes())
    damaged[int(len(damaged) * place)] ^= 4
    (tmp_path / "ckpt_7.pt").write_bytes(damaged)
    torch.load(tmp_path / "ckpt_7.pt", weights_only=True)
    with pytest.raises(CheckpointError, match="is truncated, damaged or no PyTorch checkpoint"):
        load_official(tmp_path / "ckpt_7.pt")


def test_a_file_written_without_checksums_is_read(tmp_path: Path) -> None:
    content = torch.load(CBDM, weights_only=True)
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(content, tmp_path / "ckpt_7.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert load_official(tmp_path / "ckpt_7.pt")[1]["step"] == content["step"]


def test_flipped_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    """A damaged byte fails cleanly or changes nothing that is read; it never escapes as another error."""
    whole = CBDM.read_bytes()
    generator = np.random.default_rng(0)
    path = tmp_path / "ckpt_7.pt"
    for _ in range(12):
        damaged = bytearray(whole)
        start = (
            int(generator.integers(0, 4000))
            if generator.random() < 0.5
            else len(whole) - int(generator.integers(100, 4000))
        )
        damaged[start : start + 8] = generator.bytes(8)
        path.write_bytes(bytes(damaged))
        refusal = ""
        try:
            load_official(path)
        except CheckpointError as error:
            refusal = str(error)
        assert "\n" not in refusal
