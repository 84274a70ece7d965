"""Shell options: a command is a dataclass, its fields are the options, its docstring is the help."""

from __future__ import annotations

import functools
import inspect
import operator
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg
from tyro.constructors import ConstructorRegistry, PrimitiveTypeInfo, UnsupportedTypeAnnotationError

Command = TypeVar("Command")

# options shared by several commands

Recording = Annotated[Path, Positional, arg(metavar="RECORDING", help="Folder of a recording.")]
Results = Annotated[
    tuple[Path, ...], Positional, arg(metavar="RESULT ...", help="Files that `reconstruct` wrote, or folders of them.")
]
Device = Annotated[str, arg(help="Where to compute: auto (a GPU if there is one), cpu, cuda, cuda:1 or mps.")]
Seed = Annotated[int, arg(help="Random seed.")]
Overwrite = Annotated[bool, arg(help="Replace what already exists.")]
TestFold = Annotated[str, arg(help="Fold kept for testing; its trials are not used here.")]
Fold = Annotated[str, arg(help="Use the trials of this fold.")]
TrialNumbers = Annotated[tuple[int, ...], arg(help="Numbers of trials in the recording, instead of a fold.")]
Session = Annotated[
    int | str,
    arg(
        metavar="N|NAME",
        help="For models of several mice: which mouse this is, as a number from 0 or the name of its recording.",
    ),
]
Trust = Annotated[bool, arg(help="Open also exported models (.pt2, .ts), which are programs and may do anything.")]
Decoder = Annotated[Path | None, arg(help="A linear decoder (decoder.safetensors): adds the baselines to the table.")]
ScoredMask = Annotated[float, arg(help="Pixels are scored where the transparency mask is at least this.")]
Method = Annotated[
    Literal["posterior", "bauer_2026"], arg(help="Reconstruct from the posterior, or by the published method.")
]
EXPERIMENTS = (
    "natural",
    "gradient_ensembling",
    "predicted_activity",
    "masks",
    "ablation",
    "noise",
    "gratings",
    "receptive_fields",
    "responses",
)  # copied from neuroreel.studies, which takes seconds to import
List = Annotated[bool, arg(name="list")]  # `list` itself means something else in Python

METAVARS: dict[Any, str] = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
REGISTRY = ConstructorRegistry()


def parse(command: type[Command], arguments: Sequence[str], *, name: str) -> Command:
    """Parse the command; prints help or an error and exits if needed."""
    hints = get_type_hints(command, include_extras=True)
    helping = not {"-h", "--help"}.isdisjoint(arguments)
    shown = {each.name: _shown(hints[each.name], each, helping) for each in fields(command)}  # type: ignore[arg-type]
    body = {"__annotations__": shown, "__doc__": command.__doc__, "__module__": command.__module__}
    typed: Command = tyro.cli(
        type(command.__name__, (command,), body),
        prog=name,
        description=_wrapped(explanation(command)),
        args=arguments,
        registry=REGISTRY,
    )
    return typed


def explanation(command: type) -> list[str]:
    """The paragraphs before the list of options; the first is one line."""
    text = inspect.cleandoc(command.__doc__ or "").partition("\nArgs:\n")[0]
    return [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]


def _wrapped(paragraphs: list[str]) -> str:
    """Wrap to the terminal's width; tyro joins lines that do not begin with a space."""
    lines = (textwrap.fill(each, line_width(), initial_indent="  ", subsequent_indent="  ") for each in paragraphs)
    return "\n".join(lines)


def line_width() -> int:
    """Width of the terminal in characters, capped so that lines stay readable."""
    return min(shutil.get_terminal_size().columns, 120)


def _shown(hint: Any, field: Field[Any], helping: bool) -> Any:
    """A type hint with what the help shows for it: a placeholder and the default."""
    kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    single, *others = [part for part in get_args(kind) if part is not NoneType] or [kind]
    if get_origin(single) is tuple:  # and None
        single, *others = get_args(single)
    metavar = METAVARS.get(single)
    if metavar and others:
        metavar = f"{metavar} ..." if others == [...] else None
    if field.default is False and helping:
        extras = [FlagCreatePairsOff, *extras]  # --no-quick works, but the help need not list it
    return Annotated[(kind, arg(metavar=metavar, help_behavior_hint=_hint(field)), *extras)]


def _hint(field: Field[Any]) -> str:
    """The note after an option's help: that it is required, or its default."""
    if field.default is MISSING:
        return "(required)"
    if field.default is None or field.default is False or field.default in ((), ""):
        return ""
    values = field.default if isinstance(field.default, tuple) else (field.default,)
    return f"(default: {' '.join(map(str, values))})"


@REGISTRY.primitive_rule
def _optional(info: PrimitiveTypeInfo) -> Any:
    """The shell has no None: an unwanted option is simply left out."""
    parts = [part for part in get_args(info.type) if part is not NoneType]
    if info.type_origin not in (Union, UnionType) or len(parts) == len(get_args(info.type)):
        return None
    without = functools.reduce(operator.or_, parts)
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(without, info.markers))
    if isinstance(spec, UnsupportedTypeAnnotationError):
        return spec
    return replace(spec, str_from_instance=lambda value: [str(value)])  # also for a default of None
