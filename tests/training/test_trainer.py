"""The trainer: every method through it, and the same bits whatever stops it, splits it or goes on from it."""

import contextlib
import csv
import dataclasses
import functools
import itertools
import math
import random
import shutil
import signal
import socket
import time

import pytest
import torch
from method_batches import make_batch
from method_batches import run as one_step
from tiny_runs import checkpoint, die, digits, in_processes, make_spec, same_tensors, tensors, train_in
from torch import nn

from ltbench.environment import Environment
from ltbench.errors import CheckpointError, Interrupted, NonFiniteLoss, UsageError
from ltbench.method import Method, Needs, registry
from ltbench.method.registry import create
from ltbench.plugins import Extension
from ltbench.training import trainer as training
from ltbench.training.batches import BatchSource
from ltbench.training.model import build_model, state_of
from ltbench.training.trainer import Training, cut

NAMES = [*registry.known_methods(), *registry.legal_pairs()]


@pytest.fixture(autouse=True)
def _short_rows(monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 4)
    torch.set_num_threads(1)


def log(folder):
    with (folder / "train.csv").open(newline="") as handle:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(handle)]


def initial(spec):
    return build_model(spec, digits(), create(spec.method))


def lively(spec, seed=5):
    """Initial weights whose residual branches are awake: the released ones start as the identity."""
    model, stream = initial(spec), torch.Generator().manual_seed(seed)
    return {
        name: value + 0.05 * torch.randn(value.shape, generator=stream)
        for name, value in model.state_dict().items()
    }


def averages(checkpoint):
    """Return Adam's running averages of the clipped gradients; after one step, a tenth of the gradients."""
    state = torch.load(checkpoint, weights_only=True)["optimizer"]["state"]
    return [state[index]["exp_avg"] for index in sorted(state)]


def gradients(folder):
    return [10 * average for average in averages(folder / "checkpoint.pt")]


def close(one, other, tolerance=2e-5):
    scale = max(float(value.abs().max()) for value in other)
    return len(one) == len(other) and all(
        torch.allclose(a, b, rtol=tolerance, atol=tolerance * scale) for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def first_row(tmp_path_factory):
    """Return a function: method's name -> the terms logged at the first of two steps, each trained once."""
    plain = initial(make_spec())["denoiser"].state_dict()

    @functools.cache
    def train_two_steps(name):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "LOG_EVERY", 1)
            folder = train_in(tmp_path_factory.mktemp(name), make_spec(name, dropout=0.1))
        first, last = log(folder)
        assert all(math.isfinite(value) for value in (*first.values(), *last.values()))
        model, ended = initial(make_spec(name)), tensors(folder, 2)
        own = {
            n: v for n, v in model["denoiser"].state_dict().items() if n in plain
        }  # not a method's parts inside
        assert same_tensors(own, plain), f"{name} starts from other weights"
        started = dict(model.named_parameters())
        moved = {n for n, value in started.items() if not torch.equal(value, ended[f"raw.{n}"])}
        assert {"denoiser.unet.conv_in.weight", "denoiser.unet.conv_out.weight"} <= moved
        assert {n for n in started if n.startswith("methods.")} <= moved
        return first

    return train_two_steps


@pytest.mark.parametrize("name", NAMES)
def test_every_method_and_legal_pair_trains_from_equal_weights_and_logs_each_term(first_row, name):
    row = first_row(name)
    terms = {key: value for key, value in row.items() if key == "denoising" or "." in key}
    assert terms.keys() == one_step(name, make_batch())[0].keys()  # what the method returns, whichever it is
    names = {  # of columns of the train.csv of runs that are kept
        "cbdm": ["consistency"],
        "ccua": ["ucl", "alignment"],
        "cm": ["capacity"],
        "coral": ["supcon"],
        "dispersive": ["dispersion"],
    }
    assert {f"{part}.{term}" for part in name.split("+") for term in names.get(part, ())} <= terms.keys()
    assert row["loss"] == pytest.approx(sum(terms.values()), rel=1e-5)
    assert row["step"] == 1
    assert row["grad_norm"] > 0


@pytest.mark.parametrize("name", ["cbdm", "ccua", "cm", "coral", "dispersive", "cbdm+coral", "cbdm+cm"])
def test_a_regulariser_shifts_no_draw_of_plain_denoising(first_row, name):
    assert first_row(name)["denoising"] == first_row("ddpm")["denoising"]


def test_another_seed_is_another_network():
    one, other = initial(make_spec())["denoiser"], initial(make_spec(seed=1))["denoiser"]
    assert not torch.equal(one.unet.conv_in.weight, other.unet.conv_in.weight)


def test_warm_up_starts_at_zero_and_the_average_follows_the_weights(tmp_path):
    start = dict(initial(make_spec()).named_parameters())
    warm = tensors(train_in(tmp_path / "warm", make_spec(steps=1, warmup_steps=2)), 1)
    assert all(torch.equal(warm[f"raw.{name}"], value) for name, value in start.items())
    cold = tensors(train_in(tmp_path / "cold", make_spec(steps=1, ema_decay=0.75)), 1)
    assert not torch.equal(cold["raw.denoiser.unet.conv_in.weight"], start["denoiser.unet.conv_in.weight"])
    for name, value in start.items():
        torch.testing.assert_close(cold[f"ema.{name}"], 0.75 * value + 0.25 * cold[f"raw.{name}"])


def test_the_learning_rate_rises_linearly_and_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    rates = [row["learning_rate"] for row in log(train_in(tmp_path, make_spec(steps=4, warmup_steps=2)))]
    assert rates == pytest.approx([0, 5e-4, 1e-3, 1e-3])


def test_gradients_are_clipped_to_the_norm_and_logged_before(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    folder = train_in(tmp_path, make_spec(steps=1, grad_clip=1e-3))
    norm = torch.stack([g.norm() for g in gradients(folder)]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-4)
    assert log(folder)[0]["grad_norm"] > 1e-2


def test_without_labels_the_class_table_and_cbdm_do_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    spec = make_spec("cbdm", label_dropout=1.0)
    folder, table = train_in(tmp_path / "none", spec), "denoiser.unet.class_embedding.weight"
    assert torch.equal(tensors(folder, 2)[f"raw.{table}"], initial(spec).state_dict()[table])
    assert [row["cbdm.consistency"] for row in log(folder)] == [0, 0]
    kept = train_in(tmp_path / "all", make_spec("cbdm", label_dropout=0.0))
    assert not torch.equal(tensors(kept, 2)[f"raw.{table}"], initial(spec).state_dict()[table])
    assert all(row["cbdm.consistency"] > 0 for row in log(kept))


def test_the_pass_that_a_batch_without_labels_saves_changes_no_bit(tmp_path, monkeypatch):
    made, passes = BatchSource.__call__, []
    spec = make_spec("cbdm", steps=6, label_dropout=0.5, dropout=0.1)

    def counted(self, *arguments):
        passes[-1] += 1
        return denoise(self, *arguments)

    denoise = Training._denoise
    monkeypatch.setattr(Training, "_denoise", counted)
    for name in ("saved", "run"):
        if name == "run":
            monkeypatch.setattr(
                BatchSource,
                "__call__",
                lambda self, step: dataclasses.replace(made(self, step), any_label=True),
            )
        passes.append(0)
        train_in(tmp_path / name, spec)
    assert same_tensors(tensors(tmp_path / "saved", 6), tensors(tmp_path / "run", 6))
    assert 6 < passes[0] < passes[1] == 12


def test_bf16_computes_near_fp32_and_keeps_weights_in_single_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    exact = train_in(tmp_path / "fp32", make_spec("cbdm+coral"))
    rounded = train_in(tmp_path / "bf16", make_spec("cbdm+coral", precision="bf16"))
    one, other = log(exact)[0], log(rounded)[0]
    assert one["loss"] != other["loss"]
    assert one["loss"] == pytest.approx(other["loss"], rel=0.02)
    assert {value.dtype for value in tensors(rounded, 2).values()} == {torch.float32}


def test_dropout_is_another_at_every_step_and_equal_when_a_step_is_made_again(tmp_path):
    """The learning rate is 0 and the batch the same, so only the mask can move the loss."""
    run = Training(make_spec(dropout=0.5, warmup_steps=10**9), digits(), tmp_path, Environment())
    started = state_of(run.model) | {}
    first = run.batches(0)

    def loss(step):
        run.step, run.totals = step, {}
        run._one_step()
        return run.totals["loss"].item()

    run.batches = lambda _: first
    run.model.load_state_dict({n: torch.randn_like(v) * 0.1 for n, v in started.items()})
    losses = [loss(step) for step in (0, 1, 2, 0)]
    assert losses[0] == pytest.approx(losses[3], rel=1e-6)
    assert len(set(losses[:3])) == 3


LONG = {"steps": 10, "snapshots": (3,)}
METHOD = "cbdm+coral"  # draws of its own, an attached head, two passes


def long_spec(**changes):
    return make_spec(METHOD, dropout=0.1, **LONG | changes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "LOG_EVERY", 4)
        return train_in(tmp_path_factory.mktemp("undisturbed"), long_spec())


def same_training(folder, reference, steps=(3, 10)):
    assert (folder / "train.csv").read_bytes() == (reference / "train.csv").read_bytes()
    for step in steps:
        assert same_tensors(tensors(folder, step), tensors(reference, step)), step


def killed_at_step(_, folder, step, checkpoint_every):
    """Train in a fork that SIGKILLs itself after `step`, having kept a checkpoint at some steps before."""
    run = Training(long_spec(), digits(), folder, Environment(checkpoint_seconds=1e9))

    def stop():
        if run.step == step:
            die()
        seconds = 0.0 if run.step % checkpoint_every == 0 else 1e9
        run.env = dataclasses.replace(run.env, checkpoint_seconds=seconds)
        return False

    run.env = dataclasses.replace(run.env, stop=stop)
    run.run()


def killed_while_publishing(_, folder, number):
    """Train in a fork that SIGKILLs itself just before its `number`-th file would be renamed into place."""
    count = itertools.count(1)
    train_in(
        folder, long_spec(), checkpoint_seconds=0.0, guard=lambda: die() if next(count) == number else None
    )


def slowly(_, folder):
    train_in(folder, long_spec(), checkpoint_seconds=0.0, stop=lambda: time.sleep(0.02))


def killed(*call):
    (process,) = in_processes(*call)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_training_killed_at_random_steps_ends_bit_identical(tmp_path, undisturbed):
    draw = random.Random(0)
    for step in sorted(draw.sample(range(2, 10), 3)):
        killed(killed_at_step, tmp_path, step, draw.randint(1, 4))
    same_training(train_in(tmp_path, long_spec()), undisturbed)


def test_a_training_killed_while_it_publishes_a_file_loses_none(tmp_path, undisturbed):
    for number in (4, 7):
        killed(killed_while_publishing, tmp_path, number)
    same_training(train_in(tmp_path, long_spec()), undisturbed)


def test_a_training_killed_from_outside_at_any_moment_ends_bit_identical(tmp_path, undisturbed):
    for wait in (0.4, 0.7):
        (process,) = in_processes(slowly, tmp_path)
        time.sleep(wait)
        process.kill()
        process.join()
    same_training(train_in(tmp_path, long_spec()), undisturbed)


def test_a_soft_stop_saves_the_step_it_is_heard_at_and_going_on_is_bit_identical(tmp_path, undisturbed):
    heard = itertools.count(1)
    with pytest.raises(Interrupted, match="stopped at step 7 of 10, saved: run the same command to go on"):
        train_in(tmp_path, long_spec(), stop=lambda: next(heard) == 7)
    assert checkpoint(tmp_path)["step"] == 7
    same_training(train_in(tmp_path, long_spec()), undisturbed)


def test_a_longer_run_continues_a_shorter_one(tmp_path, undisturbed):
    train_in(tmp_path, long_spec(steps=3, snapshots=()))
    assert log(tmp_path)[-1]["step"] == 3  # the rows of a short run end with it
    assert same_tensors(tensors(tmp_path, 3), tensors(undisturbed, 3))
    same_training(train_in(tmp_path, long_spec(snapshots=())), undisturbed)


def test_deleted_weights_are_made_again_from_the_checkpoint(tmp_path, undisturbed):
    train_in(tmp_path, long_spec(snapshots=()))
    (tmp_path / "weights/step-00000010.safetensors").unlink()
    same_training(train_in(tmp_path, long_spec(snapshots=())), undisturbed, steps=(10,))


def test_steps_that_a_longer_run_has_passed_are_refused(undisturbed):
    with pytest.raises(CheckpointError, match="already trained to step 10 without keeping step 7"):
        train_in(undisturbed, long_spec(steps=7))


def test_progress_tells_step_loss_and_rate(tmp_path):
    told = []
    train_in(tmp_path, make_spec(steps=5), progress=told.append)
    assert [event["step"] for event in told] == [4, 5]
    assert all(event["stage"] == "train" and event["total"] == 5 for event in told)
    assert all(event["loss"] > 0 and event["rate"] > 0 for event in told)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(
        NonFiniteLoss, match=r"became infinite or NaN between steps .*lower train\.learning_rate"
    ):
        train_in(tmp_path, make_spec(steps=8, learning_rate=1e30), checkpoint_seconds=0.0)
    state = checkpoint(tmp_path)
    assert state["step"] >= 1
    assert all(value.isfinite().all() for value in (*state["model"].values(), *state["ema"]))
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "weights").exists()


class Code:
    """A pickle of this would run code when loaded carelessly."""

    def __reduce__(self):
        return (die, ())


def torch_file(value):
    def write(path):
        torch.save(value, path)

    return write


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "not torch's": lambda path: path.write_bytes(b"no checkpoint" * 100),
    "code": torch_file(Code()),
    "a tensor": torch_file(torch.ones(3)),
    "a list": torch_file([1, 2]),
    "no key": torch_file({"step": 3}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_checkpoint_is_named_and_kept(tmp_path, damage):
    torch.save({"key": "x"}, tmp_path / "checkpoint.pt")
    DAMAGES[damage](tmp_path / "checkpoint.pt")
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(
        CheckpointError, match=r"checkpoint\.pt is broken or not ltbench's: delete it"
    ) as caught:
        train_in(tmp_path, make_spec())
    assert "\n" not in str(caught.value)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("other", [make_spec(seed=1), make_spec("coral"), make_spec(batch_size=16)])
def test_another_specs_checkpoint_is_refused(undisturbed, other):
    with pytest.raises(CheckpointError, match=r"belongs to another spec .*use another --out"):
        train_in(undisturbed, other)
    same_training(undisturbed, undisturbed)


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    folder = train_in(tmp_path, make_spec(steps=1))
    state = checkpoint(folder)
    state["model"].popitem()
    torch.save(state, folder / "checkpoint.pt")
    (folder / "digests.json").unlink()  # as another version would have written it
    with pytest.raises(CheckpointError, match="does not fit the model: delete it"):
        train_in(folder, make_spec())


@pytest.mark.parametrize("name", ["cbdm", "t2h", "inverse_frequency+t2h", "cm", "cm+t2h", "min_snr+p2"])
def test_micro_batches_have_the_gradient_of_the_whole_batch(tmp_path, name):
    spec = make_spec(name, steps=1, label_dropout_mode="sample", label_dropout=0.3, grad_clip=1e3)
    split = spec.model_copy(update={"train": spec.train.model_copy(update={"micro_batch": 2})})
    whole = gradients(train_in(tmp_path / "whole", spec, lively(spec)))
    assert close(gradients(train_in(tmp_path / "split", split, lively(spec))), whole)


def test_a_micro_batch_brings_its_rows_of_the_balanced_batch():
    """Documented as of as many images as the batch; a term that compared both failed, or broadcast, where it was cut."""
    whole = make_batch()
    part = cut(whole, slice(4, 8))
    assert torch.equal(part.reference[0], whole.reference[0][4:8])
    assert torch.equal(part.reference[1], whole.reference[1][4:8])
    assert torch.equal(part.counts, whole.counts)
    assert cut(dataclasses.replace(whole, reference=None), slice(4, 8)).reference is None


@pytest.mark.parametrize(
    ("name", "micro", "sentence"),
    [
        ("coral", 2, "coral compares images of a batch with one another, so train.micro_batch cannot cut it"),
        ("ccua", 2, "ccua compares images of a batch with one another"),
        ("cm+dispersive", 2, r"cm\+dispersive compares images of a batch with one another"),
        ("ddpm", 3, "train.micro_batch 3 does not divide the 8 images of a process: choose a divisor"),
    ],
)
def test_a_batch_that_cannot_be_cut_is_refused(tmp_path, name, micro, sentence):
    with pytest.raises(UsageError, match=sentence):
        train_in(tmp_path, make_spec(name, micro_batch=micro))


DISTRIBUTED = ["ddpm", "cbdm", "t2h", "coral", "ccua", "dispersive", "cm+t2h"]


def distributed_spec(name, steps):
    variant = {"t2h": {"variant": "published"}} if name == "t2h" else None
    # So slow a warm-up that rounding cannot grow through the weights.
    protocol = {"label_dropout_mode": "sample", "label_dropout": 0.3, "grad_clip": 1e3, "warmup_steps": 1000}
    return make_spec(name, variant, steps=steps, **protocol)


def refused_apart(rank, root):
    """Each process sees a folder of its own, as without a shared disk; one of them holds a checkpoint."""
    with pytest.raises(CheckpointError, match="the processes see different checkpoints"):
        train_in(root / ("ahead" if rank == 0 else "behind"), distributed_spec("ddpm", 2))


def one_of_two(rank, root, weights):
    """Train to step 4 in three sittings: stopped at 2 on the main process's wish, ended at 3, continued."""
    training.LOG_EVERY = 2
    refused_apart(rank, root)
    for name in DISTRIBUTED:
        folder = root / name
        with contextlib.suppress(Interrupted):
            train_in(folder, distributed_spec(name, 3), weights[name], stop=lambda: rank == 0)
            raise AssertionError("not interrupted")
        if rank == 0:
            shutil.copy(folder / "checkpoint.pt", folder / "two-steps.pt")
        for steps in (3, 4):
            train_in(folder, distributed_spec(name, steps), weights[name])


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Train on two gloo processes; return the folder."""
    root = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    weights = {name: lively(distributed_spec(name, 3)) for name in DISTRIBUTED}
    train_in(root / "ahead", distributed_spec("ddpm", 1))
    processes = in_processes(one_of_two, root, weights, count=2, environment=environment)
    for process in processes:
        process.join(240)
        process.kill()
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return root


@pytest.mark.parametrize("name", DISTRIBUTED)
def test_two_processes_train_as_one(tmp_path, two_processes, name, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    weights = lively(distributed_spec(name, 4))
    alone = train_in(tmp_path, distributed_spec(name, 2), weights)
    assert close(averages(two_processes / name / "two-steps.pt"), averages(alone / "checkpoint.pt"))
    ours, theirs = log(train_in(tmp_path, distributed_spec(name, 4), weights)), log(two_processes / name)
    assert [row["step"] for row in theirs] == [2, 4]
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


class Centres(Method):
    """Keeps class centres in a buffer and a frozen map, and has a term only at every other step."""

    name = "centres"
    needs = Needs(batch_coupled=True)

    def attach(self, unet):
        head = nn.Linear(unet.bottleneck_channels, 4)
        head.register_buffer("centre", torch.zeros(4))
        head.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        return head

    def regularizers(self, batch, prediction, ctx):
        pooled = ctx.modules(prediction.bottleneck.mean((2, 3)))
        with torch.no_grad():
            ctx.modules.centre.lerp_(pooled.mean(0), 0.1)
        pull = (pooled - ctx.modules.centre).square().mean() * ctx.modules.frozen.mean()
        return {"pull": pull} if batch.step % 2 else {"pull": pull, "even": pull.detach() * 0.5}


@pytest.fixture
def stranger(monkeypatch):
    known = {**registry.METHODS.extensions(), "centres": Extension("centres", Centres, "this file")}
    monkeypatch.setattr(registry.METHODS, "_found", known)


@pytest.mark.usefixtures("stranger")
def test_a_plug_in_may_keep_buffers_frozen_parts_and_terms_that_come_and_go(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    whole = train_in(tmp_path / "whole", make_spec("centres", steps=4))
    assert [("centres.even" in row, row["centres.pull"] > 0) for row in log(whole)] == [(True, True)] * 4
    assert [row["centres.even"] > 0 for row in log(whole)] == [True, False] * 2
    saved = tensors(whole, 4)
    assert saved["ema.methods.centres.centre"].abs().sum() > 0
    assert "raw.methods.centres.frozen" in saved
    parts = train_in(tmp_path / "parts", make_spec("centres", steps=3))
    same_training(train_in(parts, make_spec("centres", steps=4)), whole, steps=(4,))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_methods_own_arithmetic_is_single_precision_and_its_passes_are_the_networks(
    tmp_path, precision, monkeypatch
):
    """PyTorch's default lets an attached convolution round its inputs to TF32, in a training of fp32 too."""
    seen = {}

    def note(where):
        switches = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        seen[where] = (*switches, torch.is_autocast_enabled("cpu"))

    class Noting(Method):
        name = "noting"

        def target(self, batch, _rng):
            note("target")
            return batch.noise

        def regularizers(self, batch, _prediction, ctx):
            note("before")
            ctx.denoiser(batch.x_t, batch.t, batch.label)
            note("after")
            return {}

    known = {**registry.METHODS.extensions(), "noting": Extension("noting", Noting, "this file")}
    monkeypatch.setattr(registry.METHODS, "_found", known)
    run = Training(make_spec("noting", precision=precision), digits(), tmp_path, Environment())
    run.model["denoiser"].register_forward_pre_hook(lambda *_: note("network"))
    note("outside")
    before = seen["outside"]
    run._one_step()
    note("outside")
    assert seen["outside"] == before
    assert seen["target"] == seen["before"] == seen["after"] == (False, False, False)
    assert seen["network"] == (precision == "tf32", precision == "tf32", precision == "bf16")


def test_a_step_reads_nothing_back_from_the_device(tmp_path, monkeypatch):
    run = Training(make_spec("cbdm+coral+t2h"), digits(), tmp_path, Environment())
    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy"):
        plain = getattr(torch.Tensor, name)

        def watched(self, *args, name=name, plain=plain, **kwargs):
            assert id(self) not in device, f"{name} waits for the device"
            return plain(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, watched)
    device: set[int] = set()
    whole = run.batches(0)
    device |= {id(getattr(whole, f.name)) for f in dataclasses.fields(whole)}
    device |= {id(p) for p in run.parameters}
    monkeypatch.setattr(BatchSource, "__call__", lambda *_: whole)
    run._one_step()
    assert all(total.dim() == 0 for total in run.totals.values())
