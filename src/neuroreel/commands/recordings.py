"""Commands that make recordings: simulated, downloaded, or from other files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from neuroreel.commands.files import Folder, say
from neuroreel.errors import InputError


def simulate(
    folder: Folder,
    /,
    *,
    trials: int = 60,
    seconds: float = 10.0,
    neurons: int = 400,
    height: int = 36,
    width: int = 64,
    seed: int = 0,
    repeats: int = 0,
) -> None:
    """Simulate a recording of mouse visual cortex (it is no real mouse) in the Sensorium layout.

    Args:
        folder: Where to write the recording.
        trials: How many movies.
        seconds: Length of each movie.
        neurons: How many neurons.
        height: Of the movies, in pixels.
        width: Likewise.
        seed: The same seed gives the same recording.
        repeats: How often one further movie is repeated, to measure noise.
    """
    import neuroreel as nr

    recording = nr.simulate(
        folder,
        trials=trials,
        seconds=seconds,
        neurons=neurons,
        height=height,
        width=width,
        seed=seed,
        repeats=repeats,
    )
    say(repr(recording))


def download(
    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")] = (),
    /,
    *,
    to: Path = Path("data"),
    only: tuple[str, ...] = (),
    parallel: int = 4,
    yes: bool = False,
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    check: bool = False,
    catalogue: Path | None = None,
) -> None:
    """Download the Sensorium 2023 recordings and the files of the paper's authors; a stopped download resumes.

    Args:
        names: new, old, recordings, weights, masks, stimuli, reconstructions, one mouse or file, or all; see --list.
        to: Folder for them.
        only: Parts, such as fold_0 or oracle of recordings, fold_0 of weights, m1 of masks.
        parallel: How many files are fetched at once.
        yes: Start without asking; without a terminal, where nobody can be asked, nothing starts without it.
        show: Print what can be downloaded, and stop.
        check: Read what was downloaded into the folder again, and say what has changed since.
        catalogue: A file like the package's catalogue.toml, for a mirror or another archive.
    """
    from neuroreel.download.catalogue import FILE, load_catalogue
    from neuroreel.download.ledger import check_downloads
    from neuroreel.download.run import download as download_files

    known = load_catalogue(catalogue or FILE)
    if show:
        say("\n".join(known.lines()))
    elif check:
        if faults := check_downloads(to):
            raise InputError("\n".join([*faults, "delete what has changed and download it again"]))
        say(f"everything that was downloaded into {to} is as it was")
    else:
        download_files(
            *names, to=to, only=only, parallel=parallel, catalogue=known, say=say, confirm=lambda: yes or _agreed()
        )


def _agreed() -> bool:
    """Ask somebody at a terminal; InputError where there is none."""
    if not sys.stdin.isatty():
        raise InputError("nobody is at a terminal to agree to this download; pass --yes to start it")
    return input("Continue? [y/N] ").strip().lower() in ("y", "yes")


def import_(
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")],
    /,
    *,
    out: Path | None = None,
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    responses: tuple[str, ...] = (),
    stimulus: tuple[str, ...] = (),
    trials: str = "auto",
    tier_column: str | None = None,
    trial_seconds: float | None = None,
    leave_out: tuple[int, ...] = (),
    pupil: str = "auto",
    running: str = "auto",
    pupil_center: str = "auto",
    neurons: Path | None = None,
    frame_rate_hz: float | None = None,
    grey_levels: tuple[float, float] = (0, 255),
    size: tuple[int, int] | None = None,
    image_axes: Literal["auto", "height-width", "width-height"] = "auto",
) -> None:
    """Make a recording of an NWB file, or of a table (.csv, .tsv) that names the files of each trial.

    Series of an NWB file are named by their path, its end, or a pattern. A table has the columns video, responses,
    behavior, pupil_center, tier, fold and frame_rate_hz; of the options only --out and --frame-rate-hz go with it.

    Args:
        source: The NWB file (.nwb) or the table.
        out: Folder for the recording.
        show: Print what the NWB file holds, and stop.
        responses: Series of responses; the neurons of several follow each other.
        stimulus: Series of images.
        trials: Table of intervals that tells the trials, or "stimulus" to cut at its pauses.
        tier_column: Column of that table with a word a trial; "tier" or "split" by default.
        trial_seconds: Cut trials into pieces of this length.
        leave_out: Numbers of trials to leave out.
        pupil: Series of pupil dilation; "none" leaves it out.
        running: Series of running speed; "none" leaves it out.
        pupil_center: Series of the pupil's center; "none" leaves it out.
        neurons: A .npy file of booleans or numbers: which neurons to keep.
        frame_rate_hz: Frames a second; that of the stimulus by default.
        grey_levels: Stored values of black and white.
        size: Height and width to which frames are scaled.
        image_axes: Which side of stored images comes first; by default height, unless the series' "dimension" tells.
    """
    from neuroreel.recordings.importing import import_file, list_file

    if show:
        say("\n".join(list_file(source)))
        return
    choices: dict[str, Any] = {"responses": responses, "stimulus": stimulus, "trials": trials}
    choices |= {"tier_column": tier_column, "trial_seconds": trial_seconds, "leave_out": leave_out}
    choices |= {"pupil": pupil, "running": running, "pupil_center": pupil_center, "neurons": neurons}
    choices |= {"grey_levels": grey_levels, "size": size, "image_axes": image_axes}
    say(repr(import_file(source, out, frame_rate_hz=frame_rate_hz, choices=choices, say=say)))
