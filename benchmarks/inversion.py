"""One window of a reconstruction: our pass beside that of the published loop, on the same device and input.

    python benchmarks/inversion.py [--out inversion.json] [--repeats 5] [--models small paper] [--device cpu]

The published pass is re-created from the paper: the model as it was trained, a window at a time, gradients of all
weights computed along. Ours is what ``nr.reconstruct`` does. The two take turns in one process, so that noise of the
machine meets both; what the process does to keep freed memory helps both. Weights are random. Prints and stores seconds
a window, their ratio, and the relative error of our gradient of the video against the published one, in float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from _machine import described
from _networks import paper_config, settled_network, small_config
from neuroreel.allocator import keep_freed_memory
from neuroreel.devices import choose_device
from neuroreel.encoding.dwiseneuro import DwiseNeuro, DwiseNeuroConfig
from neuroreel.encoding.loss import poisson_loss
from neuroreel.inversion.engine import engine_of
from neuroreel.inversion.likelihood import Evidence, PoissonLikelihood

FRAMES = 32


MODELS = {"small": small_config, "paper": paper_config}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/inversion.json"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    keep_freed_memory()
    device = choose_device(options.device)
    rows = [compared(name, MODELS[name](), device, repeats=options.repeats) for name in options.models]
    report = described() | {"device": str(device), "repeats": options.repeats, "frames": FRAMES, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{'model':8} {'published':>11} {'ours':>9} {'ratio':>7} {'gradient error':>15}")
    for row in rows:
        seconds = f"{row['published_seconds']:9.3f} s {row['ours_seconds']:7.3f} s"
        print(f"{row['model']:8} {seconds} {row['ratio']:6.1f}x {row['gradient_error']:15.1e}")


def compared(name: str, config: DwiseNeuroConfig, device: torch.device, *, repeats: int) -> dict[str, Any]:
    """Both passes of one window, in turn."""
    model = DwiseNeuro(settled_network(config), readout=0).to(device)
    movie = torch.rand(1, FRAMES, *model.canvas.size, device=device) * 255
    evidence = Evidence(
        responses=torch.rand(1, model.neurons, FRAMES, device=device),
        covariates=torch.rand(1, model.covariates, FRAMES, device=device),
        keep=torch.ones(model.neurons, dtype=torch.bool, device=device),
    )
    engine = engine_of(model)
    likelihood = PoissonLikelihood(starts=[0], length=FRAMES, unit_norm=True, windows_at_once=1)
    passes: dict[str, Callable[[], Tensor]] = {
        "published": lambda: published_pass(model, movie, evidence),
        "ours": lambda: likelihood(engine, movie, evidence).gradient[0],
    }
    gradients = {who: once() for who, once in passes.items()}
    error = (gradients["ours"] - gradients["published"]).norm() / gradients["published"].norm()
    seconds: dict[str, list[float]] = {who: [] for who in passes}
    for _ in range(repeats):
        for who, once in passes.items():
            seconds[who].append(timed(once, device))
    medians = {who: statistics.median(each) for who, each in seconds.items()}
    return {
        "model": name,
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "neurons": model.neurons,
        "published_seconds": medians["published"],
        "ours_seconds": medians["ours"],
        "ratio": medians["published"] / medians["ours"],
        "gradient_error": float(error),
        "all_seconds": seconds,
    }


def published_pass(model: DwiseNeuro, movie: Tensor, evidence: Evidence) -> Tensor:
    """A window of the published loop; the gradient of the video (frames, height, width), over its norm."""
    inputs = model.assemble(movie, evidence.covariates).requires_grad_()
    loss = poisson_loss(model.window_responses(inputs), evidence.responses).mean()
    model.zero_grad()
    loss.backward()
    assert inputs.grad is not None
    return inputs.grad[0, 0] / (inputs.grad.norm() + 1e-6)


def timed(function: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
