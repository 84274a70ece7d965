"""The command line: finds the command, and says in one line what the user can fix."""

from __future__ import annotations

import errno
import inspect
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

import tyro

from neuroreel.commands.models import fit, mask, predict, train
from neuroreel.commands.movies import convert, evaluate, export, reconstruct, report
from neuroreel.commands.recordings import download, import_, simulate
from neuroreel.commands.studies import benchmark, demo, doctor, experiment, figures, workflow
from neuroreel.errors import ExistsError, NeuroreelError

_NETWORK = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "simulate": simulate,
    "train": train,
    "mask": mask,
    "fit": fit,
    "reconstruct": reconstruct,
    "predict": predict,
    "evaluate": evaluate,
    "report": report,
    "convert": convert,
    "download": download,
    "experiment": experiment,
    "benchmark": benchmark,
    "figures": figures,
    "import": import_,
    "export": export,
    "doctor": doctor,
    "workflow": workflow,
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a refusal prints its message alone and exits with status 2, Ctrl-C with 130."""
    # before PyTorch is imported: its threads would spin while they wait, and beside another busy process on two cores
    # that takes twice the time; alone it makes no difference
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = [_at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    if given == ["--version"]:
        from neuroreel import __version__

        print(f"neuroreel {__version__}")
        return
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="neuroreel",
            description="Reconstruct the movie an animal watched from the activity of its neurons.",
            args=given or ["--help"],
        )
    except KeyboardInterrupt:
        exec("")  # Python forgets that Ctrl-C came while a string was executed: else it ends by SIGINT, not with 130
        _stop("stopped; the same command goes on from what is finished", status=130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads_on():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
            sys.exit(128 + signal.SIGPIPE)
        message = _in_one_line(error, command=COMMANDS.get(given[0]) if given else None)
        if message is None:  # a fault of ours: its traceback is what we need to see
            raise
        _stop(message, status=2)


def _at_home(word: str) -> str:
    """A word with ``~`` as the user's home, also behind ``--out=``, where many shells leave it as it is."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{os.path.expanduser(value)}"  # noqa: PTH111 - pathlib refuses users that are not there


def _in_one_line(error: Exception, *, command: Callable[..., None] | None = None) -> str | None:
    """The message of an error that the user can fix; None for a fault of the program."""
    if isinstance(error, ExistsError):
        overwrites = command is not None and "overwrite" in inspect.signature(command).parameters
        return f"{error.args[0]}; choose another name{' or pass --overwrite' if overwrites else ', or delete it first'}"
    if isinstance(error, NeuroreelError):
        return str(error)
    if isinstance(error, MemoryError | RuntimeError):
        from neuroreel.memory import first_line, is_out_of_memory  # imports PyTorch

        if not is_out_of_memory(error):
            return None
        return f"out of memory ({first_line(error)}); use fewer trials or neurons, or a smaller model"
    if isinstance(error, OSError):
        return f"{str(error) or type(error).__name__}{_advice(error)}"
    return None


def _advice(error: OSError) -> str:
    """What to check after an error of the operating system, where that is known."""
    if error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "; check the path, its permissions and the space on its disk"
    if error.errno in _NETWORK or isinstance(error, ConnectionRefusedError | TimeoutError | socket.gaierror):
        return "; check the network, and that the address is right and no other process uses it"
    if isinstance(error, ConnectionError | ChildProcessError):
        return "; another process ended early: look for its message above, and whether memory ran out"
    return ""


def _nobody_reads_on() -> bool:
    """True if our output goes to a program that has ended, as ``head`` does once it has seen enough."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in output.poll(0))


def _stop(message: str, *, status: int) -> NoReturn:
    print(f"neuroreel: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
