"""A simulated mouse: movies are drawn and shown, neurons respond, and everything is written as a recording."""

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

    It stands in for a real recording where one is learning, testing or comparing methods. It is no evidence about mice:
    the neurons do what these equations say and nothing else. ``docs/simulated_mouse.md`` explains and sources them.

    1. Neurons with spatiotemporal Gabor receptive fields are drawn, over a patch of the visual field.
    2. For each trial a movie is drawn from the photographs of one fold, again and again until its hash puts it into
       that fold too: no photograph is seen in two folds.
    3. The neurons respond to movie and behaviour, with shared and private noise, and are imaged.

    Parameters
    ----------
    folder
        Where to; see ``write_recording``.
    trials
        How many movies, at least one for each of the seven folds, over which they are spread evenly.
    seconds
        Length of each movie.
    neurons
        How many neurons.
    seed
        Decides everything random: the same call gives the same recording.
    frame_rate_hz
        Frames a second.
    height, width
        Size of the movies in pixels. The screen stays as large as it is, so pixels of a wider movie are smaller.
    signal_to_noise
        Variance of a neuron's expected response over the variance of its noise, the median over neurons. At 0.4 the
        expected responses correlate with the recorded ones at about 0.6.
    repeats
        How often one further movie, of fold 0, is shown after the others (tier "oracle"), to measure the noise.
    name
        What the mouse is called in its settings; starts with "simulated", as the default does.
    overwrite
        Replace a recording that lies there.
    progress
        Show a progress bar where somebody looks.

    Returns
    -------
    Recording
        The recording, opened. ``load_truth(folder)`` gives what only a simulation knows.

    Raises
    ------
    InputError
        Numbers that cannot be, or a folder that exists.
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
    recording.folds()  # hashes the movies, and keeps the folds with the recording
    return recording


def _show(population: Population, session: Behavior, settings: SimulationSettings) -> Iterator[Trial]:
    """The trials, one after the other: movie, behaviour and responses."""
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
        if fold_of(render(movie, hashed)) == fold:  # of a movie that short, all frames are hashed
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
    """What is kept with the recording: that it is simulated, from what and by what."""
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
