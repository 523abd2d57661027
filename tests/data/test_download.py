"""Downloads: whole and right, or no file and one sentence."""

import hashlib
import socket

import pytest

from ltbench.data.download import download, reachable
from ltbench.errors import DataCorrupt, DataMissing


def test_a_file_is_there_when_it_is_whole_and_right(served, tmp_path):
    folder, address = served
    (folder / "a.bin").write_bytes(b"images")
    target = tmp_path / "data" / "a.bin"
    target.parent.mkdir()
    timeout = socket.getdefaulttimeout()
    download(f"{address}/a.bin", target, hashlib.md5(b"images").hexdigest(), "get it")
    assert target.read_bytes() == b"images"
    with pytest.raises(DataCorrupt, match=r"did not send the original file \(md5 0{32}\): get it"):
        download(f"{address}/a.bin", tmp_path / "data" / "b.bin", "0" * 32, "get it")
    with pytest.raises(DataMissing, match="broke off .*try again, or get it"):
        download(f"{address}/none", tmp_path / "data" / "c.bin", "0" * 32, "get it")
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]
    assert socket.getdefaulttimeout() == timeout


def test_a_server_that_answers_anything_is_reachable(served, tmp_path):
    assert reachable(f"{served[1]}/none")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/a"  # bound, and nobody listens
        assert not reachable(nobody)
        with pytest.raises(DataMissing, match=f"{nobody} cannot be reached: get it"):
            download(nobody, tmp_path / "a", "0" * 32, "get it")
    assert not reachable("no address")
