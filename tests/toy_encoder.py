"""A small encoding model and trials that it explains, for tests of what is built on encoding models."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from neuroreel import Trial, predict
from neuroreel.encoding.interface import Canvas, EncodingModel


class ToyEncoder(EncodingModel):
    """Linear filters on the canvas, mixed with the frame before, through a softplus; behaviour adds to the drive."""

    def __init__(
        self,
        *,
        neurons: int = 12,
        seed: int = 0,
        any_length: bool = False,
        covariates: int = 0,
        border: int = 1,
        clip_frames: int = 4,
    ) -> None:
        super().__init__()
        self.canvas = Canvas(height=6 + 2 * border, width=8, video_height=6, video_width=8, top=border)
        self.clip_frames, self.clip_stride = (8, 1) if any_length else (clip_frames, 2)
        self.any_length, self.warmup_frames = any_length, 1 if any_length else 0
        self.neurons, self.covariates, self.frame_rate_hz = neurons, covariates, 30.0
        draw = torch.Generator().manual_seed(seed)
        filters = torch.randn(neurons, 6, 8, generator=draw)
        filters = torch.from_numpy(gaussian_filter(filters.numpy(), (0, 0.8, 0.8)))
        self.filters = nn.Parameter(self.canvas.place(filters / filters.flatten(1).norm(dim=1)[:, None, None]))
        self.gain = nn.Parameter(0.1 * torch.randn(neurons, covariates, generator=draw))

    def forward(self, clips: Tensor) -> Tensor:
        drive = torch.einsum("bthw,nhw->bnt", (clips[:, 0] - 127.5) / 40, self.filters)
        before = torch.cat([drive[:, :, :1], drive[:, :, :-1]], dim=2)
        behavior = torch.einsum("bct,nc->bnt", clips[:, 1:, :, 0, 0], self.gain)
        return nn.functional.softplus(drive + 0.5 * before + behavior)


def toy_trials(
    model: EncodingModel, count: int = 3, *, frames: int = 40, seed: int = 0, noise: bool = True
) -> list[Trial]:
    """Smooth random movies, and Poisson responses of the model to them."""
    random = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        movie = gaussian_filter(random.normal(size=(frames, *model.canvas.video_size)), (3, 1.5, 1.5))
        movie = np.clip(127.5 + 50 * movie / movie.std(), 0, 255).astype(np.float32)
        behavior = random.normal(size=(model.covariates, frames)).astype(np.float32) if model.covariates else None
        trial = Trial(video=movie, frame_rate_hz=30, behavior=behavior, name=f"trial {number}")
        mean = predict(model, trial)
        trials.append(trial.replace(responses=random.poisson(mean).astype(np.float32) if noise else mean))
    return trials
