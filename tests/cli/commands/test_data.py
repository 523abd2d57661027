"""`ltbench data prepare` and `verify`: a folder of images becomes a data set that `ltbench` knows, or one sentence."""

import re

import numpy as np
import pytest
from PIL import Image

from ltbench.cli.app import main
from ltbench.study.resolve import resolve_study


def images(root):
    for k, count in enumerate((9, 5, 4)):
        for i in range(count):
            path = root / f"class{k}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(10 * k + i).integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    return root


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_a_folder_is_prepared_listed_and_verified(tmp_path, capsys):
    source, data = images(tmp_path / "mine"), tmp_path / "data"
    prepare = ("data", "prepare", "folder_lt", "--source", source, "--image-size", 16, "--workers", 1)
    assert run(*prepare, "--data-root", data) == 0
    shown = capsys.readouterr().out
    assert "train: 12 images of 3 classes, 2 to 7 a class, 16x16" in shown
    assert "heldout: 3 images" in shown
    assert f"--data-root {data}" in shown.replace("\n", "")
    assert f"use it: ltbench run --dataset folder_lt:mine --data-root {data}\n" in shown
    assert run("data", "verify", "folder_lt", "--data-root", data) == 0
    assert "as their manifests state" in capsys.readouterr().out
    assert run("datasets", "--data-root", data) == 0
    shown = capsys.readouterr().out
    assert "folder_lt-mine-16" in shown.replace("\n", "")
    assert "prepared: folder_lt:mine  16x16, 3 classes, 12 training images, 7 to 2 a class" in shown
    own = shown[shown.index("folder_lt ") : shown.index("imagenet_lt")]
    assert "prepare it first" not in own
    (array,) = data.glob("prepared/*/train.npy")
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    assert run("data", "verify", "folder_lt", "--data-root", data) == 1
    error = capsys.readouterr().err
    assert "train.npy was changed since it was made" in error.replace("\n", " ")
    assert "Traceback" not in error


def test_the_command_that_preparing_ends_with_plans_a_run(tmp_path, capsys):
    """It named a data set at another size, or one of two folders, and every image of a small one was refused."""
    source, data = images(tmp_path / "mine"), tmp_path / "data"
    for size in (8, 16):
        prepare = ("data", "prepare", "folder_lt", "--source", source, "--image-size", size, "--workers", 1)
        assert run(*prepare, "--data-root", data) == 0
    command = re.search("use it: ltbench run --dataset (.*)", capsys.readouterr().out.splitlines()[-1])
    assert command
    assert command[1].startswith("folder_lt:mine --set data.image_size=16 ")
    study = resolve_study(None, ["data.image_size=16"], {"dataset": "folder_lt:mine"}, data)
    assert [run.method.name for run in study.runs] == ["ddpm", "coral"]  # the small study
    run_spec = study.runs[0]
    assert (run_spec.data.profile, run_spec.data.image_size) == ("asis", 16)
    assert run_spec.data.imbalance_ratio == 0.2857  # 2 of 7: what it is, not the default
    assert run_spec.data.dataset == "folder_lt"
    assert len(run_spec.data.content) == 64
    study = resolve_study(
        None, ["data.image_size=16"], {"dataset": "folder_lt", "imbalance_ratio": "0.4"}, data
    )
    assert (study.runs[0].data.profile, study.runs[0].data.imbalance_ratio) == ("exponential", 0.4)


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("prepare", "folder_lt", "--source", "nowhere"), "nowhere does not exist", 1),
        (("prepare", "cifar10_lt", "--source", "."), "needs no preparing", 2),
        (("prepare", "folder_ly", "--source", "."), "did you mean 'folder_lt'", 2),
        (("prepare", "folder_lt", "--source", ".", "--workers", "0"), "--workers 0", 2),
        (("prepare", "folder_lt", "--source", ".", "--image-size", "4000"), "no image size 4000", 2),
        (("verify", "digits_lt"), "is not prepared", 2),
        (("verify", "celeba5"), "ltbench data prepare celeba5", 1),
    ],
)
def test_what_cannot_be_prepared_ends_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, says, code):
    monkeypatch.chdir(tmp_path)
    assert run("data", *arguments) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
