"""Sample sets: chunks joined in order, a sheet by hand, and what was damaged."""

import numpy as np
import pytest
from PIL import Image

from ltbench.errors import CheckpointError, DataCorrupt
from ltbench.runs.samples import (
    chunk_path,
    class_names_of,
    first_of_each_class,
    has_chunks,
    has_samples,
    join_chunks,
    load_confusion,
    load_samples,
    read_arrays,
    write_chunk,
    write_samples,
    write_sheet,
)


def grey(values, size=2):
    """Return one image of each grey value."""
    return np.array(values, np.uint8)[:, None, None, None].repeat(size, 2).repeat(size, 3)


def test_chunks_are_joined_in_order_and_gone(tmp_path):
    labels = np.array([0, 0, 1, 1, 2])
    for number, values in ((1, [3, 4]), (0, [1, 2]), (2, [5])):
        write_chunk(chunk_path(tmp_path, 2, number), grey(values))
    write_chunk(chunk_path(tmp_path, 3, 0), grey([9, 9, 9]))  # of another batch size
    assert has_chunks(tmp_path, 2)
    assert not has_chunks(tmp_path, 250)  # nothing of which would be used
    assert not has_samples(tmp_path)
    join_chunks(tmp_path, 2, 3, labels)
    images, stored = load_samples(tmp_path)
    assert images[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(stored, labels)
    assert not has_chunks(tmp_path, 2)


def test_a_chunk_that_was_changed_publishes_nothing(tmp_path):
    path = chunk_path(tmp_path, 2, 0)
    write_chunk(path, grey([1, 2]))
    np.save(path, grey([1, 3]))
    with pytest.raises(DataCorrupt, match="delete it and run again"):
        join_chunks(tmp_path, 2, 1, np.zeros(2, int))
    assert not has_samples(tmp_path)


def test_the_first_of_each_class_and_none_where_none_is_labelled(tmp_path):
    write_samples(tmp_path / "a", grey([1, 2, 3, 4]), np.array([1, 0, 1, 1]))
    shown = first_of_each_class(tmp_path / "a", 2, ["0", "1", "macro"])
    assert {c: images[:, 0, 0, 0].tolist() for c, images in shown.items()} == {"0": [2], "1": [1, 3]}
    write_samples(tmp_path / "b", grey([1]), np.array([-1]))
    assert first_of_each_class(tmp_path / "b", 2, ["0"]) is None
    assert first_of_each_class(tmp_path / "c", 2, ["0"]) is None


def test_a_sheet_has_a_row_a_class_and_black_where_images_lack(tmp_path):
    """Images of 16 pixels a side are doubled: 2 rows of 10 places of 32x32."""
    write_sheet(tmp_path / "sheet.png", grey([10, 20, 30], 16), np.array([4, 7, 7]))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (64, 320)
    places = sheet.reshape(2, 32, 10, 32)
    assert (places == places[:, :1, :, :1]).all()
    assert places[:, 0, :, 0].tolist() == [[10, *[0] * 9], [20, 30, *[0] * 8]]


def test_a_sheet_of_unlabelled_images_is_ten_by_ten(tmp_path):
    write_sheet(tmp_path / "sheet.png", grey(range(120), 32), np.full(120, -1))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet[::32, ::32].ravel().tolist() == list(range(100))


def test_a_confusion_is_read_by_label(tmp_path):
    assert load_confusion(tmp_path) is None
    assert class_names_of(tmp_path) == []
    (tmp_path / "confusion.csv").write_text('label,cat,"dog, old"\n0,3,1\n1,0,4\n')
    frame = load_confusion(tmp_path)
    assert frame.loc["0", "1"] == 1
    assert frame.loc["1", "0"] == 0
    assert class_names_of(tmp_path) == ["cat", "dog, old"]
    (tmp_path / "confusion.csv").write_text("label,cat\n0,many\n")
    with pytest.raises(CheckpointError, match=r"confusion\.csv cannot be read"):
        load_confusion(tmp_path)


def test_arrays_of_some_names_or_all(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones(1))
    assert list(read_arrays(tmp_path / "a.npz", "delete it")) == ["x", "y"]
    assert list(read_arrays(tmp_path / "a.npz", "delete it", ["y"])) == ["y"]
    with pytest.raises(CheckpointError, match="delete it"):
        read_arrays(tmp_path / "a.npz", "delete it", ["z"])
