"""What windows of a reconstruction take of memory on Linux, beside the tensors that are counted, over many passes.

    python benchmarks/window_memory.py [--out window_memory.json] [--models readout small paper] [--passes 40]

One batch of windows goes through the model forward and backward, again and again, in a process of its own. The process
grows by more than the tensors' bytes, and in later passes still: allocators lose memory between blocks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from _machine import described, reset_peak, resident_mib
from _networks import paper_config, settled_network, small_config
from neuroreel.allocator import keep_freed_memory
from neuroreel.bauer_2026.likelihood import Evidence, PoissonLikelihood
from neuroreel.budget import window_bytes, windows_that_fit
from neuroreel.encoding.dwiseneuro.folded import engine_of
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel

CPU = torch.device("cpu")
MODELS: dict[str, Callable[[], EncodingModel]] = {
    "readout": lambda: ReadoutModel(ReadoutConfig(neurons=100, video_height=36, video_width=64, frame_rate_hz=30)),
    "small": lambda: DwiseNeuro(settled_network(small_config()), readout=0),
    "paper": lambda: DwiseNeuro(settled_network(paper_config()), readout=0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/window_memory.json"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--passes", type=int, default=40)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(taken(options.models[0], options.passes)))
        return
    rows = []
    for name in options.models:
        command = [sys.executable, __file__, "--alone", "--models", name, "--passes", str(options.passes)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows.append(row)
        print(f"{name}: {row['windows']} at once, tensors {row['tensors_mib']} MiB, process", end=" ")
        print(f"{row['first_mib']} MiB after a pass, {row['last_mib']} MiB after {options.passes}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(described() | {"passes": options.passes, "rows": rows}, indent=1) + "\n")


def taken(name: str, passes: int) -> dict[str, Any]:
    """MiB of a batch's tensors, and what the process has grown by after the first pass and after the last."""
    model = engine_of(MODELS[name]().requires_grad_(False).eval())
    frames = 300 if model.any_length else model.window_frames
    windows = windows_that_fit(model, frames=frames, device=CPU, max_bytes=None)
    tensors = windows * window_bytes(model, frames=frames, device=CPU, most=float("inf"))
    evidence = Evidence(
        responses=torch.rand(model.neurons, frames),
        covariates=torch.rand(model.covariates, frames),
        keep=torch.ones(model.neurons, dtype=torch.bool),
    )
    movie = torch.rand(frames, *model.canvas.size) * 255
    likelihood = PoissonLikelihood(unit_norm=True, windows_at_once=windows)
    keep_freed_memory()
    reset_peak()
    before = resident_mib("VmRSS") or 0.0
    grown = []
    for _ in range(passes):
        likelihood.windows(model, movie, evidence, [0] * windows, frames)
        grown.append(round((resident_mib("VmHWM") or 0.0) - before))
    sizes = {"tensors_mib": round(tensors / 2**20), "first_mib": grown[0], "last_mib": grown[-1]}
    return {"model": name, "frames": frames, "windows": windows} | sizes


if __name__ == "__main__":
    main()
