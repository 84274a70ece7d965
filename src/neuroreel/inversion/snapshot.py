"""Snapshots: a killed run resumes where it was and gives the same video."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from neuroreel.errors import InputError
from neuroreel.files import atomic_path
from neuroreel.inversion.likelihood import Fit
from neuroreel.inversion.loop import Progress


class Part(Protocol):
    """A part of a run that remembers something from pass to pass."""

    def state(self) -> dict[str, Any]:
        """What a snapshot must keep."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a snapshot's state."""
        ...


class Snapshot:
    """Saves a run's progress to a file every few seconds, and brings it back.

    Parameters
    ----------
    file
        Where; None keeps nothing.
    fingerprint
        Of everything that decides the result; a snapshot of another run is refused.
    parts
        What remembers something beside the progress: the update rule and the early stopping.
    every_s
        Seconds between saves.
    """

    def __init__(
        self, file: Path | None, *, fingerprint: str, parts: Mapping[str, Part], every_s: float = 20.0
    ) -> None:
        self.file = file
        self.fingerprint = fingerprint
        self.parts = parts
        self.every_s = every_s
        self.finished = False
        self._saved = time.monotonic()

    def __call__(self, progress: Progress, _fit: Fit) -> None:
        """Save if it is time: a callback of the loop."""
        if self.file is not None and time.monotonic() - self._saved >= self.every_s:
            self.save(progress, passes=progress.iteration + 1)

    def finish(self, progress: Progress) -> None:
        """Save the end of the run: where it is one of several, they need not be made again."""
        self.finished = True
        self.save(progress, passes=progress.iteration)

    def save(self, progress: Progress, *, passes: int) -> None:
        """Save the state after so many passes."""
        if self.file is None:
            return
        state = {
            "fingerprint": self.fingerprint,
            "videos": progress.videos.cpu(),
            "iteration": passes,
            "finished": self.finished,
            "history": progress.history,
            "parts": {name: part.state() for name, part in self.parts.items()},
        }
        buffer = io.BytesIO()  # in memory first: PyTorch hides why a write to a file failed
        torch.save(state, buffer)
        with atomic_path(self.file, overwrite=True) as partial:
            partial.write_bytes(buffer.getvalue())
        self._saved = time.monotonic()

    def restore(self, progress: Progress) -> Progress:
        """The progress saved, or the one given where there is no snapshot.

        Raises
        ------
        InputError
            The file is damaged, or belongs to other settings, data or models, another device or version.
        """
        if self.file is None or not self.file.exists():
            return progress
        try:
            state: dict[str, Any] = torch.load(self.file, map_location=progress.videos.device, weights_only=True)
            fits = state["fingerprint"] == self.fingerprint
            restored = Progress(videos=state["videos"], iteration=state["iteration"], history=state["history"])
            for name, part in self.parts.items() if fits else ():
                part.restore(state["parts"][name])
            self.finished = fits and state["finished"]
        except (RuntimeError, EOFError, KeyError, TypeError, ValueError, OSError, pickle.UnpicklingError) as error:
            raise InputError(f"{self.file} is no readable snapshot ({error}); delete it to start over") from error
        if not fits:
            raise InputError(
                f"{self.file} is the snapshot of a run with other settings, data or models, or of another device or "
                "version; delete it to start over, or choose another name"
            )
        return restored


def fingerprint(**parts: Any) -> str:
    """SHA-256 of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
