"""What reconstructing costs with more frames, more movies and more models: seconds and memory.

    python benchmarks/scaling.py [--out scaling.json] [--axes frames movies models] [--quick]

Each row is a call of ``nr.reconstruct_each`` in a process of its own, on the CPU, which keeps no movie. The model is a
very small DwiseNeuro of random weights, responses are random numbers, the movie prior is that of natural movies, and
the noise has random loadings: cost does not depend on what they hold. Seconds are the processor's, in one thread,
which other programs disturb less than those of the clock. The peak is what was resident at most during the call less
what was before it (libraries, weights), known on Linux alone. The exponent is the slope of log seconds over log count:
1 is proportional.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neuroreel as nr
from _machine import described, reset_peak, resident_mib
from _networks import settled_network
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig
from neuroreel.posterior.noise import NoiseModel

ALONE = {"frames": 300, "movies": 1, "models": 1}
AXES = {"frames": (300, 1000, 3000), "movies": (1, 2, 4, 8, 16), "models": (1, 2, 4)}
QUICK = {"frames": (60, 120), "movies": (1, 2), "models": (1, 2)}
PASSES = 4
NEURONS, FACTORS = 100, 8
SIZES = {"core_features": (4, 8), "spatial_strides": (4, 2), "cortex_features": (16,), "expansion_ratio": 1}


class RandomTrials(Sequence[nr.Trial]):
    """Trials that are made anew when they are looked at, as a recording reads its files."""

    def __init__(self, model: nr.EncodingModel, *, movies: int, frames: int) -> None:
        self.model, self.movies, self.frames = model, movies, frames

    def __len__(self) -> int:
        return self.movies

    def __getitem__(self, index: Any) -> nr.Trial:
        if not 0 <= index < self.movies:
            raise IndexError(index)
        random = np.random.default_rng(index)
        return nr.Trial(
            responses=random.poisson(1.0, (self.model.neurons, self.frames)).astype(np.float32),
            behavior=random.random((2, self.frames)),
            pupil_center=random.random((2, self.frames)),
            frame_rate_hz=30.0,
            name=f"trial {index}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scaling.json"))
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--quick", action="store_true", help="short movies: shows that it runs")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)  # what a process of its own measures
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(**options.case)))
        return
    counts = QUICK if options.quick else AXES
    report = described() | {"quick": options.quick, "passes": PASSES, "axes": {}}
    alone = ALONE | {"frames": counts["frames"][0]}
    first = in_own_process(alone)  # of all axes
    for axis in options.axes:
        rows = [first, *(in_own_process(alone | {axis: count}) for count in counts[axis][1:])]
        seconds = [row["seconds"] for row in rows]
        report["axes"][axis] = {"rows": rows, "exponent": round(slope(counts[axis], seconds), 2)}
        print(table(axis, report["axes"][axis]), flush=True)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


def in_own_process(case: dict[str, int]) -> dict[str, Any]:
    """One row, untouched by the memory that another needed."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


def measure(*, frames: int, movies: int, models: int) -> dict[str, Any]:
    """Seconds and peak memory of one call."""
    torch.set_num_threads(1)
    posterior = made_up_posterior(models)
    model = posterior.models[0]
    trials = RandomTrials(model, movies=movies, frames=frames)
    options: dict[str, Any] = {"passes": PASSES, "compute": nr.Compute(device="cpu", progress=False)}
    list(nr.reconstruct_each(RandomTrials(model, movies=1, frames=40), posterior, **options))  # warm
    reset_peak()
    before, began = resident_mib("VmRSS"), time.process_time()
    made = sum(1 for _ in nr.reconstruct_each(trials, posterior, **options))
    seconds, peak = time.process_time() - began, resident_mib("VmHWM")
    assert made == movies
    known = None if before is None or peak is None else round(peak - before)
    return {"frames": frames, "movies": movies, "models": models, "seconds": round(seconds, 2), "peak_mib": known}


def made_up_posterior(models: int) -> nr.Posterior:
    """Of random models and noise."""
    config = DwiseNeuroConfig(readout_neurons=(NEURONS,), **SIZES)
    ensemble = tuple(DwiseNeuro(settled_network(config), readout=0) for _ in range(models))
    height, width = ensemble[0].canvas.video_size
    noise = NoiseModel(
        gain=torch.ones(NEURONS),
        offset=torch.zeros(NEURONS),
        loadings=torch.rand(NEURONS, FACTORS, generator=torch.Generator().manual_seed(0)) / FACTORS,
        factor_power=torch.ones(FACTORS, ALONE["frames"]),
        private_power=torch.ones(NEURONS, ALONE["frames"]),
        explained=torch.zeros(NEURONS),
    )
    prior = nr.MoviePrior.natural(height=height, width=width, frame_rate_hz=ensemble[0].frame_rate_hz)
    return nr.Posterior(models=ensemble, movie_prior=prior, noise=noise, likelihood_weight=0.5, facts={})


def slope(counts: Sequence[int], seconds: Sequence[float]) -> float:
    """Of log seconds over log counts, by least squares."""
    return float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])


def table(axis: str, measured: dict[str, Any]) -> str:
    lines = [f"{axis:>8}{'seconds':>10}{'peak MiB':>10}"]
    for row in measured["rows"]:
        peak = "unknown" if row["peak_mib"] is None else row["peak_mib"]
        lines.append(f"{row[axis]:>8}{row['seconds']:>10.2f}{peak:>10}")
    return "\n".join([*lines, f"seconds grow with the power {measured['exponent']:.2f} of {axis}", ""])


if __name__ == "__main__":
    main()
