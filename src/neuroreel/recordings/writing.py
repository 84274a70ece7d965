"""Write trials as a recording in the Sensorium 2023 layout, one trial at a time."""

from __future__ import annotations

import errno
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.errors import InputError
from neuroreel.files import atomic_path, refuse_existing
from neuroreel.recordings import sensorium
from neuroreel.recordings.checks import TrialSpec
from neuroreel.recordings.disk import absolute
from neuroreel.recordings.moments import Moments
from neuroreel.recordings.recording import Recording, open_recording
from neuroreel.recordings.splits import OPENING, check_words, write_folds
from neuroreel.recordings.trial import Trial


def write_recording(
    folder: str | os.PathLike[str],
    trials: Iterable[Trial],
    *,
    tiers: Sequence[str] | None = None,
    unit_ids: ArrayLike | None = None,
    coordinates: ArrayLike | None = None,
    pad_to: int | None = None,
    folds: Sequence[str] | None = None,
    extra: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Recording:
    """Write trials as a recording in the Sensorium 2023 layout, which other packages can read too.

    Parameters
    ----------
    folder
        Where to write; its name becomes the recording's. It appears when everything is written, or not at all.
    trials
        Trials of one frame rate, movie size and population, all with a video; may be a generator, because only one is
        in memory at a time. A trial without responses needs a tier whose responses are withheld.
    tiers
        One word per trial, such as "train" or "oracle"; "train" for all by default.
    unit_ids
        (neurons,) the lab's own numbering; 0, 1, ... by default.
    coordinates
        (neurons, axes): positions of the neurons.
    pad_to
        Frames to which shorter trials are padded with NaN on disk; by default the length of the longest.
    folds
        One word per trial, "fold_3" or the trial's tier, if the folds are already known. Otherwise they come from the
        movies, see :func:`assign_folds`: by the published rule if the folder has the name of a published recording, or
        the trials are from one or are simulated.
    extra
        Further files: a path inside the folder, such as "meta/simulation.json" or "meta/neurons/fields.npy", and
        what to write there (JSON, or an array for .npy).
    overwrite
        Replace an existing recording. A folder that is not a recording is never replaced.

    Returns
    -------
    Recording
        The recording, opened.

    Notes
    -----
    Arrays keep their type, so that what is read equals what was given, except that padded integers become floats,
    because
    integers have no NaN. Statistics are over the frames of train trials (of all trials if there are none). Missing
    responses are not written; other readers of the layout may expect zeros instead.

    Raises
    ------
    InputError
        Trials that do not fit together, words that do not fit the trials, or a folder that exists.
    ResourceError
        The disk is full, or the folder is not writable.
    """
    given = absolute(folder)
    folder = given.resolve()  # a link stays, and its target is replaced
    _refuse_foreign(folder, overwrite=overwrite)
    _check_counts(trials, tiers=tiers, folds=folds)
    if tiers is not None:
        sensorium.check_tiers(tiers, what="tiers")
    extra = dict(extra or {})
    _check_extra(extra)
    with atomic_path(folder, overwrite=overwrite) as partial:
        writer = _Writer(partial, tiers=tiers, pad_to=pad_to)
        for trial in trials:
            writer.add(trial)
        writer.finish(unit_ids=unit_ids, coordinates=coordinates)
        if folds is not None:
            check_words(folds, writer.tiers, what="folds")
            write_folds(partial / sensorium.FOLDS, folds)
        for name, content in extra.items():
            _save(partial / name, content)
    return open_recording(given)


class _Writer:
    """Takes trials one by one; keeps what they have in common, and what is needed after the last one."""

    def __init__(self, folder: Path, *, tiers: Sequence[str] | None, pad_to: int | None) -> None:
        self.folder = folder
        self.tiers: list[str] = []
        self._given_tiers = tiers
        self._pad_to = pad_to
        self._published = sensorium.is_published_name(folder.name)
        self._first: TrialSpec | None = None
        self._frames: list[int] = []
        self._train: defaultdict[str, Moments] = defaultdict(Moments)
        self._other: defaultdict[str, Moments] = defaultdict(Moments)

    def add(self, trial: Trial) -> None:
        """Check and write one trial, without padding."""
        index = len(self._frames)
        if self._given_tiers is not None and index >= len(self._given_tiers):
            raise InputError(f"tiers has {len(self._given_tiers)} words, but there are more trials; give one per trial")
        tier = "train" if self._given_tiers is None else self._given_tiers[index]
        self._check(trial, index=index, tier=tier)
        moments = self._train if tier == "train" else self._other
        for kind, array in _arrays(trial).items():
            _save(sensorium.data_file(self.folder, kind, index), array)
            if kind != "videos":
                moments[kind].add(array)
        self._published |= trial.simulated or sensorium.is_published_name(trial.recording)
        self._frames.append(trial.frames)
        self.tiers.append(tier)

    def _check(self, trial: Trial, *, index: int, tier: str) -> None:
        if not isinstance(trial, Trial):
            raise InputError(f"number {index} is a {type(trial).__name__}, not a Trial; make one with nr.Trial(...)")
        what = f"number {index} ({trial.name}), of tier {tier!r},"
        if trial.responses is None and tier not in sensorium.WITHHELD_TIERS:
            raise InputError(f"{what} has no responses; only {', '.join(sensorium.WITHHELD_TIERS)} may lack them")
        if trial.responses is not None and not trial.responses.any():
            raise InputError(f"{what} has all-zero responses, which stand for withheld ones; leave the trial out")
        if self._pad_to is not None and trial.frames > self._pad_to:
            raise InputError(f"{what} has {trial.frames} frames, more than pad_to={self._pad_to}; raise pad_to")
        spec = TrialSpec.of(trial)
        first = self._first or spec
        # Withheld responses have no neurons to compare.
        first = replace(first, neurons=first.neurons or spec.neurons)
        fault = spec.lacks(["video"]) or first.difference(replace(spec, neurons=spec.neurons or first.neurons))
        if fault:
            raise InputError(f"{what} has {fault}; a recording's trials share neurons, movie size, rate and behavior")
        self._first = first

    def finish(self, *, unit_ids: ArrayLike | None, coordinates: ArrayLike | None) -> None:
        """Pad the shorter trials, and write what belongs to the whole recording."""
        if self._first is None:
            raise InputError("there are no trials to write; give at least one")
        if self._given_tiers is not None and len(self._given_tiers) != len(self.tiers):
            raise InputError(f"tiers has {len(self._given_tiers)} words for {len(self.tiers)} trials; give as many")
        for index, frames in enumerate(self._frames):
            self._pad(index, missing=(self._pad_to or max(self._frames)) - frames)
        for kind in sensorium.KINDS[1:]:
            moments = self._train[kind] if self._train[kind].frames else self._other[kind]
            if moments.frames:
                _save(sensorium.statistics_file(self.folder, kind, "mean"), moments.mean[:, None])
                _save(sensorium.statistics_file(self.folder, kind, "std"), moments.std)
        neurons = self._first.neurons
        if unit_ids is not None or neurons:
            unit_ids = np.arange(neurons) if unit_ids is None else unit_ids
            _save_of_neurons(self.folder / sensorium.UNIT_IDS, unit_ids, neurons)
        if coordinates is not None:
            _save_of_neurons(self.folder / sensorium.COORDINATES, coordinates, neurons)
        _save(self.folder / sensorium.TIERS, np.array(self.tiers))  # as wide as the longest word: none is cut
        settings: dict[str, Any] = {"frame_rate_hz": self._first.frame_rate_hz}
        if not self._published:
            settings["fold_rule"] = OPENING
        _save(self.folder / sensorium.SETTINGS, settings)

    def _pad(self, index: int, *, missing: int) -> None:
        files = (sensorium.data_file(self.folder, kind, index) for kind in sensorium.KINDS)
        for file in files:
            if missing and file.exists():
                array = np.load(file)
                dtype = array.dtype if array.dtype.kind == "f" else np.result_type(array.dtype, np.float32)
                end = np.full((*array.shape[:-1], missing), np.nan, dtype)
                _save(file, np.concatenate([array.astype(dtype), end], axis=-1))


def _arrays(trial: Trial) -> dict[str, NDArray[Any]]:
    """The trial's arrays in the layout's form: time last, only what was recorded."""
    video = None if trial.video is None else np.moveaxis(trial.video, 0, -1)
    arrays = (video, trial.responses, trial.behavior, trial.pupil_center)
    return {kind: array for kind, array in zip(sensorium.KINDS, arrays, strict=True) if array is not None}


def _save(file: Path, content: Any) -> None:
    """Write an array to a .npy file, anything else as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix != ".npy":
        file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        return
    try:
        np.save(file, np.ascontiguousarray(content), allow_pickle=False)
    except OSError as error:
        if error.errno is None:  # NumPy's "1000 requested and 16 written": a full disk, without its error number
            raise OSError(errno.ENOSPC, str(error)) from error
        raise


def _save_of_neurons(file: Path, values: ArrayLike, neurons: int) -> None:
    array = np.asarray(values)
    if array.ndim == 0 or (neurons and len(array) != neurons):
        raise InputError(f"{file.stem} has shape {array.shape}, but there are {neurons} neurons; give a row for each")
    _save(file, array)


def _refuse_foreign(folder: Path, *, overwrite: bool) -> None:
    refuse_existing(folder, overwrite=overwrite)
    empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not empty and not (folder / sensorium.TIERS).exists():
        raise InputError(f"{folder} exists and is not a recording; it is not overwritten: choose another name")


def _check_counts(trials: Iterable[Trial], **words: Sequence[str] | None) -> None:
    """Compare numbers before anything is written, if the trials can be counted."""
    for what, given in words.items():
        if given is not None and isinstance(trials, Sized) and len(given) != len(trials):
            raise InputError(f"{what} has {len(given)} words for {len(trials)} trials; give one per trial")


def _check_extra(extra: Mapping[str, Any]) -> None:
    """Raise InputError unless each extra file can be written and does not replace one of the layout."""
    for name, content in extra.items():
        path = PurePosixPath(name)
        taken = path.parts[:1] == ("data",) or "statistics" in path.parts or Path(name) in sensorium.OWN_FILES
        if path.is_absolute() or ".." in path.parts or path.suffix not in (".npy", ".json") or taken:
            raise InputError(
                f"extra file {name!r} cannot be written; name a .npy or .json file inside the recording that is not "
                "one of its own, such as 'meta/simulation.json'"
            )
        try:
            kind = np.asarray(content).dtype.kind if path.suffix == ".npy" else json.dumps(content, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"extra file {name!r} cannot be written ({error})") from error
        if kind == "O":
            raise InputError(f"extra file {name!r} holds Python objects; give numbers or words")
