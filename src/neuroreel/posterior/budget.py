"""Whether what a pass needs for its gradient fits into memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import ResourceError
from neuroreel.inversion.cost import window_bytes
from neuroreel.inversion.plan import CLIP_SLACK, SLACK, Room
from neuroreel.memory import in_words
from neuroreel.posterior.prediction import window_starts


def graphs_fit(models: Sequence[EncodingModel], *, frames: int, device: torch.device, max_bytes: int | None) -> bool:
    """Whether all windows of all models fit into memory together, with what their gradients need.

    If not, each window is computed again for its gradient: half as much time again, in the memory of one window.

    Raises
    ------
    ResourceError
        Not even one window fits.
    """
    room = Room.now(device, max_bytes)
    together, largest = 0.0, 0.0
    for model in models:
        length = frames if model.any_length else model.window_frames
        slack = SLACK if model.any_length else CLIP_SLACK
        window = slack * window_bytes(model, frames=length, unit_norm=False, device=device, most=room.bytes / slack)
        together += window * len(window_starts(frames, length))
        largest = max(largest, window)
    if largest > room.bytes:
        raise ResourceError(
            f"a window of {frames} frames takes about {in_words(int(largest))} of memory on the device {device}, "
            f"but {room.why}"
        )
    return together <= room.bytes
