"""One step of the workflow, run once, in full, by one process.

``python -m neuroreel.workflow.step --done FILE [--stamp HASH] [--makes PATH] [--link SOURCE] -- COMMAND ...`` runs a
command of ``neuroreel`` and then writes FILE. If another process is running the step, it is waited for.
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
    """Run the command, or link a file instead, unless its result exists."""
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
    """More processes with the same command, which share its work: if one dies, the others do its share."""
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
    """Forget the same step with other options: its output is about to be replaced."""
    for other in done.parent.glob("*.done"):
        if not other.name.endswith(f"{stamp}.done"):
            other.unlink(missing_ok=True)


def _stamp(done: Path, command: list[str], began: float) -> None:
    """Record that the step is done: its command, duration and machine."""
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
    """One process at a time on this step: jobs outlive a killed Snakemake, which starts them again."""

    def say(line: str) -> None:
        sys.stderr.write(f"{done}: another process is running this step; {line}\n")

    with file_lock(lock_of(done), what="workflow step", say=say):
        yield


def busy(folder: Path) -> list[Path]:
    """Steps in a workflow's folder that some process on this machine or file system is running."""
    found = []
    for lock in sorted((folder / "steps").rglob(".*.done.lock")):
        with file_lock(lock, wait=False) as held:
            if not held:
                found.append(lock.with_name(lock.name[1:].removesuffix(".lock")))
    return found


def _parse(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="neuroreel.workflow.step", description=__doc__)
    parser.add_argument("--done", type=Path, required=True, help="written when the command has succeeded")
    parser.add_argument("--stamp", help="the end of FILE's name, if it depends on the step's options")
    parser.add_argument("--makes", type=Path, help="the command's output: if it exists, nothing is left to do")
    parser.add_argument("--link", type=Path, help="link this file instead of running a command")
    parser.add_argument("--processes", type=int, default=1, help="how many processes share the command's work")
    parser.add_argument("command", nargs="*", help="a neuroreel command, after --")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
