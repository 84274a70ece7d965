"""Choosing where to compute."""

from __future__ import annotations

import torch

from neuroreel.errors import InputError, ResourceError

PRECISIONS = ("auto", "float32", "bfloat16")


def choose_precision(precision: str, device: torch.device) -> str:
    """Either "float32" or "bfloat16"; "auto" means bfloat16 on GPUs that support it, float32 elsewhere.

    Raises
    ------
    InputError
        Any other value.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


def choose_device(device: str = "auto") -> torch.device:
    """The torch device of this name; "auto" takes a GPU if there is one.

    Raises
    ------
    InputError
        Not the name of a device.
    ResourceError
        This machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device is {device!r}; it must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'") from error
    if chosen.type == "cpu":
        return chosen
    if chosen.type == "cuda":
        there = torch.cuda.device_count()
        if (chosen.index or 0) < there:
            return chosen
        found = f"{there} CUDA device(s) are" if there else "no CUDA device is"
        raise ResourceError(
            f"device {device!r} is not available: {found} visible to PyTorch; use device='auto' or 'cpu'"
        )
    if chosen.type == "mps" and torch.backends.mps.is_available():
        return chosen
    raise ResourceError(f"device {device!r} is not available; use device='auto' or 'cpu'")
