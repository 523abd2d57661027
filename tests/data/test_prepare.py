import csv
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from PIL import Image

import ltbench.data.dataset as data
from ltbench.data.prepare import convert as conversion
from ltbench.data.prepare import prepare as preparation
from ltbench.data.prepare.convert import convert
from ltbench.data.prepare.prepare import prepare
from ltbench.data.prepare.verify import verify
from ltbench.data.sources.celeba5 import CELEBA5, Celeba5
from ltbench.data.sources.imagenet_lt import IMAGENET_LT, TRAIN_LIST, VAL_LIST, git_blob_id
from ltbench.errors import DataCorrupt, DataMissing, DiskFull, Interrupted, UsageError
from ltbench.plugins import Extension
from ltbench.specs import DataSpec


def write_image(path, seed, size=(23, 31), mode="RGB", format=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4) if mode == "L" else (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).convert(mode)
    image.save(path, format, **({"quality": 90} if path.suffix.lower() in (".jpg", ".jpeg") else {}))


ODD = [((23, 31), "RGB"), ((64, 64), "L"), ((7, 90), "CMYK"), ((178, 218), "RGB"), ((1, 1), "RGB")]


def write_classes(root, counts, start=0):
    """Write class folders a, b, c, ... of JPEGs in odd sizes and modes."""
    for k, n in enumerate(counts):
        for i in range(n):
            size, mode = ODD[(i + k) % len(ODD)]
            write_image(root / "abcdefgh"[k] / f"{i:04d}.jpg", start + 100 * k + i, size, mode)
    return root


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(preparation, "CHUNK", 4)


@pytest.fixture
def use(monkeypatch):
    def put(source):
        monkeypatch.setitem(data.SOURCES.extensions(), source.name, Extension(source.name, source, "tests"))
        return source

    return put


class Progress(list):
    def __call__(self, done, total):
        self.append((done, total))


# --- one image ----------------------------------------------------------------------------------------


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def test_the_central_square_is_kept_and_nothing_beside_it():
    wide = np.zeros((20, 50, 3), np.uint8)
    wide[:, 15:35] = (10, 200, 30)
    for array in (wide, wide.transpose(1, 0, 2)):
        pixels = convert(encoded(Image.fromarray(array)), "x", 8, 3)
        assert pixels.shape == (3, 8, 8)
        assert (pixels == np.array([10, 200, 30])[:, None, None]).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA"])
def test_every_8_bit_mode_becomes_rgb(mode):
    image = Image.new("RGB", (12, 12), (255, 255, 255)).convert(mode)
    content = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    assert (convert(content, "x", 8, 3) == 255).all()
    assert convert(content, "x", 8, 1).shape == (1, 8, 8)


def test_pixels_are_not_changed_where_the_size_is_right():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(convert(encoded(Image.fromarray(pixels)), "x", 16, 3), pixels.transpose(2, 0, 1))


JPEG = encoded(Image.effect_noise((64, 64), 80), "JPEG")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or no image"),
        (b"a text file", "truncated or no image"),
        (JPEG[: len(JPEG) // 2], "truncated or no image"),
        (JPEG[:3], "truncated or no image"),
        (encoded(Image.effect_noise((64, 64), 80))[:-200], "truncated or no image"),
        (encoded(Image.new("I;16", (8, 8))), "more than 8 bits"),
    ],
    ids=["empty", "text", "half a jpeg", "three bytes", "cut png", "16 bits"],
)
def test_a_broken_image_is_named(content, message):
    with pytest.raises(DataCorrupt, match=f"^some/name.jpg .*{message}"):
        convert(content, "some/name.jpg", 8, 3)


# --- folder_lt ----------------------------------------------------------------------------------------


def test_folder_of_class_folders(tmp_path):
    source = write_classes(tmp_path / "birds", [12, 10, 15])
    made = prepare("folder_lt", source, tmp_path, image_size=16, workers=1)
    assert made.folder == tmp_path / "prepared" / "folder_lt-birds-16"
    spec = DataSpec(dataset="folder_lt", imbalance_ratio=0.5)
    cell = data.load_dataset(spec, tmp_path)
    assert cell.shape == (3, 16, 16)
    assert cell.class_names == ("a", "b", "c")
    assert not cell.heldout_in_reference
    # A fifth of the smallest class is held out of each, and as many are the reference.
    assert np.bincount(cell.heldout.labels).tolist() == [2, 2, 2]
    assert np.bincount(cell.reference.labels).tolist() == [2, 2, 2]
    assert cell.counts.tolist() == [6, 4, 3]
    every = data.load_dataset(DataSpec(dataset="folder_lt", profile="asis"), tmp_path)
    assert every.counts.tolist() == [8, 6, 11]
    assert every.head_to_tail == (2, 0, 1)
    assert isinstance(every.train.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        every.train.images[0] = 0
    rows = list(csv.DictReader((made.folder / "source_list.csv").read_text().splitlines()))
    row = next(row for row in rows if row["set"] == "heldout")
    expected = convert((source / row["file"]).read_bytes(), "", 16, 3)
    assert np.array_equal(cell.heldout.images[0], expected)
    assert len({(row["set"], row["file"]) for row in rows}) == 37
    assert cell.manifest["source"]["prepared"] == made.hash


def test_folder_with_its_own_held_out_images(tmp_path):
    write_classes(tmp_path / "src" / "train", [6, 3])
    write_classes(tmp_path / "src" / "val", [2, 2], start=5000)
    write_classes(tmp_path / "src" / "test", [1, 1], start=9000)
    prepare("folder_lt", tmp_path / "src", tmp_path, image_size=8, workers=1)
    cell = data.load_dataset(DataSpec(dataset="folder_lt", profile="asis"), tmp_path)
    assert cell.counts.tolist() == [6, 3]
    assert np.bincount(cell.reference.labels).tolist() == [3, 3]
    assert cell.reference.sha256 == cell.heldout.sha256


def test_several_prepared_folders_are_told_apart_by_content(tmp_path):
    hashes = {}
    for name, start in (("x", 0), ("y", 1000)):
        write_classes(tmp_path / name, [5, 5], start=start)
        hashes[name] = prepare("folder_lt", tmp_path / name, tmp_path, image_size=8, workers=1).hash
    assert hashes["x"] != hashes["y"]
    spec = DataSpec(dataset="folder_lt", imbalance_ratio=1.0)
    with pytest.raises(
        UsageError, match=f"choose by name .* or by content .*: there is .*at 8 pixels, {hashes['x'][:8]}"
    ):
        data.resolve_data(spec, tmp_path)
    resolved = data.resolve_data(spec.model_copy(update={"content": hashes["y"][:8]}), tmp_path)
    assert (resolved.content, resolved.image_size) == (hashes["y"], 8)
    assert data.load_dataset(resolved, tmp_path).manifest["source"]["prepared"] == hashes["y"]
    with pytest.raises(DataMissing, match="content 0123 is not prepared"):
        data.resolve_data(spec.model_copy(update={"content": "0123"}), tmp_path)
    with pytest.raises(
        DataMissing, match=r"folder_lt at 32x32 is not prepared under .*FOLDER --image-size 32`$"
    ):
        data.load_dataset(spec.model_copy(update={"image_size": 32}), tmp_path)
    with pytest.raises(UsageError, match="digits_lt has none"):
        data.resolve_data(DataSpec(dataset="digits_lt", content="abc"), tmp_path)


def test_the_hash_says_what_the_images_are_not_where_they_were(tmp_path):
    one, other = (write_classes(tmp_path / where / "src", [6, 5]) for where in ("one", "other"))
    first = prepare("folder_lt", one, tmp_path / "p", image_size=8, workers=1)
    second = prepare("folder_lt", other, tmp_path / "q", image_size=8, workers=1)
    assert first.hash == second.hash
    write_image(other / "a" / "0000.jpg", 77)
    assert prepare("folder_lt", other, tmp_path / "r", image_size=8, workers=1).hash != first.hash


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda root: (root / "a").mkdir(), UsageError, "has 1 class folders: at least two"),
        (
            lambda root: write_classes(root, [6, 1]),
            UsageError,
            "/b has one image, and without a val folder 3 are",
        ),
        (lambda root: (write_classes(root, [6, 6]), (root / "c").mkdir()), DataMissing, "/c holds no image"),
        (
            lambda root: (write_classes(root / "train", [3, 3]), write_classes(root / "val", [3])),
            UsageError,
            "class folder b in only one of train and val",
        ),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path, build, error, message):
    (tmp_path / "src").mkdir()
    build(tmp_path / "src")
    with pytest.raises(error, match=message):
        prepare("folder_lt", tmp_path / "src", tmp_path, workers=1)


# --- stopping, resuming, checking ---------------------------------------------------------------------


def test_a_broken_file_is_named_and_after_mending_only_the_rest_is_done(tmp_path):
    source = write_classes(tmp_path / "src", [14, 14])
    clean = prepare("folder_lt", source, tmp_path / "clean", image_size=8, workers=1)
    broken = source / "b" / "0012.jpg"
    content = broken.read_bytes()
    broken.write_bytes(content[:80])
    with pytest.raises(DataCorrupt, match=r"src/b/0012\.jpg is truncated or no image"):
        prepare("folder_lt", source, tmp_path, image_size=8, workers=1)
    assert data.get_source("folder_lt").candidates(tmp_path, None) == []
    broken.write_bytes(content)
    progress = Progress()
    made = prepare("folder_lt", source, tmp_path, image_size=8, workers=1, progress=progress)
    assert 0 < progress[0][0] < progress[0][1] == progress[-1][0] == 28
    assert made.hash == clean.hash
    assert not list((tmp_path / "prepared").glob(".*"))


def test_a_stray_file_in_a_class_folder_is_not_passed_over(tmp_path):
    source = write_classes(tmp_path / "src", [5, 5])
    (source / ".DS_Store").write_text("hidden files are")
    (source / "a" / ".DS_Store").write_text("hidden files are")
    prepare("folder_lt", source, tmp_path / "p", workers=1)
    (source / "a" / "notes.txt").write_text("not an image")
    with pytest.raises(DataCorrupt, match=r"a/notes\.txt is truncated or no image .*mend or remove it"):
        prepare("folder_lt", source, tmp_path / "q", workers=1)


def test_files_changed_between_two_attempts_are_converted_again(tmp_path):
    source = write_classes(tmp_path / "src", [14, 14])

    def stop(done, _total):
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="stopped after 20 of 28 images"):
        prepare("folder_lt", source, tmp_path, image_size=8, workers=1, progress=stop)
    write_image(source / "a" / "0005.jpg", 4242)
    made = prepare("folder_lt", source, tmp_path, image_size=8, workers=1)
    assert made.hash == prepare("folder_lt", source, tmp_path / "clean", image_size=8, workers=1).hash


def test_killed_and_started_again_gives_the_same_folder(tmp_path):
    source = write_classes(tmp_path / "src", [14, 14])
    code = (
        "import sys; from ltbench.data.prepare import prepare as p; p.CHUNK = 4\n"
        "def shout(done, total):\n    print(done, flush=True)\n    if done >= 12: sys.stdin.read()\n"
        f"p.prepare('folder_lt', {str(source)!r}, {str(tmp_path)!r}, image_size=8, workers=1, progress=shout)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    while int(child.stdout.readline()) < 12:
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    log = tmp_path / "prepared" / ".folder_lt-src-8.partial" / "progress.log"
    log.write_text(log.read_text()[:-5])  # as if the last line had been cut short
    progress = Progress()
    made = prepare("folder_lt", source, tmp_path, image_size=8, workers=1, progress=progress)
    assert progress[0] == (8, 28)
    assert made.hash == prepare("folder_lt", source, tmp_path / "clean", image_size=8, workers=1).hash


def test_several_processes_give_the_same_folder_and_pass_on_errors(tmp_path):
    source = write_classes(tmp_path / "src", [14, 14])
    one = prepare("folder_lt", source, tmp_path / "one", image_size=8, workers=1)
    two = prepare("folder_lt", source, tmp_path / "two", image_size=8, workers=2)
    assert one.hash == two.hash
    for name in ("train.npy", "heldout.npy", "train.labels.npy", "source_list.csv"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    (source / "b" / "0001.jpg").write_bytes(b"no image")
    with pytest.raises(DataCorrupt, match=r"b/0001\.jpg"):
        prepare("folder_lt", source, tmp_path / "three", image_size=8, workers=2)


def test_prepared_once_is_not_prepared_again(tmp_path, monkeypatch):
    source = write_classes(tmp_path / "src", [5, 5])
    first = prepare("folder_lt", source, tmp_path, workers=1)
    monkeypatch.setattr(conversion, "convert", None)
    assert prepare("folder_lt", source, tmp_path, workers=1).hash == first.hash
    monkeypatch.undo()
    write_image(source / "a" / "new.jpg", 1)
    other = prepare("folder_lt", source, tmp_path, image_size=32, workers=1)
    assert other.hash != first.hash
    assert other.folder != first.folder
    assert other.name.startswith("src-")
    assert prepare("folder_lt", source, tmp_path, workers=1).folder == other.folder
    with pytest.raises(UsageError, match=r"src-32 was prepared from other images .* another --name"):
        prepare("folder_lt", source, tmp_path, workers=1, own_name="src")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a b", "\x1b[2J", "é"])
def test_a_name_that_names_no_folder_is_refused(tmp_path, name):
    source = write_classes(tmp_path / "src", [5, 5])
    with pytest.raises(UsageError, match="it names a folder"):
        prepare("folder_lt", source, tmp_path / "data", workers=1, own_name=name)
    assert not (tmp_path / "data").exists()


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch):
    source = write_classes(tmp_path / "src", [5, 5])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFull, match="no space left"):
        prepare("folder_lt", source, tmp_path, workers=1)


def spoil_byte(folder):
    path = folder / "train.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "named", "loads"),
    [
        (spoil_byte, "train.npy was changed", True),
        (lambda f: np.save(f / "train.labels.npy", np.arange(6) % 2), "train.npy was changed", True),
        (lambda f: (f / "source_list.csv").unlink(), "source_list.csv was changed or is missing", True),
        (lambda f: os.truncate(f / "train.npy", 300), "train.npy is truncated", False),
        (lambda f: np.save(f / "train.npy", np.zeros(3, np.uint8)), "train.npy is not what", False),
        (lambda f: (f / "heldout.npy").unlink(), "heldout.npy is missing", False),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json cannot be read", False),
        (
            lambda f: (f / "manifest.json").write_text(
                (f / "manifest.json").read_text().replace('"a"', '"b"')
            ),
            "manifest.json was changed",
            False,
        ),
    ],
    ids=["byte", "labels", "list", "truncated", "other array", "missing", "no json", "edited"],
)
def test_verify_names_what_differs(tmp_path, spoil, named, loads):
    made = prepare("folder_lt", write_classes(tmp_path / "src", [5, 5]), tmp_path, image_size=8, workers=1)
    progress = Progress()
    assert [folder.hash for folder in verify("folder_lt", tmp_path, progress)] == [made.hash]
    assert progress[-1] == (3, 3)
    spoil(made.folder)
    with pytest.raises((DataCorrupt, DataMissing), match=named):
        verify("folder_lt", tmp_path)
    spec = DataSpec(dataset="folder_lt", imbalance_ratio=1.0)
    if loads:
        data.load_dataset(spec, tmp_path)  # opening reads no pixel
    else:
        with pytest.raises((DataCorrupt, DataMissing), match=named):
            data.load_dataset(spec, tmp_path)
    assert len(data.list_sources(1.0, tmp_path)) == len(
        data.SOURCES.all()
    )  # one broken folder hides no other source


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: prepare("digits_lt", p, p), UsageError, "needs no preparing"),
        (lambda p: prepare("folder", p, p), UsageError, "did you mean 'folder_lt'"),
        (lambda p: prepare("folder_lt", p / "no", p), DataMissing, "does not exist"),
        (lambda p: prepare("folder_lt", p, p, image_size=4), UsageError, r"no image size 4: use 8\.\.256"),
        (lambda p: prepare("folder_lt", p, p, workers=0), UsageError, "--workers 0"),
        (lambda p: verify("cifar10_lt", p), UsageError, "checked whenever"),
        (lambda p: verify("celeba5", p), DataMissing, "ltbench data prepare celeba5"),
        (
            lambda p: data.load_dataset(DataSpec(dataset="celeba5"), p),
            DataMissing,
            "ltbench data prepare celeba5",
        ),
    ],
)
def test_what_cannot_be_prepared_or_verified(tmp_path, call, error, message):
    with pytest.raises(error, match=message):
        call(tmp_path)


# --- celeba5 ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TinyCeleba(Celeba5):
    def split_rows(self):
        return [
            (split, f"{100 * s + 10 * k + i:06d}.jpg", k)
            for s, (split, counts) in enumerate(
                (("train", (3, 6, 5, 4, 2)), ("val", (1,) * 5), ("test", (2,) * 5))
            )
            for k, n in enumerate(counts)
            for i in range(n)
        ] + [("test", "000010.jpg", 4)]  # also in train, as 32 of the real split are


@pytest.fixture
def tiny_celeba(use):
    facts = {f.name: getattr(CELEBA5, f.name) for f in fields(CELEBA5)}
    return use(TinyCeleba(**{**facts, "pool": (3, 6, 5, 4, 2)}))


def write_celeba(folder, source):
    for i, (_, name, _) in enumerate(source.split_rows()):
        write_image(folder / name, i, (178, 218))
    write_image(folder / "202599.jpg", 1, (178, 218))  # CelebA has many images that the split leaves out


def test_celeba_from_folder_zip_and_torchvision_layout(tmp_path, tiny_celeba):
    folder = tmp_path / "tv" / "celeba" / "img_align_celeba"
    write_celeba(folder, tiny_celeba)
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")
    with zipfile.ZipFile(tmp_path / "kaggle.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"img_align_celeba/img_align_celeba/{path.name}")
    (tmp_path / "authors" / "Img").mkdir(parents=True)
    shutil.copy(tmp_path / "img_align_celeba.zip", tmp_path / "authors" / "Img")
    hashes = {
        prepare("celeba5", path, tmp_path / str(i), workers=1).hash
        for i, path in enumerate(
            (
                *(folder, folder.parent, tmp_path / "tv"),
                *(tmp_path / "img_align_celeba.zip", tmp_path, tmp_path / "authors", tmp_path / "kaggle.zip"),
            )
        )
    }
    assert len(hashes) == 1
    cell = data.load_dataset(DataSpec(dataset="celeba5", profile="asis"), tmp_path / "0")
    assert cell.shape == (3, 64, 64)
    assert cell.counts.tolist() == [3, 6, 5, 4, 2]
    assert cell.head_to_tail == (1, 2, 3, 0, 4)
    assert np.bincount(cell.reference.labels).tolist() == [3, 3, 3, 3, 4]
    assert np.bincount(cell.heldout.labels).tolist() == [3] * 5
    assert cell.heldout_in_reference
    assert np.array_equal(cell.train.images[0], convert((folder / "000000.jpg").read_bytes(), "", 64, 3))
    balanced = data.load_dataset(DataSpec(dataset="celeba5", imbalance_ratio=1.0), tmp_path / "0")
    assert balanced.counts.tolist() == [2] * 5


def test_celeba_in_several_processes_from_a_zip(tmp_path, tiny_celeba):
    write_celeba(tmp_path / "img_align_celeba", tiny_celeba)
    one = prepare("celeba5", tmp_path, tmp_path / "one", workers=1)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted((tmp_path / "img_align_celeba").iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")
    assert prepare("celeba5", tmp_path / "x.zip", tmp_path / "two", workers=2).hash == one.hash


def test_celeba_files_that_are_broken(tmp_path, tiny_celeba):
    with pytest.raises(DataMissing, match="none of CelebA's aligned images"):
        prepare("celeba5", tmp_path, tmp_path / "out", workers=1)
    folder = tmp_path / "img_align_celeba"
    write_celeba(folder, tiny_celeba)
    (folder / "000012.jpg").unlink()
    with pytest.raises(DataMissing, match=r"000012\.jpg is missing \(1 of the split's 35 images are\)"):
        prepare("celeba5", tmp_path, tmp_path / "out", workers=1)
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(DataCorrupt, match=r"cut\.zip is truncated or no zip file"):
        prepare("celeba5", tmp_path / "cut.zip", tmp_path / "out", workers=1)


def test_the_shipped_celeba_split_is_m2ms():
    rows = CELEBA5.split_rows()
    counts = {
        split: Counter(label for s, _, label in rows if s == split) for split in ("train", "val", "test")
    }
    assert [counts["train"][k] for k in range(5)] == list(CELEBA5.pool) == [424, 2423, 1499, 2078, 227]
    assert set(counts["val"].values()) == {50}
    assert set(counts["test"].values()) == {100}
    assert len(rows) == 6651 + 250 + 500
    # The published split is not clean: an image may have two labels, and 32 are in train and in val or test.
    labels, splits = {}, {}
    for split, name, label in rows:
        labels.setdefault(name, set()).add(label)
        splits.setdefault(name, set()).add("train" if split == "train" else "other")
    assert sum(len(found) == 2 for found in labels.values()) == 210
    assert sum(len(found) == 2 for found in splits.values()) == 32


# --- imagenet_lt --------------------------------------------------------------------------------------

WNIDS = ("n01440764", "n01443537", "n01484850")


def write_imagenet(root, use, counts=(120, 30, 4)):
    """Write a tiny ImageNet with lists in the official format; register the source that expects them."""
    lists, blobs, stated = {}, [], []
    for name, offset, sizes in ((TRAIN_LIST, 0, counts), (VAL_LIST, 1000, (2, 2, 2))):
        lines = []
        for k, n in enumerate(sizes):
            for i in range(offset, offset + n):
                file = f"train/{WNIDS[k]}/{WNIDS[k]}_{i}.JPEG"
                lines.append(f"{file} {k}\n")
                write_image(root / file, i, (9, 12), "L" if i % 7 == 0 else "RGB", "JPEG")
        lists[name] = "".join(lines).encode()
        (root / name).write_bytes(lists[name])
        blobs.append((name, git_blob_id(lists[name])))
        stated.append((sum(sizes), max(sizes), min(sizes)))
    use(replace(IMAGENET_LT, num_classes=3, blobs=tuple(blobs), sizes_stated=tuple(stated)))


def test_imagenet_lt(tmp_path, use):
    write_imagenet(tmp_path / "in", use)
    made = prepare("imagenet_lt", tmp_path / "in", tmp_path, workers=1)
    cell = data.load_dataset(DataSpec(dataset="imagenet_lt", profile="asis"), tmp_path)
    assert cell.shape == (3, 64, 64)
    assert cell.class_names == WNIDS
    assert cell.counts.tolist() == [120, 30, 4]
    assert cell.groups == {"many": (0,), "medium": (1,), "few": (2,)}
    assert np.bincount(cell.reference.labels).tolist() == [2, 2, 2]
    assert data.get_source("imagenet_lt").pool_sizes(tmp_path) == (120, 30, 4)
    for path in (tmp_path / "in" / "train", tmp_path / "in"):  # the train folder itself, lists elsewhere
        again = prepare("imagenet_lt", path, tmp_path / path.name, lists=tmp_path / "in", workers=1)
        assert again.hash == made.hash


def test_imagenet_files_that_are_broken(tmp_path, use):
    root = tmp_path / "in"
    write_imagenet(root, use, counts=(3, 3, 3))
    (root / "train" / WNIDS[1] / f"{WNIDS[1]}_1.JPEG").unlink()
    with pytest.raises(DataMissing, match=r"n01443537_1\.JPEG is missing \(1 of the lists' \d+ images are\)"):
        prepare("imagenet_lt", root, tmp_path, workers=1)
    with pytest.raises(DataMissing, match="has no folder train/n01440764"):
        prepare("imagenet_lt", tmp_path / "in" / "train" / WNIDS[0], tmp_path, lists=root, workers=1)
    (root / VAL_LIST).write_bytes((root / VAL_LIST).read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(DataCorrupt, match=r"ImageNet_LT_val\.txt is not the official list"):
        prepare("imagenet_lt", root, tmp_path, workers=1)
    (root / TRAIN_LIST).unlink()
    with pytest.raises(DataMissing, match=r"ImageNet_LT_train\.txt is missing: get it from .* --lists"):
        prepare("imagenet_lt", root, tmp_path, workers=1)


def test_git_blob_id_is_gits():
    assert git_blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_manifest_is_readable_and_whole(tmp_path):
    made = prepare("folder_lt", write_classes(tmp_path / "src", [5, 5]), tmp_path, image_size=8, workers=1)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["identity"]["sets"]["train"]["counts"] == [3, 3]
    assert manifest["identity"]["resampling"] == "centre crop to a square, Pillow Lanczos"
    assert manifest["made"]["from"] == str(tmp_path / "src")
    assert str(tmp_path) not in json.dumps(manifest["identity"])
