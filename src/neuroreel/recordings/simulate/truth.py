"""The ground truth of a simulated mouse: receptive fields, settings, noiseless responses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.recordings import sensorium
from neuroreel.recordings.disk import absolute, read_array, read_json
from neuroreel.recordings.simulate.behavior import Behavior
from neuroreel.recordings.simulate.population import Population
from neuroreel.recordings.simulate.receptive_fields import ReceptiveFields

TRUTH = Path("truth")
_PARTS: dict[str, type] = {"receptive_fields": ReceptiveFields, "population": Population, "behavior": Behavior}


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedTruth:
    """The truth behind a simulated recording.

    Parameters
    ----------
    folder
        The recording.
    settings
        How it was made: seed, number of trials, package version, photographs, …
    population
        The neurons; ``population.fields`` are their receptive fields.
    behavior
        Behavior over the whole session, including the gray screens between trials.
    """

    folder: Path
    settings: Mapping[str, Any]
    population: Population
    behavior: Behavior

    @property
    def receptive_fields(self) -> ReceptiveFields:
        """Centers, filters, orientations, frequencies and kinds of all neurons."""
        return self.population.fields

    def coverage(self) -> NDArray[np.float32]:
        """(height, width): how much of the population sees each pixel, the mean of the Gaussian envelopes, 0..1.

        A learned transparency mask should be high where this is high.
        """
        return self.receptive_fields.envelopes.mean(axis=0)

    def expected_responses(self, trial: int) -> NDArray[np.float32]:
        """(neurons, frames): the mean response over infinitely many repeats of a trial, behavior included.

        No encoding model can predict the recorded responses better.
        """
        trials = int(self.settings["trials"]) + int(self.settings["repeats"])
        if not 0 <= trial < trials:
            raise InputError(f"{self.folder.name} has trials 0 to {trials - 1}; there is no trial {trial}")
        video = sensorium.read_video(self.folder, trial)
        behavior = self.population.behavior_of(trial, self.behavior, frames=len(video))
        return self.population.expect(video, behavior)


def load_truth(folder: str | os.PathLike[str]) -> SimulatedTruth:
    """Load the truth behind a simulated recording.

    Parameters
    ----------
    folder
        A recording that ``simulate`` wrote.

    Raises
    ------
    InputError
        The folder is not a simulated recording, or its files are damaged.
    """
    folder = absolute(folder)
    if not sensorium.is_listed(folder / sensorium.SIMULATION):
        raise InputError(
            f"{folder} is not a simulated recording ({sensorium.SIMULATION.as_posix()} is missing); only a simulation "
            "has a known truth"
        )
    settings = read_json(folder / sensorium.SIMULATION)
    receptive_fields = ReceptiveFields(**_read(folder, "receptive_fields"))
    population = Population(
        fields=receptive_fields, frame_rate_hz=sensorium.read_frame_rate(folder), **_read(folder, "population")
    )
    return SimulatedTruth(
        folder=folder, settings=settings, population=population, behavior=Behavior(**_read(folder, "behavior"))
    )


def truth_files(population: Population, behavior: Behavior) -> dict[str, NDArray[Any]]:
    """The files that ``load_truth`` reads, for ``write_recording(extra=…)``: one .npy per array."""
    parts = {"receptive_fields": population.fields, "population": population, "behavior": behavior}
    return {
        (TRUTH / part / f"{name}.npy").as_posix(): getattr(parts[part], name)
        for part, kind in _PARTS.items()
        for name in _array_names(kind)
    }


def _read(folder: Path, part: str) -> dict[str, NDArray[Any]]:
    arrays = {}
    for name in _array_names(_PARTS[part]):
        array = read_array(folder / TRUTH / part / f"{name}.npy", rank=(1, 2, 3), kinds="fiubU")
        # Only the filters stay on disk until needed: each mapped array is an open file.
        arrays[name] = array if array.ndim == 3 else np.array(array)
    return arrays


def _array_names(kind: type) -> list[str]:
    return [field.name for field in fields(kind) if field.name not in ("fields", "frame_rate_hz")]
