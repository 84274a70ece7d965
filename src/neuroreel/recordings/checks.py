"""Check that trials belong together, before training, masks or decoding start."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neuroreel.errors import InputError
from neuroreel.grey import check_white
from neuroreel.recordings.clock import same_rate
from neuroreel.recordings.trial import Trial


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """What trials must have in common to be used together, and their length.

    Parameters
    ----------
    neurons
        Neurons recorded; 0 without responses.
    video_height, video_width
        Size of the movie in pixels; 0 without a video.
    frame_rate_hz
        Frames per second.
    behavior_channels, pupil_channels
        Channels of behavior and of the pupil center; 0 if not recorded.
    frames
        Length of the trial, or of all trials together.
    negative_responses
        Number of negative responses, likewise.
    """

    neurons: int
    video_height: int
    video_width: int
    frame_rate_hz: float
    behavior_channels: int
    pupil_channels: int
    frames: int
    negative_responses: int = 0

    @classmethod
    def of(cls, trial: Trial) -> TrialSpec:
        """The spec of one trial; InputError if its movie's white seems to be 1."""
        height, width = (0, 0) if trial.video is None else trial.video.shape[1:]
        if trial.video is not None:
            check_white(trial.video, what=trial.name)
        return cls(
            neurons=trial.neurons,
            video_height=height,
            video_width=width,
            frame_rate_hz=float(trial.frame_rate_hz),
            behavior_channels=0 if trial.behavior is None else len(trial.behavior),
            pupil_channels=0 if trial.pupil_center is None else len(trial.pupil_center),
            frames=trial.frames,
            negative_responses=0 if trial.responses is None else int(np.count_nonzero(trial.responses < 0)),
        )

    @property
    def covariates(self) -> int:
        """Channels of ``Trial.covariates``: behavior and pupil center together."""
        return self.behavior_channels + self.pupil_channels

    def lacks(self, needs: Sequence[str]) -> str | None:
        """The first of "video" and "responses" that is needed but missing, in words for a message."""
        if "video" in needs and not self.video_height:
            return "no video"
        if "responses" in needs and not self.neurons:
            return "no responses"
        return None

    def difference(self, other: TrialSpec) -> str | None:
        """The first mismatch with ``other`` other than length, in words for a message; None if there is none."""
        if not same_rate(self.frame_rate_hz, other.frame_rate_hz):
            return f"{other.frame_rate_hz:g} frames per second instead of {self.frame_rate_hz:g}"
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
    """Raise InputError unless the trials share neurons, frame size, frame rate and behavior channels.

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
        What they have in common; ``frames`` and ``negative_responses`` are sums over the trials.

    Raises
    ------
    InputError
        No trials, something that is not a trial, a trial that differs from the first (the message names it), or needed
        responses that are mostly negative.
    """
    first: TrialSpec | None = None
    frames = negative = 0
    for index, spec in enumerate(trial_specs(trials, what=what)):
        first = first or spec
        fault = spec.lacks(needs) or first.difference(spec)
        if fault:
            raise InputError(
                f"{what}: number {index} ({trials[index].name}) has {fault}; "
                "use trials of one recording, or convert them to the same neurons, size and rate first"
            )
        frames += spec.frames
        negative += spec.negative_responses
    if first is None:
        raise InputError(f"{what}: there are none; give at least one trial")
    total = replace(first, frames=frames, negative_responses=negative)
    if "responses" in needs:
        check_most_responses([total], what=what)
    return total


def check_most_responses(specs: Iterable[TrialSpec], *, what: str) -> None:
    """Raise InputError if more than half of the responses are negative: they would be set to 0."""
    values = negative = 0
    for spec in specs:
        values, negative = values + spec.neurons * spec.frames, negative + spec.negative_responses
    if negative > values / 2:
        raise InputError(
            f"{what}: {100 * negative / values:.0f} % of the responses are negative, and would be set to 0; {_POSITIVE}"
        )


def check_responses(trials: Sequence[Trial], spec: TrialSpec, *, what: str) -> None:
    """Raise InputError if a neuron's responses are negative on average; warn if some responses are negative.

    Everything that uses responses clips them at 0 (see :meth:`Trial.needs_responses`): this removes the overshoots of
    deconvolved calcium, but half of the information in z-scores. Trials without negative responses are not read again.

    Parameters
    ----------
    trials, what
        As for :func:`check_trials`.
    spec
        What :func:`check_trials` returned.
    """
    if not spec.negative_responses:
        return
    total, size = np.zeros(spec.neurons), np.zeros(spec.neurons)
    for index in range(len(trials)):
        responses = trials[index].responses
        assert responses is not None  # check_trials made sure
        total += responses.sum(axis=1, dtype=np.float64)
        size += np.abs(responses).sum(axis=1, dtype=np.float64)
    below = np.flatnonzero(total < _BALANCED * size)
    if len(below):
        raise InputError(
            f"{what}: the responses of {len(below)} of {spec.neurons} neurons are negative or zero on average (the "
            f"first is neuron {below[0]}), and negative ones would be set to 0; leave these neurons out, or {_POSITIVE}"
        )
    share = spec.negative_responses / (spec.neurons * spec.frames)
    warnings.warn(f"{what}: {100 * share:.2g} % of the responses are negative; they are set to 0", stacklevel=1)


_BALANCED = 1e-3  # a mean below this fraction of the mean size is zero up to rounding, as for z-scores
_POSITIVE = (
    "give responses that rise from 0 with activity, such as spike counts, events or dF/F over a low baseline (not "
    "z-scores; for a dye that darkens, flip the sign)"
)


def trial_specs(trials: Sequence[Trial], *, what: str) -> Iterator[TrialSpec]:
    """The spec of each trial; a recording remembers the specs of trials opened before. InputError if not trials."""
    if isinstance(trials, Trial):
        raise InputError(f"{what}: got one Trial; pass a list of trials, [trial] if there is only one")
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
