"""What a training runs on: one device, or several that share each batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from neuroreel.arguments import whole_number
from neuroreel.devices import choose_device
from neuroreel.errors import InputError, ResourceError

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # of a process among those that share a training
STRATEGIES = ("auto", "ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")


@dataclass(frozen=True)
class Devices:
    """The kind of device, how many of them, and how Lightning runs them."""

    device: torch.device
    count: int = 1
    strategy: str = "auto"

    @classmethod
    def choose(cls, device: str, *, count: Any, strategy: str) -> Devices:
        """Devices that are there; InputError or ResourceError says what is wrong with the wish."""
        whole_number(count, name="devices")
        if strategy not in STRATEGIES:
            raise InputError(f"strategy is {strategy!r}; it must be one of {', '.join(STRATEGIES)}")
        chosen = choose_device(device)
        if count == 1:
            return cls(chosen)
        if device not in ("auto", "cuda", "cpu"):
            raise InputError(f"device is {device!r} and devices is {count}; name a kind of device, 'cuda' or 'cpu'")
        if chosen.type == "cuda" and torch.cuda.device_count() < count:
            raise ResourceError(
                f"devices is {count}; {torch.cuda.device_count()} CUDA device(s) are visible to PyTorch"
            )
        return cls(chosen, count, "ddp_spawn" if strategy == "auto" else strategy)

    @property
    def first_process(self) -> bool:
        """False in the further processes of the strategy "ddp", which run the same script beside the first."""
        return self.strategy != "ddp" or all(os.environ.get(name, "0") == "0" for name in _RANKS)

    @contextmanager
    def random_numbers_kept(self) -> Iterator[None]:
        """The caller's random numbers, on the CPU and on these GPUs, are afterwards what they were."""
        first = self.device.index or 0
        with torch.random.fork_rng(range(first, first + self.count) if self.device.type == "cuda" else []):
            yield

    def of_trainer(self) -> dict[str, Any]:
        """Arguments of Lightning's trainer."""
        gpu = self.device.type == "cuda"
        settings = {"accelerator": "gpu" if gpu else self.device.type, "precision": self._precision()}
        if self.count == 1:
            return settings | {"devices": [self.device.index or 0] if gpu else 1}
        # A batch's share may lack a recording, whose readout then has no gradient on that device.
        strategy = f"{self.strategy}_find_unused_parameters_true"
        # Batch norms see the whole batch, as on one device; PyTorch has that for GPUs only.
        return settings | {"devices": self.count, "strategy": strategy, "sync_batchnorm": gpu}

    def _precision(self) -> str:
        """Mixed where the device has it."""
        if self.device.type != "cuda":
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
