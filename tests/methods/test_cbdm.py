"""CBDM: the official arrays, its label sets, its weights, and one draw over several processes."""

import numpy as np
import pytest
import torch
from method_batches import CLASSES, COUNTS, Stub, contexts, make_batch, run
from objective_golden import CLOSE, terms_of

from ltbench.baselines import cbdm
from ltbench.method import registry


@pytest.mark.parametrize("labels", ["train", "sqrt", "balanced"])
def test_cbdm_draws_from_its_label_set(labels):
    expected = {
        "train": COUNTS / COUNTS.sum(),
        "sqrt": COUNTS.sqrt() / COUNTS.sqrt().sum(),
        "balanced": torch.full((CLASSES,), 1 / CLASSES),
    }[labels]
    torch.testing.assert_close(cbdm.label_distribution(COUNTS / COUNTS.sum(), labels).float(), expected)
    _, stub = run("cbdm", make_batch(20_000, shape=(3, 1, 1)), {"cbdm": {"labels": labels}})
    shares = stub.seen[-1].bincount(minlength=CLASSES) / 20_000
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.012)  # 3.4 standard errors at the widest


def test_cbdm_regularises_each_image_with_its_own_weight_and_none_with_a_dropped_label():
    dropped = torch.arange(24) % 3 == 0
    batch = make_batch(dropped=dropped)
    terms, stub = run("cbdm", batch, {"cbdm": {"tau": 2.0, "gamma": 0.5}})
    own, other = stub.scale[batch.label], stub.scale[stub.seen[-1]]
    square = ((own - other)[:, None] * batch.x_t.flatten(1)).square().mean(1)
    naive = sum(1.5 * 2.0 * batch.t[i] / 1000 * square[i] for i in range(24) if not dropped[i]) / 24
    torch.testing.assert_close(terms["cbdm.consistency"], naive)


def test_cbdm_published_is_as_strong_as_the_released_one_and_draws_average():
    batch = make_batch()
    released, _ = run("cbdm", batch)
    published, _ = run("cbdm", batch, {"cbdm": {"variant": "published"}})
    torch.testing.assert_close(published["cbdm.consistency"], released["cbdm.consistency"])
    by_time, _ = run("cbdm", batch, {"cbdm": {"time_weight": "t"}})
    torch.testing.assert_close(by_time["cbdm.consistency"], 1000 * released["cbdm.consistency"])
    three, stub = run("cbdm", batch, {"cbdm": {"draws": 3}})
    assert len(stub.seen) == 4
    assert not torch.equal(stub.seen[1], stub.seen[2])
    scale = stub.scale.detach()
    singles = [
        cbdm.consistency(
            scale[batch.y].view(-1, 1, 1, 1) * batch.x_t,
            scale[drawn].view(-1, 1, 1, 1) * batch.x_t,
            batch.t / 1000,
            0.25,
        )
        for drawn in stub.seen[1:]
    ]
    torch.testing.assert_close(three["cbdm.consistency"].detach(), torch.stack(singles).mean())


def test_cbdm_processes_draw_what_one_would():
    batch = make_batch()
    _, whole = run("cbdm", batch)
    seen = []
    for rows in (slice(0, 12), slice(12, 24)):
        stub, part = Stub(), make_batch(12)
        method = registry.create_method("cbdm")
        make = contexts(stub, size=24, shard=lambda x, rows=rows: x[rows])
        method.regularizers(part, stub(part.x_t, part.t, part.label), make("cbdm"))
        seen.append(stub.seen[-1])
    assert torch.equal(torch.cat(seen), whole.seen[-1])


@pytest.mark.parametrize("dropped", [False, True])
def test_cbdm(golden, dropped, monkeypatch):
    monkeypatch.setattr(cbdm.torch, "searchsorted", lambda *_, **__: golden["cbdm_y_bal"].clone())
    terms = terms_of(golden, "cbdm", golden.batch(dropped))
    prefix = "drop_cbdm" if dropped else "cbdm"
    np.testing.assert_allclose(terms["cbdm.consistency"].item(), golden.arrays[f"{prefix}_reg"], **CLOSE)
    golden.check(terms, prefix)


def test_cbdms_published_constants_are_the_papers():
    hp = registry.create_method("cbdm", variant="published").hp
    assert (hp.time_weight, hp.tau, hp.gamma, hp.labels, hp.variant) == (
        "t",
        0.001,
        0.25,
        "train",
        "published",
    )
    # What the name stood for once: it resolves to itself and is called by no name.
    old = registry.resolve("cbdm", {"cbdm": {"time_weight": "t", "labels": "balanced"}})
    assert old.hyperparameters == {"cbdm": {"time_weight": "t", "labels": "balanced"}}
    assert registry.create(old).variant == "custom"
