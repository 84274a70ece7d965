"""The experiments of Bauer, Margrie & Clopath (eLife 2026): each a function from animals and a grid to jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from neuroreel.errors import InputError
from neuroreel.studies.animals import Animal
from neuroreel.studies.grid import Grid
from neuroreel.studies.jobs import Job
from neuroreel.studies.stimuli import GratingStimulus, NoiseStimulus, Stimulus

Declaration = Callable[[Sequence[Animal], Grid], Iterator[Job]]


def natural(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """Natural movies: one video per model of the ensemble, averaged (figures 1 to 3)."""
    return watched_movies(animals, grid)


def gradient_ensembling(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """A single model, videos averaged, gradients averaged."""
    for animal in animals:
        if animal.model_count < 2:
            raise InputError(f"{animal.name} has one encoding model; to compare ensembles it needs at least two")
    for job in watched_movies(animals, grid):
        yield replace(job, members=(0,))
        yield job
        yield replace(job, ensemble="gradients")


def predicted_activity(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """Recorded responses, and responses predicted by the ensemble as an upper bound."""
    for job in watched_movies(animals, grid):
        yield job
        yield replace(job, target="predicted")


def masks(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """The whole frame, the trained mask, the strict mask and a sweep of thresholds: which pixels move or are scored."""
    for animal in animals:
        if animal.mask is None:
            raise InputError(f"{animal.name} has no transparency mask, which this experiment is about; give one")
    for job in watched_movies(animals, grid):
        yield replace(job, mask="none")
        yield job
        yield replace(job, mask="strict")
        for threshold in grid.mask_thresholds:
            if threshold != job.threshold:
                yield replace(job, mask_threshold=threshold)


def ablation(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """Fewer and fewer neurons (figure 5), dropped or silenced as published."""
    for job in watched_movies(animals, grid):
        for fraction in grid.fractions:
            for repeat in range(grid.repeats if fraction < 1 else 1):  # keeping all neurons needs no repeats
                yield replace(job, fraction=fraction, repeat=repeat)


def noise(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """Gaussian noise over length constants in space and time, and its phase inversion (figure 4)."""
    for repeat, spatial, temporal, inverted in product(
        range(grid.noise_repeats), grid.spatial_px, grid.temporal_frames, grid.inversions
    ):
        movie = NoiseStimulus(
            spatial_px=spatial,
            temporal_frames=temporal,
            repeat=repeat,
            inverted=inverted,
            frames=grid.stimulus_frames,
            file=grid.noise_file,
        )
        yield from _shown(movie, animals, grid)


def gratings(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """Drifting gratings over direction, spatial and temporal frequency."""
    for direction, spatial, temporal in product(
        grid.directions_deg, grid.spatial_frequencies, grid.temporal_frequencies_hz
    ):
        movie = GratingStimulus(
            direction_deg=direction,
            spatial_frequency=spatial,
            temporal_frequency_hz=temporal,
            frames=grid.stimulus_frames,
            file=grid.grating_file,
        )
        yield from _shown(movie, animals, grid)


def receptive_fields(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """Maps of the ensemble's receptive fields from single ON and OFF pixels, to compare with the mask."""
    asked: dict[str, Any] = {"size_px": grid.field_size_px, "step_px": grid.field_step_px}
    settings = {name: value for name, value in asked.items() if value not in (None, 1)}
    for animal in animals:
        yield Job(recording=animal.name, product="fields", settings=settings)


def responses(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """Responses predicted for the true, the masked, the reconstructed and the contrast-matched movie."""
    for job in watched_movies(animals, grid):
        yield replace(job, product="responses")


def watched_movies(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    """A job for each movie of the grid that each animal watched: the start of most experiments."""
    for animal in animals:
        for number in grid.trials or animal.movies(grid.fold)[: grid.movies]:
            yield Job(recording=animal.name, trial=number)


def _shown(stimulus: Stimulus, animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
    for animal in animals[: grid.stimulus_animals]:
        yield Job(recording=animal.name, stimulus=stimulus, target="predicted", target_models=grid.stimulus_target)


EXPERIMENTS: dict[str, Declaration] = {
    each.__name__: each
    for each in (
        natural,
        gradient_ensembling,
        predicted_activity,
        masks,
        ablation,
        noise,
        gratings,
        receptive_fields,
        responses,
    )
}
