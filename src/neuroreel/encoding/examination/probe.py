"""A model and the inputs to try it on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroreel.encoding.interface import EncodingModel, device_of
from neuroreel.recordings.trial import Trial

COUNTED_FRAMES = 40  # frames to examine after the warm-up
MARGIN = 20.0  # gray levels to leave above and below, for steps along a gradient
SAME = 1e-3  # of the responses' standard deviation: less is rounding


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The model, two different inputs (1, channels, frames, height, width), and its output for the first.

    For a model of fixed length the frames are those of one clip.
    """

    model: EncodingModel
    first: Tensor
    second: Tensor
    returned: object

    @classmethod
    def of(cls, model: EncodingModel, trial: Trial) -> Probe:
        """The first frames of the trial, with and without noise on them."""
        length = model.warmup_frames + COUNTED_FRAMES if model.any_length else model.clip_frames * model.clip_stride
        frames = slice(0, min(length, trial.frames), 1 if model.any_length else model.clip_stride)
        device = device_of(model)
        video = torch.tensor(trial.needs_video()[frames], device=device).clamp(MARGIN, 255 - MARGIN)
        behavior = torch.tensor(trial.covariates[:, frames], device=device)
        noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(0)).to(device)
        other = (video + 40 * noise).clamp(MARGIN, 255 - MARGIN)
        first, second = (model.assemble(model.canvas.place(each)[None], behavior[None]) for each in (video, other))
        with torch.no_grad():
            returned = _forward(model, first)
        return cls(model=model, first=first, second=second, returned=returned)

    def responses(self, inputs: Tensor) -> Tensor:
        """(batch, neurons, frames returned), without a gradient."""
        with torch.no_grad():
            return self.model.answers(inputs)

    @property
    def step(self) -> float:
        """The smallest difference of responses that counts."""
        return SAME * max(float(self.responses(self.first).std()), 1e-6)

    def differ(self, one: Tensor, other: Tensor) -> bool:
        """Whether responses differ by more than rounding."""
        return bool(((one - other).abs() > self.step).any())


def _forward(model: EncodingModel, inputs: Tensor) -> object:
    """The raw output of ``forward``."""
    heard: list[object] = []
    hook = model.register_forward_hook(lambda module, arguments, output: heard.append(output))
    try:
        model.answers(inputs)
    except Exception:
        if not heard:
            raise
    finally:
        hook.remove()
    return heard[0]
