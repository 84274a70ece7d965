"""Scores of reconstructions, and the baselines to hold them against.

``scores.scores``, ``baselines.baselines`` and ``ssim.ssim`` are not lifted here: they would hide the modules of that
name.
"""

from neuroreel.evaluation.baselines import mean_frame, shuffle_neurons
from neuroreel.evaluation.comparison import evaluation_mask
from neuroreel.evaluation.scores import (
    format_score,
    frame_correlation,
    mask_video,
    match_contrast,
    motion_energy,
    pixel_correlation,
    psnr,
    response_correlation,
    rmse,
    spatial_entropy,
    video_correlation,
)

__all__ = [
    "evaluation_mask",
    "format_score",
    "frame_correlation",
    "mask_video",
    "match_contrast",
    "mean_frame",
    "motion_energy",
    "pixel_correlation",
    "psnr",
    "response_correlation",
    "rmse",
    "shuffle_neurons",
    "spatial_entropy",
    "video_correlation",
]
