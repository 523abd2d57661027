"""Array files from outside: headers are checked before anything is read, and only what is asked for is read."""

import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from ltbench.errors import DataCorrupt, DataMissing, OutOfMemory, UsageError
from ltbench.interop import arrays
from ltbench.interop.arrays import ArrayFile, size_text


def header(shape, dtype="|u1"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_a_claim_larger_than_the_file_is_refused_before_reading(tmp_path):
    path = tmp_path / "big.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header((2 * 10**12,)) + b"few")
        archive.writestr("labels.npy", header((3,), "<i8") + bytes(24))
    found = ArrayFile(path)
    assert found.names == ("images", "labels")
    assert found.read("labels").tolist() == [0, 0, 0]
    with pytest.raises(DataCorrupt, match=r"array 'images' claims 2 TB, the file holds 131 bytes"):
        found.read("images")
    (tmp_path / "big.npy").write_bytes(header((2 * 10**12,)) + b"few")
    with pytest.raises(DataCorrupt, match="claims 2 TB"):
        ArrayFile(tmp_path / "big.npy")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["images.npy", "images"])
def test_two_arrays_of_one_name_are_refused(tmp_path, second):
    """The last was taken, and nothing said."""
    path = tmp_path / "two.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header((3,)) + bytes(3))
        archive.writestr(second, header((3,)) + b"abc")
    with pytest.raises(DataCorrupt, match="two.npz holds the name 'images' twice: save the samples again"):
        ArrayFile(path)


def test_more_than_this_machines_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "memory_bytes", lambda: 1000)
    np.savez(tmp_path / "a.npz", images=np.zeros(2000, np.uint8), labels=np.zeros(2, np.uint8))
    save_file({"images": np.zeros(2000, np.uint8)}, tmp_path / "a.safetensors")
    for name in ("a.npz", "a.safetensors"):
        with pytest.raises(OutOfMemory, match="has 2 kB, this machine 1 kB of memory: save it as .npy"):
            ArrayFile(tmp_path / name).read("images")
    np.save(tmp_path / "a.npy", np.zeros(2000, np.uint8))
    assert isinstance(ArrayFile(tmp_path / "a.npy").read("images"), np.memmap)


def test_arrays_that_are_not_needed_are_not_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=np.arange(5), other=np.array([{}], object))
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("other.npy").header_offset
    assert ArrayFile(path).read("images").tolist() == [0, 1, 2, 3, 4]
    content = bytearray(path.read_bytes())
    content[offset + 60] ^= 255  # a broken member beside the one that is wanted
    path.write_bytes(content)
    assert ArrayFile(path).read("images").tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataCorrupt, match="of plain arrays"):
        ArrayFile(path).read("other")


def test_endings_are_read_in_any_case_and_contents_by_their_own_word(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.arange(3))
    (tmp_path / "a.npz").rename(tmp_path / "A.NPZ")
    assert ArrayFile(tmp_path / "A.NPZ").read("images").tolist() == [0, 1, 2]
    (tmp_path / "A.NPZ").rename(tmp_path / "a.npy")
    assert ArrayFile(tmp_path / "a.npy").read("images").tolist() == [0, 1, 2]
    (tmp_path / "a.pt").touch()
    with pytest.raises(UsageError, match="none of .npy, .npz, .safetensors"):
        ArrayFile(tmp_path / "a.pt")


def test_other_files_are_named_by_their_content(tmp_path):
    torch.save({"images": torch.zeros(2)}, tmp_path / "a.pt")
    torch.save(torch.zeros(2), tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    for name, kind in (("a.pt", "a PyTorch file"), ("old.ckpt", "a Python pickle")):
        with pytest.raises(UsageError, match=rf"{name} is {kind}, which could run code .*numpy\.savez"):
            ArrayFile(tmp_path / name)
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(UsageError, match=r"a\.mat is a MATLAB file: save its arrays by numpy\.savez"):
        ArrayFile(tmp_path / "a.mat")


@pytest.mark.parametrize(
    "name", ["samples", "samples.dat", "samples.npz", "samples.npy", "samples.safetensors"]
)
@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_an_archive_of_images_is_one_by_any_name(tmp_path, name, form):
    if form == "zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("cat/0.png", b"x" * 600)
    else:
        with tarfile.open(tmp_path / name, "w:gz" if form == "tar.gz" else "w") as archive:
            archive.addfile(tarfile.TarInfo("cat/0.png"))
    with pytest.raises(UsageError, match="is an archive: unpack it, and give the folder of class folders"):
        ArrayFile(tmp_path / name)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataMissing, match="is a pipe or device"):
        ArrayFile(tmp_path / "a.npz")


def test_sizes_in_words():
    assert [size_text(n) for n in (12, 1500, 2 * 10**12, 3 * 10**15)] == [
        "12 bytes",
        "1.5 kB",
        "2 TB",
        "3e+03 TB",
    ]
