"""The score of the validation trials: one trial at a time, several recordings, several processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch.utils.data import Dataset

from neuroreel.encoding.training.share import rank_and_processes
from neuroreel.recordings.trial import Trial


class ValidationTrials(Dataset["tuple[int, Trial] | None"]):
    """Recording and trial; each process has its share, the same number everywhere, None where there are not enough."""

    def __init__(self, recordings: Mapping[str, Sequence[Trial]]) -> None:
        self.recordings = list(recordings.values())
        self.places = [(k, index) for k, trials in enumerate(self.recordings) for index in range(len(trials))]

    def __len__(self) -> int:
        return -(-len(self.places) // rank_and_processes()[1])

    def __getitem__(self, index: int) -> tuple[int, Trial] | None:
        rank, processes = rank_and_processes()
        number = index * processes + rank
        if number >= len(self.places):
            return None
        recording, trial = self.places[number]
        return recording, self.recordings[recording][trial]
