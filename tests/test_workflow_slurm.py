"""The workflow on a real Slurm of one node: killed, requeued and timed-out jobs resume; refused ones say why."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slurm import NoSlurmError, one_node_slurm
from workflows import changed, numbers_in, workflow, written

pytestmark = pytest.mark.nightly

# Snakemake's executor asks Slurm at growing intervals of up to minutes, which only makes a test longer.
IMPATIENT = """
import asyncio, sys
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
async def sleep(self):
    await asyncio.sleep(1)
RemoteExecutor.sleep = sleep
from neuroreel.cli import main
main(["workflow", *sys.argv[1:]])
"""
SNAKEMAKE = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5", "--retries", "2"]
ARRAY = "--slurm-array-jobs=experiment_ablation"  # its two parts; the others are jobs of their own


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    try:
        with one_node_slurm(tmp_path_factory.mktemp("slurm")) as command:
            yield command
    except NoSlurmError as error:
        pytest.skip(f"needs a Slurm: {error}")


def configuration() -> dict[str, Any]:
    """Three models with enough epochs to be caught in the middle."""
    raw = changed("encoders/seeds", [1, 0, 2])
    raw["encoders"]["train"] = {"epochs": 15, "settings": {"recipe": {"batches_per_epoch": 3, "patience": 50}}}
    raw["resources"]["default"] |= {"hours": 0.1}
    return {**raw, "snakemake": [*SNAKEMAKE, ARRAY]}


@contextmanager
def started(config: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """``neuroreel workflow``, killed at the end if it still runs."""
    command = [sys.executable, "-c", IMPATIENT, str(config), "--out", str(out), "--profile", "slurm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as head:
        try:
            yield head
        finally:
            head.kill()


def step_process(done: str) -> int | None:
    """The process that is at a step."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
        except OSError:  # it has ended
            continue
        if words[1:3] == ["-m", "neuroreel.workflow.step"] and done in words:
            return int(place.name)
    return None


class Training:
    """One training of the workflow, watched from outside: how many epochs its folder knows of."""

    def __init__(self, out: Path, seed: int) -> None:
        self.done = f"steps/train/mouse/{seed}.done"
        self.log = out / f"models/mouse/encoder_{seed}.training/log/metrics.csv"
        self.checkpoint = out / f"models/mouse/encoder_{seed}.training/checkpoints/last.ckpt"
        self.epochs: list[int] = []
        self.disturbed_at: int | None = None

    def look(self) -> None:
        try:
            self.epochs.append(self.log.read_text().count("\n") - 1)
        except OSError:  # not begun, or finished
            return

    def disturb(self, how: Callable[[int], object]) -> None:
        """Once, as soon as there is something to resume from."""
        if self.disturbed_at is None and self.checkpoint.exists() and (process := step_process(self.done)):
            self.disturbed_at = self.epochs[-1] if self.epochs else 0
            how(process)


def slurm_job(process: int) -> str:
    words = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    return next(word.partition("=")[2] for word in words if word.startswith("SLURM_JOB_ID="))


def test_disturbed_jobs_resume_with_the_same_results(slurm: Callable[..., str], tmp_path: Path) -> None:
    config, out = written(configuration(), tmp_path), tmp_path / "out"
    killed_head(slurm, config, out)
    requeued: list[str] = []

    def requeue(process: int) -> None:
        requeued.append(slurm_job(process))
        slurm("scontrol", "requeue", requeued[0])

    def run_out_of_time(process: int) -> None:
        os.kill(process, signal.SIGSTOP)
        slurm("scontrol", "update", f"JobId={slurm_job(process)}", "TimeLimit=1")  # minute, since its start

    first, second, third = (Training(out, seed) for seed in (0, 1, 2))
    with started(config, out) as head:
        while head.poll() is None:
            for training in (first, second, third):
                training.look()
            first.disturb(lambda process: os.kill(process, signal.SIGKILL))
            second.disturb(requeue)
            third.disturb(run_out_of_time)
            time.sleep(0.02)
        said = head.communicate()[0]
    assert head.returncode == 0, said
    assert "jobs of an earlier run are canceled" in said
    states = slurm("squeue", "-t", "all", "-h", "-o", "%T").split()
    assert "TIMEOUT" in states and "FAILED" in states and "CANCELLED" in states
    assert re.search(r"Restarts=1\b", slurm("scontrol", "show", "job", requeued[0]))
    assert re.findall(r"_(\d)$", slurm("squeue", "-t", "all", "-h", "-S", "i", "-o", "%i"), re.MULTILINE) == ["1", "2"]
    for training in (first, second, third):
        assert training.disturbed_at is not None
        assert training.epochs == sorted(training.epochs), "a training began anew"
        assert training.epochs[-1] > training.disturbed_at
    assert_equal_to_an_undisturbed_run(config, out, tmp_path / "undisturbed")


def killed_head(slurm: Callable[..., str], config: Path, out: Path) -> None:
    """Snakemake dies while a job runs, which Slurm goes on with."""
    with started(config, out) as head:
        assert head.stdout is not None
        next(line for line in head.stdout if "has been submitted" in line)
    assert slurm("squeue", "-h"), "no job was left"


def assert_equal_to_an_undisturbed_run(config: Path, out: Path, undisturbed: Path) -> None:
    workflow(config, "--out", undisturbed, "--cores", "1")
    found, wanted = numbers_in(out), numbers_in(undisturbed)
    assert sorted(found) == sorted(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == []


def test_job_that_slurm_rejects(slurm: Callable[..., str], tmp_path: Path) -> None:
    raw = configuration()
    raw["resources"]["simulate"] = {"memory_gb": 10_000}
    with started(written(raw, tmp_path), tmp_path / "out") as head:
        said = head.communicate(timeout=120)[0]
    assert head.returncode == 2
    assert "sbatch: error: Memory specification can not be satisfied" in said
    assert "neuroreel: a step has failed; its messages are above" in said


def test_partition_that_slurm_does_not_have(slurm: Callable[..., str], tmp_path: Path) -> None:
    raw = configuration()
    raw["resources"]["train"] = {**raw["resources"].get("train", {}), "partition": "gpu"}
    with started(written(raw, tmp_path), tmp_path / "out") as head:
        said = head.communicate(timeout=120)[0]
    assert head.returncode == 2
    assert "resources: train: partition is 'gpu'; this Slurm has main" in said and "Traceback" not in said
