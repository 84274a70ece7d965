"""How to compute: device, precision, memory. What is computed is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from neuroreel.arguments import instance_of
from neuroreel.devices import choose_device, choose_precision
from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.memory import parse_bytes


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where and how to compute. Checked on creation; changes results only by rounding.

    Parameters
    ----------
    device
        "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
    precision
        "float32", "bfloat16" (faster on GPUs) or "auto" (bfloat16 on GPUs). Only DwiseNeuro computes in bfloat16; other
        models, pixels, responses and the search are always float32.
    max_memory
        How much memory the process may use on the device, "8 GB" or a number of bytes. By default all that is free.
    checkpoint
        A file for the progress: after a kill, the same call resumes from it. Trial numbers are added to its name; the
        files are deleted at the end.
    progress
        Show a progress bar in terminals and notebooks.

    Raises
    ------
    InputError
        An invalid value.
    ResourceError
        The device does not exist.
    """

    device: str = "auto"
    precision: str = "auto"
    max_memory: str | float | None = None
    checkpoint: str | Path | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        choose_precision(self.precision, choose_device(self.device))
        if self.max_memory is not None:
            parse_bytes(self.max_memory, what="max_memory")
        if self.checkpoint is not None and not isinstance(self.checkpoint, str | Path):
            raise InputError(f"checkpoint is {self.checkpoint!r}; it must be the name of a file")
        instance_of(self.progress, bool, name="progress")

    @classmethod
    def of(cls, compute: Compute | None) -> Compute:
        """The value of ``compute=``, or the defaults for None; InputError for anything else."""
        given: Compute = cls() if compute is None else instance_of(compute, cls, name="compute")
        return given

    @property
    def torch_device(self) -> torch.device:
        """The device, with "auto" resolved."""
        return choose_device(self.device)

    @property
    def torch_precision(self) -> str:
        """Either "float32" or "bfloat16", with "auto" resolved."""
        return choose_precision(self.precision, self.torch_device)

    @property
    def max_bytes(self) -> int | None:
        """``max_memory`` in bytes."""
        return None if self.max_memory is None else parse_bytes(self.max_memory, what="max_memory")

    @property
    def checkpoint_file(self) -> Path | None:
        """``checkpoint`` as a path, ``~`` expanded."""
        return None if self.checkpoint is None else user_path(self.checkpoint)
