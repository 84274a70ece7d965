"""kill -9 at random moments of the workflow, and a full disk: nothing is lost, half-written, or done twice."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroreel.workflow import step
from neuroreel.workflow.configuration import check_configuration, read_configuration
from neuroreel.workflow.plan import Plan
from workflows import TINY, changed, numbers_in, planned_commands, workflow, written

SLOW, NIGHTLY = pytest.mark.slow, pytest.mark.nightly
DISK_BYTES = 100_000_000

SERVER = """
import contextlib, os, sys, torch, lightning, matplotlib, xarray, h5netcdf, skimage, sklearn, pandas, jinja2
import lightning.pytorch, neuroreel.cli, neuroreel.encoding.training.fit, neuroreel.studies.quick
import neuroreel.workflow.step as step
torch.set_num_threads(1)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        folder, log, *arguments = line.rstrip("\\n").split("\\t")
        os.chdir(folder)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1), os.dup2(output, 2)
        status = 1
        try:
            step.main(arguments)
            status = 0
        except SystemExit as ended:
            status = ended.code or 0
        finally:
            os._exit(status)
    print(child, flush=True)
    sys.stdin.readline()  # until then the child is not waited for: its number is nobody else's
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class StepServer:
    """Runs steps in processes forked from one that has imported everything, so that a kill hits work, not an import."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", "-c", SERVER]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"

    def run(self, folder: Path, arguments: list[str], *, kill_after_s: float | None = None) -> int:
        """One step; its exit status, -9 if it was killed before its end."""
        assert self.process.stdin is not None
        self.process.stdin.write("\t".join([str(folder), str(folder / "steps.log"), *arguments]) + "\n")
        self.process.stdin.flush()
        child = int(self._line())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(child, signal.SIGKILL)
        self.process.stdin.write("wait for it\n")
        self.process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.kill()  # it holds nothing: no need to wait until all that it imported has taken its leave
        self.process.wait()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(TINY, tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def server() -> Iterator[StepServer]:
    server = StepServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def undisturbed(config: Path, server: StepServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed")
    for arguments in prepared(config, out):
        assert server.run(out, arguments) == 0, (out / "steps.log").read_text()
    return out


def prepared(config: Path, out: Path) -> list[list[str]]:
    """The steps, in a folder with the files of settings that they read."""
    plan = Plan(check_configuration(read_configuration(config)))
    (out / "settings").mkdir()
    for file, text in plan.settings_files().items():
        (out / file).write_text(text)
    return planned_commands(config, out)


def stamps(out: Path) -> dict[str, int]:
    """When each result was written: one that is done again has another time.

    A job of an experiment is done when its record is there, which is written after its result; one killed between the
    two starts again from its last snapshot.
    """
    kept = (
        "recordings/*/meta",
        "models/*/*.safetensors",
        "decoders/*/[!.]*",
        "masks/*.npy",
        "experiments/*/jobs/*.json",
    )
    return {str(file): file.stat().st_mtime_ns for pattern in kept for file in _results(out, pattern)}


def _results(out: Path, pattern: str) -> Iterator[Path]:
    """Files that say that something is done; for a job's record, its result as well."""
    for file in out.glob(pattern):
        yield file
        if file.suffix == ".json":
            yield file.with_suffix(".nc")


def assert_equal_results(out: Path, undisturbed: Path) -> None:
    found, wanted = numbers_in(out), numbers_in(undisturbed)
    assert sorted(found) == sorted(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == []


@pytest.mark.parametrize(
    ("kills_wanted", "least"), [pytest.param(8, 6, marks=SLOW), pytest.param(56, 50, marks=NIGHTLY)]
)
def test_steps_killed_at_random_moments(
    kills_wanted: int, least: int, config: Path, undisturbed: Path, server: StepServer, tmp_path: Path
) -> None:
    planned = prepared(config, tmp_path)
    durations = _durations(undisturbed, planned)
    draw, kills = random.Random(6), 0
    for number, arguments in enumerate(planned):
        wanted = round(kills_wanted * (number + 1) / len(planned)) - kills
        for _ in range(wanted):
            before = stamps(tmp_path)
            kills += _killed(server, tmp_path, arguments, draw.uniform(0, durations[number]), before)
        before = stamps(tmp_path)
        assert server.run(tmp_path, arguments) == 0, (tmp_path / "steps.log").read_text()
        assert before.items() <= stamps(tmp_path).items()
    assert kills >= least, "the kills came too late: the steps had ended"
    assert_equal_results(tmp_path, undisturbed)


def _killed(server: StepServer, out: Path, arguments: list[str], after_s: float, before: dict[str, int]) -> bool:
    """Kill a step; what was there before is as it was."""
    status = server.run(out, arguments, kill_after_s=after_s)
    assert status in (0, -signal.SIGKILL), (out / "steps.log").read_text()
    assert before.items() <= stamps(out).items()
    return status != 0


def _durations(undisturbed: Path, planned: list[list[str]]) -> list[float]:
    """Seconds until which a kill may come: most of what the step took when more else may have run on the machine."""
    marks = [undisturbed / arguments[arguments.index("--done") + 1] for arguments in planned]
    return [0.6 * json.loads(mark.read_text())["seconds"] for mark in marks]


@pytest.mark.parametrize(("kills_wanted", "least"), [pytest.param(5, 4, marks=NIGHTLY)])
def test_snakemake_killed_at_random_moments(
    kills_wanted: int, least: int, config: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """The main process alone: the step that it had started goes on, and the next run waits for it."""
    draw, kills, out = random.Random(7), 0, tmp_path / "out"
    command = [sys.executable, "-m", "neuroreel", "workflow", str(config), "--out", str(out), "--cores", "1"]
    while kills < kills_wanted:
        before = stamps(out)
        head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(1.5, 6))
        head.send_signal(signal.SIGKILL)
        if head.wait() == 0:
            break
        kills += 1
        assert before.items() <= stamps(out).items()
    workflow(*command[4:])
    assert kills >= least
    assert step.busy(out) == [] and not list(out.rglob("*.partial"))
    assert_equal_results(out, undisturbed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES; only root may make one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system of its own cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@NIGHTLY
def test_disk_that_fills_again_and_again(undisturbed: Path, small_disk: Path, tmp_path: Path) -> None:
    """In a recording, in an experiment, in a decoder: the command says so, and with more space it resumes."""
    config = written(changed("resources/default/disk_gb", 1e-5), tmp_path)  # expected too low, or it would not start
    out, filler, stopped_at = small_disk / "out", small_disk / "somebody's", []
    for bytes_free in (1_700_000, 2_600_000, 15_000_000):
        left = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        filler.write_bytes(bytes(left - bytes_free))
        before = stamps(out)
        ended = workflow(config, "--out", out, "--cores", "1", check=False)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 2
        assert "Traceback" not in said
        stopped_at.append(re.findall(r"no space left on the disk while writing (?:\S*/out/)?(\w+)", said)[0])
        assert before.items() <= stamps(out).items()
        assert not list(out.rglob("*.partial"))
        filler.unlink()
    assert stopped_at in (["recordings", "experiments", "decoders"], ["recordings", "decoders", "decoders"])
    workflow(config, "--out", out, "--cores", "1")
    assert_equal_results(out, undisturbed)
