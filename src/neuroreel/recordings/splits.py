"""Folds that never leak a movie: trials with the same movie are always in the same fold.

A movie is shown in several trials, and to several mice. A random test set would contain movies that the model was
trained on; so the movie itself determines the fold. There are two rules:

- the rule of the published reconstructions, for others' recordings in the Sensorium layout and for simulated ones. It
  uses five frames spread over the movie, so a movie that is cut at another length may get another fold, and it cannot
  distinguish uniform frames;
- a rule for recordings that this package made from other data: it uses five frames where the picture first changes,
  wherever the movie ends, and their mean level.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import re
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError, ResourceError
from neuroreel.files import atomic_path
from neuroreel.grey import check_white
from neuroreel.recordings.disk import read_json
from neuroreel.recordings.sensorium import FOLDS, SETTINGS, is_listed, read_video

FOLD_COUNT = 7
HASHED_FRAMES = 5
PUBLISHED, OPENING = "published", "opening"
METHODS = {
    PUBLISHED: "frames range(step // 2, length, step)[:5] with step = length // 5 of each movie, as uint8; "
    "64-bit perceptual hash of each, XORed; fold = hash modulo 7",
    OPENING: "5 frames of each movie as uint8, the first of them the last before the picture first changes; BLAKE2b of "
    "the 64-bit perceptual hash and the mean level of each; fold = hash modulo 7",
}
OLD_MICE = "8744edeac3b4d1ce16b680916b5267ce"
"""Endings of the names of the five "old" mice of Sensorium 2023. All their trials but "none" have folds."""


def video_hash(video: NDArray[Any]) -> int:
    """A 64-bit perceptual hash of a movie.

    Parameters
    ----------
    video
        (frames, height, width), gray levels 0..255; the whole movie, without padding.

    Raises
    ------
    InputError
        Fewer than five frames, or values that are not gray levels.
    """
    _check_length(video)
    step = len(video) // HASHED_FRAMES
    frames = _as_bytes(video[step // 2 :: step][:HASHED_FRAMES])
    return functools.reduce(operator.xor, map(_frame_hash, frames))


def opening_of(video: NDArray[Any]) -> NDArray[np.uint64]:
    """A summary of the movie where the picture first changes, which does not depend on where the movie ends.

    Parameters
    ----------
    video
        (frames, height, width), gray levels 0..255.

    Returns
    -------
    ndarray
        (5, 2): perceptual hash and mean level of five frames, the first of them the last before the change.

    Raises
    ------
    InputError
        Fewer than five frames, or values that are not gray levels.
    """
    _check_length(video)
    first = _as_bytes(video[0])
    change = next((i for i in range(1, len(video)) if (_as_bytes(video[i]) != first).any()), 1)
    start = min(change - 1, len(video) - HASHED_FRAMES)
    frames = _as_bytes(video[start : start + HASHED_FRAMES])
    return np.array([(_frame_hash(frame), frame.sum(dtype=np.uint64) // frame.size) for frame in frames], np.uint64)


def fold_of(video: NDArray[Any], *, folds: int = FOLD_COUNT) -> int:
    """The fold, 0 to ``folds - 1``, of a movie (frames, height, width), by the published rule."""
    return video_hash(video) % folds


def is_folded(tier: str, *, recording_name: str) -> bool:
    """Whether trials of a tier get folds: train and oracle, and in old mice all but "none"."""
    return tier != "none" if recording_name.endswith(OLD_MICE) else tier in ("train", "oracle")


def assign_folds(folder: Path, tiers: Sequence[str]) -> list[str]:
    """One word for each trial of the recording in a folder: "fold_3", or its tier if it has no fold.

    The answer is stored once in the recording's ``meta/trials/folds.json``, with each movie's hash and the versions of
    the
    libraries that computed it. From then on the file is read, so that updating a library cannot change the test set.

    Warns if movies that look alike are in different folds, or movies that look different have the same hash.

    Raises
    ------
    InputError
        The file does not fit the recording, or a movie cannot be hashed.
    """
    file = folder / FOLDS
    if is_listed(file):
        return read_folds(file, tiers)
    rule = fold_rule(folder)
    name = folder.resolve().name  # a link's name does not identify the mouse
    openings: dict[int, NDArray[np.uint64]] = {}
    hashes: list[int | None] = [None] * len(tiers)
    for index, tier in enumerate(tiers):
        if is_folded(tier, recording_name=name):
            openings[index], hashes[index] = _identify(folder, index, rule=rule)
    words = fold_words(tiers, hashes)
    _warn_of_doubts(folder.name, openings, hashes, words)
    try:
        write_folds(file, words, hashes=hashes, rule=rule)
    except ResourceError as error:
        warnings.warn(
            f"the folds of {folder.name} cannot be stored with it ({error}); they are computed again each time, and "
            "another version of ImageHash or Pillow could move movies between them",
            stacklevel=2,
        )
    return words


def fold_words(tiers: Sequence[str], hashes: Sequence[int | None]) -> list[str]:
    """The fold of each trial from the hash of its movie, or its tier if it has no hash."""
    return [tier if value is None else f"fold_{value % FOLD_COUNT}" for tier, value in zip(tiers, hashes, strict=True)]


def read_folds(file: Path, tiers: Sequence[str]) -> list[str]:
    """The words in a folds file; InputError if they do not fit the tiers of the recording."""
    words = read_json(file).get("words")
    if not isinstance(words, list):
        raise InputError(f"{file} has no list of words; delete it to assign the folds again")
    check_words(words, tiers, what=f"{file} (delete it to assign the folds again)")
    return words


def write_folds(
    file: Path, words: Sequence[str], *, hashes: Sequence[int | None] | None = None, rule: str = PUBLISHED
) -> None:
    """Store the folds and their origin: from the movies' hashes, or given by the user."""
    content: dict[str, Any] = {"words": list(words), "method": METHODS[rule] if hashes else "given with the recording"}
    if hashes:
        content["hashes"] = [None if value is None else f"{value:016x}" for value in hashes]
        content["versions"] = {name: version(name) for name in ("ImageHash", "Pillow", "numpy", "scipy")}
    with atomic_path(file, overwrite=True) as partial:  # two jobs may compute it at once, with the same result
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def check_words(words: Sequence[str], tiers: Sequence[str], *, what: str) -> None:
    """Raise InputError unless there is one word per trial, a fold such as "fold_3" or the trial's own tier."""
    if len(words) != len(tiers):
        raise InputError(f"{what}: {len(words)} words for {len(tiers)} trials; there must be one per trial")
    for index, (word, tier) in enumerate(zip(words, tiers, strict=True)):
        if not is_fold(word) and word != tier:
            raise InputError(
                f"{what}: trial {index} has {word!r}; it must have a fold such as 'fold_3', or its tier, {tier!r}"
            )


def is_fold(word: object) -> bool:
    """Whether a word names a fold: "fold_" and a number."""
    return isinstance(word, str) and re.fullmatch(r"fold_(0|[1-9][0-9]*)", word) is not None


def movie_hash(video: NDArray[Any], *, rule: str) -> int:
    """The 64-bit hash of a movie (frames, height, width) that sets its fold by one of ``METHODS``."""
    if rule == PUBLISHED:
        return video_hash(video)
    return int.from_bytes(hashlib.blake2b(opening_of(video).astype("<u8").tobytes(), digest_size=8).digest(), "big")


def fold_rule(folder: Path) -> str:
    """The rule for a recording's folds: the published one unless its settings name another."""
    rule = read_json(folder / SETTINGS).get("fold_rule", PUBLISHED) if is_listed(folder / SETTINGS) else PUBLISHED
    if rule not in METHODS:
        raise InputError(f"{folder / SETTINGS} says fold_rule: {rule!r}; it must be one of {', '.join(METHODS)}")
    return str(rule)


def _identify(folder: Path, index: int, *, rule: str) -> tuple[NDArray[np.uint64], int]:
    """The opening and the hash of a trial's movie.

    Uses the movie as stored, not cut to the responses: the same movie must have the same hash in a trial whose
    responses ended early.
    """
    try:
        video = read_video(folder, index)
        check_white(video, what="its movie")
        return opening_of(video), movie_hash(video, rule=rule)
    except InputError as error:
        raise InputError(f"trial {index} of {folder.name}: {error}") from error


def _warn_of_doubts(
    name: str, openings: Mapping[int, NDArray[np.uint64]], hashes: Sequence[int | None], words: Sequence[str]
) -> None:
    """Warn of movies that look alike but are in different folds, and of different movies with the same hash."""
    advice = "give the folds yourself if that matters (folds= of write_recording, or a table's column 'fold')"
    trials = np.array(list(openings))
    looks = np.array(list(openings.values())).reshape(-1, HASHED_FRAMES, 2)
    folds = np.array([words[trial] for trial in trials])
    for place, look in enumerate(looks):
        bits = np.bitwise_count(looks[:, :, 0] ^ look[:, 0]).sum(axis=1)
        levels = np.abs(looks[:, :, 1].astype(np.int64) - look[:, 1].astype(np.int64)).max(axis=1)
        alike = trials[(bits <= _ALIKE_BITS) & (levels <= _ALIKE_LEVELS) & (folds != folds[place])]
        if len(alike):
            other = int(alike[0])
            warnings.warn(
                f"{name}: the movies of trials {trials[place]} and {other} begin almost alike, but are in "
                f"{folds[place]} and {words[other]}; if they are one movie, a model may be tested on what it was "
                f"trained on: {advice}",
                stacklevel=3,
            )
            break
    movies = len({look.tobytes() for look in looks})
    if (found := len(set(hashes) - {None})) < movies:
        warnings.warn(
            f"{name}: {movies} movies that begin differently have only {found} different hashes, as frames without "
            f"structure, such as uniform ones, cannot be told apart by the published rule; {advice}",
            stacklevel=3,
        )


_ALIKE_BITS = 16  # of the 320 of five frames; unrelated movies differ in 160
_ALIKE_LEVELS = 2


def _check_length(video: NDArray[Any]) -> None:
    if video.ndim != 3 or len(video) < HASHED_FRAMES:
        raise InputError(
            f"a movie of shape {video.shape} has no hash; it must be (frames, height, width) with at least "
            f"{HASHED_FRAMES} frames"
        )


def _as_bytes(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Whole gray levels; InputError for anything else."""
    frames = np.asarray(frames)
    if not (np.isfinite(frames).all() and frames.min() >= 0 and frames.max() <= 255):
        raise InputError("a movie must hold grey levels 0..255 to be hashed; it has other values, or NaN")
    return frames.astype(np.uint8)


def _frame_hash(frame: NDArray[np.uint8]) -> int:
    """64-bit perceptual hash of a frame (height, width): its bits in reading order, the first the most significant."""
    import imagehash
    from PIL import Image

    bits = imagehash.phash(Image.fromarray(frame)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
