"""A whole movie by the published protocol: seconds in single precision and in bfloat16, beside the published loop.

    python benchmarks/movie.py [--out movie.json] [--model paper] [--models 7] [--iterations 1000] [--frames 300]

Meant for a GPU, where the defaults are the paper's protocol for one movie. On a CPU they are one small model and 25
iterations, which shows that it runs. Weights are random, the responses are predicted for a movie of noise. Seconds of
the published loop are those of one of its window passes, measured before, between and after ours, times the passes
that it makes in turn; its update, its log and its scores are left out. Ours are those of the whole call, after a short
one that is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neuroreel as nr
from _machine import described
from _networks import settled_network
from inversion import FRAMES, MODELS, as_published, published_pass, timed
from neuroreel.bauer_2026.likelihood import Evidence
from neuroreel.devices import choose_device
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro

PROTOCOL = {"model": "paper", "models": 7, "iterations": 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/movie.json"))
    parser.add_argument("--model", choices=MODELS)
    parser.add_argument("--models", type=int)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = choose_device(options.device)
    usual = {"model": "small", "models": 1, "iterations": 25} if device.type == "cpu" else PROTOCOL
    for name, value in usual.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    models = [DwiseNeuro(settled_network(MODELS[options.model]()), readout=0).to(device) for _ in range(options.models)]
    trial = noise_trial(models[0], frames=options.frames)
    windows = 2 + (options.frames - FRAMES) // 8
    passes = [published_seconds(models[0], device)]
    rows: list[dict[str, Any]] = []
    for precision in ("float32", "bfloat16"):
        compute = nr.Compute(device=str(device), precision=precision)
        reconstruct = partial(nr.bauer_2026.reconstruct, trial, models, ensemble="videos", record="pass")
        reconstruct(iterations=2, compute=replace(compute, progress=False))  # warm
        began = time.perf_counter()
        result = reconstruct(iterations=options.iterations, compute=compute)
        seconds = time.perf_counter() - began
        score = float(nr.video_correlation(trial.video, result.video, skip=30))
        row = {"precision": precision, "seconds": seconds, "movies_an_hour": 3600 / seconds, "video_correlation": score}
        rows.append(row)
        passes.append(published_seconds(models[0], device))
    published = statistics.median(passes) * windows * options.iterations * options.models
    for row in rows:
        row["ratio"] = published / row["seconds"]
    asked = {name: getattr(options, name) for name in ("model", "models", "iterations", "frames")}
    report = described() | asked | {"device": str(device), "published_passes": passes, "published_seconds": published}
    report |= {"rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"published loop: {published:.0f} s, computed from one pass")
    for row in rows:
        speed = (
            f"{row['seconds']:8.1f} s, {row['movies_an_hour']:7.1f} movies an hour, {row['ratio']:.1f} times as many"
        )
        print(f"{row['precision']:8} {speed}; video correlation {row['video_correlation']:.4f}")


def noise_trial(model: DwiseNeuro, *, frames: int) -> nr.Trial:
    """A movie of noise with the responses that the model predicts for it."""
    rng = np.random.default_rng(0)
    video = nr.gaussian_noise(spatial_px=4, temporal_frames=4, frames=frames, height=36, width=64, seed=0)
    behavior = {"behavior": rng.random((2, frames)), "pupil_center": rng.random((2, frames))}
    trial = nr.Trial(video=video, frame_rate_hz=30, **behavior)
    return trial.replace(responses=nr.predict(model, trial))


def published_seconds(model: DwiseNeuro, device: torch.device) -> float:
    """Of one window's pass of the published loop: the median of five, after one that is not counted."""
    evidence = Evidence(
        responses=torch.rand(model.neurons, FRAMES, device=device),
        covariates=torch.rand(model.covariates, FRAMES, device=device),
        keep=torch.ones(model.neurons, dtype=torch.bool, device=device),
    )
    movie = torch.rand(FRAMES, *model.canvas.size, device=device) * 255
    model = as_published(model).requires_grad_(True)
    published_pass(model, movie, evidence)
    return statistics.median(timed(lambda: published_pass(model, movie, evidence), device) for _ in range(5))


if __name__ == "__main__":
    main()
