"""A pass of the small encoding model over a movie of 10 s: as it is trained beside the copy made for inversion.

    python benchmarks/readout.py [--neurons 400 4000] [--repeats 9] [--out benchmarks/results/readout.json]

Forward and back to the pixels, the weights without gradients, both ways in turn after a pass that is not counted.
Weights are random. Prints medians of seconds, their ratio, and the relative difference of the gradients.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from _machine import described
from neuroreel.allocator import keep_freed_memory
from neuroreel.encoding.engine import engine_of
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel

FRAMES, HEIGHT, WIDTH = 300, 36, 64


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, nargs="+", default=[400, 4000])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/readout.json"))
    options = parser.parse_args()
    keep_freed_memory()
    rows = [measured(neurons, repeats=options.repeats) for neurons in options.neurons]
    for row in rows:
        print(
            f"{row['neurons']} neurons: {row['as_trained']:.3f} s as trained, {row['for_inversion']:.3f} s for "
            f"inversion, {row['ratio']:.2f} times; gradients differ by {row['gradient_error']:.0e}"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(described() | {"frames": FRAMES, "rows": rows}, indent=1) + "\n")


def measured(neurons: int, *, repeats: int) -> dict[str, Any]:
    """Both ways in turn."""
    torch.manual_seed(0)
    size = {"video_height": HEIGHT, "video_width": WIDTH, "frame_rate_hz": 30.0}
    model = ReadoutModel(ReadoutConfig(neurons=neurons, **size)).eval().requires_grad_(False)
    clips = torch.rand(1, 1, FRAMES, HEIGHT, WIDTH) * 255
    ways = {"as_trained": model, "for_inversion": engine_of(model)}
    gradients = {way: gradient(each, clips) for way, each in ways.items()}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, each in ways.items():
            began = time.perf_counter()
            gradient(each, clips)
            seconds[way].append(time.perf_counter() - began)
    trained, ours = (statistics.median(seconds[way]) for way in ways)
    error = (gradients["for_inversion"] - gradients["as_trained"]).norm() / gradients["as_trained"].norm()
    found = {"as_trained": trained, "for_inversion": ours, "ratio": trained / ours, "gradient_error": float(error)}
    return {"neurons": neurons} | found | {"all_seconds": seconds}


def gradient(model: EncodingModel, clips: Tensor) -> Tensor:
    """Of the summed squares of the responses, with respect to the pixels."""
    pixels = clips.clone().requires_grad_()
    return torch.autograd.grad(model(pixels).square().sum(), pixels)[0]


if __name__ == "__main__":
    main()
