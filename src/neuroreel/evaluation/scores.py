"""How well a reconstructed movie matches the true one, and predicted responses the recorded ones.

Pure functions on NumPy arrays. Movies are (frames, height, width) in grey levels 0..255. The definitions are those
of Bauer, Margrie & Clopath (eLife 2026, doi 10.7554/eLife.105081) where the paper has them; each docstring says
where it does not.

Three arguments mean the same everywhere:

``mask``
    Which pixels count: (height, width), boolean, or real as the transparency masks are, where a pixel counts if it
    is at least ``mask_threshold`` (1.0 is the paper's evaluation mask). A mask on a larger canvas, such as the
    published models' 64 x 64 around a video of 36 x 64, is cropped around its center. None: every pixel counts.
``skip``
    Frames left out at the start, where the models have seen too little of the movie. The paper says 30; the published
    scripts' own log leaves out 32.
nan
    A correlation with something constant (a grey movie, say) is undefined, and returned as nan. ``format_score``
    writes it out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.arguments import as_array, whole_number
from neuroreel.encoding.correlation import neuron_correlations, row_correlations
from neuroreel.errors import InputError
from neuroreel.grey import MID_GREY
from neuroreel.masks import mask_on_video

WHITE = 255.0
SKIP_FRAMES = 30


def video_correlation(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> float:
    """Pearson correlation over all frames and all pixels inside the mask, taken together: the paper's headline score.

    Parameters
    ----------
    truth, video
        (frames, height, width): the movie that was shown and its reconstruction.
    mask, skip, mask_threshold
        Which pixels and frames count; see the head of this module.

    Returns
    -------
    float
        -1..1; nan, meaning undefined, if either movie is constant there.

    Raises
    ------
    InputError
        Shapes that differ, NaN, a mask without a pixel, no frame left.
    """
    return _correlation(*_compared_pixels(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold))


def frame_correlation(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> float:
    """Mean over frames of the correlation across the frame's pixels: blind to their contrast.

    Frames in which either movie is constant are left out; nan if none remains. Arguments as in ``video_correlation``.
    """
    true, shown = _compared_pixels(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold)
    return _mean_of_defined(_correlations(true, shown))


def pixel_correlation(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> NDArray[np.float64]:
    """Correlation over time of each pixel: a map (height, width) of where the movie was recovered.

    nan outside the mask and where a pixel is constant in either movie. Arguments as in ``video_correlation``.
    """
    true, shown = _compared_pixels(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold)
    size = np.shape(truth)[1:]
    correlations = np.full(size, np.nan)
    correlations[evaluation_mask(mask, size, threshold=mask_threshold)] = _correlations(true.T, shown.T)
    return correlations


def rmse(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> float:
    """Root of the mean squared difference, in grey levels. Arguments as in ``video_correlation``."""
    true, shown = _compared_pixels(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold)
    return float(np.sqrt(np.mean((true - shown) ** 2)))


def psnr(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> float:
    """Peak signal-to-noise ratio in decibels: 20 log10(255 / RMSE), infinite for equal movies.

    Arguments as in ``video_correlation``.
    """
    error = rmse(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold)
    return float("inf") if error == 0 else float(20 * np.log10(WHITE / error))


def motion_energy(
    video: ArrayLike, *, mask: ArrayLike | None = None, skip: int = SKIP_FRAMES, mask_threshold: float = 1.0
) -> NDArray[np.float64]:
    """Mean absolute difference from each frame to the next, in grey levels: (frames - skip - 1,).

    Arguments as in ``video_correlation``; at least two frames must remain.
    """
    pixels = _pixels(video, "video", mask=mask, skip=skip, mask_threshold=mask_threshold)
    if len(pixels) < 2:
        raise InputError(
            f"motion energy needs two frames after the first {skip}; the video has {len(np.asarray(video))}"
        )
    return np.abs(np.diff(pixels, axis=0)).mean(axis=1)


def spatial_entropy(
    video: ArrayLike, *, mask: ArrayLike | None = None, skip: int = SKIP_FRAMES, mask_threshold: float = 1.0
) -> NDArray[np.float64]:
    """Shannon entropy in bits of each frame's grey levels (rounded to 0..255): (frames - skip,), between 0 and 8.

    Our definition: the histogram's entropy, as ``skimage.measure.shannon_entropy`` has it. Arguments as in
    ``video_correlation``.
    """
    pixels = _pixels(video, "video", mask=mask, skip=skip, mask_threshold=mask_threshold)
    levels = np.clip(np.rint(pixels), 0, WHITE).astype(np.int64)
    return np.array([_histogram_entropy(frame) for frame in levels])


def response_correlation(recorded: ArrayLike, predicted: ArrayLike, *, skip: int = 0, pooled: bool = False) -> float:
    """Mean over neurons of the correlation over frames: the single-trial correlation of the Sensorium 2023 competition.

    Parameters
    ----------
    recorded, predicted
        (neurons, frames). The competition lays all trials of a recording one after another in time.
    skip
        Frames left out at the start (the competition leaves out 50 of each trial).
    pooled
        One correlation over all neurons and frames together instead, as the published logs have it
        (``response_corr_*``). It is higher, because it also rewards knowing which neurons are active on average.

    Returns
    -------
    float
        -1..1. A neuron that is constant in either counts as 0, as in the competition; pooled, nan if either is
        constant.

    Raises
    ------
    InputError
        Shapes that differ, NaN, no frame left.
    """
    true, expected = _same_shape(recorded, predicted, axes="neurons, frames", names=("recorded", "predicted"))
    _check_skip(skip, frames=true.shape[1], what="recorded responses")
    true, expected = true[:, skip:], expected[:, skip:]
    if pooled:
        return _correlation(true, expected)
    return float(neuron_correlations(true, expected).mean())


def match_contrast(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = 0,
    mask_threshold: float = 1.0,
    outside: float = MID_GREY,
) -> NDArray[np.float32]:
    """The reconstruction with the true movie's luminance and contrast, to look at and to predict responses from.

    Inside the mask the reconstruction is z-scored over all frames and pixels, given the true movie's mean and standard
    deviation, and clipped to 0..255; outside it is grey.

    Parameters
    ----------
    truth, video, mask, mask_threshold
        As in ``video_correlation``.
    skip
        Frames left out of the means and deviations (none in the published code); the result has all frames.
    outside
        Grey level of the pixels outside the mask.

    Returns
    -------
    (frames, height, width) float32
        A constant reconstruction, which has no contrast to match, only gets the true mean (see ``contrast_gain``).
    """
    true, shown = _compared_pixels(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold)
    gain = contrast_gain(true.std(), shown.std())
    movie = np.asarray(video, np.float64)
    matched = np.clip((movie - shown.mean()) * gain + true.mean(), 0, WHITE)
    return mask_video(matched, mask=mask, mask_threshold=mask_threshold, outside=outside)


def contrast_gain(wanted: float, found: float) -> float:
    """What takes a movie from one standard deviation, in grey levels, to another.

    It is 0 for a movie that deviates by less than a thousandth of a grey level: rounding errors are no contrast.
    """
    return float(wanted / found) if found > 1e-3 else 0.0


def mask_video(
    video: ArrayLike, *, mask: ArrayLike | None, mask_threshold: float = 1.0, outside: float = MID_GREY
) -> NDArray[np.float32]:
    """The movie inside the mask, grey outside: (frames, height, width) float32. Arguments as in ``match_contrast``."""
    movie = _movie(video, "video")
    inside = evaluation_mask(mask, movie.shape[1:], threshold=mask_threshold)
    return np.where(inside, movie, outside).astype(np.float32)


def scores(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> dict[str, float]:
    """Every score of a movie that is one number, by name. Arguments as in ``video_correlation``.

    Returns
    -------
    dict
        ``video_correlation``, ``frame_correlation``, ``pixel_correlation`` (mean of the map over the pixels where
        it is defined), ``rmse`` (grey levels), ``psnr`` (decibels), ``motion_energy_truth`` and
        ``motion_energy_video`` (grey levels a frame, mean over frames), ``spatial_entropy_truth`` and
        ``spatial_entropy_video`` (bits, mean over frames).
    """
    where: dict[str, Any] = {"mask": mask, "skip": skip, "mask_threshold": mask_threshold}
    return {
        "video_correlation": video_correlation(truth, video, **where),
        "frame_correlation": frame_correlation(truth, video, **where),
        "pixel_correlation": _mean_of_defined(pixel_correlation(truth, video, **where)),
        "rmse": rmse(truth, video, **where),
        "psnr": psnr(truth, video, **where),
        "motion_energy_truth": float(motion_energy(truth, **where).mean()),
        "motion_energy_video": float(motion_energy(video, **where).mean()),
        "spatial_entropy_truth": float(spatial_entropy(truth, **where).mean()),
        "spatial_entropy_video": float(spatial_entropy(video, **where).mean()),
    }


def format_score(value: float, *, digits: int = 3) -> str:
    """A score as a table shows it: fixed digits, and ``undefined`` for nan."""
    return "undefined" if np.isnan(value) else f"{value:.{digits}f}"


def evaluation_mask(mask: ArrayLike | None, size: tuple[int, ...], *, threshold: float = 1.0) -> NDArray[np.bool_]:
    """Which pixels of a video of ``size`` (height, width) count: (height, width) boolean.

    Parameters
    ----------
    mask
        Boolean, or real: pixels of at least ``threshold``. (height, width), or a larger canvas that is cropped
        around its center (offset (canvas - video) // 2: rows 14..49 of the published 64 x 64). None: all pixels.

    Raises
    ------
    InputError
        A mask smaller than the video, not of two axes, with NaN, or without a pixel.
    """
    if mask is None:
        return np.ones(size, bool)
    weights = as_array(mask, name="the mask")
    if weights.dtype.kind not in "fiub" or not np.isfinite(weights).all():
        raise InputError("the mask holds NaN or infinite values; give a boolean mask, or weights that are numbers")
    cropped = mask_on_video(weights, size)
    inside: NDArray[np.bool_] = cropped if cropped.dtype == bool else cropped >= threshold
    if not inside.any():
        raise InputError(
            f"the mask is empty: no pixel over the video is at least {threshold:g} (largest {float(cropped.max()):g}); "
            "lower mask_threshold or give another mask"
        )
    return inside


def compared_movies(
    truth: ArrayLike, video: ArrayLike, *, mask: ArrayLike | None, skip: int, mask_threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Both movies (frames that count, height, width), checked, and the pixels that count, (height, width) boolean."""
    true, shown = _same_shape(truth, video, axes="frames, height, width", names=("truth", "video"))
    _check_skip(skip, frames=len(true), what="videos")
    return true[skip:], shown[skip:], evaluation_mask(mask, true.shape[1:], threshold=mask_threshold)


def _compared_pixels(
    truth: ArrayLike, video: ArrayLike, *, mask: ArrayLike | None, skip: int, mask_threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both movies as (frames that count, pixels inside the mask)."""
    true, shown, inside = compared_movies(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold)
    return true[:, inside], shown[:, inside]


def _pixels(
    video: ArrayLike, name: str, *, mask: ArrayLike | None, skip: int, mask_threshold: float
) -> NDArray[np.float64]:
    """One movie as (frames that count, pixels inside the mask)."""
    movie = _movie(video, name)
    _check_skip(skip, frames=len(movie), what=name)
    return movie[skip:, evaluation_mask(mask, movie.shape[1:], threshold=mask_threshold)]


def _movie(video: ArrayLike, name: str) -> NDArray[np.float64]:
    return _real_array(video, axes="frames, height, width", name=name)


def _same_shape(
    first: ArrayLike, second: ArrayLike, *, axes: str, names: tuple[str, str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = (_real_array(array, axes=axes, name=name) for array, name in zip((first, second), names, strict=True))
    if one.shape != other.shape:
        raise InputError(
            f"{names[0]} has shape {one.shape} and {names[1]} {other.shape}; both must have the same ({axes}): "
            "cut or resize one of them"
        )
    return one, other


def _real_array(array: ArrayLike, *, axes: str, name: str) -> NDArray[np.float64]:
    values = as_array(array, name=name)
    if values.ndim != axes.count(",") + 1 or values.size == 0:
        raise InputError(f"{name} has shape {values.shape}; it must be ({axes}), none of them 0")
    if values.dtype.kind not in "fiub":
        raise InputError(f"{name} has type {values.dtype}; it must hold real numbers")
    if not np.isfinite(values).all():
        raise InputError(
            f"{name} holds {int((~np.isfinite(values)).sum())} NaN or infinite values; a score needs numbers"
        )
    return values.astype(np.float64)


def _check_skip(skip: int, *, frames: int, what: str) -> None:
    if not 0 <= whole_number(skip, name="skip", least=-math.inf) < frames:
        raise InputError(
            f"skip={skip} leaves none of the {frames} frames of the {what}; "
            f"pass skip=0..{frames - 1} (skip=0 scores them all)"
        )


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(_correlations(first.reshape(1, -1), second.reshape(1, -1))[0])


def _correlations(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of each row with its counterpart; nan where a row is constant."""
    return row_correlations(first, second).numpy()


def _mean_of_defined(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _histogram_entropy(levels: NDArray[np.int64]) -> float:
    counts = np.bincount(levels)
    shares = counts[counts > 0] / levels.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # + 0.0 turns the -0.0 of a uniform frame into 0.0
