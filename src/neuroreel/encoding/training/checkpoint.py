"""Checkpoints that are written whole or not at all, on any disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from neuroreel.files import atomic_path


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the target and renames.

    Lightning's own writes to the machine's temporary folder and moves: a copy where that is another disk, as on most
    clusters, and a kill in the middle of it leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint; ResourceError if the disk is full or may not be written."""
        buffer = io.BytesIO()  # in memory first: PyTorch hides why a write to a file failed
        torch.save(checkpoint, buffer)
        with atomic_path(Path(path), overwrite=True) as partial:
            partial.write_bytes(buffer.getvalue())
