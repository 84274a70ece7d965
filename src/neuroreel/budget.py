"""How much memory a pass needs, measured on one window, and what fits."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neuroreel.allocator import give_back_freed_memory
from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import ResourceError
from neuroreel.memory import free_bytes, in_words, is_out_of_memory, used_bytes

SLACK, CLIP_SLACK = 2.0, 1.5
"""A multiple of the tensors' bytes: libraries use some, and allocators lose some between blocks, more in later passes.
Models of any length used 1.3 to 2.1 times those bytes, clip models 0.9 to 1.2 times."""


class TooMuchError(Exception):
    """The measured work needs more memory than allowed."""


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of all live tensors made within it, and their peak.

    Parameters
    ----------
    most
        TooMuchError is raised above this many bytes.
    """

    def __init__(self, most: float = float("inf")) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = most
        self.now = 0
        self.peak = 0
        self._storages: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keeps PyTorch from loading its compiler just to skip it here, which takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called for each PyTorch operation."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        if self.now > self.most:
            raise TooMuchError
        return made

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._storages:  # a view, or written in place
            return
        self._storages.add(key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self.now -= size


def window_bytes(model: EncodingModel, *, frames: int, device: torch.device, most: float) -> int:
    """Peak bytes of one window of ``frames`` frames, forward and backward, without the weights.

    Measured on the model's device, once per kind of model and process. Above ``most`` bytes the measurement stops and
    is repeated on PyTorch's "meta" device; if the model cannot run there, the bytes reached so far are returned.
    """

    def one_window(model: EncodingModel, where: torch.device) -> None:
        movie = torch.zeros(1, frames, *model.canvas.size, device=where)
        inputs = model.assemble(movie, torch.zeros(1, model.covariates, frames, device=where)).requires_grad_()
        torch.autograd.grad(model.window_responses(inputs).sum(), inputs)

    key = (frames, device, _kind(model))
    peak = _KNOWN.get(key) or _peak(model, one_window, device=device, most=most)
    if peak <= most:  # otherwise it may have been stopped
        _KNOWN[key] = peak
    return peak


def graphs_fit(models: Sequence[EncodingModel], *, frames: int, device: torch.device, max_bytes: int | None) -> bool:
    """Whether all windows of all models fit into memory together, gradients included.

    If not, each window is recomputed for its gradient: 50% more time, in the memory of one window.

    Raises
    ------
    ResourceError
        Not even one window fits.
    """
    room = Room.now(device, max_bytes)
    together = 0.0
    for model in models:
        length = frames if model.any_length else model.window_frames
        warmup = min(model.warmup_frames, length - 1)  # windows overlap by that much
        together += _window_with_slack(model, length, device, room) * math.ceil((frames - warmup) / (length - warmup))
    return together <= room.bytes


def windows_that_fit(model: EncodingModel, *, frames: int, device: torch.device, max_bytes: int | None) -> int:
    """How many windows of ``frames`` frames to compute at once: as many as help and fit into memory.

    On a CPU one window of a clip model keeps all cores and caches busy: more windows take more memory and save no time.
    A GPU needs many to be busy.

    Raises
    ------
    ResourceError
        Not even one window fits.
    """
    room = Room.now(device, max_bytes)
    window = _window_with_slack(model, frames, device, room)
    few = 8 if model.any_length else 1
    return int(max(1, min(few if device.type == "cpu" else 64, room.bytes / window)))


def _window_with_slack(model: EncodingModel, frames: int, device: torch.device, room: Room) -> float:
    """Bytes of a window, allocator losses included; ResourceError if not even one fits."""
    slack = SLACK if model.any_length else CLIP_SLACK
    needed = slack * window_bytes(model, frames=frames, device=device, most=room.bytes / slack)
    if needed > room.bytes:
        raise ResourceError(
            f"a window of {frames} frames takes about {in_words(int(needed))} of memory on the device {device}, but "
            f"{room.why}"
        )
    return needed


@dataclass(frozen=True, kw_only=True)
class Room:
    """Bytes still available on a device (infinite if the system does not say), and what limits them."""

    bytes: float
    why: str

    @classmethod
    def now(cls, device: torch.device, max_bytes: int | None) -> Room:
        """What is free now, or what ``max_bytes`` still allows the process."""
        give_back_freed_memory()
        free, held = free_bytes(device), used_bytes(device)
        rooms = [cls(bytes=math.inf, why="")]
        if free is not None:
            advice = "close other programs, use another device, a smaller model or shorter trials"
            rooms.append(cls(bytes=free, why=f"{in_words(free)} are free: {advice}"))
        if max_bytes is not None:
            why = f"max_memory is {in_words(max_bytes)}, of which the process already uses {in_words(held)}: allow more"
            rooms.append(cls(bytes=max(0, max_bytes - held), why=why))
        return min(rooms, key=lambda room: room.bytes)


_KNOWN: dict[tuple[Any, ...], int] = {}


def _peak(
    model: EncodingModel,
    work: Callable[[EncodingModel, torch.device], object],
    *,
    device: torch.device,
    most: float,
) -> int:
    live = LiveTensors(most)
    try:
        if device.type == "cuda":
            return _peak_of_gpu(lambda: work(model, device), device)
        with live:
            work(model, device)
        return live.peak
    except TooMuchError:
        return _peak_without_memory(model, work) or live.peak
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, ResourceError) or is_out_of_memory(error)):
            raise
        found = _peak_without_memory(model, work)
        if found is None:
            raise
        return found


def _peak_without_memory(model: EncodingModel, work: Callable[[EncodingModel, torch.device], object]) -> int | None:
    """Peak on the device "meta"; None if the model cannot run there."""
    with suppress(Exception):  # any model may be passed: some cannot be copied, some look at values
        shapes_alone = _without_memory(model)
        with LiveTensors() as live:
            work(shapes_alone, torch.device("meta"))
        return live.peak
    return None


def _peak_of_gpu(work: Callable[[], object], device: torch.device) -> int:
    """Peak counted by PyTorch's allocator, plus what libraries use."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    return torch.cuda.max_memory_allocated(device) - before


def _kind(model: EncodingModel) -> tuple[Any, ...]:
    """Models of one kind take the same memory."""
    weights = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in model.state_dict().items())
    return type(model), model.canvas, model.covariates, weights


def _without_memory(model: EncodingModel) -> EncodingModel:
    """A copy of the model on the device "meta", where tensors have shapes but no values."""
    here: dict[int, Any] = {id(buffer): buffer.to("meta") for buffer in model.buffers()}
    for weight in model.parameters():
        here[id(weight)] = nn.Parameter(weight.detach().to("meta"), requires_grad=False)
    return copy.deepcopy(model, here)
