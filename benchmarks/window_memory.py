"""What a pass over a movie takes of memory on Linux, beside the bytes of its tensors, over many passes.

    python benchmarks/window_memory.py [--out window_memory.json] [--models readout small paper] [--passes 40]

A window (of models of any length a movie of 300 frames) goes through the model forward and backward, again and again,
in a process of its own. The process grows by more than the tensors' bytes, which are what a reconstruction counts
before it starts, and in later passes still: allocators lose memory between blocks.
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
from neuroreel.budget import window_bytes
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.engine import engine_of
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.posterior.prediction import ensemble_responses

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
        print(f"{name}: {row['frames']} frames, tensors {row['tensors_mib']} MiB, process", end=" ")
        print(f"{row['first_mib']} MiB after a pass, {row['last_mib']} MiB after {options.passes}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(described() | {"passes": options.passes, "rows": rows}, indent=1) + "\n")


def taken(name: str, passes: int) -> dict[str, Any]:
    """MiB of a window's tensors, and what the process has grown by after the first pass and after the last."""
    model = engine_of(MODELS[name]().requires_grad_(False).eval())
    frames = 300 if model.any_length else model.window_frames
    tensors = window_bytes(model, frames=frames, device=CPU, most=float("inf"))
    movie = (torch.rand(frames, *model.canvas.video_size) * 255).requires_grad_()
    covariates = torch.rand(model.covariates, frames)
    keep_freed_memory()
    reset_peak()
    before = resident_mib("VmRSS") or 0.0
    grown = []
    for _ in range(passes):
        torch.autograd.grad(ensemble_responses([model], movie, covariates).sum(), movie)
        grown.append(round((resident_mib("VmHWM") or 0.0) - before))
    return {
        "model": name,
        "frames": frames,
        "tensors_mib": round(tensors / 2**20),
        "first_mib": grown[0],
        "last_mib": grown[-1],
    }


if __name__ == "__main__":
    main()
