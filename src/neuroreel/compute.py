"""How a computation is done: where, how exactly, in how much memory. What is computed is another question."""

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
    """Where and how to compute. Checked when it is made; it changes results by rounding alone.

    Parameters
    ----------
    device
        "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps".
    precision
        "float32", or "bfloat16": faster on GPUs, where "auto" takes it. Only a DwiseNeuro computes in bfloat16; other
        models, pixels, responses and the search are always float32.
    max_memory
        How much memory the process may take on the device, "8 GB" or a number of bytes. By default what is free.
    checkpoint
        A file that keeps the progress: the same call resumes there after a kill. The trials' numbers are put into its
        name; the files are deleted at the end.
    progress
        Show progress where somebody looks.

    Raises
    ------
    InputError
        A value that cannot be.
    ResourceError
        The device is not there.
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
        """What was passed as ``compute=``, the defaults for None; InputError for anything else."""
        given: Compute = cls() if compute is None else instance_of(compute, cls, name="compute")
        return given

    @property
    def torch_device(self) -> torch.device:
        """The device, chosen."""
        return choose_device(self.device)

    @property
    def torch_precision(self) -> str:
        """The word "float32" or "bfloat16", chosen."""
        return choose_precision(self.precision, self.torch_device)

    @property
    def max_bytes(self) -> int | None:
        """``max_memory`` in bytes."""
        return None if self.max_memory is None else parse_bytes(self.max_memory, what="max_memory")

    @property
    def checkpoint_file(self) -> Path | None:
        """``checkpoint`` as a path, ``~`` expanded."""
        return None if self.checkpoint is None else user_path(self.checkpoint)
