"""What an import asks for, and which prepared folder it means."""

import pytest
import torch
from official_files import CBDM, imported, prepared

from ltbench.data.prepare.prepare import prepare
from ltbench.errors import CheckpointError, LtbenchError, UsageError
from ltbench.files import read_json
from ltbench.interop.import_run import import_run
from ltbench.study.file import load_study


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
    with pytest.raises(
        UsageError, match=r"has 3 x 32 x 32"
    ):  # asked for the ratio that a short key had given
        run(CBDM, "cifar10_lt", None, "imbalance_ratio=0.01", "data.image_size=32")


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


@pytest.mark.parametrize(("ratio", "profile"), [(0.5, "exponential"), (None, "asis")])
def test_a_ratio_that_is_given_cuts_a_set_with_counts_of_its_own(ten, tmp_path, ratio, profile):
    """It was dropped, so that the network was compared as one trained on all images."""
    _, spec = import_run(
        CBDM,
        "cbdm",
        tmp_path,
        dataset="folder_lt",
        flags={"imbalance_ratio": ratio},
        data_root=ten,
    )
    assert (spec.data.profile, spec.data.imbalance_ratio) == (profile, ratio or 1.0)


def test_bare_weights_take_the_size_that_is_asked_for(ten, tmp_path):
    """They fit any size, and say none: it was taken for 32, so that a network of another could not be imported."""
    state = torch.load(CBDM, weights_only=True)["ema_model"]
    torch.save({"ema_model": state, "step": 7}, tmp_path / "bare.pt")
    _, spec = imported(tmp_path / "bare.pt", "cbdm", ten, tmp_path / "asked", "data.image_size=16")
    assert (spec.data.image_size, spec.train.steps) == (16, 7)
    with pytest.raises(LtbenchError, match="folder_lt at 32x32 is not prepared"):
        imported(tmp_path / "bare.pt", "cbdm", ten, tmp_path / "default")


@pytest.mark.parametrize(
    ("noise", "says"),
    [
        ([1], "holds fixed_x_T a list, which says the images' size"),
        (torch.zeros(3), r"holds fixed_x_T of shape \(3,\)"),
        (torch.zeros(2, 3, 32, 16), r"of shape \(2, 3, 32, 16\)"),
    ],
)
def test_noise_that_says_no_size_is_refused(ten, tmp_path, noise, says):
    torch.save(torch.load(CBDM, weights_only=True) | {"fixed_x_T": noise}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=says):
        imported(tmp_path / "a.pt", "cbdm", ten, tmp_path / "runs")
