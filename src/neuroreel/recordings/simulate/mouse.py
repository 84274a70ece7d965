"""A simulated mouse: draw and show movies, simulate responses, and write a recording."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from neuroreel.errors import InputError
from neuroreel.files import refuse_existing
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.recording import Recording
from neuroreel.recordings.sensorium import SIMULATION
from neuroreel.recordings.simulate.behavior import Behavior, simulate_behavior
from neuroreel.recordings.simulate.population import Population, draw_population
from neuroreel.recordings.simulate.processes import Stream, generator
from neuroreel.recordings.simulate.receptive_fields import cortical_coordinates
from neuroreel.recordings.simulate.settings import MovieSize, SimulationSettings
from neuroreel.recordings.simulate.truth import truth_files
from neuroreel.recordings.splits import FOLD_COUNT, HASHED_FRAMES, fold_of
from neuroreel.recordings.trial import Trial
from neuroreel.recordings.writing import write_recording
from neuroreel.stimuli.movies import Movie, draw_movie, render
from neuroreel.stimuli.photographs import photographs_of_fold

CALIBRATION_MOVIES, CALIBRATION_S = 14, 5.0
REPEATED_FOLD = 0
MOST_TRIES = 1000  # about seven are expected


def simulate(
    folder: str | os.PathLike[str],
    *,
    trials: int = SimulationSettings.trials,
    seconds: float = SimulationSettings.seconds,
    neurons: int = SimulationSettings.neurons,
    seed: int = SimulationSettings.seed,
    frame_rate_hz: float = SimulationSettings.frame_rate_hz,
    height: int = SimulationSettings.height,
    width: int = SimulationSettings.width,
    signal_to_noise: float = SimulationSettings.signal_to_noise,
    repeats: int = SimulationSettings.repeats,
    name: str = SimulationSettings.name,
    overwrite: bool = False,
    progress: bool = True,
) -> Recording:
    """Simulate a recording of mouse visual cortex, and write it in the Sensorium layout.

    It replaces a real recording for learning, testing or comparing methods. It is not evidence about mice: the neurons
    do what these equations say and nothing else. ``docs/simulated_mouse.md`` explains the equations and gives sources.

    1. Neurons with spatiotemporal Gabor receptive fields are drawn, over a patch of the visual field.
    2. For each trial, movies are drawn from the photographs of one fold until one hashes to that fold too, so that no
       photograph appears in two folds.
    3. The neurons respond to movie and behavior, with shared and private noise, and are imaged.

    Parameters
    ----------
    folder
        Where to write; see ``write_recording``.
    trials
        Number of movies, at least one for each of the seven folds, spread evenly over the folds.
    seconds
        Length of each movie.
    neurons
        Number of neurons.
    seed
        Random seed: the same call gives the same recording.
    frame_rate_hz
        Frames per second.
    height, width
        Size of the movies in pixels. The screen's size is fixed, so pixels of a wider movie are smaller.
    signal_to_noise
        Variance of a neuron's expected response divided by the variance of its noise, median over neurons. At 0.4 the
        expected responses correlate with the recorded ones at about 0.6.
    repeats
        Number of repeats of one further movie of fold 0 after the others (tier "oracle"), to measure the noise.
    name
        Name of the mouse in its settings; starts with "simulated", as does the default.
    overwrite
        Replace an existing recording.
    progress
        Show a progress bar in terminals and notebooks.

    Returns
    -------
    Recording
        The recording, opened. ``load_truth(folder)`` gives the ground truth.

    Raises
    ------
    InputError
        Invalid numbers, or a folder that exists.
    """
    settings = SimulationSettings(
        trials=trials,
        seconds=seconds,
        neurons=neurons,
        seed=seed,
        frame_rate_hz=frame_rate_hz,
        height=height,
        width=width,
        signal_to_noise=signal_to_noise,
        repeats=repeats,
        name=name,
    )
    refuse_existing(folder, overwrite=overwrite)
    population = _draw_population(settings)
    session = simulate_behavior(
        generator(seed, Stream.BEHAVIOR),
        frames=(trials + repeats) * population.period(settings.frames),
        frame_rate_hz=frame_rate_hz,
    )
    shown = _show(population, session, settings)
    recording = write_recording(
        folder,
        progress_bar(shown, description="simulating trials", total=trials + repeats, enabled=progress),
        tiers=["train"] * trials + ["oracle"] * repeats,
        coordinates=cortical_coordinates(generator(seed, Stream.COORDINATES), population.fields, population.scan_delay),
        extra={SIMULATION.as_posix(): _provenance(settings), **truth_files(population, session)},
        overwrite=overwrite,
    )
    recording.folds()  # hashes the movies, and stores the folds with the recording
    return recording


def _show(population: Population, session: Behavior, settings: SimulationSettings) -> Iterator[Trial]:
    """The trials in turn: movie, behavior and responses."""
    seed, trials = settings.seed, settings.trials
    folds = generator(seed, Stream.FOLDS).permutation(np.arange(trials) % FOLD_COUNT)
    for trial in range(trials + settings.repeats):
        number = min(trial, trials)  # all repeats show the same movie
        fold = int(folds[trial]) if trial < trials else REPEATED_FOLD
        video = render(_draw_movie_of_fold(generator(seed, Stream.MOVIE, number), fold=fold, screen=settings.screen))
        around = population.behavior_of(trial, session, frames=len(video))
        during = around.between(population.lead, population.lead + len(video))
        yield Trial(
            video=video.astype(np.uint8),
            responses=population.respond(generator(seed, Stream.NOISE, trial), video, around),
            behavior=during.channels,
            pupil_center=during.pupil_center.astype(np.float32),
            frame_rate_hz=settings.frame_rate_hz,
            name=f"simulated trial {trial}",
            simulated=True,
        )


def _draw_movie_of_fold(random: np.random.Generator, *, fold: int, screen: MovieSize) -> Movie:
    """A movie of a fold's photographs whose hash gives the same fold."""
    step = screen["frames"] // HASHED_FRAMES
    hashed = np.arange(screen["frames"])[step // 2 :: step][:HASHED_FRAMES]
    for _ in range(MOST_TRIES):
        movie = draw_movie(random, fold=fold, **screen)
        if fold_of(render(movie, hashed)) == fold:  # all frames of so short a movie are hashed
            return movie
    raise InputError(
        f"no movie out of {MOST_TRIES} had a hash of fold {fold}; frames of {screen['width']}x{screen['height']} "
        "pixels (width x height) are too small to be told apart: simulate larger ones"
    )


def _draw_population(settings: SimulationSettings) -> Population:
    random = generator(settings.seed, Stream.CALIBRATION)
    screen = settings.screen
    screen["frames"] = math.ceil(CALIBRATION_S * settings.frame_rate_hz)
    movies = [draw_movie(random, fold=number % FOLD_COUNT, **screen) for number in range(CALIBRATION_MOVIES)]
    return draw_population(
        generator(settings.seed, Stream.POPULATION),
        neurons=settings.neurons,
        movies=movies,
        signal_to_noise=settings.signal_to_noise,
    )


def _provenance(settings: SimulationSettings) -> dict[str, Any]:
    """What is stored with the recording: that it is simulated, and how."""
    try:
        package = version("neuroreel")
    except PackageNotFoundError:  # used from a checkout
        package = "unknown"
    return {
        "simulated": True,
        "remark": "simulated by neuroreel; nothing in here was recorded from an animal",
        **settings.as_dict(),
        "photographs": {str(fold): photographs_of_fold(fold) for fold in range(FOLD_COUNT)},
        "neuroreel": package,
    }
