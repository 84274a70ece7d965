"""Where the time of one window of the paper's full-size model goes: published pass, PyTorch alone, compiled code.

    python benchmarks/profile_window.py [--out profile_window.json] [--models paper small]

Seconds by kind of operation, from PyTorch's profiler, which itself takes a few hundredths. Weights are random.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from _machine import described
from _networks import settled_network
from inversion import FRAMES, MODELS, our_pass, published_pass
from neuroreel.allocator import keep_freed_memory
from neuroreel.encoding.dwiseneuro import DwiseNeuro
from neuroreel.inversion import engine, wide_branch
from neuroreel.inversion.engine import engine_of
from neuroreel.inversion.likelihood import Evidence

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm"),
    "convolutions": ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::slow_conv3d_forward"),
    "batch norms": ("aten::native_batch_norm", "aten::native_batch_norm_backward"),
    "SiLU": ("aten::silu", "aten::silu_backward"),
    "compiled": ("compiled",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/profile_window.json"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["paper"])
    options = parser.parse_args()
    rows = [row for name in options.models for row in profiled(name)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(described() | {"frames": FRAMES, "rows": rows}, indent=1) + "\n")
    kinds = [*KINDS, "everything else", "sum"]
    print(f"{'model':6} {'pass':14} " + " ".join(f"{kind:>15}" for kind in kinds))
    for row in rows:
        print(f"{row['model']:6} {row['way']:14} " + " ".join(f"{row['seconds'][kind]:13.3f} s" for kind in kinds))


def profiled(name: str) -> list[dict[str, Any]]:
    """A row each for the published pass, ours without compiled code, ours."""
    model = DwiseNeuro(settled_network(MODELS[name]()), readout=0)
    movie = torch.rand(1, FRAMES, *model.canvas.size) * 255
    evidence = Evidence(
        responses=torch.rand(1, model.neurons, FRAMES),
        covariates=torch.rand(1, model.covariates, FRAMES),
        keep=torch.ones(model.neurons, dtype=torch.bool),
    )
    seconds = {"published": seconds_of(lambda: published_pass(model, movie, evidence))}
    keep_freed_memory()
    folded = engine_of(model)
    with without_compiled():
        seconds["PyTorch alone"] = seconds_of(lambda: our_pass(folded, movie, evidence))
    with marked():
        seconds["compiled"] = seconds_of(lambda: our_pass(folded, movie, evidence))
    return [{"model": name, "way": way, "seconds": each} for way, each in seconds.items()]


def seconds_of(once: Callable[[], Tensor]) -> dict[str, float]:
    """Of each kind, in the second pass."""
    once()
    with profile(activities=[ProfilerActivity.CPU]) as record:
        once()
    kind_of = {operation: kind for kind, operations in KINDS.items() for operation in operations}
    seconds: Counter[str] = Counter(dict.fromkeys(KINDS, 0.0))
    for event in record.key_averages():
        seconds[kind_of.get(event.key, "everything else")] += event.self_cpu_time_total / 1e6
    return {kind: round(value, 4) for kind, value in (*seconds.items(), ("sum", seconds.total()))}


@contextmanager
def without_compiled() -> Iterator[None]:
    can = engine.can_run_native
    engine.can_run_native = lambda _: False
    try:
        yield
    finally:
        engine.can_run_native = can


@contextmanager
def marked() -> Iterator[None]:
    """The profiler does not see compiled code; a mark around each call of it does."""
    call = wide_branch._call

    def seen(name: str, *arguments: Tensor | int) -> None:
        with record_function("compiled"):
            call(name, *arguments)

    wide_branch._call = seen
    try:
        yield
    finally:
        wide_branch._call = call


if __name__ == "__main__":
    main()
