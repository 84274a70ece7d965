"""Identification: match reconstructed frames and clips to the true ones among all test movies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from neuroreel.arguments import as_array, whole_number
from neuroreel.defaults import SKIP_FRAMES
from neuroreel.errors import InputError
from neuroreel.evaluation.comparison import compare, evaluation_mask

INTERVAL_PERCENT = 95
RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class Identification:
    """How often a reconstructed piece is most similar to its own true piece.

    Attributes
    ----------
    accuracy
        Mean over pieces, 0..1.
    low, high
        95 % confidence interval; nan for a single movie, which cannot be resampled.
    chance
        1 / ways.
    ways
        Number of candidates, including the right one.
    clip_frames
        Frames in a piece; 1 if single frames were identified.
    pieces, movies
        Number of pieces and movies.
    by_movie
        Accuracy of each movie.
    """

    accuracy: float
    low: float
    high: float
    chance: float
    ways: int
    clip_frames: int
    pieces: int
    movies: int
    by_movie: tuple[float, ...]

    def __str__(self) -> str:
        what = "frame" if self.clip_frames == 1 else "clip"
        interval = "" if np.isnan(self.low) else f"{INTERVAL_PERCENT} % interval {self.low:.3f} to {self.high:.3f}, "
        return (
            f"{self.ways}-way {what} identification: {self.accuracy:.3f} ({interval}chance {self.chance:.3f}, "
            f"n = {self.pieces} {what}s of {self.movies} movie{'' if self.movies == 1 else 's'})"
        )


def identify(
    truths: Sequence[ArrayLike],
    videos: Sequence[ArrayLike],
    *,
    ways: int | None = 2,
    clip_frames: int = 1,
    every: int = 30,
    mask: ArrayLike | Sequence[ArrayLike] | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
    seed: int = 0,
) -> Identification:
    """Identify each reconstructed frame or clip among true ones of all movies.

    The candidate with the highest Pearson correlation over the piece's frames and the pixels inside the mask of the
    reconstruction is chosen. The wrong candidates are drawn from all other true pieces, except identical ones; the
    accuracy is the exact mean over all such draws, so none is simulated. Ties are split, and an undefined correlation
    (with a gray piece) counts as 0: gray movies are at chance.

    The confidence interval resamples whole movies (percentile bootstrap): pieces of one movie are not independent,
    so an interval over pieces (such as Wilson's) would be too narrow. With fewer than ten movies it is still too
    narrow.

    Parameters
    ----------
    truths, videos
        (frames, height, width) for each movie: the true movie and its reconstruction. Movies may differ in length.
    ways
        Candidates: 2 for one wrong candidate at a time, None for all pieces at once.
    clip_frames
        Frames in a piece: 1 identifies frames, more identify clips.
    every
        Frames between the starts of successive pieces. Neighboring frames of a movie look alike, so short steps make
        the task harder. At least ``clip_frames``.
    mask
        As in ``nr.video_correlation``; or a list, one for each movie.
    skip, mask_threshold
        Which frames and pixels count, as in :func:`neuroreel.compare`.
    seed
        Random seed of the bootstrap.

    Raises
    ------
    InputError
        Movies that do not fit together or are too short for a piece, or fewer candidates than ``ways``.
    """
    if not 1 <= whole_number(clip_frames, name="clip_frames", least=0) <= whole_number(every, name="every"):
        raise InputError(f"clip_frames={clip_frames}, every={every}; they must satisfy 1 <= clip_frames <= every")
    whole_number(seed, name="seed", least=0)
    masks = _masks(mask, truths, videos, threshold=mask_threshold)
    true, shown, movie = _all_pieces(truths, videos, clip_frames=clip_frames, every=every, skip=skip)
    own, others = _own_and_others(true, shown, movie, masks)
    better = (others > own[:, None]).sum(axis=1)
    tied = (others == own[:, None]).sum(axis=1)
    candidates = np.isfinite(others).sum(axis=1)
    if ways is None:
        ways = int(candidates.min()) + 1
    if not 2 <= whole_number(ways, name="ways") <= candidates.min() + 1:
        raise InputError(
            f"ways is {ways}; with {len(own)} pieces there can be 2 to {candidates.min() + 1} candidates: "
            "give more movies, or a smaller step in every"
        )
    correct = _chance_of_being_chosen(better=better, tied=tied, wrong=candidates, ways=ways)
    totals, counts = np.bincount(movie, weights=correct), np.bincount(movie)
    low, high = _interval(totals, counts, seed=seed)
    return Identification(
        accuracy=float(correct.mean()),
        low=low,
        high=high,
        chance=1 / ways,
        ways=ways,
        clip_frames=clip_frames,
        pieces=len(own),
        movies=len(truths),
        by_movie=tuple(float(value) for value in totals / counts),
    )


def _masks(
    mask: Any, truths: Sequence[ArrayLike], videos: Sequence[ArrayLike], *, threshold: float
) -> list[NDArray[np.bool_]]:
    """The pixels that count in each movie, (height, width) boolean."""
    if len(truths) == 0 or len(truths) != len(videos):
        raise InputError(f"got {len(truths)} true movies and {len(videos)} reconstructions; give as many of both")
    one_for_all = mask is None or (len(mask) > 0 and np.ndim(mask[0]) == 1)  # its first item is a row
    masks = [mask] * len(truths) if one_for_all else list(mask)
    if len(masks) != len(truths):
        raise InputError(f"got {len(masks)} masks for {len(truths)} movies; give one for all, or one for each")
    shapes = [as_array(truth, name=f"movie {number}").shape for number, truth in enumerate(truths)]
    size = shapes[0][1:]
    odd = [number for number, shape in enumerate(shapes) if len(shape) != 3 or shape[1:] != size]
    if odd:
        raise InputError(
            f"movie {odd[0]} has shape {shapes[odd[0]]}; all must be (frames, height, width), with frames of one size"
        )
    return [evaluation_mask(each, size, threshold=threshold) for each in masks]


def _all_pieces(
    truths: Sequence[ArrayLike], videos: Sequence[ArrayLike], *, clip_frames: int, every: int, skip: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """True and reconstructed pieces (pieces, clip frames, height, width), and the number of the movie of each."""
    true: list[NDArray[np.float32]] = []
    shown: list[NDArray[np.float32]] = []
    movie: list[int] = []
    for number, (truth, video) in enumerate(zip(truths, videos, strict=True)):
        compared = compare(truth, video, skip=skip)
        both = compared.truth, compared.video
        starts = range(0, len(both[0]) - clip_frames + 1, every)
        if not starts:
            raise InputError(
                f"movie {number} has {len(both[0])} frames after the first {skip}, fewer than clip_frames={clip_frames}"
            )
        for pieces, frames in zip((true, shown), both, strict=True):
            pieces += [frames[start : start + clip_frames].astype(np.float32) for start in starts]
        movie += [number] * len(starts)
    return np.stack(true), np.stack(shown), np.array(movie)


def _own_and_others(
    true: NDArray[np.float32],
    shown: NDArray[np.float32],
    movie: NDArray[np.int64],
    masks: list[NDArray[np.bool_]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation of each piece with its own true piece, and (pieces, pieces) with the candidates, nan for others.

    The piece itself and identical ones are not candidates.
    """
    correlations = np.empty((len(true), len(true)))
    for mask in {each.tobytes(): each for each in masks}.values():
        rows = np.array([np.array_equal(masks[number], mask) for number in movie])
        correlations[rows] = _unit_rows(shown[rows][:, :, mask]) @ _unit_rows(true[:, :, mask]).T
    correlations = np.round(correlations, 6)  # values that differ only by rounding are ties
    names: dict[bytes, int] = {}
    shows = np.array([names.setdefault(piece.tobytes(), len(names)) for piece in true])
    others = np.where(shows[:, None] == shows, np.nan, correlations)
    return np.diag(correlations).copy(), others


def _unit_rows(pieces: NDArray[np.float32]) -> NDArray[np.float32]:
    """(pieces, frames, pixels) to (pieces, frames * pixels) of mean 0 and norm 1; 0 if a piece is constant."""
    rows = pieces.reshape(len(pieces), -1)
    rows = rows - rows[:, :1]  # a constant piece becomes exactly 0, despite rounding of its mean
    rows -= rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def _chance_of_being_chosen(
    *, better: NDArray[np.int64], tied: NDArray[np.int64], wrong: NDArray[np.int64], ways: int
) -> NDArray[np.float64]:
    """Probability that a piece is chosen among ``ways`` candidates, over all draws of ways - 1 wrong ones.

    It is chosen if none of the better ones is drawn, and then in one of k + 1 cases if k tied ones are.
    """
    kinds = np.stack([better, tied, wrong - better - tied], axis=1)
    chosen = np.zeros(len(wrong))
    for k in range(int(min(ways - 1, tied.max())) + 1):
        chosen += stats.multivariate_hypergeom.pmf([0, k, ways - 1 - k], kinds, ways - 1) / (k + 1)
    return chosen


def _interval(totals: NDArray[Any], counts: NDArray[Any], *, seed: int) -> tuple[float, float]:
    """Percentile interval of the accuracy when movies are resampled with replacement; nan for one movie."""
    movies = len(totals)
    if movies < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, movies, (RESAMPLES, movies))
    accuracies = totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    rest = (100 - INTERVAL_PERCENT) / 2
    low, high = np.percentile(accuracies, [rest, 100 - rest])
    return float(low), float(high)
