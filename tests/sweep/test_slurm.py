"""Slurm: options, and sweeps on a real one-node Slurm that the tests start."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import sweep_stub
from sweep_tools import GRID, artifacts, done_once, drive, runs_of, wait_for, wrong

from ltbench.environment import Settings
from ltbench.errors import UsageError
from ltbench.sweep import slurm, status
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.slurm import SlurmOptions, active, parse_slurm, submit

# -- options --------------------------------------------------------------------------------------------


def test_options_are_read():
    options = parse_slurm(
        "partition=gpu,time=8h,gpus_per_node=1,tasks=4,parallel=2,mem=16G,cpus-per-task=3,warn=60"
    )
    assert options == SlurmOptions(
        480, 4, 2, 60, {"partition": "gpu", "gpus_per_node": "1", "mem": "16G", "cpus_per_task": "3"}
    )
    times = {"90": 90, "90m": 90, "2d": 2880, "1-02:30:00": 1590, "00:05:01": 6}
    assert {text: parse_slurm(f"time={text}").minutes for text in times} == times


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("partiton=gpu", "did you mean 'partition'"),
        ("gpu", "KEY=VALUE"),
        ("time=soon", "8h"),
        ("time=0", "at least a minute"),
        ("tasks=none", "whole number"),
        ("tasks=0", "whole number"),
        ("tasks=1025", "at most 1024"),
        ("time=1m", "allow at least time=4m"),
        ("time=3m", "allow at least time=4m"),
        ("time=1m,warn=600", "allow at least time=12m"),
        ("time=5m,warn=240", "allow at least time=6m"),
        ("partition=gpu\n#SBATCH --wrap=x", "control characters"),
        ("exclude=\x1b[2J", "control characters"),
    ],
)
def test_wrong_options_are_one_sentence(text, part):
    with pytest.raises(UsageError, match=part):
        parse_slurm(text)


def test_a_task_has_time_before_it_is_warned():
    """Slurm may warn a minute early: warned at its start it would be requeued for ever and do nothing."""
    for text in ("time=4m", "time=2m,warn=59", "time=12m,warn=600"):
        options = parse_slurm(text)
        assert options.minutes * 60 - options.warn - 60 > 0


@pytest.mark.parametrize(
    ("names", "device"),
    [
        ({}, "cpu"),
        ({"SLURM_JOB_GPUS": "0,1"}, "cuda"),
        ({"SLURM_STEP_GPUS": "2"}, "cuda"),
        ({"CUDA_VISIBLE_DEVICES": "3"}, "cuda"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"}, "cuda"),
        ({"CUDA_VISIBLE_DEVICES": "MIG-1c2e"}, "cuda"),
        *(({"CUDA_VISIBLE_DEVICES": hidden}, "cpu") for hidden in ("", "-1", "NoDevFiles", "none")),
        ({"CUDA_VISIBLE_DEVICES": "-1", "SLURM_JOB_GPUS": "0"}, "cpu"),  # PyTorch sees none
    ],
)
def test_a_task_uses_a_gpu_that_it_was_given(names, device, monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert slurm._on_this_node(Settings(threads=3)) == Settings(threads=3, device=device)


def test_a_task_that_is_not_requeued_ends_with_an_error(tmp_path, monkeypatch, capfd):
    """It ended as if all was well, and nobody went on."""
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", str(tmp_path))  # no scontrol
    runs = runs_of(["seeds=0", "train.steps=10", wrong(3)])  # out of memory: another process is to go on
    plan = status.save_plan(tmp_path, status.SavedPlan(runs))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as left:
            slurm.SlurmTask(tmp_path, plan, Settings(beat=0.2, lease=3.0), 120, sweep_stub.pipeline)()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert left.value.code == 1
    out = capfd.readouterr().out
    assert "7 was not requeued: " in out
    assert "run the same command again" in out


def test_without_slurm_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(slurm.SlurmError, match="needs the command sbatch"):
        submit(runs_of([]), tmp_path, Settings(), SlurmOptions())


def test_a_task_imports_nothing_from_the_current_folder(tmp_path):
    """sbatch may be set not to hand on the environment, where PYTHONSAFEPATH would say the same."""
    pytest.importorskip("submitit")
    script = slurm.batch_script(runs_of([]), tmp_path, SlurmOptions())
    assert f"{shlex.quote(sys.executable)} -P -u -m submitit.core._submit" in script


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    assert status.exit_code(drive(root, GRID)) == 0
    return artifacts(root)


# -- a real Slurm ---------------------------------------------------------------------------------------

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start munge, slurmctld and slurmd on this machine; end them afterwards."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    absent = [name for name in DAEMONS if shutil.which(name, path=path) is None]
    if absent:
        pytest.skip(f"no Slurm here ({', '.join(absent)}): apt-get install slurm-wlm munge")
    folder = tmp_path_factory.mktemp("slurm")
    for parent in (folder, *folder.parents):  # munge refuses a socket whose folder others could not reach
        if parent.owner() == os.environ.get("USER", "root") and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    import getpass

    text = CONF.format(folder=folder, host=socket.gethostname(), ports=free_ports(2), user=getpass.getuser())
    (folder / "slurm.conf").write_text(text)
    environment = {**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    commands = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munge],
        ["slurmctld", "-D", "-i", "-f", f"{folder}/slurm.conf"],
        ["slurmd", "-D", "-f", f"{folder}/slurm.conf"],
    ]
    running = []
    try:
        for command in commands:
            with (folder / f"{command[0]}.out").open("wb") as out:
                running.append(
                    subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
                )
            time.sleep(1.0)

        def idle():
            out = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
            return "idle" in out.stdout

        wait_for(idle, seconds=60)
        yield SimpleNamespace(folder=folder, environment=environment)
    finally:
        subprocess.run(["scancel", "--me", "--signal=KILL"], env=environment, check=False)
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(timeout=30)


@pytest.fixture
def inside(cluster, monkeypatch):
    """Make the test's own process a user of the cluster, its tasks able to import the stand-in stages."""
    for key, value in cluster.environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(sweep_stub.__file__).parent))
    monkeypatch.setenv("STUB_STEP_SECONDS", "0.02")
    yield cluster
    subprocess.run(["scancel", "--me"], check=False)


def send(root, sets, **options):
    settings = Settings(beat=0.2, lease=3.0, data_root=root / "data")
    return submit(runs_of(sets), root, settings, SlurmOptions(**options), make_pipeline=sweep_stub.pipeline)


def wait_for_jobs(jobs, seconds=120):
    wait_for(lambda: not active(jobs), seconds=seconds)


def said(root):
    return "".join(path.read_text() for path in (root / ".sweep" / "slurm").glob("*.out"))


@pytest.mark.usefixtures("inside")
def test_an_array_does_a_sweep_without_its_driver(tmp_path, undisturbed):
    jobs = send(tmp_path, GRID, tasks=2)
    assert len(jobs) == 2
    assert active(jobs)
    assert status.plans_of(tmp_path)[0].settings.data_root == tmp_path / "data"
    wait_for_jobs(jobs)
    rows = status.survey(status.tasks_of(tmp_path), Ledger(tmp_path))
    assert status.exit_code(rows) == 0, said(tmp_path)
    assert artifacts(tmp_path) == undisturbed
    done_once(tmp_path)
    assert send(tmp_path, GRID) == []


@pytest.mark.usefixtures("inside")
def test_a_warned_task_saves_requeues_and_goes_on(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setenv("STUB_STEP_SECONDS", "0.1")
    jobs = send(tmp_path, GRID, tasks=1)
    wait_for(lambda: list(tmp_path.glob("*/checkpoint.json")))
    subprocess.run(["scancel", "--signal=USR2", jobs[0]], check=True)
    wait_for(lambda: "requeueing" in said(tmp_path))
    ends = [a.end for name in Ledger(tmp_path).claimed() for a in Ledger(tmp_path).attempts(name) if a.end]
    assert "interrupted" in {end["outcome"] for end in ends}
    wait_for_jobs(jobs)
    rows = status.survey(status.tasks_of(tmp_path), Ledger(tmp_path))
    assert status.exit_code(rows) == 0, said(tmp_path)
    assert artifacts(tmp_path) == undisturbed
    done_once(tmp_path)


@pytest.mark.usefixtures("inside")
def test_a_cancelled_task_saves_and_stays_cancelled(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setenv("STUB_STEP_SECONDS", "0.1")
    jobs = send(tmp_path, GRID, tasks=1)
    wait_for(lambda: list(tmp_path.glob("*/checkpoint.json")))
    subprocess.run(["scancel", jobs[0]], check=True)
    wait_for_jobs(jobs)
    assert "requeueing" not in said(tmp_path)
    rows = status.survey(status.tasks_of(tmp_path), Ledger(tmp_path))
    assert "running" not in status.counts(rows)
    assert status.counts(rows)["queued"] > 0
    assert status.exit_code(drive(tmp_path, GRID)) == 0  # on this machine, without Slurm
    assert artifacts(tmp_path) == undisturbed


@pytest.mark.slow
@pytest.mark.usefixtures("inside")
def test_time_running_out_is_a_requeue_and_not_a_loss(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setenv("STUB_STEP_SECONDS", "0.4")
    jobs = send(tmp_path, GRID, tasks=2, minutes=1, warn=40)
    wait_for_jobs(jobs, seconds=280)
    assert "requeueing" in said(tmp_path)
    rows = status.survey(status.tasks_of(tmp_path), Ledger(tmp_path))
    assert status.exit_code(rows) == 0, said(tmp_path)
    assert artifacts(tmp_path) == undisturbed


@pytest.mark.slow
@pytest.mark.usefixtures("inside")
def test_a_stage_that_cannot_be_stopped_is_a_time_out_and_tried_again(tmp_path):
    sets = ["seeds=0", "train.steps=10", wrong(7)]
    jobs = send(tmp_path, sets, tasks=1, minutes=1, warn=20)
    wait_for_jobs(jobs, seconds=280)
    rows = status.survey(status.tasks_of(tmp_path), Ledger(tmp_path))
    assert status.exit_code(rows) == 0, said(tmp_path)
    first, second = Ledger(tmp_path).attempts(rows[0].task.resource)
    assert (first.end["kind"], second.end["outcome"]) == ("time-out", "done")


@pytest.mark.usefixtures("inside")
def test_a_requeue_that_slurm_refuses_is_told(monkeypatch, capfd):
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "999999")
    assert not slurm._requeue()
    assert re.search(r"999999 was not requeued: .*[Ii]nvalid job id", capfd.readouterr().out)


@pytest.mark.usefixtures("inside")
def test_what_slurm_refuses_is_one_sentence(tmp_path):
    with pytest.raises(slurm.SlurmError, match=r"Slurm refused the job: .*partition"):
        send(tmp_path, GRID, sbatch={"partition": "no-such"})
