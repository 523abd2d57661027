"""Samples made elsewhere: every form is read to the same pixels, every doubtful one is refused in one sentence."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file as save_tensors
from sample_arrays import CELL, GREY, LABELS, NAMES, pixels, saved

from ltbench.errors import DataCorrupt, DataMissing, LtbenchError, UsageError
from ltbench.interop.samples import read_samples
from ltbench.specs import UNLABELLED


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: x, "uint8, values 0..255"),
        (lambda x: x.astype(np.int64), "int64, values 0..255"),
        (lambda x: x.astype(np.float32), "float32, values 0..255"),
        (lambda x: (x / 255).astype(np.float32), "float32, values in [0, 1]"),
        (lambda x: x / 127.5 - 1, "float64, values in [-1, 1]"),
        (lambda x: (x / 127.5 - 1).astype(np.float16), "float16, values in [-1, 1]"),
    ],
)
def test_every_form_is_read_to_the_same_pixels(tmp_path, suffix, layout, make, words):
    images = make(pixels())
    images = images if layout == "NCHW" else images.transpose(0, 2, 3, 1)
    found = read_samples(saved(tmp_path, images, name=f"theirs.{suffix}"), CELL)
    assert found.images.dtype == np.uint8
    assert found.labels.dtype == np.int64
    np.testing.assert_array_equal(found.images, pixels())
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.recognised == f"{layout}, {words}"


def test_the_names_that_numpy_gives_unnamed_arrays_are_known(tmp_path):
    np.savez(tmp_path / "adm.npz", pixels().transpose(0, 2, 3, 1), LABELS)  # as guided-diffusion saves
    np.testing.assert_array_equal(read_samples(tmp_path / "adm.npz", CELL).images, pixels())


@pytest.mark.parametrize("name", ["labels.npy", "labels.txt"])
def test_labels_in_a_file_of_their_own(tmp_path, name):
    if name == "labels.npy":
        np.save(tmp_path / name, LABELS.astype(np.uint8))
    else:
        (tmp_path / name).write_text("0\n1\n2\n0\n1\n2\n")
    found = read_samples(saved(tmp_path, pixels(), name="theirs.npy"), CELL, tmp_path / name)
    np.testing.assert_array_equal(found.labels, LABELS)


def test_grey_images_need_no_channel_axis(tmp_path):
    images = pixels(1)
    found = read_samples(saved(tmp_path, images[:, 0]), GREY)
    np.testing.assert_array_equal(found.images, images)


def test_a_stated_range_is_taken_and_a_little_overshoot_clipped(tmp_path):
    images = (pixels() / 255.0).astype(np.float32)
    images[0, 0, 0, 0], images[0, 0, 0, 1] = -0.02, 1.03
    found = read_samples(saved(tmp_path, images), CELL, value_range="0..1")
    np.testing.assert_array_equal(found.images, pixels())
    assert "clipped" in found.recognised


def floats(low, high):
    images = np.random.default_rng(0).uniform(low, high, (6, 3, 8, 8))
    images[0, 0, 0, :2] = low, high
    return images


def with_value(value):
    images = floats(-1, 1)
    images[3, 1, 2, 2] = value
    return images


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (floats(-0.1, 1.0), LABELS, r"-0.1 to 1, which may mean \[0, 1\] or \[-1, 1\]"),
        (floats(0.4, 0.9), LABELS, r"may mean .* --range 0..1 or -1..1"),
        (floats(0, 1.4), LABELS, r"none of 0..255, \[0, 1\] and \[-1, 1\]"),
        (floats(-3, 3), LABELS, r"none of 0..255, .*: undo the division by a standard deviation"),
        (floats(-1.2, 1.1), LABELS, r"none of 0..255, .*: clip them"),
        (floats(0, 255), LABELS, r"none of 0..255"),
        (pixels() // 255, LABELS, "cast before they were scaled"),
        (pixels() // 16, LABELS, "nothing brighter than half"),
        (pixels().astype(int) - 1, LABELS, "none of 0..255"),
        (with_value(np.nan), LABELS, "NaN or infinite"),
        (with_value(-np.inf), LABELS, "NaN or infinite"),
        (pixels() > 9, LABELS, "bool values"),
        (pixels().astype(complex), LABELS, "complex128 values"),
        (
            pixels()[:, :1],
            LABELS,
            r"grey images \(1 x 8 x 8\), but three's are colour \(3 x 8 x 8\): repeat the channel",
        ),
        (
            np.zeros((6, 3, 16, 16), np.uint8),
            LABELS,
            "make them that size, or compare at --set data.image_size=16",
        ),
        (np.zeros((6, 3, 8, 9), np.uint8), LABELS, "make them that size"),
        (pixels()[:, 0], LABELS, "must be N x C x H x W"),
        (pixels(), LABELS[:5], "5 labels for 6 images"),
        (pixels(), LABELS + 1, "label 3, but three has classes 0..2"),
        (pixels(), LABELS - 1, "label -1, but"),
        (pixels(), LABELS / 2, "one whole number an image, not float64"),
        (pixels(), np.eye(6, 3, dtype=int), "one whole number an image"),
        (pixels(), LABELS % 2, r"no image of class 2 \(cat\)"),
        (pixels()[:0], LABELS[:0], "holds no image"),
        (pixels()[:0], None, "holds no image"),
    ],
)
def test_doubtful_arrays_are_refused_in_one_sentence(tmp_path, images, labels, says):
    path = saved(tmp_path, images, labels)
    with pytest.raises(LtbenchError, match=says) as caught:
        read_samples(path, CELL)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_that_may_be_either_layout_is_refused(tmp_path):
    tiny = SimpleNamespace(**{**vars(CELL), "shape": (3, 3, 3)})
    with pytest.raises(UsageError, match="may be NCHW or NHWC"):
        read_samples(saved(tmp_path, pixels()[:, :, :3, :3]), tiny)


def test_a_wrong_range_is_noticed(tmp_path):
    with pytest.raises(DataCorrupt, match=r"outside the range 0..1 \(they go from 0 to 255\)"):
        read_samples(saved(tmp_path, pixels()), CELL, value_range="0..1")
    unit, signed = floats(0, 1).astype(np.float32), floats(-1, 1).astype(np.float32)
    for images, given, right in (
        (unit, "uint8", "0..1"),
        (signed, "uint8", "-1..1"),
        (unit, "-1..1", "0..1"),
    ):
        with pytest.raises(
            UsageError, match=f"give --range {right}"
        ):  # each would be scored, nearly black or grey
            read_samples(saved(tmp_path, images), CELL, value_range=given)
    with pytest.raises(UsageError, match="--range takes"):
        read_samples(saved(tmp_path, pixels()), CELL, value_range="0-1")


def test_files_that_are_not_what_they_seem(tmp_path):
    with pytest.raises(DataMissing, match="does not exist"):
        read_samples(tmp_path / "none.npz", CELL)
    (tmp_path / "made.pt").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"none of .npy, .npz, .safetensors"):
        read_samples(tmp_path / "made.pt", CELL)
    for name in ("a.npz", "a.safetensors", "a.npy"):
        whole = saved(tmp_path, pixels(), name=name).read_bytes()
        for content in (b"", b"not an array at all" * 9, whole[: len(whole) // 2]):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(
                DataCorrupt, match=f"{re.escape(name)}(:| is truncated or no) .*save the samples again"
            ):
                read_samples(tmp_path / name, CELL)
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataCorrupt, match="of plain arrays"):
        read_samples(tmp_path / "pickled.npy", CELL)
    np.savez(tmp_path / "odd.npz", faces=pixels())
    with pytest.raises(UsageError, match=r"holds faces: call the array of images 'images'"):
        read_samples(tmp_path / "odd.npz", CELL)
    with pytest.raises(UsageError, match="and only that one"):
        read_samples(saved(tmp_path, pixels(), samples=pixels()), CELL)


def test_label_files_that_are_none(tmp_path):
    path = saved(tmp_path, pixels(), name="theirs.npy")
    with pytest.raises(DataMissing, match=r"none\.txt: No such file"):
        read_samples(path, CELL, tmp_path / "none.txt")
    for name, content in (("a.txt", b"0\ncat\n"), ("b.txt", b"\xff\xfe"), ("c.npy", b"0 1 2")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataCorrupt, match=f"{name} holds no labels"):
            read_samples(path, CELL, tmp_path / name)


@pytest.mark.parametrize("name", ["theirs.npz", "theirs.npy", "theirs.safetensors", "adm.npz"])
def test_images_without_labels_are_read_as_one_set_and_said(tmp_path, name):
    path = saved(tmp_path, pixels(), None, name)
    if name == "adm.npz":
        np.savez(path, pixels())
    found = read_samples(path, CELL)
    np.testing.assert_array_equal(found.images, pixels())
    assert found.labels.tolist() == [UNLABELLED] * 6
    assert "no labels, so they are scored as one set" in found.recognised
    assert "--labels" in found.recognised


def test_an_array_that_may_hold_the_labels_is_named(tmp_path):
    path = saved(tmp_path, pixels(), None, classes=LABELS)
    assert (
        "add them as 'labels', as classes is called if it holds them," in read_samples(path, CELL).recognised
    )


def test_labels_that_contradict_the_files_own_are_refused(tmp_path):
    path, other = saved(tmp_path, pixels()), tmp_path / "labels.txt"
    other.write_text("\n".join(map(str, LABELS[::-1])))
    with pytest.raises(UsageError, match=r"theirs\.npz holds labels of its own, and .*labels\.txt others"):
        read_samples(path, CELL, other)
    other.write_text("\n".join(map(str, LABELS)))
    assert read_samples(path, CELL, other).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("images", [pixels().astype(np.uint16) * 257, pixels().astype(np.int16) - 128])
def test_another_scale_is_not_to_be_clipped(tmp_path, images):
    with pytest.raises(UsageError, match="scale them to one of these") as caught:
        read_samples(saved(tmp_path, images), CELL)
    assert "clip" not in str(caught.value)


def test_a_packed_array_file_is_to_be_unpacked(tmp_path):
    (tmp_path / "a.npy.gz").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"is packed: unpack it, and give a\.npy$"):
        read_samples(tmp_path / "a.npy.gz", CELL)


@pytest.mark.parametrize("parts", [("train", "val"), ("Training-Set", "test"), ("val",)])
def test_a_folder_of_a_sets_parts_is_told_that_samples_are_one_of_them(parts, tmp_path):
    """It said "name parts train and val" of parts that were so named."""
    for part in parts:
        for name in NAMES:
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(2):
                Image.fromarray(pixels()[i].transpose(1, 2, 0)).save(tmp_path / part / name / f"{i}.png")
    with pytest.raises(UsageError, match=re.escape(f"give one of them, such as {tmp_path / parts[0]}")):
        read_samples(tmp_path, CELL)
    assert len(read_samples(tmp_path / parts[0], CELL).images) == 6
    named = SimpleNamespace(**{**vars(CELL), "class_names": ("train", "val", "test")})
    if len(parts) > 1 and set(parts) <= {"train", "val"}:  # classes of those names are classes
        (tmp_path / "test").mkdir()
        with pytest.raises(LtbenchError) as refused:
            read_samples(tmp_path, named)
        assert "give one of them" not in str(refused.value)


@pytest.mark.parametrize(
    ("images", "part"),
    [
        (np.uint8(3), "images must be N x C x H x W"),  # was an internal error
        (pixels().transpose(1, 0, 2, 3), "theirs.npz holds images 6 x 8 x 8"),  # was "6 labels for 3 images"
        (pixels().reshape(6, -1), "images must be N x C x H x W"),
    ],
)
def test_images_of_no_layout_are_told_so_before_their_labels_are_counted(images, part, tmp_path):
    with pytest.raises(LtbenchError) as refused:
        read_samples(saved(tmp_path, images), CELL)
    assert part in str(refused.value)


@pytest.mark.parametrize(("kind", "named"), [(torch.bfloat16, "BF16"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_numbers_that_numpy_cannot_hold_are_named(kind, named, tmp_path):
    """It said that the file is truncated, or none of plain arrays, and to save it again."""
    path = tmp_path / "theirs.safetensors"
    save_tensors({"images": (torch.tensor(pixels()) / 255).to(kind)}, path)
    with pytest.raises(DataCorrupt, match=f"holds {named} values.*save it as float32"):
        read_samples(path, CELL)
