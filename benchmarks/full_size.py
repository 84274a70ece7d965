"""Time and memory of one window of 32 frames through the DwiseNeuro of the paper: ten mice, 78,853 neurons.

    python benchmarks/full_size.py [--out full_size.json] [--repeats 5] [--quick]

Prints and stores two rows: forward alone (as in predicting), and forward and backward to the pixels with the weights
frozen. The model is as it was trained, and takes both clips of the window at once. The published pass is another one,
see ``inversion.py``. Weights are random. Each row
is measured in a process of its own, after one pass that is not counted; its peak memory is what was resident at most
during the passes less what was before them (the weights and the libraries), and is known on Linux alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from _machine import described, reset_peak, resident_mib
from _networks import LARGEST, PAPER_NEURONS, paper_config, settled_network
from neuroreel.allocator import keep_freed_memory
from neuroreel.bauer_2026.likelihood import Evidence, PoissonLikelihood
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork

FRAMES = 32
ROWS = ("forward", "forward and backward")


def quick_config() -> DwiseNeuroConfig:
    """A small one, which shows that the benchmark runs."""
    small = {"core_features": (8, 16), "spatial_strides": (2, 2), "cortex_features": (32,), "expansion_ratio": 2}
    return DwiseNeuroConfig(readout_neurons=tuple(count // 100 for count in PAPER_NEURONS), **small)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/full_size.json"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small model: shows that it runs, not how fast")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)  # what a process of its own measures
    options = parser.parse_args()
    config = quick_config() if options.quick else paper_config()
    if options.row:
        print(json.dumps(measure(config, options.row, repeats=options.repeats)))
        return
    rows = [in_own_process(row, options) for row in ROWS]
    report = about(config) | {"quick": options.quick, "repeats": options.repeats, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def in_own_process(row: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row, untouched by the memory that another needed."""
    command = [sys.executable, __file__, "--row", row, "--repeats", str(options.repeats)]
    done = subprocess.run([*command, *(["--quick"] if options.quick else [])], stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def measure(config: DwiseNeuroConfig, row: str, *, repeats: int) -> dict[str, Any]:
    """Seconds (median, least, most) and peak memory of one window."""
    once = one_pass(config, row)
    keep_freed_memory()  # as nr.reconstruct does; not before, or what building the model took would be kept as well
    reset_peak()
    before = resident_mib("VmRSS")
    seconds = [timed(once) for _ in range(repeats + 1)][1:]
    peak = resident_mib("VmHWM")
    return {
        "what": row,
        "seconds": round(statistics.median(seconds), 3),
        "seconds_least": round(min(seconds), 3),
        "seconds_most": round(max(seconds), 3),
        "peak_mib": None if before is None or peak is None else round(peak - before),
        "resident_before_mib": None if before is None else round(before),
    }


def one_pass(config: DwiseNeuroConfig, row: str) -> Callable[[], object]:
    """What is timed: the largest mouse's window on the published canvas, two clips of 16 frames."""
    model = DwiseNeuro(settled_network(config), readout=LARGEST).requires_grad_(False)
    movie = torch.rand(FRAMES, *model.canvas.size) * 255
    behavior = torch.rand(model.covariates, FRAMES)
    if row == "forward":
        inputs = model.assemble(movie[None], behavior[None])
        return torch.inference_mode()(lambda: model.window_responses(inputs))
    responses = torch.rand(model.neurons, FRAMES)
    evidence = Evidence(responses=responses, covariates=behavior, keep=torch.ones(model.neurons, dtype=torch.bool))
    likelihood = PoissonLikelihood(unit_norm=True, windows_at_once=1)
    return lambda: likelihood.windows(model, movie, evidence, [0], FRAMES)


def timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def about(config: DwiseNeuroConfig) -> dict[str, Any]:
    """The machine, the versions, the date and the model."""
    with torch.device("meta"):
        network = DwiseNeuroNetwork(config)
    return described() | {
        "model": {
            "parameters": sum(weights.numel() for weights in network.parameters()),
            "weights_mib": round(sum(tensor.nbytes for tensor in network.state_dict().values()) / 2**20),
            "neurons": sum(config.readout_neurons),
            "neurons_of_the_window": config.readout_neurons[LARGEST],
        },
        "frames": FRAMES,
    }


def table(report: dict[str, Any]) -> str:
    model, machine = report["model"], report["machine"]
    lines = [
        f"{model['parameters']:,} parameters ({model['weights_mib']} MiB), {model['neurons']:,} neurons; "
        f"{machine['processor']}, {machine['threads']} threads, torch {report['versions']['torch']}",
        f"{'one window of ' + str(FRAMES) + ' frames':24}{'seconds':>10}{'peak MiB':>10}",
    ]
    for row in report["rows"]:
        peak = "unknown" if row["peak_mib"] is None else row["peak_mib"]
        lines.append(f"{row['what']:24}{row['seconds']:>10.2f}{peak:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
