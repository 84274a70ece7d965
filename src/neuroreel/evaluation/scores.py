"""How well a reconstructed movie matches the true one, and predicted responses the recorded ones.

Pure functions on NumPy arrays. Movies are (frames, height, width) in gray levels 0..255. The definitions follow
Bauer, Margrie & Clopath (eLife 2026, doi 10.7554/eLife.105081) if the paper has them; docstrings say if it does not.
More scores of a pair of movies are properties of ``nr.compare(truth, video)``.

Three arguments mean the same everywhere:

``mask``
    Which pixels count: (height, width), boolean, or real as in transparency masks, where a pixel counts if it is at
    least ``mask_threshold`` (1.0 is the paper's evaluation mask). A mask on a larger canvas, such as the
    published models' 64 x 64 around a video of 36 x 64, is cropped around its center. None: every pixel counts.
``skip``
    Frames left out at the start, where the models have seen too little of the movie. The paper says 30; the published
    scripts' own log leaves out 32.
nan
    A correlation with a constant (such as a gray movie) is undefined, and returned as nan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.defaults import SKIP_FRAMES
from neuroreel.encoding.correlation import neuron_correlations
from neuroreel.evaluation.comparison import (
    WHITE,
    check_skip,
    compare,
    correlation,
    evaluation_mask,
    real_array,
    same_shape,
)
from neuroreel.grey import MID_GREY


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
        Pixels count where ``mask`` (height, width) is at least ``mask_threshold``, all of them without a mask; the
        first ``skip`` frames do not count.

    Returns
    -------
    float
        -1..1; nan, meaning undefined, if either movie is constant there.

    Raises
    ------
    InputError
        Shapes that differ, NaN, a mask without a pixel, no frame left.
    """
    return compare(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold).video_correlation


def pixel_correlation(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> NDArray[np.float64]:
    """Correlation over time of each pixel: a map (height, width) of where the movie was recovered.

    nan outside the mask and for pixels that are constant in either movie. Arguments as in ``video_correlation``.
    """
    return compare(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold).pixel_correlation


def scores(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> dict[str, float]:
    """Every single-number score of a movie, by name. Arguments as in ``video_correlation``.

    Returns
    -------
    dict
        ``video_correlation``, ``frame_correlation``, ``pixel_correlation`` (mean of the map over the pixels where
        it is defined), ``rmse`` (gray levels), ``psnr`` (decibels), ``motion_energy_truth`` and
        ``motion_energy_video`` (gray levels per frame, mean over frames), ``spatial_entropy_truth`` and
        ``spatial_entropy_video`` (bits, mean over frames).
    """
    return compare(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold).scores()


def ssim(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> float:
    """Structural similarity: mean over frames and pixels of the similarity of each pixel's surroundings.

    As defined by Wang et al. 2004 (doi 10.1109/TIP.2003.819861), with their Gaussian window (sigma 1.5 pixels) and
    constants (k1 = 0.01, k2 = 0.03, gray levels 0..255), computed by scikit-image. The mask chooses the pixels that are
    averaged; their surroundings may extend beyond it. 1 only for equal movies. Arguments and errors as in
    ``video_correlation``; frames must be at least 11 pixels high and wide, the size of the window.
    """
    return compare(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold).ssim


def published_ssim(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> float:
    """What the published code calls SSIM: the formula without its windows, and with k1 = k2 = 1. Not SSIM.

    It uses one mean, variance and covariance over all frames and pixels, and constants of 255² that outweigh them:
    unrelated movies get a high number. Use it only to compare with the published code.

    Arguments and errors as in ``video_correlation``.
    """
    true, shown = compare(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold).pixels
    constant = WHITE**2  # (k L)²
    mean, mean_shown = true.mean(), shown.mean()
    covariance = ((true - mean) * (shown - mean_shown)).mean()
    luminance = (2 * mean * mean_shown + constant) / (mean**2 + mean_shown**2 + constant)
    return float(luminance * (2 * covariance + constant) / (true.var() + shown.var() + constant))


def response_correlation(recorded: ArrayLike, predicted: ArrayLike, *, skip: int = 0, pooled: bool = False) -> float:
    """Mean over neurons of the correlation over frames: the single-trial correlation of the Sensorium 2023 competition.

    Parameters
    ----------
    recorded, predicted
        (neurons, frames). The competition joins all trials of a recording end to end.
    skip
        Frames left out at the start (the competition leaves out 50 of each trial).
    pooled
        One correlation over all neurons and frames together instead, as in the published logs
        (``response_corr_*``). It is higher, because it also rewards knowing which neurons are active on average.

    Returns
    -------
    float
        -1..1. A neuron that is constant in either counts as 0, as in the competition. Pooled: nan if either is
        constant.

    Raises
    ------
    InputError
        Shapes that differ, NaN, no frame left.
    """
    true, expected = same_shape(recorded, predicted, axes="neurons, frames", names=("recorded", "predicted"))
    check_skip(skip, frames=true.shape[1], what="recorded responses")
    true, expected = true[:, skip:], expected[:, skip:]
    if pooled:
        return correlation(true, expected)
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

    Inside the mask the reconstruction is z-scored over all frames and pixels, scaled to the true movie's mean and
    standard deviation, and clipped to 0..255; outside it is gray.

    Parameters
    ----------
    truth, video, mask, mask_threshold
        As in ``video_correlation``.
    skip
        Frames left out of the means and deviations (none in the published code); the result has all frames.
    outside
        Gray level of the pixels outside the mask.

    Returns
    -------
    (frames, height, width) float32
        A constant reconstruction, which has no contrast to match, only gets the true mean (see ``contrast_gain``).
    """
    true, shown = compare(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold).pixels
    gain = contrast_gain(true.std(), shown.std())
    movie = np.asarray(video, np.float64)
    matched = np.clip((movie - shown.mean()) * gain + true.mean(), 0, WHITE)
    return mask_video(matched, mask=mask, mask_threshold=mask_threshold, outside=outside)


def contrast_gain(wanted: float, found: float) -> float:
    """The factor from one standard deviation of a movie (gray levels) to another.

    It is 0 for a deviation below a thousandth of a gray level, which is rounding error.
    """
    return float(wanted / found) if found > 1e-3 else 0.0


def mask_video(
    video: ArrayLike, *, mask: ArrayLike | None, mask_threshold: float = 1.0, outside: float = MID_GREY
) -> NDArray[np.float32]:
    """The movie inside the mask, gray outside: (frames, height, width) float32. Arguments as in ``match_contrast``."""
    movie = real_array(video, axes="frames, height, width", name="video")
    inside = evaluation_mask(mask, movie.shape[1:], threshold=mask_threshold)
    return np.where(inside, movie, outside).astype(np.float32)


def format_score(value: float) -> str:
    """A score as a table shows it: three digits, and ``undefined`` for nan."""
    return "undefined" if np.isnan(value) else f"{value:.3f}"
