"""Folds that never leak a movie: trials that show the same movie always land in the same fold.

A movie is shown in several trials, and to several mice. A test set of trials drawn at random would hold movies that
the model was trained on; so the fold follows from the movie itself. The rule is that of the published reconstructions.
"""

from __future__ import annotations

import functools
import json
import operator
import re
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError, ResourceError
from neuroreel.files import atomic_path
from neuroreel.recordings.disk import read_json
from neuroreel.recordings.sensorium import FOLDS, read_video

if TYPE_CHECKING:
    from neuroreel.recordings.recording import Recording

FOLD_COUNT = 7
HASHED_FRAMES = 5
METHOD = (
    "frames range(step // 2, length, step)[:5] with step = length // 5 of each movie, as uint8; "
    "64-bit perceptual hash of each, XORed; fold = hash modulo 7"
)
OLD_MICE = "8744edeac3b4d1ce16b680916b5267ce"
"""The names of the five "old" mice of Sensorium 2023 end so. All their trials but "none" are folded."""


def video_hash(video: NDArray[Any]) -> int:
    """A 64-bit perceptual hash of a movie.

    Parameters
    ----------
    video
        (frames, height, width), grey levels 0..255; the whole movie, without padding.

    Raises
    ------
    InputError
        Fewer than five frames, or values that are no grey levels.
    """
    if video.ndim != 3 or len(video) < HASHED_FRAMES:
        raise InputError(
            f"a movie of shape {video.shape} has no hash; it must be (frames, height, width) with at least "
            f"{HASHED_FRAMES} frames"
        )
    step = len(video) // HASHED_FRAMES
    frames = np.asarray(video[step // 2 :: step][:HASHED_FRAMES])
    if not (np.isfinite(frames).all() and frames.min() >= 0 and frames.max() <= 255):
        raise InputError("a movie must hold grey levels 0..255 to be hashed; it has others, or NaN")
    return functools.reduce(operator.xor, map(_frame_hash, frames.astype(np.uint8)))


def fold_of(video: NDArray[Any], *, folds: int = FOLD_COUNT) -> int:
    """The fold, 0 to ``folds - 1``, of a movie (frames, height, width): its hash modulo the number of folds."""
    return video_hash(video) % folds


def is_folded(tier: str, *, recording_name: str) -> bool:
    """Whether trials of a tier are divided into folds: train and oracle, and in old mice all but "none"."""
    return tier != "none" if recording_name.endswith(OLD_MICE) else tier in ("train", "oracle")


def assign_folds(recording: Recording) -> list[str]:
    """One word a trial: "fold_3", or its tier where it has none.

    The answer is kept in ``meta/trials/folds.json`` of the recording the first time, with the hash of each movie and
    the versions of the libraries that computed it. From then on the file is read: an update of a library cannot move
    the test set.

    Raises
    ------
    InputError
        The file does not fit the recording, or a movie cannot be hashed.
    """
    file = recording.folder / FOLDS
    if file.exists():
        return read_folds(file, recording.tiers)
    hashes = [_hash_of(recording, index) for index in range(len(recording.tiers))]
    words = [
        tier if value is None else f"fold_{value % FOLD_COUNT}"
        for tier, value in zip(recording.tiers, hashes, strict=True)
    ]
    try:
        write_folds(file, words, hashes=hashes)
    except ResourceError as error:
        warnings.warn(
            f"the folds of {recording.name} cannot be kept with it ({error}); they are computed anew each time, and "
            "another version of ImageHash or Pillow could move movies between them",
            stacklevel=2,
        )
    return words


def read_folds(file: Path, tiers: Sequence[str]) -> list[str]:
    """The words in a folds file; InputError if they do not fit the tiers of the recording."""
    words = read_json(file).get("words")
    if not isinstance(words, list):
        raise InputError(f"{file} has no list of words; delete it to assign the folds anew")
    check_words(words, tiers, what=f"{file} (delete it to assign the folds anew)")
    return words


def write_folds(file: Path, words: Sequence[str], *, hashes: Sequence[int | None] | None = None) -> None:
    """Keep the folds and how they came about: from the movies' hashes, or given by whoever made the recording."""
    content: dict[str, Any] = {"words": list(words), "method": METHOD if hashes else "given with the recording"}
    if hashes:
        content["hashes"] = [None if value is None else f"{value:016x}" for value in hashes]
        content["versions"] = {name: version(name) for name in ("ImageHash", "Pillow", "numpy", "scipy")}
    with atomic_path(file, overwrite=True) as partial:  # two jobs may compute it at once, and agree
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def check_words(words: Sequence[str], tiers: Sequence[str], *, what: str) -> None:
    """Raise InputError unless there is one word a trial, a fold such as "fold_3" or the trial's own tier."""
    if len(words) != len(tiers):
        raise InputError(f"{what}: {len(words)} words for {len(tiers)} trials; there must be one a trial")
    for index, (word, tier) in enumerate(zip(words, tiers, strict=True)):
        if not is_fold(word) and word != tier:
            raise InputError(
                f"{what}: trial {index} has {word!r}; it must have a fold such as 'fold_3', or its tier, {tier!r}"
            )


def is_fold(word: object) -> bool:
    """Whether a word names a fold: "fold_" and a number."""
    return isinstance(word, str) and re.fullmatch(r"fold_(0|[1-9][0-9]*)", word) is not None


def _hash_of(recording: Recording, index: int) -> int | None:
    """The hash of a trial's movie; None where the trial's tier has no folds.

    Of the movie as it lies on disk, not cut to the responses: the same movie must have the same hash in a trial whose
    responses ended early.
    """
    if not is_folded(recording.tiers[index], recording_name=recording.name):
        return None
    try:
        return video_hash(read_video(recording.folder, index))
    except InputError as error:
        raise InputError(f"trial {index} of {recording.name}: {error}") from error


def _frame_hash(frame: NDArray[np.uint8]) -> int:
    """64-bit perceptual hash of a frame (height, width): its bits in reading order, the first the most significant."""
    import imagehash
    from PIL import Image

    bits = imagehash.phash(Image.fromarray(frame)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
