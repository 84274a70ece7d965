"""A real Slurm of one node, started and stopped by the tests that need it: Debian's slurmctld, slurmd and munged."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CONF = Path("/etc/slurm/slurm.conf")  # Snakemake's executor forgets $SLURM_CONF, so it must be the usual place
CPUS, MEMORY_MB = 4, 6000


class NoSlurmError(Exception):
    """Why there is no Slurm here."""


@contextmanager
def one_node_slurm(folder: Path) -> Iterator[Callable[..., str]]:
    """Start Slurm with all its files in ``folder``; hands out a function that runs one of its commands.

    Raises
    ------
    NoSlurmError
        It cannot be started here, and why.
    """
    _check()
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        _munge(folder, daemons)
        CONF.parent.mkdir(exist_ok=True)
        CONF.write_text(_configuration(folder))
        _start(daemons, folder, "slurmctld", "-D", "-i")
        _start(daemons, folder, "slurmd", "-D")
        _until(lambda: "idle" in _answer("sinfo", "-h", "-o", "%t"), "the node never became idle", folder)
        try:
            yield _command
        finally:
            _answer("scancel", "--me")
            _until(lambda: not _answer("squeue", "-h"), "jobs did not end", folder)
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        CONF.unlink(missing_ok=True)


def _check() -> None:
    if os.getuid() != 0:
        raise NoSlurmError("a Slurm of one's own needs root here, to write /etc/slurm/slurm.conf")
    missing = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]
    if missing:
        raise NoSlurmError(
            f"{', '.join(missing)} not installed; "
            "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
        )
    if CONF.exists():
        raise NoSlurmError(f"{CONF} is there: another Slurm is at home here")
    try:
        socket.gethostbyname(_host())
    except OSError as error:
        raise NoSlurmError(f"this machine's name {_host()} has no address ({error})") from error


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _munge(folder: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    place = folder / "munge"
    place.mkdir(mode=0o755)
    key = place / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = ["--socket", place / "socket", "--pid-file", place / "pid", "--log-file", place / "log"]
    _start(daemons, folder, "munged", "-F", "--force", "--key-file", key, *files, "--seed-file", place / "seed")
    _until((place / "socket").exists, "munged opened no socket", folder)


def _configuration(folder: Path) -> str:
    state, spool = folder / "state", folder / "spool"
    state.mkdir()
    spool.mkdir()
    host, ports = _host(), _free_ports(2)
    return f"""
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={state}
SlurmdSpoolDir={spool}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2
ReturnToService=2
DefMemPerCPU=200
KillWait=2
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEMORY_MB} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _start(daemons: list[subprocess.Popen[bytes]], folder: Path, *command: str | Path) -> None:
    with (folder / f"{command[0]}.out").open("wb") as output:
        daemons.append(subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True))


def _until(ready: Callable[[], bool], complaint: str, folder: Path, seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > ends:
            said = "".join(
                file.read_text()[-1500:] for file in sorted(folder.glob("*.out")) + sorted(folder.glob("*.log"))
            )
            raise NoSlurmError(f"{complaint}: {said}")
        time.sleep(0.1)


def _answer(*command: str) -> str:
    """What a command says, nothing if it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _command(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
