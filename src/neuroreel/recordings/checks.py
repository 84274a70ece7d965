"""Do these trials belong together? Asked before training, masks or decoding start."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from neuroreel.errors import InputError
from neuroreel.recordings.trial import Trial


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """What trials must share to be used together, and how long they are.

    Parameters
    ----------
    neurons
        Neurons recorded; 0 without responses.
    video_height, video_width
        Size of the movie in pixels; 0 without a video.
    frame_rate_hz
        Frames a second.
    behavior_channels, pupil_channels
        Channels of behaviour and of the pupil centre; 0 where not recorded.
    frames
        Length of the trial, or of all trials together.
    """

    neurons: int
    video_height: int
    video_width: int
    frame_rate_hz: float
    behavior_channels: int
    pupil_channels: int
    frames: int

    @classmethod
    def of(cls, trial: Trial) -> TrialSpec:
        """The spec of one trial."""
        height, width = (0, 0) if trial.video is None else trial.video.shape[1:]
        return cls(
            neurons=trial.neurons,
            video_height=height,
            video_width=width,
            frame_rate_hz=float(trial.frame_rate_hz),
            behavior_channels=0 if trial.behavior is None else len(trial.behavior),
            pupil_channels=0 if trial.pupil_center is None else len(trial.pupil_center),
            frames=trial.frames,
        )

    @property
    def covariates(self) -> int:
        """Channels of ``Trial.covariates``: behaviour and pupil centre together."""
        return self.behavior_channels + self.pupil_channels

    def lacks(self, needs: Sequence[str]) -> str | None:
        """The first of "video" and "responses" that is needed and not there, in words for a message."""
        if "video" in needs and not self.video_height:
            return "no video"
        if "responses" in needs and not self.neurons:
            return "no responses"
        return None

    def difference(self, other: TrialSpec) -> str | None:
        """The first thing but the length in which ``other`` does not fit, in words for a message; None if it fits."""
        if not math.isclose(self.frame_rate_hz, other.frame_rate_hz, rel_tol=1e-6):
            return f"{other.frame_rate_hz:g} frames a second instead of {self.frame_rate_hz:g}"
        if (self.video_height, self.video_width) != (other.video_height, other.video_width):
            return (
                f"a video of {other.video_width}x{other.video_height} pixels (width x height) "
                f"instead of {self.video_width}x{self.video_height}"
            )
        for field, words in _COUNTED.items():
            if getattr(self, field) != getattr(other, field):
                return f"{getattr(other, field)} {words} instead of {getattr(self, field)}"
        return None


_COUNTED = {
    "neurons": "neurons",
    "behavior_channels": "behavior channels",
    "pupil_channels": "pupil center channels",
}


def check_trials(
    trials: Sequence[Trial], *, what: str = "trials", needs: Sequence[str] = ("video", "responses")
) -> TrialSpec:
    """Raise InputError unless the trials share neurons, frame size, frame rate and behaviour channels.

    Parameters
    ----------
    trials
        A list, or the trials of a recording, which are opened one at a time and not kept.
    what
        What the trials are for, in messages: "training trials".
    needs
        What each trial must have: "video", "responses", both or neither.

    Returns
    -------
    TrialSpec
        What they share; ``frames`` is the sum of their lengths.

    Raises
    ------
    InputError
        No trials, something that is no trial, or one that differs from the first; the message names it.
    """
    first: TrialSpec | None = None
    frames = 0
    for index, spec in enumerate(trial_specs(trials, what=what)):
        first = first or spec
        fault = spec.lacks(needs) or first.difference(spec)
        if fault:
            raise InputError(
                f"{what}: number {index} ({trials[index].name}) has {fault}; "
                "use trials of one recording, or bring them to the same neurons, size and rate first"
            )
        frames += spec.frames
    if first is None:
        raise InputError(f"{what}: there are none; give at least one trial")
    return replace(first, frames=frames)


def trial_specs(trials: Sequence[Trial], *, what: str) -> Iterator[TrialSpec]:
    """The spec of each trial; a recording's lazy trials know those that were opened before. InputError if no trials."""
    if isinstance(trials, Trial):
        raise InputError(f"{what}: got one Trial; pass a list of trials, [trial] if there is but one")
    if not isinstance(trials, Sequence):
        raise InputError(
            f"{what}: got a {type(trials).__name__}; pass a list of trials, recording.trials or "
            "recording.select('fold_1')"
        )
    if hasattr(trials, "specs"):
        yield from trials.specs()
        return
    for index, trial in enumerate(trials):
        if not isinstance(trial, Trial):
            raise InputError(f"{what}: number {index} is a {type(trial).__name__}, not a Trial")
        yield TrialSpec.of(trial)
