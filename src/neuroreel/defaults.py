"""Defaults that functions and commands share; here, as ``neuroreel --help`` must not import PyTorch to show them."""

from __future__ import annotations

FACTORS = 8  # of the noise, which neurons share
LIKELIHOOD_WEIGHT = 0.5
MASK_STEPS = 1000  # of the published rule (Bauer et al. 2026)
COMPETITION_SKIP_FRAMES = 50  # of the Sensorium 2023 competition
SCORED_MASK = 1.0  # pixels of the mask of at least this are scored
PARALLEL_DOWNLOADS = 4
