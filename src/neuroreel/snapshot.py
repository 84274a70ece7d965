"""Snapshots: files from which a killed run resumes, if it is the same run."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from neuroreel.errors import InputError
from neuroreel.files import atomic_path

EVERY_S = 20.0


class Snapshot:
    """Keeps a run's state in a file, saved every few seconds.

    Parameters
    ----------
    file
        Where to save; None saves nothing.
    fingerprint
        Hash of everything that decides the result; a snapshot of another run is refused.
    """

    def __init__(self, file: Path | None, *, fingerprint: str) -> None:
        self.file = file
        self.fingerprint = fingerprint
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self.file is not None and time.monotonic() - self._saved >= EVERY_S

    def save(self, state: dict[str, Any]) -> None:
        """Save this state: tensors and plain values."""
        if self.file is None:
            return
        buffer = io.BytesIO()  # in memory first: PyTorch hides why a write to a file failed
        torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
        with atomic_path(self.file, overwrite=True) as partial:
            partial.write_bytes(buffer.getvalue())
        self._saved = time.monotonic()

    def load(self, *, device: torch.device) -> dict[str, Any] | None:
        """The saved state, with tensors on the device; None if there is no snapshot.

        Raises
        ------
        InputError
            The file is damaged, or made with other settings, data or models, or on another device or version.
        """
        if self.file is None or not self.file.exists():
            return None
        try:
            kept: dict[str, Any] = torch.load(self.file, map_location=device, weights_only=True)
            fingerprint, state = kept["fingerprint"], dict(kept["state"])
        except (RuntimeError, EOFError, KeyError, TypeError, ValueError, OSError, pickle.UnpicklingError) as error:
            # without PyTorch's message: it advises opening damaged files unsafely
            raise InputError(
                f"{self.file} is not a readable snapshot ({type(error).__name__}); delete it to start over"
            ) from error
        if fingerprint != self.fingerprint:
            raise InputError(
                f"{self.file} is the snapshot of a run with other settings, data or models, or of another device or "
                "version; delete it to start over, or choose another name"
            )
        return state


def fingerprint(**parts: Any) -> str:
    """SHA-256 of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
