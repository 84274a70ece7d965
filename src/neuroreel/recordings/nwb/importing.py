"""``nr.import_nwb``: a session in an NWB file becomes a recording, one trial in memory at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from neuroreel.arguments import positive_number
from neuroreel.errors import InputError
from neuroreel.files import refuse_existing, user_path
from neuroreel.recordings.clock import REGULAR, rate_of
from neuroreel.recordings.nwb.contents import AUTO, Contents, choose, choose_optional, open_nwb, read_contents
from neuroreel.recordings.nwb.images import BLANK, GREY, ImageAxes, Look, Stimulus, open_stimulus
from neuroreel.recordings.nwb.series import Responses, Signal, behavior_of
from neuroreel.recordings.nwb.shows import Epoch, Show, find_epochs, find_show
from neuroreel.recordings.recording import Recording
from neuroreel.recordings.sensorium import WITHHELD_TIERS
from neuroreel.recordings.trial import Trial
from neuroreel.recordings.writing import write_recording

SOURCE = "meta/nwb.json"  # which parts of which file the recording was made from


def import_nwb(
    file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    responses: Sequence[str] = (),
    stimulus: Sequence[str] = (),
    trials: str = AUTO,
    tier_column: str | None = None,
    trial_seconds: float | None = None,
    leave_out: Sequence[int] = (),
    pupil: str = AUTO,
    running: str = AUTO,
    pupil_center: str = AUTO,
    neurons: NDArray[Any] | None = None,
    frame_rate_hz: float | None = None,
    grey_levels: tuple[float, float] = (0, 255),
    size: tuple[int, int] | None = None,
    image_axes: ImageAxes = "auto",
    overwrite: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Recording:
    """Make a recording from an NWB file: two-photon responses and the images shown at the same time.

    The file is read one trial at a time. If it has more than one candidate for an argument, name one by its path in the
    file, the end of the path, or a pattern such as "movie_*".

    Parameters
    ----------
    file
        With RoiResponseSeries (fluorescence, dF/F or deconvolved events), and ImageSeries, OpticalSeries or
        IndexSeries under stimulus; movies in other files (``external_file``) must be next to it.
    folder
        Folder for the recording; see :func:`write_recording`.
    responses
        Which series of responses; the neurons of several series, such as several planes, are concatenated.
    stimulus
        Which stimuli; several are used in order of time.
    trials
        The table of intervals that defines the trials ("trials", "epochs", ...), or "stimulus": a trial is what was
        shown without a pause of more than five images. "auto" takes the table "trials" if there is one.
    tier_column
        The table's column with one word per trial, such as "train"; by default "tier" or "split" if there is one.
    trial_seconds
        Cut each trial into pieces of this length; the remainder is dropped.
    leave_out
        Numbers of trials, counted from 0 in the table or in time, to leave out.
    pupil, running
        The series that become behavior; "none" leaves one out.
    pupil_center
        The two-column series of the pupil's center; "none" leaves it out.
    neurons
        (neurons,) booleans, or indices: which neurons to keep, counted over all series of responses.
    frame_rate_hz
        Frames per second of the recording; by default that of the first stimulus.
    grey_levels
        The stored values of black and white.
    size
        (height, width) to which the frames are scaled, each pixel the mean of what it covers; as stored by default.
    image_axes
        Which axis of the images comes first in the file: "height-width", as most writers do, or "width-height", as in
        NWB's schema. "auto" takes the latter if the series' ``dimension`` (width, height) says so. Movies in other
        files are already upright.
    overwrite
        Replace an existing recording.
    say
        Called with lines for the user, such as ``print``: what was used, and which trials were left out and why.

    Returns
    -------
    Recording
        Its ``meta/nwb.json`` says what it was made from. Neurons without responses in some trial are refused; trials
        without a stimulus, with a pause, or with frames more than 0.5 s away from any sample are left out.

    Notes
    -----
    Images that come on regularly, to within a quarter of a frame, are used one by one, each with its own onset. In
    other
    trials, and at another frame rate, frames repeat or skip images; how many is reported, and stored in
    ``meta/nwb.json`` with the largest deviation from a regular clock. Number -1 in an IndexSeries is a blank, shown as
    gray.

    All other series are aligned to the onsets of the frames. A series with two or more samples per frame is averaged
    over a frame's length around each onset; a slower one is interpolated linearly. NaN in behavior or its timestamps
    means missing samples; how many frames they affect is also reported. Conversion and offset are applied to everything
    but images.

    Raises
    ------
    InputError
        A file that is not NWB, ambiguous or missing series, timestamps that do not increase, responses with NaN, or a
        movie file whose number of frames does not match the timestamps.
    ResourceError
        pynwb is not installed, or the disk is full.
    """
    file, folder = user_path(file), user_path(folder)
    refuse_existing(folder, overwrite=overwrite)
    if image_axes not in get_args(ImageAxes):
        raise InputError(f"image_axes is {image_axes!r}; it must be one of {', '.join(get_args(ImageAxes))}")
    look = Look(grey_levels=(float(grey_levels[0]), float(grey_levels[1])), size=size)
    with open_nwb(file) as (nwb, unreadable):
        contents = read_contents(nwb, unreadable)
        stimuli = [
            open_stimulus(found, folder=file.parent, axes=image_axes)
            for found in choose(contents.stimulus, stimulus, option="stimulus")
        ]
        taken = choose(contents.responses, responses, option="responses")
        session = _Session(
            stimuli=stimuli,
            responses=Responses.of(taken, keep=neurons),
            behavior=_signals(contents, pupil=pupil, running=running),
            pupil_center=_signals(contents, channels=2, pupil_center=pupil_center),
            look=look,
            frame_s=_frame_s(frame_rate_hz, stimuli[0].clock.interval_s),
        )
        epochs = find_epochs(
            contents.intervals, stimuli, trials=trials, tier_column=tier_column, trial_seconds=trial_seconds
        )
        shows, left_out = session.shows(epochs, leave_out=leave_out)
        said = {
            "responses": list(map(str, taken)),
            **session.summary(shows),
            "left_out": left_out,
            "cannot_be_read": list(map(str, unreadable)),
        }
        for line in _lines(said, trials=len(shows)):
            say(line)
        if not shows:
            raise InputError(f"{file} has no trial that can be used: {'; '.join(left_out) or 'there are none'}")
        return write_recording(
            folder,
            map(session.trial, shows),
            tiers=[show.epoch.tier for show in shows],
            unit_ids=session.responses.ids,
            coordinates=session.responses.coordinates,
            extra={SOURCE: {"file": file.name, "identifier": str(nwb.identifier), **said}},
            overwrite=overwrite,
        )


@dataclass(frozen=True)
class _Session:
    """Everything chosen from the file, ready to be read one trial at a time."""

    stimuli: list[Stimulus]
    responses: Responses
    behavior: list[Signal]
    pupil_center: list[Signal]
    look: Look
    frame_s: float

    def shows(self, epochs: Sequence[Epoch], *, leave_out: Sequence[int]) -> tuple[list[Show], dict[str, int]]:
        """What can become trials; and why others cannot, judging by the clocks, with counts."""
        if strange := sorted(set(leave_out) - {epoch.number for epoch in epochs}):
            raise InputError(f"leave_out names {strange}; the trials are numbered 0 to {len(epochs) - 1}")
        shows, faults = [], Counter[str]()
        for epoch in epochs:
            show: Show | str = "leave_out names it"
            if epoch.number not in leave_out:
                show = find_show(epoch, self.stimuli, frame_s=self.frame_s)
            if isinstance(show, Show):
                show = self._gap(show) or show
            if isinstance(show, Show):
                shows.append(show)
            else:
                faults[show] += 1
        return shows, dict(faults)

    def _gap(self, show: Show) -> str | None:
        """What was not recorded throughout a trial, in words."""
        recorded = [(signal, "responses were") for signal in self.responses.signals]
        recorded += [(signal, f"{signal.path} was") for signal in (*self.behavior, *self.pupil_center)]
        for signal, words in recorded:
            if not signal.clock.covers(show.frames.onsets_s, frame_s=self.frame_s):
                return f"{words} not recorded throughout"
        return None

    def trial(self, show: Show) -> Trial:
        """Read one trial."""
        what = f"trial {show.epoch.number}"
        with _reading(what):
            responses = self.responses.at(show.frames.onsets_s, frame_s=self.frame_s)
            video = show.stimulus.read(show.frames.images, self.look, what=what)
        bad = np.flatnonzero(~np.isfinite(responses).all(axis=1))
        if len(bad):
            raise InputError(
                f"{what}: the responses of {len(bad)} of {len(responses)} neurons are NaN or infinite (the first is "
                f"neuron {bad[0]}); leave out the trial with leave_out=({show.epoch.number},), or choose neurons "
                "with neurons="
            )
        withheld = show.epoch.tier in WITHHELD_TIERS and not responses.any()
        return Trial(
            video=video,
            responses=None if withheld else responses,
            behavior=self._at(self.behavior, show),
            pupil_center=self._at(self.pupil_center, show),
            frame_rate_hz=rate_of(self.frame_s),
            name=what,
        )

    def _at(self, signals: Sequence[Signal], show: Show) -> NDArray[np.float32] | None:
        if not signals:
            return None
        return np.concatenate([signal.at(show.frames.onsets_s, frame_s=self.frame_s) for signal in signals])

    def summary(self, shows: Sequence[Show]) -> dict[str, Any]:
        """What the recording was made from, as JSON."""
        with _reading(self.stimuli[0].path):
            height, width = self.look.size or self.stimuli[0].images.size()
        gaps = Counter[str]()
        for show in shows:
            for signal in (*self.responses.signals, *self.behavior, *self.pupil_center):
                gaps[signal.path] += int(signal.clock.in_gaps(show.frames.onsets_s).sum())
        return {
            "stimulus": [f"{stimulus.path}, stored as {stimulus.images.axes}" for stimulus in self.stimuli],
            "behavior": [signal.path for signal in self.behavior],
            "pupil_center": [signal.path for signal in self.pupil_center],
            "movie": f"{width}x{height} pixels (width x height)",
            "frame_rate_hz": rate_of(self.frame_s),
            "grey_levels": list(self.look.grey_levels),
            "frames": sum(len(show.frames.images) for show in shows),
            "largest_deviation_ms": round(1e3 * max((show.frames.deviation_s for show in shows), default=0.0), 3),
            "frames_that_repeat_an_image": sum(show.repeated for show in shows),
            "images_in_no_frame": sum(show.lost for show in shows),
            "blank_frames": sum(int((show.stimulus.shown[show.frames.images] == BLANK).sum()) for show in shows),
            "frames_in_gaps": {path: count for path, count in gaps.items() if count},
        }


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{what} cannot be read from the NWB file ({error}); the file may be damaged: copy it again, or packed "
            "with a filter that h5py lacks: pip install hdf5plugin"
        ) from error


def _frame_s(frame_rate_hz: float | None, image_s: float) -> float:
    if frame_rate_hz is None and not np.isfinite(image_s):
        raise InputError("the stimulus has a single image, so its frame rate is not known; give frame_rate_hz=")
    return image_s if frame_rate_hz is None else 1 / positive_number(frame_rate_hz, name="frame_rate_hz")


def _signals(contents: Contents, *, channels: int = 1, **names: str) -> list[Signal]:
    found = [choose_optional(getattr(contents, option), name, option=option) for option, name in names.items()]
    return [behavior_of(each, channels=channels) for each in found if each is not None]


def _lines(said: dict[str, Any], *, trials: int) -> list[str]:
    """The summary for the user, in lines; only what is unusual is mentioned."""
    rate, frames = f"{said['frame_rate_hz']:g} frames per second", said["frames"]
    lines = [f"{part.replace('_', ' ')}: {', '.join(said[part])}" for part in _PARTS if said[part]]
    lines += [f"movie: {said['movie']}", f"trials: {trials}, at {rate}"]
    repeated, lost = said["frames_that_repeat_an_image"], said["images_in_no_frame"]
    off_ms = said["largest_deviation_ms"]
    if repeated or lost or off_ms * said["frame_rate_hz"] > 1e3 * REGULAR:
        lines.append(
            f"clock: images come on up to {off_ms:.3g} ms off a regular clock of {rate}; {repeated} of {frames} frames "
            f"repeat an image, and {lost} images are in no frame"
        )
    if said["blank_frames"]:
        lines.append(
            f"blanks: {said['blank_frames']} of {frames} frames have no image (number {BLANK}) and are grey {GREY}"
        )
    lines += [
        f"gaps: {count} of {frames} frames are where samples of {path} are missing, and are interpolated"
        for path, count in said["frames_in_gaps"].items()
    ]
    lines += [f"left out: {count}, because {fault}" for fault, count in said["left_out"].items()]
    return lines + said["cannot_be_read"]


_PARTS = ("responses", "stimulus", "behavior", "pupil_center")
