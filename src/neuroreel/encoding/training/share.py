"""Which part of which batch: batches are counted through the whole training, and shared among steps and devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch.distributed
from torch.utils.data import Sampler

Item = TypeVar("Item")


class Share(NamedTuple):
    """Part ``part`` of ``parts`` of batch number ``batch``."""

    batch: int
    part: int = 0
    parts: int = 1

    def of(self, whole: Sequence[Item]) -> Sequence[Item]:
        """Every parts-th item, from the part-th on: together the parts are the whole, and no item is in two."""
        return whole[self.part :: self.parts]


class EpochSampler(Sampler[Share]):
    """The shares of one epoch's batches that this process trains on; Lightning says which epoch it is.

    A batch makes one step of the optimiser. It is shared among the devices, and on each of them among ``accumulate``
    passes, whose gradients are summed. What is in a batch depends on its number alone.
    """

    def __init__(self, batches: int, *, accumulate: int = 1) -> None:
        self.batches = batches
        self.accumulate = accumulate
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches * self.accumulate

    def __iter__(self) -> Iterator[Share]:
        rank, processes = rank_and_processes()
        for number in range(self.epoch * self.batches, (self.epoch + 1) * self.batches):
            for turn in range(self.accumulate):
                yield Share(number, turn * processes + rank, self.accumulate * processes)


def rank_and_processes() -> tuple[int, int]:
    """Which of how many training processes this is: (0, 1) where there is but one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()
