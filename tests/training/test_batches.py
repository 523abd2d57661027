"""Batches: epochs, draws, dropped labels and flips, each a function of (seed, step) alone."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from tiny_runs import digits
from weights_golden import ARRAYS

from ltbench.data import ImageSet
from ltbench.diffusion.schedule import alpha_bar
from ltbench.method import DrawRatio, Needs
from ltbench.specs import TrainSpec
from ltbench.training.batches import BatchesAhead, BatchSource, draw_power, draw_prior

CPU = torch.device("cpu")


def numbered(counts, flip_allowed=True):
    """A cell whose image i shows i in every pixel of its left half, and black in its right half."""
    total = sum(counts)
    images = np.zeros((total, 1, 2, 4), np.uint8)
    images[..., :2] = np.arange(1, total + 1, dtype=np.uint8)[:, None, None, None]
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return dataclasses.replace(
        digits(), train=ImageSet(images, labels), counts=np.array(counts), flip_allowed=flip_allowed
    )


def source(counts=(20, 9, 3), needs=None, seed=0, **spec):
    settings = {"batch_size": 8, "flip": False, **spec}
    return BatchSource(numbered(counts), TrainSpec(**settings), needs or Needs(), seed, CPU)


def shown(batch):
    """Return which images a batch shows, by the number in their brightest pixel."""
    return ((batch.x0.flatten(1).max(1).values + 1) * 127.5).round().long() - 1


def test_an_epoch_shows_every_image_once_and_drops_the_last_incomplete_batch():
    make = source((20, 9, 3), batch_size=8)  # 32 images: 4 whole batches
    epochs = [torch.cat([shown(make(step)) for step in range(e * 4, e * 4 + 4)]) for e in range(2)]
    assert all(sorted(epoch.tolist()) == list(range(32)) for epoch in epochs)
    assert not torch.equal(*epochs)
    make = source((20, 9, 5), batch_size=8)  # 34 images: 2 of them wait for the next epoch
    first = torch.cat([shown(make(step)) for step in range(4)])
    assert len(first.unique()) == 32
    assert len(torch.cat([shown(make(step)) for step in range(40)]).unique()) == 34


@pytest.mark.parametrize("size", [5, 8, 13])
def test_a_set_smaller_than_a_batch_is_gone_through_evenly(size):
    make = source((3, 1, 1), batch_size=size)
    seen = torch.cat([shown(make(step)) for step in range(20)])
    assert len(seen) == 20 * size
    for epoch in seen[: len(seen) // 5 * 5].view(-1, 5):
        assert sorted(epoch.tolist()) == [0, 1, 2, 3, 4]


def test_a_batch_depends_on_seed_and_step_alone():
    one, other = source(seed=3, flip=True), source(seed=3, flip=True)
    for step in (9, 2):  # another order of calls
        other(step)
    one, other, foreign = one(2), other(2), source(seed=4, flip=True)(2)
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    for name in ("x0", "t", "noise"):
        assert not torch.equal(getattr(one, name), getattr(foreign, name))


def test_the_method_changes_neither_times_nor_noise():
    natural, balanced = source()(3), source(needs=Needs(draw="balanced", reference="balanced"))(3)
    assert torch.equal(natural.t, balanced.t)
    assert torch.equal(natural.noise, balanced.noise)
    assert torch.equal(natural.dropped, balanced.dropped)
    assert natural.reference is None
    assert balanced.reference is not None


def test_the_noisy_image_is_the_forward_process():
    batch = source(batch_size=64)(0)
    assert batch.x0.min() >= -1
    assert batch.x0.max() <= 1
    assert 0 <= batch.t.min() <= batch.t.max() < 1000
    abar = alpha_bar()[batch.t]
    exact = abar.sqrt()[:, None, None, None] * batch.x0 + (1 - abar).sqrt()[:, None, None, None] * batch.noise
    torch.testing.assert_close(batch.x_t, exact.float(), rtol=1e-6, atol=1e-6)
    assert torch.equal(batch.alpha_bar, abar.float())
    assert batch.x_t.dtype == torch.float32


def test_at_the_lowest_noise_the_level_is_right_to_single_precision(monkeypatch):
    """1 - abar = 1e-4 at t = 0: taken from a single-precision abar it would be off by 2e-4 of itself."""
    make = source((4, 4, 4), batch_size=4)
    monkeypatch.setattr(make, "_alpha_bar", alpha_bar()[:1].expand(1000))
    batch = make(0)
    added = batch.x_t.double() - (1 - 1e-4) ** 0.5 * batch.x0.double()
    torch.testing.assert_close(added / 0.01, batch.noise.double(), rtol=0, atol=2e-5)


@pytest.mark.parametrize("draw", ["natural", "sqrt", "balanced"])
def test_classes_are_drawn_as_the_draw_says(draw):
    counts = torch.tensor([40.0, 10.0, 5.0])
    expected = draw_prior(counts / counts.sum(), draw)
    power = {"natural": 1.0, "sqrt": 0.5, "balanced": 0.0}[draw]
    torch.testing.assert_close(expected, counts**power / (counts**power).sum())
    make = source((40, 10, 5), needs=Needs(draw=draw), batch_size=50)
    batches = [make(step) for step in range(60)]
    share = torch.bincount(torch.cat([batch.y for batch in batches]), minlength=3) / 3000
    torch.testing.assert_close(share, expected, atol=0.03, rtol=0)
    assert all(torch.equal(batch.y, make.labels[shown(batch)]) for batch in batches)
    torch.testing.assert_close(batches[0].draw_prior, expected)
    torch.testing.assert_close(batches[0].prior, counts / 55)
    assert batches[0].counts.tolist() == [40, 10, 5]
    assert batches[0].num_classes == 3
    images = torch.cat([shown(batch) for batch in batches])
    assert len(images.unique()) == 55  # within a class every image comes up


def test_the_reference_batch_is_balanced_and_of_one_size_with_the_batch():
    make = source((40, 10, 5), needs=Needs(reference="balanced"), batch_size=30)
    labels = torch.cat([make(step).reference[1] for step in range(30)])
    share = torch.bincount(labels, minlength=3) / 900
    torch.testing.assert_close(share, torch.full((3,), 1 / 3), atol=0.05, rtol=0)
    images, first = make(0).reference
    assert images.shape == make(0).x0.shape
    assert not torch.equal(images, make(0).x0)
    shows = ((images.flatten(1).max(1).values + 1) * 127.5).round().long() - 1
    assert torch.equal(make.labels[shows], first)


@pytest.mark.parametrize("mode", ["batch", "sample"])
def test_labels_are_dropped_by_batch_or_by_image(mode):
    make = source(label_dropout=0.3, label_dropout_mode=mode)
    dropped = torch.stack([make(step).dropped for step in range(400)])
    together = (dropped.all(1) | ~dropped.any(1)).float().mean()
    assert together == 1 if mode == "batch" else together < 0.2
    assert dropped.float().mean() == pytest.approx(0.3, abs=0.08 if mode == "batch" else 0.03)
    batch = next(make(step) for step in range(400) if dropped[step].any())
    assert torch.equal(batch.label, torch.where(batch.dropped, 3, batch.y))
    assert batch.y.max() < 3


@pytest.mark.parametrize(("probability", "expected"), [(0.0, False), (1.0, True)])
def test_label_dropout_can_be_off_or_total(probability, expected):
    make = source(label_dropout=probability)
    assert all((make(step).dropped == expected).all() for step in range(20))


def test_half_of_the_images_are_mirrored_and_only_on_request():
    make = source(flip=True, batch_size=32)
    plain = source(flip=False, batch_size=32)
    mirrored = []
    for step in range(20):
        turned, straight = make(step).x0, plain(step).x0
        same = (turned == straight).flatten(1).all(1)
        assert ((turned == straight.flip(-1)).flatten(1).all(1) ^ same).all()
        mirrored.append(~same)
    assert torch.cat(mirrored).float().mean() == pytest.approx(0.5, abs=0.08)


def test_the_reference_batch_flips_by_a_stream_of_its_own():
    """With the main batch's stream, image i and reference image i would always be turned together."""
    batch = source(needs=Needs(reference="balanced"), flip=True, batch_size=64)(3)
    own = batch.x0[:, 0, 0, -1] > -1  # the bright half lies right where the image was turned
    other = batch.reference[0][:, 0, 0, -1] > -1
    assert own.any()
    assert other.any()
    assert not own.all()
    assert not other.all()
    together = (own == other).float().mean()
    assert 0.25 < together < 0.75


@pytest.mark.parametrize("power", ["0", "0.25", "0.5", "0.75", "1"])
def test_tempered_draws(power):
    counts = torch.from_numpy(ARRAYS["counts"]).double()
    found = draw_prior(counts / counts.sum(), float(power))
    np.testing.assert_allclose(found, ARRAYS[f"draw_power_{power}"], rtol=1e-10)


def test_the_power_of_ccuas_resampling():
    counts = torch.from_numpy(ARRAYS["counts"]).double()
    prior = counts / counts.sum()
    assert draw_power(prior, DrawRatio(0.1)) == pytest.approx(ARRAYS["draw_ccua_brs_power"].item())
    drawn = draw_prior(prior, DrawRatio(0.1))
    assert (drawn.min() / drawn.max()).item() == pytest.approx(0.1)
    # The released f^(k/(K-1)) goes by a class's rank, ours by its count, which is rounded to whole images.
    np.testing.assert_allclose(drawn, ARRAYS["draw_ccua_brs_f0.1"], rtol=3e-3)
    mild = torch.tensor([0.3, 0.4, 0.3])
    assert draw_power(mild, DrawRatio(0.1)) == 1  # never more unequal than the data
    assert draw_power(mild, DrawRatio(1.0)) == 0
    assert draw_power(torch.ones(3) / 3, DrawRatio(1.0)) == 1


@pytest.mark.parametrize(("power", "draw"), [(1.0, "natural"), (0.5, "sqrt"), (0.0, "balanced")])
def test_a_power_that_has_a_name_draws_the_same_images(power, draw):
    settings = TrainSpec(batch_size=16)
    named, numbered = (BatchSource(digits(), settings, Needs(draw=d), 0, CPU) for d in (draw, power))
    for step in (0, 3):
        assert torch.equal(named(step).x0, numbered(step).x0)
        assert torch.equal(named(step).draw_prior, numbered(step).draw_prior)


@pytest.mark.parametrize("draw", ["natural", "sqrt", "balanced", 0.25])
def test_a_class_without_images_is_never_drawn(draw):
    with_empty = draw_prior(torch.tensor([0.6, 0.0, 0.3, 0.1]), draw)
    assert with_empty[1] == 0
    torch.testing.assert_close(with_empty[[0, 2, 3]], draw_prior(torch.tensor([0.6, 0.3, 0.1]), draw))


def equal(one, other):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        pairs = [*zip(a, b, strict=True)] if isinstance(a, tuple) else [(a, b)]
        if not all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs):
            return False
    return True


@pytest.mark.parametrize(
    "needs", [Needs(), Needs(draw=0.25), Needs(draw=DrawRatio(0.5), reference="balanced")], ids=str
)
def test_batches_made_ahead_are_the_same_bit_for_bit(needs):
    spec = TrainSpec(batch_size=16, label_dropout=0.5)
    plain = BatchSource(digits(), spec, needs, 3, CPU)
    ahead = BatchesAhead(BatchSource(digits(), spec, needs, 3, CPU), 80)
    try:
        for step in (*range(45), 60, 61, 10):  # over an epoch's end, a jump, and back
            assert equal(plain(step), ahead(step)), step
    finally:
        ahead.close()


def test_the_next_batch_is_made_while_the_step_runs_and_none_after_the_last(monkeypatch):
    source, drawn = BatchSource(digits(), TrainSpec(batch_size=8), Needs(), 0, CPU), []
    draw, next_one = source.draw, threading.Event()

    def watched(step):
        drawn.append((step, threading.current_thread() is threading.main_thread()))
        if step == 1:
            next_one.set()
        return draw(step)

    monkeypatch.setattr(source, "draw", watched)
    ahead = BatchesAhead(source, 3)
    ahead(0)
    assert next_one.wait(10)  # without anybody asking for step 1
    ahead(1)
    ahead(2)
    ahead.close()
    assert drawn == [(0, False), (1, False), (2, False)]


def test_what_goes_wrong_in_the_thread_is_raised_where_the_batch_is_asked_for(monkeypatch):
    source = BatchSource(digits(), TrainSpec(batch_size=8), Needs(), 0, CPU)
    draw = source.draw
    monkeypatch.setattr(source, "draw", lambda step: draw(step) if step == 0 else 1 / 0)
    ahead = BatchesAhead(source, 9)
    ahead(0)
    with pytest.raises(ZeroDivisionError):
        ahead(1)
    ahead.close()
