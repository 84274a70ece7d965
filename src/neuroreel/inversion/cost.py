"""What a window of a reconstruction costs in memory: one is computed, and the tensors that live on the way counted."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import ResourceError
from neuroreel.inversion.likelihood import Evidence, PoissonLikelihood
from neuroreel.memory import is_out_of_memory


class TooMuchError(Exception):
    """What is measured takes more than it may."""


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors made within it that are still alive, and what they were at most.

    Parameters
    ----------
    most
        TooMuchError is raised where they become more than this.
    """

    def __init__(self, most: float = float("inf")) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = most
        self.now = 0
        self.peak = 0
        self._storages: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """PyTorch need not load its compiler only to leave it out here: that takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Each operation of PyTorch comes through here."""
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


def window_bytes(model: EncodingModel, *, frames: int, unit_norm: bool, device: torch.device, most: float) -> int:
    """Bytes that one window of ``frames`` frames takes at most, forward and backward, beside the weights.

    It is computed with the model, which lies on the device, once for each kind of model in the life of the process.
    Where it takes more than ``most`` bytes it is given up, and computed on a device without memory; where the model
    cannot be, it is said to take what it had taken when it was given up.
    """

    def one_window(model: EncodingModel, where: torch.device) -> None:
        evidence = Evidence(
            responses=torch.zeros(1, model.neurons, frames, device=where),
            covariates=torch.zeros(1, model.covariates, frames, device=where),
            keep=torch.ones(model.neurons, dtype=torch.bool),
        )
        movie = torch.zeros(1, frames, *model.canvas.size, device=where)
        PoissonLikelihood(starts=[0], length=frames, unit_norm=unit_norm, windows_at_once=1)(model, movie, evidence)

    return _known_or_measured(model, one_window, device=device, most=most, key=("window", frames, unit_norm))


def prediction_bytes(model: EncodingModel, *, frames: int, device: torch.device, most: float) -> int:
    """Bytes that predicting responses to a whole movie takes at most; as ``window_bytes``."""

    @torch.inference_mode()
    def one_movie(model: EncodingModel, where: torch.device) -> None:
        model(torch.zeros(1, 1 + model.covariates, frames, *model.canvas.size, device=where))

    return _known_or_measured(model, one_movie, device=device, most=most, key=("prediction", frames))


_KNOWN: dict[tuple[Any, ...], int] = {}


def _known_or_measured(
    model: EncodingModel,
    work: Callable[[EncodingModel, torch.device], object],
    *,
    device: torch.device,
    most: float,
    key: tuple[Any, ...],
) -> int:
    """Peak of a work that ``key`` names."""
    key = (*key, device, _kind(model))
    peak = _KNOWN.get(key) or _peak(model, work, device=device, most=most)
    if peak <= most:  # else it was given up perhaps
        _KNOWN[key] = peak
    return peak


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
    """Peak on the device "meta"; None where the model cannot be computed there."""
    with suppress(Exception):  # models do what they like: some cannot be copied, some look at values
        shapes_alone = _without_memory(model)
        with LiveTensors() as live:
            work(shapes_alone, torch.device("meta"))
        return live.peak
    return None


def _peak_of_gpu(work: Callable[[], object], device: torch.device) -> int:
    """As PyTorch's allocator counts it, with what libraries take."""
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
