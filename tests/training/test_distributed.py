"""Several processes that train as one: shares of a batch, sums over processes."""

import os
import socket

import pytest
import torch
from tiny_runs import in_processes, make_spec, tensors, train_in

from ltbench.errors import UsageError
from ltbench.method.registry import create
from ltbench.runs.train_log import read_table
from ltbench.training import trainer as training
from ltbench.training.distributed import Group, join, local_device


def torchrun(monkeypatch, world, here, rank, gpus):
    for name, value in {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": here, "LOCAL_RANK": rank}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


@pytest.mark.parametrize(
    ("world", "here", "rank", "gpus", "name", "expected"),
    [
        (1, 1, 0, 4, "cuda", "cuda"),
        (1, 1, 0, 4, "cuda:3", "cuda:3"),
        (4, 2, 1, 2, "cuda", "cuda:1"),  # two machines of two GPUs
        (2, 1, 0, 4, "cuda:3", "cuda:3"),  # two machines, one process each
        (2, 2, 1, 0, "cpu", "cpu"),
    ],
)
def test_each_process_of_a_machine_has_a_gpu_of_its_own(world, here, rank, gpus, name, expected, monkeypatch):
    torchrun(monkeypatch, world, here, rank, gpus)
    assert local_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("here", "gpus", "name", "sentence"),
    [
        (2, 2, "cuda:1", "--device cuda:1 is one GPU for the 2 processes that torchrun started here"),
        (3, 2, "cuda", "torchrun started 3 processes here, which has 2 GPUs: give --nproc-per-node 2"),
    ],
)
def test_processes_that_cannot_each_have_a_gpu_are_told_so(here, gpus, name, sentence, monkeypatch):
    """NCCL's own words were "Duplicate GPU detected", and those of CUDA "invalid device ordinal"."""
    torchrun(monkeypatch, here, here, 0, gpus)
    with pytest.raises(UsageError, match=sentence):
        local_device(name)


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(UsageError, match="batch_size 8 is not divisible by 3 processes: choose a multiple"):
        training._rows(make_spec(), create("ddpm"), Group(0, 3))


# -- what only some processes have: no test of one process can see it --------------------------------------


def in_two(function, *arguments):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = in_processes(function, *arguments, count=2, environment=environment)
    for process in started:
        process.join(60)
        process.kill()
        process.join()
    return [process.exitcode for process in started]


def average(rank, folder):
    """Average four parameters' gradients: of both processes, of the first, of the second, of none."""
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(4)]
    given = [[2.0, 4.0], [6.0, None], [None, 10.0], [None, None]]
    for parameter, values in zip(parameters, given, strict=True):
        if values[rank] is not None:
            parameter.grad = torch.tensor([values[rank], -values[rank]])
    join(torch.device("cpu")).average_gradients(parameters)
    torch.save([p.grad for p in parameters], folder / f"{rank}.pt")


def test_a_gradient_that_one_process_alone_has_is_averaged_with_zero(tmp_path):
    """Summed by position, the first's second gradient met the second's third: both wrong, and nothing told it."""
    assert in_two(average, tmp_path) == [0, 0]
    for rank in (0, 1):
        both, first, second, none = torch.load(tmp_path / f"{rank}.pt")
        assert both.tolist() == [3.0, -3.0]
        assert first.tolist() == [3.0, -3.0]
        assert second.tolist() == [5.0, -5.0]
        assert none is None


def name_means(rank, folder):
    values = [{"loss": 1.0, "tail": 4.0}, {"rare": 6.0, "loss": 3.0}][rank]
    means = join(torch.device("cpu")).means({name: torch.tensor(value) for name, value in values.items()})
    torch.save({name: float(mean) for name, mean in means.items()}, folder / f"{rank}.pt")


def test_a_loss_term_that_one_process_alone_has_is_averaged_by_name(tmp_path):
    assert in_two(name_means, tmp_path) == [0, 0]
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt") == {"loss": 2.0, "tail": 2.0, "rare": 3.0}


def gather(rank, folder):
    """Gather two rows a process, not contiguous in memory, and weight them otherwise in each."""
    local = torch.tensor([[1.0, 2.0], [10.0, 20.0]]).add(rank * 2).T.requires_grad_()
    gathered = join(torch.device("cpu")).gather(local)
    (
        gathered * [torch.tensor([1.0, 10.0, 100.0, 1000.0]), torch.tensor(2.0)][rank].expand(4)[:, None]
    ).sum().backward()
    torch.save([gathered.detach(), local.grad], folder / f"{rank}.pt")


def test_what_is_gathered_has_the_sum_of_both_processes_gradients(tmp_path):
    assert in_two(gather, tmp_path) == [0, 0]
    for rank, gradient in ((0, [[3.0, 3.0], [12.0, 12.0]]), (1, [[102.0, 102.0], [1002.0, 1002.0]])):
        gathered, given = torch.load(tmp_path / f"{rank}.pt")
        assert gathered.tolist() == [[1.0, 10.0], [2.0, 20.0], [3.0, 12.0], [4.0, 22.0]]
        assert given.tolist() == gradient


SPEC = make_spec(steps=50)


def train_with_a_term_of_the_last_rows(_rank, folder):
    """Train with a term of the batch's second half alone: of two processes one has it, and one has not."""
    plain, size = training.loss_terms, SPEC.train.batch_size

    def terms(method, batch, prediction, *rest):
        rows = len(batch.y)
        out = plain(method, batch, prediction, *rest)
        if rows == size or os.environ["RANK"] == "1":
            out["rare"] = prediction.eps[-size // 2 :].square().mean() * (0.1 * size / 2 / rows)
        return out

    training.loss_terms = terms
    train_in(folder, SPEC)


def test_a_term_of_some_rows_trains_and_is_logged_as_with_one_process(tmp_path):
    assert in_two(train_with_a_term_of_the_last_rows, tmp_path / "both") == [0, 0]
    (alone,) = in_processes(train_with_a_term_of_the_last_rows, tmp_path / "alone", count=1)
    alone.join(60)
    one, two = (tensors(tmp_path / name, 50) for name in ("alone", "both"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-4, rtol=1e-3, msg=name)
    row, other = (read_table(tmp_path / name / "train.csv").iloc[-1] for name in ("alone", "both"))
    assert other["rare"] == pytest.approx(row["rare"], rel=1e-2)
