"""Where the time of a pass goes, by kind of operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from neuroreel.encoding.dwiseneuro import wide_branch

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm"),
    "convolutions": ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::slow_conv3d_forward"),
    "batch norms": ("aten::native_batch_norm", "aten::native_batch_norm_backward"),
    "SiLU": ("aten::silu", "aten::silu_", "aten::silu_backward"),
    "compiled": ("compiled",),
}


def seconds_by_kind(once: Callable[[], object]) -> dict[str, float]:
    """Seconds of each kind in one pass, of everything else, and their sum."""
    with marked(), profile(activities=[ProfilerActivity.CPU]) as record:
        once()
    kind_of = {operation: kind for kind, operations in KINDS.items() for operation in operations}
    seconds: Counter[str] = Counter(dict.fromkeys([*KINDS, "everything else"], 0.0))
    for event in record.key_averages():
        seconds[kind_of.get(event.key, "everything else")] += event.self_cpu_time_total / 1e6
    return {kind: round(value, 4) for kind, value in (*seconds.items(), ("sum", seconds.total()))}


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
