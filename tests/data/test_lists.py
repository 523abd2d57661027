"""Lists of images and labels, as people write them."""

import tracemalloc

import pytest

from ltbench.data.lists import labelled, read_list
from ltbench.errors import DataCorrupt, DataMissing


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a/x.jpg 0\nb/y.jpg 1\n", [("a/x.jpg", "0"), ("b/y.jpg", "1")]),
        (
            b"\xef\xbb\xbfa b/x y.jpg 0\r\n\r\n# made by hand\r\nb/y.jpg\t1",
            [("a b/x y.jpg", "0"), ("b/y.jpg", "1")],
        ),
        (b"a/x.jpg,cat\nb/y.jpg;dog\n", [("a/x.jpg", "cat"), ("b/y.jpg", "dog")]),
        ("ä/x.jpg 0\n".encode("utf-16"), [("ä/x.jpg", "0")]),
    ],
)
def test_a_list_is_read_as_people_write_it(tmp_path, content, rows):
    (tmp_path / "list.txt").write_bytes(content)
    assert read_list(tmp_path / "list.txt") == rows


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a.jpg 0\nb.jpg\n", "line 2: 'b.jpg' is no `PATH LABEL`"),
        (b"\n", "lists no image"),
        (b"\xff\xfa", "UTF-8"),
        ("a.jpg 0\n".encode("utf-16-le"), "UTF-16 without a mark: save it as UTF-8"),
    ],
)
def test_a_list_that_is_none(tmp_path, content, says):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataCorrupt, match=says):
        read_list(tmp_path / "list.txt")
    with pytest.raises(DataMissing, match="none.txt is missing"):
        read_list(tmp_path / "none.txt")


def test_labels_of_lists(tmp_path):
    rows, names = labelled(tmp_path, [[("x/cat/1.png", "0"), ("x/dog/1.png", "1")], [("v/1.png", "1")]])
    assert names == ("cat", "dog")
    assert rows[1] == [("v/1.png", 1)]
    assert labelled(tmp_path, [[("x/1.png", "0"), ("x/2.png", "1")]])[1] == ("0", "1")
    rows, names = labelled(tmp_path, [[("1.png", "dog"), ("2.png", "cat")]])
    assert names == ("cat", "dog")
    assert rows[0][0] == ("1.png", 1)
    with pytest.raises(DataCorrupt, match="no image of class 1"):
        labelled(tmp_path, [[("1.png", "0"), ("2.png", "2")]])


def test_a_huge_label_is_refused_before_anything_of_that_size_is_made(tmp_path):
    tracemalloc.start()
    with pytest.raises(DataCorrupt, match="no image of class 1"):
        labelled(tmp_path, [[("1.png", "0"), ("2.png", "999999")]])
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
