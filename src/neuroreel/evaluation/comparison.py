"""A true movie and its reconstruction, checked once: every score is a property of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from neuroreel.arguments import as_array, whole_number
from neuroreel.defaults import SKIP_FRAMES
from neuroreel.encoding.correlation import row_correlations
from neuroreel.errors import InputError
from neuroreel.masks import mask_on_video

WHITE = 255.0
GAUSSIAN_SIGMA, GAUSSIAN_RADIUS = 1.5, 5  # pixels, of Wang et al. 2004's window of 11 x 11


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The scored frames and pixels of two movies. Made by ``nr.compare``; scores are computed on first use.

    Parameters
    ----------
    truth, video
        (frames that count, height, width) float64: the movie that was shown and its reconstruction.
    inside
        (height, width) boolean: pixels that count.
    """

    truth: NDArray[np.float64]
    video: NDArray[np.float64]
    inside: NDArray[np.bool_]

    @cached_property
    def pixels(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both movies as (frames that count, pixels that count)."""
        return self.truth[:, self.inside], self.video[:, self.inside]

    @cached_property
    def video_correlation(self) -> float:
        """Pearson correlation over all frames and pixels: see ``nr.video_correlation``."""
        return correlation(*self.pixels)

    @cached_property
    def frame_correlation(self) -> float:
        """Mean over frames of the correlation across pixels; frames that are constant in either movie are left out."""
        return mean_of_defined(correlations(*self.pixels))

    @cached_property
    def pixel_correlation(self) -> NDArray[np.float64]:
        """Map (height, width) of each pixel's correlation over time; nan outside the mask and for constant pixels."""
        true, shown = self.pixels
        found = np.full(self.inside.shape, np.nan)
        found[self.inside] = correlations(true.T, shown.T)
        return found

    @cached_property
    def rmse(self) -> float:
        """Root of the mean squared difference, in gray levels."""
        true, shown = self.pixels
        return float(np.sqrt(np.mean((true - shown) ** 2)))

    @cached_property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in decibels: 20 log10(255 / RMSE), infinite for equal movies."""
        return float("inf") if self.rmse == 0 else float(20 * np.log10(WHITE / self.rmse))

    @cached_property
    def ssim(self) -> float:
        """Structural similarity: see ``nr.ssim``."""
        if not self.fits_ssim:
            window = 2 * GAUSSIAN_RADIUS + 1
            raise InputError(
                f"the frames are {self.inside.shape[1]}x{self.inside.shape[0]} pixels (width x height); structural "
                f"similarity needs {window} x {window}, the size of its window"
            )
        from skimage.metrics import structural_similarity

        options: dict[str, Any] = {"gaussian_weights": True, "sigma": GAUSSIAN_SIGMA, "use_sample_covariance": False}
        similarity: Callable[..., Any] = structural_similarity  # has no types
        maps = (
            similarity(a, b, data_range=WHITE, full=True, **options)[1]
            for a, b in zip(self.truth, self.video, strict=True)
        )
        return float(np.mean([each[self.inside].mean() for each in maps]))

    @property
    def fits_ssim(self) -> bool:
        """Whether frames are at least as large as the window of structural similarity."""
        return min(self.inside.shape) > 2 * GAUSSIAN_RADIUS

    def scores(self) -> dict[str, float]:
        """Every single-number score except structural similarity: see ``nr.scores``."""
        true, shown = self.pixels
        return {
            "video_correlation": self.video_correlation,
            "frame_correlation": self.frame_correlation,
            "pixel_correlation": mean_of_defined(self.pixel_correlation),
            "rmse": self.rmse,
            "psnr": self.psnr,
            "motion_energy_truth": float(motion_energy(true).mean()),
            "motion_energy_video": float(motion_energy(shown).mean()),
            "spatial_entropy_truth": float(spatial_entropy(true).mean()),
            "spatial_entropy_video": float(spatial_entropy(shown).mean()),
        }


def compare(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> Comparison:
    """Check a movie and its reconstruction once, and score them in as many ways as needed.

    Parameters
    ----------
    truth, video
        (frames, height, width): the movie that was shown and its reconstruction.
    mask, skip, mask_threshold
        Pixels count where ``mask`` (height, width) is at least ``mask_threshold``, all of them without a mask; the
        first ``skip`` frames do not count.

    Raises
    ------
    InputError
        Shapes that differ, NaN, a mask without a pixel, no frame left.
    """
    true, shown = same_shape(truth, video, axes="frames, height, width", names=("truth", "video"))
    check_skip(skip, frames=len(true), what="videos")
    inside = evaluation_mask(mask, true.shape[1:], threshold=mask_threshold)
    return Comparison(truth=true[skip:], video=shown[skip:], inside=inside)


def motion_energy(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean absolute difference between successive frames (frames, pixels): (frames - 1,), gray levels."""
    if len(pixels) < 2:
        raise InputError("motion energy needs at least two frames after the skipped ones; the video has one")
    return np.abs(np.diff(pixels, axis=0)).mean(axis=1)


def spatial_entropy(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shannon entropy in bits of each frame's gray levels, rounded to 0..255: (frames, pixels) to (frames,)."""
    levels = np.clip(np.rint(pixels), 0, WHITE).astype(np.int64)
    counts = [np.bincount(frame, minlength=256) for frame in levels]
    return np.asarray(stats.entropy(counts, base=2, axis=1))


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
        A mask smaller than the video, without two axes, with NaN, or without a pixel.
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


def same_shape(
    first: ArrayLike, second: ArrayLike, *, axes: str, names: tuple[str, str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both arrays, checked to have the same shape."""
    one, other = (real_array(array, axes=axes, name=name) for array, name in zip((first, second), names, strict=True))
    if one.shape != other.shape:
        raise InputError(
            f"{names[0]} has shape {one.shape} and {names[1]} {other.shape}; both must have the same ({axes}): "
            "cut or resize one of them"
        )
    return one, other


def real_array(array: ArrayLike, *, axes: str, name: str) -> NDArray[np.float64]:
    """An array of numbers with these axes, as float64; InputError for anything else."""
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


def check_skip(skip: int, *, frames: int, what: str) -> None:
    """Raise InputError unless frames remain."""
    if not 0 <= whole_number(skip, name="skip", least=-math.inf) < frames:
        raise InputError(
            f"skip={skip} leaves none of the {frames} frames of the {what}; "
            f"pass skip=0..{frames - 1} (skip=0 scores them all)"
        )


def correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Pearson correlation of all values; nan if either is constant."""
    return float(correlations(first.reshape(1, -1), second.reshape(1, -1))[0])


def correlations(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of each row with its counterpart; nan if a row is constant."""
    return row_correlations(first, second).numpy()


def mean_of_defined(values: NDArray[np.float64]) -> float:
    """Mean of the values that are not nan; nan if there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
