"""One animal's session: its trials, read from disk on access."""

from __future__ import annotations

import functools
import operator
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.errors import InputError
from neuroreel.recordings import sensorium
from neuroreel.recordings.checks import TrialSpec
from neuroreel.recordings.disk import absolute, read_array
from neuroreel.recordings.splits import assign_folds, is_fold
from neuroreel.recordings.trial import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TrialNumberError(InputError, IndexError):
    """A trial number that the recording does not have."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Recording(Sequence[Trial]):
    """One animal's session in a folder of the Sensorium 2023 layout; make one with :func:`open_recording`.

    Parameters
    ----------
    folder
        The folder as given: links are not followed.
    tiers
        One word per trial: train, oracle, live_test_main, live_test_bonus, final_test_main, final_test_bonus, none,
        or the lab's own words.
    kinds
        What was recorded: "videos", "responses", "behavior", "pupil_center".
    neurons
        Number of neurons; 0 if all responses are withheld.
    video_size
        (height, width) of the movies, in pixels.
    frame_rate_hz
        Frames per second of all arrays.
    unit_ids
        (neurons,): the lab's own numbering; None if not stored.
    coordinates
        (neurons, axes): positions of the neurons, in the lab's own units (micrometers in Sensorium); None if not
        stored.
    """

    folder: Path
    tiers: tuple[str, ...]
    kinds: frozenset[str]
    neurons: int
    video_size: tuple[int, int]
    frame_rate_hz: float
    unit_ids: NDArray[Any] | None = None
    coordinates: NDArray[Any] | None = None
    _specs: dict[int, TrialSpec] = field(default_factory=dict, init=False)

    @property
    def name(self) -> str:
        """The folder's name, or the link's name if a link was opened."""
        return self.folder.name

    @property
    def trials(self) -> Trials:
        """All trials, read on access: ``recording.trials[-1]``, ``recording.trials[:10]``."""
        return Trials(self, range(len(self.tiers)))

    def __len__(self) -> int:
        return len(self.tiers)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> Trials: ...
    def __getitem__(self, index: int | slice) -> Trial | Trials:
        """One trial, or the lazy trials of a slice: ``recording`` can replace ``recording.trials`` everywhere."""
        return self.trials[index]

    def specs(self) -> Iterator[TrialSpec]:
        """The spec of each trial; a trial that was opened before is not opened again."""
        return self.trials.specs()

    def stamps(self) -> Iterator[str]:
        """For each trial, a line that changes when its files change."""
        return self.trials.stamps()

    def folds(self) -> list[str]:
        """One word per trial: "fold_3", or the trial's tier if it has no fold. See :func:`assign_folds`."""
        return list(self._folds)

    @functools.cached_property
    def _folds(self) -> list[str]:
        return assign_folds(self.folder, self.tiers)

    def select(self, *words: str) -> Trials:
        """The trials of some folds or tiers: ``recording.select("fold_1", "fold_2")``, ``recording.select("oracle")``.

        A fold may be empty in a small recording, as long as the others named are not.

        Raises
        ------
        InputError
            No trials are left, or no trial has the tier; the message lists the choices.
        """
        named = [self.tiers]
        if any(is_fold(word) for word in words):  # computing folds reads every movie, so not for tiers
            named.append(tuple(self.folds()))
        chosen = [i for i in range(len(self.tiers)) if any(names[i] in words for names in named)]
        unknown = [word for word in words if word not in self.tiers and not is_fold(word)]
        if unknown or not chosen:
            wanted = " or ".join(map(repr, unknown or words)) or "no fold and no tier"
            raise InputError(f"{self.name} has no trials in {wanted}; it has {_counts(named[-1])}")
        return Trials(self, chosen)

    @functools.cached_property
    def simulated(self) -> bool:
        """True if ``nr.simulate`` made it: no animal was recorded."""
        return sensorium.is_listed(self.folder / sensorium.SIMULATION)

    @functools.cached_property
    def statistics(self) -> dict[str, sensorium.Statistics]:
        """Mean and std over the training trials, (channels,) each, of "responses", "behavior", "pupil_center"."""
        stored = {kind: sensorium.read_statistics(self.folder, kind) for kind in sensorium.KINDS if kind != "videos"}
        return {kind: statistics for kind, statistics in stored.items() if statistics is not None}

    def open_trial(self, index: int) -> Trial:
        """Trial number ``index``, checked; the same as ``recording.trials[index]``."""
        trial = sensorium.read_trial(
            self.folder,
            index,
            tier=self.tiers[index],
            kinds=self.kinds,
            frame_rate_hz=self.frame_rate_hz,
            recording=self.name,
            simulated=self.simulated,
        )
        spec = TrialSpec.of(trial)
        if spec.neurons not in (self.neurons, 0) or (spec.video_height, spec.video_width) != self.video_size:
            raise InputError(
                f"{trial.name} has {spec.neurons} neurons and {spec.video_width}x{spec.video_height} pixels; the "
                f"recording has {self.neurons} and {self.video_size[1]}x{self.video_size[0]}: copy the recording again"
            )
        self._specs[index] = spec
        return trial

    def trial_showing(self, video: ArrayLike, *, name: str = "a movie that was not shown") -> Trial:
        """A trial that was never run: this movie, with the animal's average behavior.

        Predict responses to it, or reconstruct it from such a prediction (Bauer et al. 2026, noise and gratings).

        Parameters
        ----------
        video
            (frames, height, width) of the recording's frame size, gray levels 0..255, at its frame rate.
        name
            Name of the trial.

        Returns
        -------
        Trial
            Without responses; each behavior channel is constant at its mean over the training trials.

        Raises
        ------
        InputError
            No video, or a video of another size; a recording with behavior but without its mean.
        """
        trial = Trial(video=np.asarray(video), frame_rate_hz=self.frame_rate_hz, name=name)
        if trial.needs_video().shape[1:] != self.video_size:
            raise InputError(
                f"the movie is {trial.needs_video().shape[2]}x{trial.needs_video().shape[1]} pixels (width x height), "
                f"those of {self.name} are {self.video_size[1]}x{self.video_size[0]}: resize it"
            )
        means = {}
        for kind in sorted(self.kinds & {"behavior", "pupil_center"}):
            if kind not in self.statistics:
                raise InputError(
                    f"{self.name} stores no mean of its {kind} (meta/statistics/{kind}/all/mean.npy, std.npy), so its "
                    f"mean {kind} is not known: copy the recording's meta folder again, write the recording again with "
                    f"nr.write_recording, or call nr.predict with a Trial that has {kind}="
                )
            means[kind] = np.repeat(self.statistics[kind].mean[:, None], trial.frames, axis=1)
        return trial.replace(simulated=self.simulated, recording=self.name, **means)

    def trial_spec(self, index: int) -> TrialSpec:
        """Sizes of trial number ``index``; it is opened and checked only the first time."""
        if index not in self._specs:
            self.open_trial(index)
        return self._specs[index]

    def __repr__(self) -> str:
        return (
            f"Recording({self.name!r}, {len(self.tiers)} trials ({_counts(self.tiers)}), {self.neurons} neurons, "
            f"{self.video_size[1]}x{self.video_size[0]} pixels at {self.frame_rate_hz:g} Hz)"
        )

    def plot(self, *, columns: int = 6) -> Figure:
        """One frame from each of several trials, and the responses in one of them; drawn without pyplot."""
        from neuroreel.recordings.pictures import recording_figure

        return recording_figure(self, columns=columns)

    def _repr_html_(self) -> str:
        from neuroreel.recordings.pictures import recording_html

        behavior = ", ".join(sorted(self.kinds - {"videos", "responses"})).replace("_", " ") or "not recorded"
        facts = [
            f"{len(self.tiers)} trials ({_counts(self.tiers)})",
            f"{self.neurons:,} neurons",
            f"movies of {self.video_size[1]}x{self.video_size[0]} pixels at {self.frame_rate_hz:g} Hz",
            f"behavior: {behavior}",
            f"folder: {self.folder}",
        ]
        return recording_html(self, facts)


class Trials(Sequence[Trial]):
    """Some trials of a recording, in order. Each is opened on access, and not kept.

    Attributes
    ----------
    indices
        The number of each trial in the recording.
    """

    def __init__(self, recording: Recording, indices: Sequence[int]) -> None:
        self._recording = recording
        self.indices = tuple(indices)

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> Trials: ...
    def __getitem__(self, index: int | slice) -> Trial | Trials:
        """One trial, or the lazy trials of a slice; TrialNumberError, an IndexError, if there is none."""
        if isinstance(index, slice):
            return Trials(self._recording, self.indices[index])
        if not -len(self) <= operator.index(index) < len(self):
            raise TrialNumberError(f"{self!r} has no trial {index}; the last one is {len(self) - 1}")
        return self._recording.open_trial(self.indices[index])

    def specs(self) -> Iterator[TrialSpec]:
        """The spec of each trial; a trial that was opened before is not opened again."""
        for index in self.indices:
            yield self._recording.trial_spec(index)

    def stamps(self) -> Iterator[str]:
        """For each trial a line that changes when its files do: paths, sizes and times. No file is opened."""
        recording = self._recording
        for index in self.indices:
            files = [sensorium.data_file(recording.folder, kind, index) for kind in sorted(recording.kinds)]
            seen = [(str(file), *_size_and_time(file)) for file in files]
            yield f"{seen} at {recording.frame_rate_hz} Hz"

    def __repr__(self) -> str:
        return f"<{len(self)} trials of {self._recording.name}>"


def open_recordings(folders: Sequence[str | os.PathLike[str]]) -> list[Recording]:
    """Open recordings that are used together and identified by their names.

    Raises
    ------
    InputError
        None was given, two have the same name, or one cannot be opened.
    """
    if not folders:
        raise InputError("no recording was given; give the folder of at least one")
    opened = [open_recording(folder) for folder in folders]
    names = [recording.name for recording in opened]
    if len(set(names)) < len(names):
        raise InputError(f"the recordings are called {', '.join(names)}; their folders must have different names")
    return opened


def open_recording(folder: str | os.PathLike[str]) -> Recording:
    """Open a recording in the Sensorium 2023 layout, without reading its trials.

    Parameters
    ----------
    folder
        One animal's session: a folder with ``data/videos``, ``data/responses`` and ``meta/trials/tiers.npy``;
        behavior, pupil center and everything else under ``meta`` may be missing.

    Returns
    -------
    Recording
        Its trials are checked on access. Withheld responses (missing or all zero in a ``live_test_*``,
        ``final_test_*`` or ``none`` trial) are never returned: such a trial has ``responses=None``. All-zero
        responses in any other trial are refused.

    Raises
    ------
    InputError
        The folder is not a recording, files are missing or damaged, or they do not fit together.

    Examples
    --------
    >>> recording = open_recording("dynamic29515-10-12")  # doctest: +SKIP
    >>> recording.trials[0].responses.shape  # doctest: +SKIP
    (7863, 300)
    """
    folder = absolute(folder)
    sensorium.check_layout(folder)
    tiers = sensorium.read_tiers(folder)
    kinds = sensorium.check_files(folder, tiers)
    unit_ids, coordinates, neurons = sensorium.read_neurons(folder, tiers)
    height, width, _ = read_array(sensorium.data_file(folder, "videos", 0), rank=3).shape
    return Recording(
        folder=folder,
        tiers=tiers,
        kinds=kinds,
        neurons=neurons,
        video_size=(height, width),
        frame_rate_hz=sensorium.read_frame_rate(folder),
        unit_ids=unit_ids,
        coordinates=coordinates,
    )


def _size_and_time(file: Path) -> tuple[int, int]:
    """Bytes and nanoseconds; zeros for a missing file."""
    if not file.exists():  # withheld responses
        return 0, 0
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _counts(words: Sequence[str]) -> str:
    """How often each word occurs: "fold_0 3, train 17"."""
    return ", ".join(f"{word} {count}" for word, count in sorted(Counter(words).items()))
