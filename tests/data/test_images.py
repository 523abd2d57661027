"""Sets of labelled images: what they are, their digests, and the seeded cuts that make them comparable."""

import hashlib

import numpy as np
import pytest
from tiny_runs import digits

from ltbench.data.images import ImageSet, balanced, content_sha256, halves


def made(counts, seed=0, shape=(1, 2, 2)):
    """Return a set with so many images a class, in mixed order."""
    stream = np.random.default_rng(seed)
    labels = stream.permutation(np.repeat(np.arange(len(counts)), counts))
    return ImageSet(stream.integers(0, 256, (len(labels), *shape), np.uint8), labels)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (np.zeros((2, 1, 2, 2), np.float32), np.zeros(2, np.int64), "uint8 images"),
        (np.zeros((2, 2, 2), np.uint8), np.zeros(2, np.int64), "uint8 images"),
        (np.zeros((2, 1, 2, 2), np.uint8), np.zeros(2, np.int32), "int64 labels"),
        (np.zeros((2, 1, 2, 2), np.uint8), np.zeros(3, np.int64), "2 images but 3 labels"),
    ],
)
def test_what_is_no_set_is_refused(images, labels, says):
    with pytest.raises(ValueError, match=says):
        ImageSet(images, labels)


def test_rows_are_each_classs_positions_and_only_of_classes_that_have_images():
    images = ImageSet(np.zeros((4, 1, 1, 1), np.uint8), np.array([2, 0, 2, 2]))
    assert {k: rows.tolist() for k, rows in images.rows.items()} == {0: [1], 2: [0, 2, 3]}
    assert len(images) == 4


def test_digests_are_of_pixels_labels_and_for_one_of_them_shape():
    pixels, labels = np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2), np.array([1, 0])
    data = pixels.tobytes() + labels.astype("<i8").tobytes()
    images = ImageSet(pixels, labels)
    assert images.sha256 == hashlib.sha256(b"(2, 1, 2, 2)" + data).hexdigest()
    assert images.score_sha256 == hashlib.sha256(data).hexdigest()
    tall = ImageSet(pixels.reshape(2, 1, 4, 1), labels)
    assert tall.score_sha256 == images.score_sha256
    assert tall.sha256 != images.sha256
    assert ImageSet(pixels, labels, recorded_sha256="stated").sha256 == "stated"


def test_a_digest_is_one_whatever_the_layout_and_however_large_its_pieces(monkeypatch):
    images = made((5, 7), shape=(3, 4, 4))
    whole = (images.sha256, images.score_sha256)
    monkeypatch.setattr("ltbench.data.images._CHUNK", 100)  # two images at a time
    for pixels in (images.images, np.asfortranarray(images.images), images.images[::-1].copy()[::-1]):
        again = ImageSet(pixels, images.labels)
        assert (again.sha256, again.score_sha256) == whole
    assert content_sha256(images.images, images.labels.astype(">i4")) == whole[0]


def test_taking_keeps_the_order_asked_for():
    images = made((3, 3))
    some = images.take(np.array([4, 0, 4]))
    assert np.array_equal(some.images, images.images[[4, 0, 4]])
    assert some.labels.tolist() == images.labels[[4, 0, 4]].tolist()


def test_balancing_draws_equally_many_of_each_class_by_its_purpose_alone():
    images = made((9, 4, 6))
    cut = balanced(images, "floor")
    assert np.bincount(cut.labels).tolist() == [4, 4, 4]
    assert np.array_equal(cut.images, balanced(images, "floor").images)
    assert not np.array_equal(cut.images, balanced(images, "probe").images)
    every = {row.tobytes() for row in images.images}
    assert all(row.tobytes() in every for row in cut.images)
    equal = made((4, 4))
    assert balanced(equal, "floor") is equal


def test_halves_are_disjoint_and_together_the_set():
    images = made((9, 4), shape=(1, 8, 8))
    first, second = halves(images, "reference")
    assert np.bincount(first.labels).tolist() == [4, 2]  # the odd image goes to the second
    assert np.bincount(second.labels).tolist() == [5, 2]
    of = [
        {(int(k), x.tobytes()) for x, k in zip(s.images, s.labels, strict=True)}
        for s in (first, second, images)
    ]
    assert not of[0] & of[1]
    assert of[0] | of[1] == of[2]
    assert np.array_equal(halves(images, "reference")[0].images, first.images)


def test_image_set_digest_covers_pixels_labels_and_shape():
    images, labels = np.arange(48, dtype=np.uint8).reshape(4, 1, 3, 4), np.arange(4)
    digest = ImageSet(images, labels).sha256
    assert digest != ImageSet(images.reshape(4, 1, 4, 3), labels).sha256
    assert digest != ImageSet(images, labels[::-1].copy()).sha256
    assert digest != ImageSet(255 - images, labels).sha256
    assert digest == content_sha256(np.asfortranarray(images), labels)
    with pytest.raises(ValueError, match="4 images but 3 labels"):
        ImageSet(images, labels[:3])


def test_halves_share_no_image_and_keep_the_classes():
    cell = digits()
    images = (
        np.arange(len(cell.reference) * 4).astype("<u2").view(np.uint8).reshape(-1, 1, 2, 4)
    )  # all differ
    pool = ImageSet(images, cell.reference.labels)
    first, second = halves(pool, "reference/halves")
    assert not {image.tobytes() for image in first.images} & {image.tobytes() for image in second.images}
    assert len(first.images) + len(second.images) == len(pool.images)
    np.testing.assert_array_equal(np.bincount(first.labels), np.bincount(second.labels))
