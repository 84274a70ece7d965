"""The size of experiments: which movies, fractions, noise. Each experiment uses the fields it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from neuroreel.arguments import whole_number
from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.stimuli.gratings import (
    PUBLISHED_DIRECTIONS,
    PUBLISHED_SPATIAL_FREQUENCIES,
    PUBLISHED_TEMPORAL_LABELS,
)
from neuroreel.stimuli.noise import PUBLISHED_LENGTHS, PUBLISHED_REPEATS


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The conditions of the experiments; those of the paper by default.

    Attributes
    ----------
    fold, movies, trials
        The first ``movies`` trials of this fold of each recording; or these trials, by number in the recording.
    fractions, repeats
        Ablation: fractions of the neurons to keep, and number of draws for each.
    mask_thresholds
        Masks: a sweep of thresholds; pixels of the trained mask of at least this may move.
    spatial_px, temporal_frames, noise_repeats, inversions
        Noise: length constants (0 is white), draws, and whether to show each movie as is, inverted, or both.
    directions_deg, spatial_frequencies, temporal_frequencies_hz
        Gratings: degrees, cycles per degree, cycles per second.
    stimulus_frames
        Length of noise and gratings.
    stimulus_target
        Whose predictions noise and gratings are reconstructed from: the "ensemble", or only its "first" model, as the
        published code does by mistake.
    stimulus_animals
        Number of recordings that are shown noise and gratings.
    noise_file, grating_file
        The authors' movies instead of our own.
    field_size_px, field_step_px
        Receptive fields: size of the single ON or OFF pixel, and the step between pixels (by default the size).
    """

    fold: str = "fold_0"
    movies: int = 10
    trials: tuple[int, ...] = ()
    fractions: tuple[float, ...] = (1.0, 0.5, 0.25, 0.125)
    repeats: int = 1
    mask_thresholds: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    spatial_px: tuple[float, ...] = PUBLISHED_LENGTHS
    temporal_frames: tuple[float, ...] = PUBLISHED_LENGTHS
    noise_repeats: int = PUBLISHED_REPEATS
    inversions: tuple[bool, ...] = (False, True)
    directions_deg: tuple[float, ...] = PUBLISHED_DIRECTIONS
    spatial_frequencies: tuple[float, ...] = PUBLISHED_SPATIAL_FREQUENCIES
    temporal_frequencies_hz: tuple[float, ...] = PUBLISHED_TEMPORAL_LABELS
    stimulus_frames: int = 60
    stimulus_target: str = "ensemble"
    stimulus_animals: int = 3
    noise_file: Path | None = None
    grating_file: Path | None = None
    field_size_px: int = 1
    field_step_px: int | None = None

    def __post_init__(self) -> None:
        for name in ("movies", "repeats", "noise_repeats", "stimulus_frames", "stimulus_animals", "field_size_px"):
            whole_number(getattr(self, name), name=name)
        for name in _NUMBERS:
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values:
                raise InputError(f"{name} is {values!r}; it must be a list of one or more numbers")
            if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
                raise InputError(f"{name} is {values!r}; it must be one or more numbers")
            if len(set(values)) < len(values):
                raise InputError(f"{name} is {values!r}; each value may appear only once")
        if not isinstance(self.trials, tuple):
            raise InputError(f"trials is {self.trials!r}; it must be a list of the numbers of trials")
        for number in self.trials:
            whole_number(number, name="the number of a trial", least=0)
        if self.field_step_px is not None:
            whole_number(self.field_step_px, name="field_step_px")
        for fraction in self.fractions:
            if not 0 < fraction <= 1:
                raise InputError(
                    f"a fraction is {fraction!r}; a population keeps more than 0 and at most 1 of its neurons "
                    "(0.25 for a quarter)"
                )
        if self.stimulus_target not in ("ensemble", "first"):
            raise InputError(f"stimulus_target is {self.stimulus_target!r}; it must be 'ensemble' or 'first'")

    def changed(self, changes: dict[str, Any]) -> Grid:
        """A grid with some fields changed; InputError lists the fields for an unknown one."""
        known = {each.name for each in fields(self)}
        if unknown := set(changes) - known:
            raise InputError(f"the grid has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in changes.items()}
        for name in ("noise_file", "grating_file"):
            if values.get(name) is not None:
                values[name] = user_path(values[name])
        return replace(self, **values)


_NUMBERS = (
    "fractions",
    "mask_thresholds",
    "spatial_px",
    "temporal_frames",
    "inversions",
    "directions_deg",
    "spatial_frequencies",
    "temporal_frequencies_hz",
)

FULL = Grid()
QUICK = Grid(
    movies=2,
    mask_thresholds=(0.5, 1.0),
    spatial_px=(0, 1, 2, 4, 8, 16),
    temporal_frames=(0, 4, 16),
    noise_repeats=1,
    inversions=(False, True),
    directions_deg=(0, 90),
    spatial_frequencies=PUBLISHED_SPATIAL_FREQUENCIES[1:],  # the simulated mice have 32 pixels, too few for the first
    temporal_frequencies_hz=(7.5, 1.875, 0),
    stimulus_animals=2,
    field_size_px=2,
)
