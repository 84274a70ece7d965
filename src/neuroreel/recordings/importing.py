"""``neuroreel import``: what the kind of file decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neuroreel.errors import InputError
from neuroreel.recordings.disk import read_array
from neuroreel.recordings.nwb.contents import AUTO, open_nwb, read_contents
from neuroreel.recordings.nwb.importing import import_nwb
from neuroreel.recordings.recording import Recording
from neuroreel.recordings.table import ENDINGS_OF_TABLES, import_table

ENDING_OF_NWB = ".nwb"


def list_file(source: Path) -> list[str]:
    """What an NWB file holds, a line each."""
    if source.suffix.lower() != ENDING_OF_NWB:
        raise InputError(f"--list tells what an NWB file holds; {source} ends in {source.suffix!r}")
    with open_nwb(source) as (nwb, unreadable):
        return read_contents(nwb, unreadable).lines()


def import_file(
    source: Path,
    out: Path | None,
    *,
    frame_rate_hz: float | None,
    choices: Mapping[str, Any],
    say: Callable[[str], object],
) -> Recording:
    """Make a recording of an NWB file or a table; ``choices`` are further arguments of :func:`import_nwb`.

    Raises
    ------
    InputError
        A file of another kind, no folder, or choices that a table does not have.
    """
    if out is None:
        raise InputError("no folder was given; give one with --out (or --list to see what an NWB file holds)")
    kind = source.suffix.lower()
    if kind == ENDING_OF_NWB:
        neurons = None if choices["neurons"] is None else read_array(choices["neurons"], rank=1)
        return import_nwb(source, out, frame_rate_hz=frame_rate_hz, say=say, **{**choices, "neurons": neurons})
    if kind in ENDINGS_OF_TABLES:
        made = [name for name, value in choices.items() if value not in (None, (), AUTO, (0, 255))]
        if made:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in made)
            raise InputError(f"{flags}: of NWB files only; a table tells everything but the frame rate")
        return import_table(source, out, frame_rate_hz=frame_rate_hz, say=say)
    allowed = ", ".join((ENDING_OF_NWB, *ENDINGS_OF_TABLES))
    raise InputError(f"{source} ends in {source.suffix!r}; give a file that ends in {allowed}")
