"""Engines: encoding models in the form that inverts fastest, and what decides how they round numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from neuroreel import __version__
from neuroreel.compute import Compute
from neuroreel.encoding.dwiseneuro.folded import FoldedDwiseNeuro
from neuroreel.encoding.dwiseneuro.native import native_library
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.interface import EncodingModel, device_of, frozen
from neuroreel.encoding.readout import ReadoutModel
from neuroreel.encoding.readout_frozen import FrozenReadoutModel
from neuroreel.memory import memory_errors_told


def engine_of(model: EncodingModel, *, precision: str = "float32") -> EncodingModel:
    """The model in the form that inverts fastest, differentiable in its input alone; a model of your own as it is."""
    if isinstance(model, DwiseNeuro):
        return FoldedDwiseNeuro(model, precision=precision)
    return FrozenReadoutModel(model) if isinstance(model, ReadoutModel) else model


@contextmanager
def engines_of(models: Sequence[EncodingModel], compute: Compute) -> Iterator[list[EncodingModel]]:
    """The models, frozen on the device, in that form; within the block it is told clearly where memory runs out."""
    device = compute.torch_device
    with memory_errors_told(device), frozen(models, device=device):
        yield [engine_of(model, precision=compute.torch_precision) for model in models]


def precision_of(engine: EncodingModel) -> str:
    """The coarsest type in which a model computes: "bfloat16" if some of its weights are, whatever was asked for."""
    kinds = (weight.dtype for weight in engine.parameters() if weight.is_floating_point())
    return str(min(kinds, key=lambda kind: kind.itemsize, default=torch.float32)).removeprefix("torch.")


def is_compiled(engine: EncodingModel) -> bool:
    """Whether compiled code does the work."""
    return isinstance(engine, FoldedDwiseNeuro) and engine.native and native_library() is not None


def arithmetic_of(engines: Sequence[EncodingModel]) -> dict[str, Any]:
    """What decides how numbers are rounded: a run that resumes with others would end with another movie."""
    return {
        "neuroreel": __version__,
        "torch": torch.__version__,
        "device": device_of(engines[0]).type,
        "precision": [precision_of(engine) for engine in engines],
        "compiled": any(map(is_compiled, engines)),
    }
