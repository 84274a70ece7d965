"""One step of the workflow: alone, once, and whole.

``python -m neuroreel.workflow.step --done FILE [--stamp HASH] [--makes PATH] [--link SOURCE] -- COMMAND ...`` runs a
command of ``neuroreel`` and then writes FILE. A step that another process is at is waited for, not done twice.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroreel.errors import InputError, NeuroreelError
from neuroreel.files import atomic_path
from neuroreel.locks import file_lock, lock_of


def main(arguments: list[str] | None = None) -> None:
    """Run one step; the exit status is that of its command."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    try:
        with alone(options.done):
            if not options.done.exists():
                began = time.time()
                if options.stamp:
                    _forget_others(options.done, options.stamp)
                _work(options)
                _stamp(options.done, options.command, began)
    except NeuroreelError as error:
        sys.stderr.write(f"neuroreel: {error}\n")
        sys.exit(2)


def _work(options: Namespace) -> None:
    """Run the command, or link a file in its place, unless its result is there."""
    from neuroreel.cli import main as neuroreel

    if options.makes is not None and options.makes.exists():
        return
    if options.link is not None:
        _link(options.link, options.makes)
    else:
        with _helpers(options.command, options.processes - 1):
            neuroreel(options.command)


@contextmanager
def _helpers(command: list[str], count: int) -> Iterator[None]:
    """More processes with the same command, which share its work: one that dies leaves its share to the others."""
    helpers = [subprocess.Popen([sys.executable, "-m", "neuroreel", *command]) for _ in range(count)]
    try:
        yield
    finally:
        for helper in helpers:  # the command has ended: nothing is left to do, or it has failed
            helper.terminate()
            helper.wait()


def _link(source: Path, target: Path) -> None:
    if not source.exists():
        raise InputError(f"{source} is missing; the configuration names it")
    with atomic_path(target) as partial:
        partial.symlink_to(source.resolve())


def _forget_others(done: Path, stamp: str) -> None:
    """The step with other options is no longer done: what it made is about to be replaced."""
    for other in done.parent.glob("*.done"):
        if not other.name.endswith(f"{stamp}.done"):
            other.unlink(missing_ok=True)


def _stamp(done: Path, command: list[str], began: float) -> None:
    """Note that the step is done, what it was, how long it took and where."""
    from neuroreel import __version__

    note = {
        "command": ["neuroreel", *command],
        "seconds": round(time.time() - began, 2),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": platform.node(),
        "version": __version__,
    }
    with atomic_path(done, overwrite=True) as partial:
        partial.write_text(json.dumps(note, indent=1) + "\n")


@contextmanager
def alone(done: Path) -> Iterator[None]:
    """One process at a time at this step: jobs outlive a Snakemake that was killed, which starts them anew."""

    def say(line: str) -> None:
        sys.stderr.write(f"{done}: another process is at this step; {line}\n")

    with file_lock(lock_of(done), what="workflow step", say=say):
        yield


def busy(folder: Path) -> list[Path]:
    """Steps of a workflow's folder that a process of this machine, or of this file system, is at."""
    found = []
    for lock in sorted((folder / "steps").rglob(".*.done.lock")):
        with file_lock(lock, wait=False) as held:
            if not held:
                found.append(lock.with_name(lock.name[1:].removesuffix(".lock")))
    return found


def _parse(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="neuroreel.workflow.step", description=__doc__)
    parser.add_argument("--done", type=Path, required=True, help="written when the command has ended well")
    parser.add_argument("--stamp", help="the end of FILE's name where it tells which options the step has")
    parser.add_argument("--makes", type=Path, help="what the command makes: if it is there, nothing is left to do")
    parser.add_argument("--link", type=Path, help="make a link to this file in place of a command")
    parser.add_argument("--processes", type=int, default=1, help="how many run the command, and share its work")
    parser.add_argument("command", nargs="*", help="of neuroreel, after --")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
