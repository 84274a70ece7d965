"""Defaults shared by functions and commands; kept here so that ``neuroreel --help`` need not import PyTorch."""

from __future__ import annotations

FACTORS = 8  # noise factors that neurons share
LIKELIHOOD_WEIGHT = 0.5
MASK_STEPS = 1000  # of the published rule (Bauer et al. 2026)
SKIP_FRAMES = 30  # at the start of a movie, which scores leave out
COMPETITION_SKIP_FRAMES = 50  # of the Sensorium 2023 competition
SCORED_MASK = 1.0  # pixels of the mask of at least this are scored
PARALLEL_DOWNLOADS = 4


def frames_to_skip(frames: int) -> int:
    """How many frames are left out at the start of a movie: ``SKIP_FRAMES``, or half of a short one."""
    return min(SKIP_FRAMES, frames // 2)
