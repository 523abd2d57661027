"""What a file is by its content: archives and other files under names that are not theirs."""

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from ltbench.data.file_kind import kind_of, kind_of_file


def _zip(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _tar(form):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        archive.addfile(tarfile.TarInfo("cat/0.png"))
    return buffer.getvalue()


def _v7():
    """A tar header of before 1988: no ``ustar``, its checksum alone."""
    block = bytearray(_tar(tarfile.USTAR_FORMAT)[:512])
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block)
    return bytes(block) + bytes(1024)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (_zip(a=b"x"), "an archive"),
        (_zip(), "an archive"),
        (_zip(a=b"x" * 900)[:200], "an archive"),  # cut: no directory at its end
        (_tar(tarfile.GNU_FORMAT), "an archive"),
        (_tar(tarfile.PAX_FORMAT), "an archive"),
        (_v7(), "an archive"),
        (gzip.compress(b"x"), "an archive"),
        (pickle.dumps([1]), "a Python pickle"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x00\x00\x00\x18ftypheic", "a HEIC image"),
        (b"\x00\x00\x00\x18ftypavif", "an AVIF image"),
        (b"\x00\x00\x00\x18ftypisom", "a video"),
        (b"%PDF-1.4", "a PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "an EPS drawing"),
        (b"\x01\x00\x00\x00" + bytes(36) + b" EMF", "an EMF drawing"),
        (b"\n <!DOCTYPE html><p>404", "an HTML page"),
        (b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
        (b"label,name\n0,cat\n", "text"),
        ("é".encode() * 255 + "é".encode()[:1], "text"),  # a letter cut in two by the limit
        (b"\xff\xd8\xff\xe0", None),
        (b"\xff", None),
        (b"", None),
        (bytes(2000), None),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else None,  # content holds the time
)
def test_a_file_is_what_it_holds(tmp_path, content, kind):
    (tmp_path / "file.png").write_bytes(content)
    assert kind_of_file(tmp_path / "file.png") == kind


def test_files_that_are_archives_inside_are_told_from_archives(tmp_path):
    torch.save(torch.zeros(2), tmp_path / "a")
    assert kind_of_file(tmp_path / "a") == "a PyTorch file"
    np.savez(tmp_path / "a.npz", images=np.zeros(2))
    assert kind_of_file(tmp_path / "a.npz") == "NumPy arrays"
    assert kind_of((tmp_path / "a").read_bytes()) == "an archive"  # by its head alone
