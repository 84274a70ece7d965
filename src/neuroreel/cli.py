"""The command line: runs a command, and reports in one line what the user can fix."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import socket
import sys
import textwrap
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, NoReturn

from neuroreel.arguments import refuse_unknown
from neuroreel.commands.experiment import Experiment
from neuroreel.commands.models import Fit, Mask, Predict
from neuroreel.commands.movies import Convert, Evaluate, Export, Reconstruct, Report
from neuroreel.commands.options import explanation, line_width, parse
from neuroreel.commands.recordings import Download, Import, Simulate
from neuroreel.commands.studies import Benchmark, Demo, Doctor, Figures
from neuroreel.commands.train import Train
from neuroreel.errors import NeuroreelError
from neuroreel.workflow.command import Workflow

_NETWORK = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
GROUPS: dict[str, dict[str, type[Callable[[], None]]]] = {  # in the order of work
    "Start here": {"demo": Demo, "doctor": Doctor},
    "Get a recording": {"simulate": Simulate, "import": Import, "download": Download},
    "Train and fit": {"train": Train, "predict": Predict, "fit": Fit, "mask": Mask},
    "Reconstruct": {
        "reconstruct": Reconstruct,
        "evaluate": Evaluate,
        "report": Report,
        "export": Export,
        "benchmark": Benchmark,
    },
    "Reproduce the paper": {
        "experiment": Experiment,
        "figures": Figures,
        "workflow": Workflow,
        "convert": Convert,
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; an InputError prints only its message and exits with status 2, Ctrl-C with 130."""
    # before PyTorch is imported: its waiting threads would spin, which doubles the time when another process keeps
    # two cores busy; on an idle machine it makes no difference
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = [_at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    name = given[0] if given else "--help"
    if name == "--version":
        from neuroreel import __version__

        print(f"neuroreel {__version__}")
        return
    try:
        if name in ("-h", "--help"):
            print(overview(), flush=True)
            return
        refuse_unknown([name], COMMANDS, what="command")
        parse(COMMANDS[name], given[1:], name=f"neuroreel {name}")()
    except KeyboardInterrupt:
        exec("")  # after Ctrl-C inside exec(), Python would end by SIGINT, not with 130
        _stop("stopped; give the same command again to resume", status=130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads_on():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python complains on exit
            sys.exit(128 + signal.SIGPIPE)
        message = _in_one_line(error)
        if message is None:  # a bug: its traceback is needed
            raise
        _stop(as_typed(message, COMMANDS.get(name)), status=2)


def overview() -> str:
    """All commands, one line each, grouped in the order of use."""
    lines = [
        "usage: neuroreel COMMAND [OPTIONS]",
        "",
        "Reconstruct the movie an animal watched from the activity of its neurons.",
    ]
    for title, commands in GROUPS.items():
        lines += ["", title]
        for name, command in commands.items():
            summary, *_ = explanation(command)
            lines += textwrap.wrap(summary, line_width(), initial_indent=f"  {name:<13}", subsequent_indent=" " * 15)
    return "\n".join([*lines, "", "`neuroreel COMMAND --help` explains a command and its options."])


def as_typed(message: str, command: Any) -> str:
    """A message with arguments spelled as shell options, such as "skip is -1" or "overwrite=True"."""
    for each in fields(command) if command is not None else ():
        flag = f"--{each.name.replace('_', '-')}"
        start = r"\b" if "_" in each.name else "^"  # other names may be words of the sentence
        message = re.sub(rf"{start}{each.name}(?= is | names )", flag, message)
        message = re.sub(rf"\b{each.name}=(True|\([^)]*\)|'[^']*'|[\w.-]*)", partial(_with_value, flag), message)
    return message.replace(" or pass overwrite=True", ", or delete it first")


def _with_value(flag: str, found: re.Match[str]) -> str:
    value = re.sub(r"[(),']", "", found[1])
    return flag if value in ("", "True") else f"{flag} {value}"


def _at_home(word: str) -> str:
    """Expand ``~`` in a word, also after ``--out=``, where many shells do not."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{os.path.expanduser(value)}"  # noqa: PTH111 - pathlib raises for unknown users


def _in_one_line(error: Exception) -> str | None:
    """The message of an error that the user can fix; None for a bug."""
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
    """What to check after an operating system error, if known."""
    if error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "; check the path, its permissions and the space on its disk"
    if error.errno in _NETWORK or isinstance(error, ConnectionRefusedError | TimeoutError | socket.gaierror):
        return "; check the network, and that the address is right and no other process uses it"
    if isinstance(error, ConnectionError | ChildProcessError):
        return "; another process ended early: look for its message above, and whether memory ran out"
    return ""


def _nobody_reads_on() -> bool:
    """True if our output goes to a program that has ended, as ``head`` does after its last line."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in output.poll(0))


def _stop(message: str, *, status: int) -> NoReturn:
    print(f"neuroreel: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
