"""Commands that make recordings: simulated, downloaded, or from other files."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from neuroreel.commands.files import say
from neuroreel.commands.options import List, Overwrite
from neuroreel.defaults import PARALLEL_DOWNLOADS
from neuroreel.errors import InputError
from neuroreel.recordings.simulate.settings import SimulationSettings


@dataclass(frozen=True, kw_only=True)
class Simulate(SimulationSettings):
    """Simulate a recording of mouse visual cortex (not a real mouse).

    Written as a folder in the Sensorium layout, which all other commands accept.

    Args:
        folder: Where to write the recording.
    """

    folder: Annotated[Path, Positional, arg(metavar="FOLDER")]
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        """Leave the checks to nr.simulate: an error raised here would look like a misspelled option."""

    def __call__(self) -> None:
        """Write the recording, and say what it is."""
        import neuroreel as nr

        settings = {each.name: getattr(self, each.name) for each in fields(SimulationSettings)}
        say(repr(nr.simulate(self.folder, **settings, overwrite=self.overwrite)))


@dataclass(frozen=True, kw_only=True)
class Download:
    """Download the Sensorium 2023 recordings and the authors' files.

    An interrupted download resumes; existing files are kept.

    Args:
        names: new, old, recordings, weights, masks, stimuli, reconstructions, one mouse or file, or all; see --list.
        to: Folder for them.
        only: Parts, such as fold_0 or oracle of recordings, fold_0 of weights, m1 of masks.
        parallel: How many files are fetched at once.
        yes: Start without asking. Required if there is no terminal to ask at.
        show: Print what can be downloaded, and stop.
        check: Verify what was downloaded into the folder, and report what has changed.
        catalogue: A file like the package's catalogue.toml, for a mirror or another archive.
    """

    names: Annotated[tuple[str, ...], Positional, arg(metavar="[NAME ...]")] = ()
    to: Path = Path("data")
    only: tuple[str, ...] = ()
    parallel: int = PARALLEL_DOWNLOADS
    yes: bool = False
    show: List = False
    check: bool = False
    catalogue: Path | None = None

    def __call__(self) -> None:
        """List, check or fetch."""
        from neuroreel.download.catalogue import FILE, load_catalogue
        from neuroreel.download.ledger import check_downloads
        from neuroreel.download.run import download

        known = load_catalogue(self.catalogue or FILE)
        if self.show:
            say("\n".join(known.lines()))
        elif self.check:
            if faults := check_downloads(self.to):
                raise InputError("\n".join([*faults, "delete what has changed and download it again"]))
            say(f"everything that was downloaded into {self.to} is as it was")
        else:
            download(
                *self.names,
                to=self.to,
                only=self.only,
                parallel=self.parallel,
                catalogue=known,
                say=say,
                confirm=lambda: self.yes or _agreed(),
            )


def _agreed() -> bool:
    """Ask at the terminal; InputError if there is none."""
    if not sys.stdin.isatty():
        raise InputError("nobody is at a terminal to agree to this download; pass --yes to start it")
    return input("Continue? [y/N] ").strip().lower() in ("y", "yes")


@dataclass(frozen=True, kw_only=True)
class Import:
    """Make a recording from an NWB file, or from a table that names files.

    Series of an NWB file are named by their path, its end, or a pattern; `--list` shows them. A table has the columns
    video, responses, behavior, pupil_center, tier, fold and frame_rate_hz; only the options --out,
    --frame-rate-hz and --overwrite apply to it.

    Args:
        source: The NWB file (.nwb), or a table (.csv, .tsv) that names the files of each trial.
        out: Folder for the recording.
        show: Print what the NWB file holds, and stop.
        responses: Series of responses; several series are concatenated along neurons.
        stimulus: Series of images.
        trials: Table of intervals that defines the trials, or "stimulus" to cut at its pauses; detected if possible.
        tier_column: Column of that table with each trial's tier; "tier" or "split" by default.
        trial_seconds: Cut trials into pieces of this length.
        leave_out: Numbers of trials to leave out.
        pupil: Series of pupil dilation; "none" leaves it out.
        running: Series of running speed; "none" leaves it out.
        pupil_center: Series of the pupil's center; "none" leaves it out.
        neurons: A .npy file of booleans or numbers: which neurons to keep.
        frame_rate_hz: Frames per second; that of the stimulus by default.
        grey_levels: Stored values of black and white; 0 and 255 by default.
        size: Scale frames to this height and width.
        image_axes: Which axis of stored images comes first; by default height, unless the series' "dimension" says
            otherwise.
    """

    source: Annotated[Path, Positional, arg(metavar="FILE")]
    out: Path | None = None
    show: List = False
    frame_rate_hz: float | None = None
    overwrite: Overwrite = False
    # for NWB files; nr.import_nwb decides what is not given
    responses: tuple[str, ...] | None = None
    stimulus: tuple[str, ...] | None = None
    trials: str | None = None
    tier_column: str | None = None
    trial_seconds: float | None = None
    leave_out: tuple[int, ...] | None = None
    pupil: str | None = None
    running: str | None = None
    pupil_center: str | None = None
    neurons: Path | None = None
    grey_levels: Annotated[tuple[float, float] | None, arg(metavar="BLACK WHITE")] = None
    size: Annotated[tuple[int, int] | None, arg(metavar="HEIGHT WIDTH")] = None
    image_axes: Literal["auto", "height-width", "width-height"] | None = None

    def __call__(self) -> None:
        """List what an NWB file holds, or make and describe the recording."""
        from neuroreel.recordings.nwb.contents import open_nwb, read_contents
        from neuroreel.recordings.nwb.importing import import_nwb
        from neuroreel.recordings.table import ENDINGS_OF_TABLES, import_table

        kind = self.source.suffix.lower()
        if self.show:
            if kind != ".nwb":
                raise InputError(f"--list shows what an NWB file holds; {self.source} ends in {kind!r}")
            with open_nwb(self.source) as (nwb, unreadable):
                say("\n".join(read_contents(nwb, unreadable).lines()))
            return
        if kind not in (".nwb", *ENDINGS_OF_TABLES):
            allowed = ", ".join((".nwb", *ENDINGS_OF_TABLES))
            raise InputError(f"{self.source} ends in {kind!r}; give a file that ends in {allowed}")
        if self.out is None:
            raise InputError("no folder was given; give one with --out (or --list to see what an NWB file holds)")
        if kind == ".nwb":
            made = import_nwb(
                self.source, self.out, frame_rate_hz=self.frame_rate_hz, overwrite=self.overwrite, say=say, **self._nwb
            )
        elif self._nwb:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in self._nwb)
            raise InputError(f"{flags}: only for NWB files; a table has everything but the frame rate")
        else:
            made = import_table(
                self.source, self.out, frame_rate_hz=self.frame_rate_hz, overwrite=self.overwrite, say=say
            )
        say(repr(made))

    @property
    def _nwb(self) -> dict[str, Any]:
        """The options of NWB files that were given, as nr.import_nwb takes them."""
        from neuroreel.recordings.disk import read_array

        of_both = ("source", "out", "show", "frame_rate_hz", "overwrite")
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in of_both}
        given = {name: value for name, value in given.items() if value is not None}
        return {name: read_array(value, rank=1) if name == "neurons" else value for name, value in given.items()}
