"""One window of a reconstruction: our pass beside that of the published loop, on the same device and input.

    python benchmarks/inversion.py [--out inversion.json] [--repeats 5] [--models small paper] [--device cpu]

The published pass is re-created from the paper: the model as it was trained, a window at a time, its two clips one
after the other, gradients of all weights computed along. Ours is what ``nr.bauer_2026.reconstruct`` does; on a GPU it
is measured in bfloat16 too. Each has a process of its own, as its user would, makes a pass that is not counted, and
takes turns with the others, a second or a pass each, so that noise of the machine meets all. Weights are random.

Prints and stores seconds a window (median, least and most of the turns), peak memory beyond the model's, the relative
error of our gradient of the video against the published one in float32, and which part of the time the floor is: the
pass's operations at the rate of a matrix product, or each number that a gradient needs written and read once at the
rate of a copy, whichever is longer; both rates are measured just before.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from _machine import described, reset_peak, resident_mib
from _networks import paper_config, settled_network, small_config
from _profile import seconds_by_kind
from neuroreel.allocator import keep_freed_memory
from neuroreel.bauer_2026.likelihood import Evidence, PoissonLikelihood
from neuroreel.devices import choose_device
from neuroreel.encoding.dwiseneuro.layers import PositionCode
from neuroreel.encoding.dwiseneuro.native import native_library
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.engine import engine_of
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss

FRAMES = 32
MODELS = {"small": small_config, "paper": paper_config}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/inversion.json"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = choose_device(options.device)
    rates = {"operations_a_second": matrix_rate(device), "bytes_a_second": copy_rate(device)}
    rows = [row for name in options.models for row in compared(name, str(device), rates, repeats=options.repeats)]
    about = {"device": str(device), "compiled": native_library() is not None, "repeats": options.repeats}
    report = described() | about | {"frames": FRAMES, "rates": rates, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(table(rows), "\nFor docs/speed.md:", *map(table_line, rows), sep="\n")


def compared(name: str, device: str, rates: dict[str, float], *, repeats: int) -> list[dict[str, Any]]:
    """Both passes of one window, in turn; a row for the published pass and one for each of ours."""
    ways = ["published", "ours", *(["ours, bfloat16"] if device.startswith("cuda") else [])]
    workers = {way: Worker(name, way, device) for way in ways}
    gradients = {way: worker.ask("gradient") for way, worker in workers.items()}  # the pass that is not counted
    seconds = in_turns(workers, "seconds", repeats)
    peaks = {way: worker.ask("peak") for way, worker in workers.items()}
    work = workers["ours"].ask("work")
    floor = max(work["operations"] / rates["operations_a_second"], work["bytes"] / rates["bytes_a_second"])
    rows = []
    for way, worker in workers.items():
        median = statistics.median(seconds[way])
        error = (gradients[way] - gradients["published"]).norm() / gradients["published"].norm()
        rows.append(
            {
                "model": name,
                "way": way,
                "seconds": median,
                "seconds_least": min(seconds[way]),
                "seconds_most": max(seconds[way]),
                "ratio": statistics.median(seconds["published"]) / median,
                "peak_mib": round(peaks[way]),
                "gradient_error": float(error),
                "floor_seconds": floor,
                "part_of_floor": floor / median,
                "work": work,
                "all_seconds": seconds[way],
            }
        )
        worker.stop()
    return rows


class Worker:
    """One way of making a pass, in a process of its own, which works only when asked."""

    def __init__(self, name: str, way: str, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, way, device), daemon=True)
        self.process.start()

    def ask(self, what: str) -> Any:
        self.connection.send(what)
        return self.connection.recv()

    def stop(self) -> None:
        self.connection.send("stop")
        self.process.join()


def in_turns(workers: dict[str, Worker], what: str, repeats: int) -> dict[str, list[Any]]:
    """What each answers, asked one after the other, so many times."""
    answers: dict[str, list[Any]] = {way: [] for way in workers}
    for _ in range(repeats):
        for way, worker in workers.items():
            answers[way].append(worker.ask(what))
    return answers


def serve(connection: Connection, name: str, way: str, device_name: str) -> None:
    device = torch.device(device_name)
    model = DwiseNeuro(settled_network(MODELS[name]()), readout=0).to(device)
    torch.manual_seed(1)
    movie = (torch.rand(FRAMES, *model.canvas.size) * 255).to(device)
    evidence = Evidence(
        responses=torch.rand(model.neurons, FRAMES).to(device),
        covariates=torch.rand(model.covariates, FRAMES).to(device),
        keep=torch.ones(model.neurons, dtype=torch.bool, device=device),
    )
    if "PyTorch alone" in way:
        os.environ["NEUROREEL_NATIVE"] = "0"
    engine: EncodingModel
    if way == "published":
        once, engine = published_pass, as_published(model)
    else:
        once, engine = our_pass, engine_of(model, precision="bfloat16" if "bfloat16" in way else "float32")
        keep_freed_memory()
    reset_peak()
    before = held_mib(device) or 0.0
    answers: dict[str, Callable[[], Any]] = {
        "gradient": lambda: once(engine, movie, evidence).cpu(),
        "seconds": lambda: a_turn(lambda: once(engine, movie, evidence), device),
        "peak": lambda: (held_mib(device, most=True) or 0.0) - before,
        "work": lambda: work_of(model, movie, evidence),
        "profile": lambda: seconds_by_kind(lambda: once(engine, movie, evidence)),
    }
    while (what := connection.recv()) != "stop":
        connection.send(answers[what]())


def as_published(model: DwiseNeuro) -> DwiseNeuro:
    """A copy that computes as the published network does: position codes only once, SiLU in place."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, PositionCode):
            module._code = functools.cache(module._code)
        if isinstance(module, nn.SiLU):
            module.inplace = True
    return model


def published_pass(model: EncodingModel, movie: Tensor, evidence: Evidence) -> Tensor:
    """A window of the published loop; the gradient of the video (frames, height, width), over its norm.

    Nothing resets the gradients of the weights: they add up, unused.
    """
    inputs = model.assemble(movie[None], evidence.covariates[None]).requires_grad_()
    poisson_loss(clip_by_clip(model, inputs), evidence.responses).mean().backward()
    assert inputs.grad is not None
    return inputs.grad[0, 0] / (inputs.grad.norm() + 1e-6)


def clip_by_clip(model: EncodingModel, inputs: Tensor) -> Tensor:
    """Responses (neurons, frames) to a window (1, channels, frames, height, width), each clip a batch of one."""
    responses = inputs.new_zeros(model.neurons, inputs.shape[2])
    for first in range(model.clip_stride):
        frames = list(range(first, inputs.shape[2], model.clip_stride))
        responses[:, frames] += model(inputs[:, :, frames])[0]
    return responses


def our_pass(engine: EncodingModel, movie: Tensor, evidence: Evidence) -> Tensor:
    _, (gradient,), _ = PoissonLikelihood(unit_norm=True, windows_at_once=1).windows(
        engine, movie, evidence, [0], FRAMES
    )
    return gradient


def work_of(model: DwiseNeuro, movie: Tensor, evidence: Evidence) -> dict[str, float]:
    """What a pass cannot do without: operations; bytes of what the gradient needs, written and read, and of weights."""
    model.requires_grad_(False)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    inputs = model.assemble(movie[None], evidence.covariates[None]).requires_grad_()
    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda each: each):
        predicted = model.window_responses(inputs)
        predicted.sum().backward()
    return {"operations": counter.get_total_flops(), "bytes": 2 * sum(kept.values())}


def matrix_rate(device: torch.device) -> float:
    """Operations a second of a float32 matrix product (bfloat16 on a GPU) of the size of a wide layer."""
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    one, other = (torch.rand(2048, 2048, device=device, dtype=kind) for _ in range(2))
    return 2 * 2048**3 / min(timed(lambda: one @ other, device) for _ in range(5))


def copy_rate(device: torch.device) -> float:
    """Bytes a second, read and written, of a copy of 256 MB."""
    one = torch.zeros(2**26, device=device)
    other = torch.zeros_like(one)
    return 2 * 4 * 2**26 / min(timed(lambda: other.copy_(one), device) for _ in range(5))


def held_mib(device: torch.device, *, most: bool = False) -> float | None:
    """Memory of this process: of its tensors on a GPU, else all that is resident, where the system tells it."""
    if device.type == "cuda":
        return (torch.cuda.max_memory_allocated if most else torch.cuda.memory_allocated)(device) / 2**20
    return resident_mib("VmHWM" if most else "VmRSS")


def a_turn(function: Callable[[], object], device: torch.device) -> float:
    """Seconds a pass, of as many as fill a second: a reconstruction makes thousands without a pause."""
    seconds: list[float] = []
    while sum(seconds) < 1:
        seconds.append(timed(function, device))
    return statistics.median(seconds)


def timed(function: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def table(rows: list[dict[str, Any]]) -> str:
    head = ("time", 9), ("(least to most)", 15), ("ratio", 6), ("memory", 9), ("gradient error", 15), ("floor", 6)
    lines = [f"{'model':6} {'pass':15} " + " ".join(f"{name:>{width}}" for name, width in head)]
    for row in rows:
        spread = f"({row['seconds_least']:.3f} to {row['seconds_most']:.3f})"
        lines.append(
            f"{row['model']:6} {row['way']:15} {row['seconds']:7.3f} s {spread:>15} {row['ratio']:5.1f}x "
            f"{row['peak_mib']:5} MiB {row['gradient_error']:15.1e} {row['part_of_floor']:6.0%}"
        )
    return "\n".join(lines)


def table_line(row: dict[str, Any]) -> str:
    """A row as it stands in the table of docs/speed.md."""
    model = {"small": "small (32 neurons)", "paper": "full size"}[row["model"]]
    spread = f"{row['seconds_least']:.3f} to {row['seconds_most']:.3f}"
    error = f"{row['gradient_error']:.0e}" if row["gradient_error"] else ""
    numbers = f"{row['seconds']:.3f} | {spread} | {row['ratio']:.1f} | {row['peak_mib'] / 1024:.1f} GiB | {error}"
    return f"| {model} | {row['way']} | {numbers} | {row['part_of_floor']:.0%} |"


if __name__ == "__main__":
    main()
