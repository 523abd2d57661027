"""Checkpoint files as trainers write them: one network's weights are found, or the file is named for what it is."""

import re
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from ltbench.errors import CheckpointError
from ltbench.interop.checkpoint_content import read_content

STATE = {"head.weight": torch.ones(2), "tail.2.bias": torch.zeros(2)}
RAW = {name: value + 5 for name, value in STATE.items()}


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def saved(path, content):
    torch.save(content, path)
    return path


def holds(content, state=STATE, which="ema_model"):
    return content[which].keys() == state.keys() and all(
        torch.equal(content[which][k], state[k]) for k in state
    )


@pytest.mark.parametrize(
    "content",
    [
        {"ema_model": {**prefixed(STATE, "module."), "n_averaged": torch.tensor(3)}},  # torch's AveragedModel
        {**prefixed(STATE, "module."), "n_averaged": torch.tensor(3)},
        {  # ema_pytorch's EMA
            "ema_model": {
                **prefixed(STATE, "ema_model."),
                **prefixed(RAW, "online_model."),
                "initted": torch.tensor(True),
                "step": torch.tensor(5),
            }
        },
        {"state_dict": {**prefixed(RAW, "model."), **prefixed(STATE, "model_ema.")}, "global_step": 5},
        {"state_dict": {**prefixed(STATE, "ema.module."), **prefixed(RAW, "net.module.")}},
    ],
    ids=["averaged", "averaged, bare", "ema_pytorch", "model_ema", "ema.module"],
)
def test_of_an_averager_the_averaged_network_is_meant(tmp_path, content):
    assert holds(read_content(saved(tmp_path / "a.pt", content)))


def test_several_networks_of_which_none_says_it_is_averaged_are_refused(tmp_path):
    content = {"state_dict": {**prefixed(STATE, "first."), **prefixed(RAW, "second.")}}
    with pytest.raises(
        CheckpointError, match=r"a\.pt holds 2 networks in one table, 'first\.', 'second\.': save"
    ):
        read_content(saved(tmp_path / "a.pt", content))


def test_weights_under_other_names_are_named_and_how_to_save_them(tmp_path):
    path = saved(tmp_path / "a.pt", {"model": RAW, "ema": STATE, "step": 3})
    with pytest.raises(CheckpointError) as caught:
        read_content(path)
    assert "holds weights as 'model', 'ema' and none as 'ema_model' or 'net_model'" in str(caught.value)
    advised = re.search(r"torch\.save\((.*), 'ckpt_STEP\.pt'\)", str(caught.value)).group(1)
    ckpt = torch.load(path, weights_only=True)
    again = saved(tmp_path / "b.pt", eval(advised, {"ckpt": ckpt, "STEP": 3}))
    assert holds(read_content(again))


@pytest.mark.parametrize("name", ["ema_state_dict", "state_dict_ema", "ema", "model-EMA"])
@pytest.mark.parametrize("first", [True, False])
def test_the_last_weights_are_not_taken_for_the_average_beside_them(tmp_path, name, first):
    """``state_dict`` was read as the averaged one, whatever stood beside it."""
    content = {name: STATE, "state_dict": RAW} if first else {"state_dict": RAW, name: STATE}
    with pytest.raises(
        CheckpointError, match=rf"as '.*' and none as .* by saving it again.*ckpt\['{name}'\]"
    ):
        read_content(saved(tmp_path / "a.pt", content | {"global_step": 5}))


def test_an_average_that_is_no_table_is_still_one(tmp_path):
    shadow = {"decay": 0.999, "shadow_params": list(STATE.values())}  # torch_ema's
    with pytest.raises(CheckpointError, match="holds weights as 'state_dict', 'ema' and none as"):
        read_content(saved(tmp_path / "a.pt", {"state_dict": RAW, "ema": shadow}))
    told = {"ema_decay": 0.999, "ema": {"decay": 0.999, "updates": torch.tensor(7)}}
    assert holds(read_content(saved(tmp_path / "b.pt", {"state_dict": STATE} | told)))


def test_the_content_counts_and_not_the_ending(tmp_path):
    save_file(STATE, tmp_path / "a.pt")
    assert holds(read_content(tmp_path / "a.pt"))
    assert holds(read_content(saved(tmp_path / "a.safetensors", {"net_model": STATE})), which="net_model")


def _torchscript(path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "is a pointer of Git LFS"),
        (lambda p: p.write_bytes(b"<!DOCTYPE html>"), "is an HTML page, no checkpoint"),
        (lambda p: p.write_text("{}"), "is text, no checkpoint"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600)), "is HDF5, no checkpoint"),
        (_torchscript, r"is a TorchScript program, which is not run: save the state_dict\(\)"),
        (lambda p: p.write_bytes(b"GGUF" + bytes(100)), "is truncated, damaged or no PyTorch checkpoint"),
        (lambda p: saved(p, {}), "holds no ema_model or net_model weights"),
        (
            lambda p: saved(p, {"ema_model": list(STATE)}),
            "holds ema_model as something else .* save ema_model.state_dict",
        ),
    ],
    ids=["lfs", "html", "json", "hdf5", "torchscript", "gguf", "nothing", "names"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_is_no_checkpoint_is_named_for_what_it_is(tmp_path, recwarn, write, says):
    write(tmp_path / "a.pt")
    recwarn.clear()
    with pytest.raises(CheckpointError, match=rf"a\.pt {says}"):
        read_content(tmp_path / "a.pt")
    assert not recwarn.list


def test_weights_that_were_saved_on_a_gpu_are_read_without_one(tmp_path):
    saved(tmp_path / "cpu.pt", {"ema_model": STATE})
    with zipfile.ZipFile(tmp_path / "cpu.pt") as source, zipfile.ZipFile(tmp_path / "gpu.pt", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):  # a pickled text is X, its length, its letters
                assert b"X\x03\x00\x00\x00cpu" in content
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            target.writestr(name, content)
    content = read_content(tmp_path / "gpu.pt")
    assert holds(content)
    assert content["ema_model"]["head.weight"].device.type == "cpu"
