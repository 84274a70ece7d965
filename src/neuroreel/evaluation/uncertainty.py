"""How much the models of an ensemble disagree about each pixel, and whether that predicts their errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from neuroreel.arguments import as_array, whole_number
from neuroreel.defaults import SKIP_FRAMES
from neuroreel.encoding.correlation import row_correlations
from neuroreel.errors import InputError
from neuroreel.evaluation.comparison import compare

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """Disagreement of the models of an ensemble, compared with the error of their mean; in gray levels.

    Attributes
    ----------
    deviation_map, error_map
        (height, width): root mean square over frames of the standard deviation across models, and of the error of the
        mean video; nan outside the mask.
    correlation, rank_correlation
        Pearson's and Spearman's correlation of the deviation with the absolute error, over all frames and pixels.
    spread_ratio
        Root mean square deviation, times sqrt((models + 1) / models), over the root mean squared error: 1 if the truth
        were like one more model (Fortin et al. 2014, doi 10.1175/JHM-D-14-0008.1); below 1, the models
        agree on wrong pixels.
    curve_deviation, curve_error
        (bins,): the calibration curve. Pixels are sorted by their deviation into bins of equal size; the root mean
        square of deviation (with the same factor) and of error in each. On the diagonal if the ensemble is
        calibrated; a few models estimate their deviation poorly, which flattens the curve.
    models
        Number of models.
    """

    deviation_map: Floats
    error_map: Floats
    correlation: float
    rank_correlation: float
    spread_ratio: float
    curve_deviation: Floats
    curve_error: Floats
    models: int

    def __str__(self) -> str:
        return (
            f"deviation across {self.models} models and absolute error: r = {self.correlation:.3f}, "
            f"rank correlation {self.rank_correlation:.3f}, spread ratio {self.spread_ratio:.3f}"
        )


def ensemble_uncertainty(
    truth: ArrayLike,
    model_videos: ArrayLike,
    *,
    bins: int = 10,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
) -> Uncertainty:
    """Compare the standard deviation across models, pixel by pixel, with the error of their mean video.

    Parameters
    ----------
    truth
        (frames, height, width): the movie that was shown.
    model_videos
        (models, frames, height, width): each model's reconstruction, at least two:
        ``result.dataset["model_video"]`` of a reconstruction with ``ensemble="videos"``.
    bins
        Number of bins of the calibration curve.
    mask, skip, mask_threshold
        Which pixels and frames count, as in :func:`neuroreel.compare`.

    Raises
    ------
    InputError
        Fewer than two models, movies that do not fit together, NaN, or more bins than pixels.
    """
    videos = as_array(model_videos, name="model_videos")
    if videos.ndim != 4 or len(videos) < 2:
        raise InputError(
            f"model_videos has shape {videos.shape}; it must be (models, frames, height, width), "
            "of at least two models: reconstruct with ensemble='videos'"
        )
    mean = videos.mean(axis=0, dtype=np.float64)
    compared = compare(truth, mean, mask=mask, skip=skip, mask_threshold=mask_threshold)
    inside = compared.inside
    models = len(videos)
    deviation = videos[:, skip:, inside].std(axis=0, ddof=1, dtype=np.float64)  # (frames, pixels inside)
    error = np.abs(np.subtract(*compared.pixels))
    spread = deviation * np.sqrt((models + 1) / models)
    curve = _curve(spread.ravel(), error.ravel(), bins=bins)
    pearson, spearman = row_correlations(
        np.stack([deviation.ravel(), rankdata(deviation)]), np.stack([error.ravel(), rankdata(error)])
    )
    rmse = _root_mean_square(error)
    return Uncertainty(
        deviation_map=_on_frame(_root_mean_square(deviation, axis=0), inside),
        error_map=_on_frame(_root_mean_square(error, axis=0), inside),
        correlation=float(pearson),
        rank_correlation=float(spearman),
        spread_ratio=float(_root_mean_square(spread) / rmse) if rmse > 0 else float("nan"),
        curve_deviation=curve[0],
        curve_error=curve[1],
        models=models,
    )


def _curve(spread: Floats, error: Floats, *, bins: int) -> Floats:
    """(2, bins): root mean square of both in bins of equal size, from the least to the most spread."""
    if whole_number(bins, name="bins") > len(spread):
        raise InputError(f"bins is {bins}; there are {len(spread)} pixels and frames to fill 1 to {len(spread)} bins")
    order = np.argsort(spread, kind="stable")
    parts = np.array_split(order, bins)
    return np.array([[_root_mean_square(values[part]) for part in parts] for values in (spread, error)])


def _root_mean_square(values: Floats, axis: int | None = None) -> Floats:
    return np.sqrt(np.square(values).mean(axis=axis))


def _on_frame(values: Floats, inside: NDArray[np.bool_]) -> Floats:
    frame = np.full(inside.shape, np.nan)
    frame[inside] = values
    return frame
