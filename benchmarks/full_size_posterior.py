"""The posterior with a DwiseNeuro of the paper's size: seconds a pass and memory, for one short movie.

    python benchmarks/full_size_posterior.py [--out full_size_posterior.json] [--frames 64] [--passes 6] [--model paper]

Weights are random, and movies are noise, so this shows time and memory, not quality. A posterior is fitted to two
trials, then a movie of two windows is searched for, once with what the gradients of all windows need kept, and once
with each window computed twice, as it is where that does not fit into memory.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neuroreel as nr
from _machine import described, reset_peak, resident_mib
from _networks import paper_config, settled_network, small_config
from neuroreel.allocator import keep_freed_memory
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.engine import engine_of
from neuroreel.posterior.objective import Objective, Whitened
from neuroreel.posterior.search import Progress, search

MODELS = {"paper": paper_config, "small": small_config}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/full_size_posterior.json"))
    parser.add_argument("--model", choices=MODELS, default="paper")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--passes", type=int, default=6)
    options = parser.parse_args()
    keep_freed_memory()
    model = DwiseNeuro(settled_network(MODELS[options.model]()), readout=0).requires_grad_(False)
    trials = [noisy_trial(model, frames=options.frames, seed=seed) for seed in range(3)]
    prior = nr.MoviePrior.natural(height=36, width=64, frame_rate_hz=30)
    began = time.perf_counter()
    posterior = nr.fit_posterior(model, trials[:2], movie_prior=prior, compute=nr.Compute(progress=False))
    fitted = time.perf_counter() - began
    print(f"{model.neurons} neurons, {options.frames} frames; fitted in {fitted:.1f} s")
    rows = [measured(posterior, trials[2], keep_graphs=keep, passes=options.passes) for keep in (True, False)]
    for row in rows:
        way = "graphs kept" if row["keep_graphs"] else "windows computed twice"
        print(f"{way}: {row['seconds_a_pass']:.2f} s a pass, {row['peak_mib']:.0f} MiB more than before")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"model": options.model, "neurons": model.neurons, "frames": options.frames, "passes": options.passes}
    options.out.write_text(json.dumps(described() | facts | {"fit_seconds": fitted, "rows": rows}, indent=1) + "\n")


def noisy_trial(model: DwiseNeuro, *, frames: int, seed: int) -> nr.Trial:
    """A movie of noise with responses that scatter around what the model predicts."""
    rng = np.random.default_rng(seed)
    video = nr.gaussian_noise(spatial_px=4, temporal_frames=4, frames=frames, height=36, width=64, seed=seed)
    behavior = {"behavior": rng.random((2, frames)), "pupil_center": rng.random((2, frames))}
    trial = nr.Trial(video=video, frame_rate_hz=30, **behavior)
    predicted = nr.predict(model, trial)
    return trial.replace(responses=predicted * rng.gamma(2, 0.5, predicted.shape))


def measured(posterior: nr.Posterior, trial: nr.Trial, *, keep_graphs: bool, passes: int) -> dict[str, Any]:
    """Seconds of a pass, after one that is not counted, and what the process grows by."""
    objective = Objective(
        models=[engine_of(model) for model in posterior.models],
        whitened=Whitened.of_prior(posterior.movie_prior, trial.frames),
        noise=posterior.noise,
        kept=posterior.usable,
        responses=torch.from_numpy(trial.needs_responses()),
        covariates=torch.from_numpy(trial.covariates),
        warmup=0,
        likelihood_weight=posterior.likelihood_weight,
        keep_graphs=keep_graphs,
    )
    start = torch.zeros_like(objective.whitened.deviation)
    objective(start)
    reset_peak()
    before, began = resident_mib("VmRSS") or 0.0, time.perf_counter()
    progress = search(objective, Progress(coordinates=start), passes=passes)
    seconds = (time.perf_counter() - began) / progress.passes
    peak = (resident_mib("VmHWM") or 0.0) - before
    return {"keep_graphs": keep_graphs, "seconds_a_pass": seconds, "peak_mib": peak, "passes": progress.passes}


if __name__ == "__main__":
    main()
