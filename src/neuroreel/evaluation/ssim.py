"""Structural similarity of movies, and the number that the published code gives that name."""

from __future__ import annotations

from numpy.typing import ArrayLike

from neuroreel.evaluation.comparison import SKIP_FRAMES, WHITE, compare


def ssim(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> float:
    """Structural similarity: mean over frames and pixels of how alike the surroundings of a pixel are.

    That of Wang et al. 2004 (doi 10.1109/TIP.2003.819861), with their Gaussian window (sigma 1.5 pixels) and constants
    (k1 = 0.01, k2 = 0.03, grey levels 0..255), by scikit-image. The mask chooses the pixels that are averaged; their
    surroundings may reach out of it.

    Parameters
    ----------
    truth, video
        (frames, height, width): the movie that was shown and its reconstruction, at least 11 pixels high and wide.
    mask, skip, mask_threshold
        Which pixels and frames count; see the head of ``neuroreel.evaluation.scores``.

    Returns
    -------
    float
        -1..1; 1 only for equal movies.

    Raises
    ------
    InputError
        Shapes that differ, frames smaller than the window, NaN, a mask without a pixel, no frame left.
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

    One mean, one variance and one covariance over all frames and pixels, and constants of 255² that outweigh them:
    movies that have nothing in common get a high number. Only for comparison with the published code.

    Parameters and errors are those of :func:`ssim`, but for the size of the frames.
    """
    true, shown = compare(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold).pixels
    constant = WHITE**2  # (k L)²
    mean, mean_shown = true.mean(), shown.mean()
    covariance = ((true - mean) * (shown - mean_shown)).mean()
    luminance = (2 * mean * mean_shown + constant) / (mean**2 + mean_shown**2 + constant)
    return float(luminance * (2 * covariance + constant) / (true.var() + shown.var() + constant))
