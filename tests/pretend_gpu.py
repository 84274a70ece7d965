"""A GPU that is none: its tensors say "cuda:0", lie in the CPU's memory, and do not mix with the CPU's own.

What runs on it gives the CPU's numbers, and fails where it would fail on a GPU for a tensor on the wrong device. Speed,
memory, rounding and libraries of a GPU are not pretended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda:0")
BYTES = 64 * 2**30
DEVICE, IS_CUDA, GRADIENT = (getattr(torch.Tensor, name).__get__ for name in ("device", "is_cuda", "grad"))
FROM_THERE = {torch.Tensor.numpy, torch.Tensor.__array__}  # a GPU's tensors must come to the CPU first
ANY_DEVICE = {torch.Tensor.copy_, torch.Tensor.__setitem__, torch.Tensor.type_as}
INDEXED = {torch.Tensor.__getitem__, torch.Tensor.index_put_}  # by the CPU's indices, too


class OnGpu(Tensor):
    """A tensor of the CPU that says it lies on the GPU."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (DEVICE, IS_CUDA):
            return GPU if func == DEVICE else True
        if func is torch._has_compatible_shallow_copy_type:
            return False  # a module that is moved gets new parameters
        if func is torch.Tensor.__reduce_ex__:
            return args[0].as_subclass(Tensor).__reduce_ex__(*args[1:])  # saved as the CPU's: see _load
        if func is torch.Tensor.__deepcopy__:
            copied = args[0].detach().clone()
            return torch.nn.Parameter(copied) if isinstance(args[0], torch.nn.Parameter) else copied
        if func in FROM_THERE:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func is torch.Tensor.cpu:
            return args[0].as_subclass(Tensor).clone()
        if func is torch.Tensor.to:
            return _moved(*args, **kwargs)
        if func not in ANY_DEVICE:
            _refuse_mixing(func, args, kwargs)
        made = super().__torch_function__(func, types, args, _on_cpu(kwargs))
        return _there(made) if func == GRADIENT else made


class _Everywhere(TorchFunctionMode):
    """Sees the calls that have no tensor of the GPU yet."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(isinstance(leaf, OnGpu) for leaf in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)  # the tensor's own affair
        if func is torch.Tensor.to:
            return _moved(*args, **kwargs)
        made = func(*args, **_on_cpu(kwargs))
        wanted = kwargs.get("device")
        return made if wanted is None or torch.device(wanted).type != "cuda" else tree_map(_there, made)


def _there(leaf: Any) -> Any:
    return leaf.as_subclass(OnGpu) if isinstance(leaf, Tensor) else leaf


def _on_cpu(kwargs: dict[str, Any]) -> dict[str, Any]:
    wanted = kwargs.get("device")
    return kwargs if wanted is None or torch.device(wanted).type != "cuda" else {**kwargs, "device": "cpu"}


def _moved(tensor: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    """``tensor.to(...)``: the CPU's own, with the device that was asked for."""
    if args and isinstance(args[0], Tensor):
        device, dtype, layout = args[0].device, args[0].dtype, None
    else:
        device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    device = tensor.device if device is None else device
    there = device.type == "cuda"
    plain = tensor.as_subclass(Tensor) if isinstance(tensor, OnGpu) else tensor
    made = plain.to(
        dtype=dtype or tensor.dtype,
        memory_format=layout or torch.preserve_format,
        copy=copy or there != isinstance(tensor, OnGpu),  # the two never share what they hold
    )
    if made is plain:
        return tensor
    return made.as_subclass(OnGpu) if there else made


def _refuse_mixing(func: Any, args: Any, kwargs: Any) -> None:
    """As PyTorch does; numbers without an axis may come from the CPU."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    strangers = [tensor for tensor in tensors if not isinstance(tensor, OnGpu) and tensor.dim()]
    if strangers and not (func in INDEXED and isinstance(tensors[0], OnGpu)):
        raise RuntimeError(f"Expected all tensors to be on the same device, but {func} got cuda:0 and cpu")


def _load(load: Any, *args: Any, map_location: Any = None, **kwargs: Any) -> Any:
    """``torch.load``."""
    device = torch.device("cpu" if map_location is None else map_location)
    loaded = load(*args, map_location="cpu", **kwargs)
    return tree_map(_there, loaded) if device.type == "cuda" else loaded


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Within it torch.cuda says that there is a GPU, and tensors can be moved there."""
    numbers = {"memory_allocated": 0, "memory_reserved": 0, "max_memory_allocated": BYTES // 100, "device_count": 1}
    with pytest.MonkeyPatch.context() as patch:
        for name, number in numbers.items():
            patch.setattr(torch.cuda, name, lambda *_, number=number: number)
        for name in ("synchronize", "reset_peak_memory_stats", "empty_cache", "set_device", "set_rng_state"):
            patch.setattr(torch.cuda, name, lambda *_: None)
        for name in ("is_available", "is_bf16_supported"):
            patch.setattr(torch.cuda, name, lambda *_: True)
        patch.setattr(torch.cuda, "mem_get_info", lambda *_: (BYTES, BYTES))
        patch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
        patch.setattr(torch.cuda, "get_rng_state", lambda *_: torch.zeros(1, dtype=torch.uint8))
        patch.setattr(torch.cuda, "get_device_name", lambda *_: "a pretended GPU")
        patch.setattr(torch, "load", partial(_load, torch.load))
        with _Everywhere():
            yield
