"""Every single-number score of a result, as in a row of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.predict import predict
from neuroreel.errors import InputError
from neuroreel.evaluation.comparison import compare
from neuroreel.evaluation.scores import (
    mask_video,
    match_contrast,
    response_correlation,
    video_correlation,
)
from neuroreel.recordings.trial import Trial
from neuroreel.results.reconstruction import Reconstruction

_NAMES = {"motion_energy_video": "motion_energy", "spatial_entropy_video": "spatial_entropy"}


def score_reconstruction(
    made: Reconstruction, scoring: Mapping[str, Any], *, keep: NDArray[np.bool_]
) -> dict[str, float]:
    """Scores of the video inside the evaluation mask, and of the responses predicted for it.

    ``scoring`` has ``skip``, ``mask_threshold`` and ``smoothing``; ``keep`` the neurons that were not ablated.
    """
    truth = made.truth
    assert truth is not None  # jobs have known movies
    where = {"mask": made.mask, "skip": int(scoring["skip"]), "mask_threshold": scoring["mask_threshold"]}
    sigma = scoring["smoothing"]
    video = made.smooth(sigma).video if sigma else made.video
    compared = compare(truth, video, **where)
    values = {_NAMES.get(name, name): value for name, value in compared.scores().items()}
    values["video_correlation_unsmoothed"] = video_correlation(truth, made.video, **where)
    if compared.fits_ssim:
        values["ssim"] = compared.ssim
    if "model_video" in made.dataset:
        each = [video_correlation(truth, one, **where) for one in made.dataset["model_video"].values]
        values["single_video_correlation"] = float(np.mean(each))
    return values | _response_scores(made, keep) | {"smoothing": sigma}


def _response_scores(made: Reconstruction, keep: NDArray[np.bool_]) -> dict[str, float]:
    """Compare the target with predictions for the reconstruction and the true movie; also for ablated neurons only."""
    target, values = made.dataset["responses"].values, {}
    for name, variable in (("response_correlation", "predicted"), ("response_correlation_truth", "predicted_truth")):
        predicted = made.dataset[variable].values
        values[name] = response_correlation(target, predicted)
        if not keep.all():
            values[f"{name}_ablated"] = response_correlation(target[~keep], predicted[~keep])
    return values


def score_responses(
    made: Reconstruction,
    models: Sequence[EncodingModel],
    trial: Trial,
    scoring: Mapping[str, Any],
    *,
    device: str,
) -> dict[str, float]:
    """Correlation of the recorded responses with those predicted for four movies (Bauer et al. 2026).

    The true movie, the true movie inside the mask with gray around it, the reconstruction, and the reconstruction
    inside the mask with the true movie's mean and contrast.
    """
    truth = made.truth
    assert truth is not None
    where = {"mask": made.mask, "mask_threshold": scoring["mask_threshold"]}
    video = made.smooth(scoring["smoothing"]).video if scoring["smoothing"] else made.video
    movies = {
        "truth": truth,
        "masked": mask_video(truth, **where),
        "reconstruction": video,
        "matched": match_contrast(truth, video, **where),
    }
    recorded = trial.needs_responses()
    values = {
        name: response_correlation(recorded, predict(models, trial.replace(video=movie), device=device))
        for name, movie in movies.items()
    }
    reconstruction = values.pop("reconstruction")
    return {"response_correlation": reconstruction} | {f"response_correlation_{n}": v for n, v in values.items()}


def score_fields(fields: xr.Dataset, mask: NDArray[np.float32], scoring: Mapping[str, Any]) -> dict[str, float]:
    """How well the population's receptive fields and the mask agree; empty if undefined."""
    from neuroreel.evaluation.population import mask_agreement

    try:
        agreement = mask_agreement(fields, mask, mask_threshold=scoring["mask_threshold"])
    except InputError:  # no spot or every spot is in the mask, or no neuron responds to any
        return {}
    return {f"rf_mask_{name}": float(value) for name, value in agreement.items()}
