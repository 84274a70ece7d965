"""A small convolutional core with a spatial readout: an encoding model that trains in a minute on two cores.

The core filters space, then time, then space again; each neuron reads the core's features at one learned position of
the image (a "what" vector and a "where" point, as in Lurz et al. 2021 and Sinz et al. 2018), and behavior scales its
response.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neuroreel.encoding.interface import Canvas, EncodingModel


@dataclass(frozen=True, kw_only=True)
class ReadoutConfig:
    """Sizes of the model: the input (frame rate, pixels, neurons, behavior channels) and the filters.

    Attributes
    ----------
    neurons, video_height, video_width, frame_rate_hz, covariates
        The input, taken from the trials. ``covariates`` may be fewer than the behavior channels, down to 0.
    channels, spatial_kernel, stride
        First convolution: number of filters, width in pixels, and stride in pixels.
    temporal_kernel
        Number of past frames that each of these filters sees.
    hidden_channels, hidden_kernel
        Second convolution: number of filters, and width in places.
    position_jitter
        Standard deviation of a neuron's position during training; the frame is 2 wide.
    clip_frames
        Frames in a clip, if a movie is cut into clips (as in the published method).
    """

    neurons: int
    video_height: int
    video_width: int
    frame_rate_hz: float
    covariates: int = 0
    channels: int = 24
    hidden_channels: int = 32
    hidden_kernel: int = 3
    spatial_kernel: int = 9
    temporal_kernel: int = 13
    stride: int = 2
    position_jitter: float = 0.02
    clip_frames: int = 60

    @property
    def feature_size(self) -> tuple[int, int]:
        """Rows and columns of the features that neurons read."""

        def of(size: int) -> int:
            places = (size + 2 * (self.spatial_kernel // 2) - self.spatial_kernel) // self.stride + 1
            return places + 2 * (self.hidden_kernel // 2) - self.hidden_kernel + 1

        return of(self.video_height), of(self.video_width)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a JSON side-car."""
        return asdict(self)


class ReadoutModel(EncodingModel):
    """Convolutions shared by all neurons; each neuron has a position, a feature vector, an offset and a behavior gain.

    1. standardize gray levels; 2. spatial convolution with stride; 3. causal depthwise convolution in time; 4. SiLU;
    5. 3x3 convolution, SiLU; 6. bilinear sample at each neuron's position (jittered during training, to give the
    position
    a long-range gradient); 7. softplus of the weighted features; 8. times exp(gain) of the standardized behavior.
    """

    any_length = True
    response_scale: Tensor  # (neurons,), the mean response
    covariate_mean: Tensor  # (covariates,)
    covariate_std: Tensor  # (covariates,)

    def __init__(self, config: ReadoutConfig) -> None:
        super().__init__()
        self.config = config
        self.canvas = Canvas.plain(config.video_height, config.video_width)
        self.clip_frames = config.clip_frames
        self.warmup_frames = config.temporal_kernel - 1
        self.neurons = config.neurons
        self.covariates = config.covariates
        self.frame_rate_hz = config.frame_rate_hz

        k = config.spatial_kernel
        self.spatial = nn.Conv2d(1, config.channels, k, config.stride, k // 2)
        self.temporal = nn.Conv2d(config.channels, config.channels, (config.temporal_kernel, 1), groups=config.channels)
        h = config.hidden_kernel
        self.hidden = nn.Conv2d(config.channels, config.hidden_channels, h, padding=h // 2)
        self.position = nn.Parameter(torch.empty(config.neurons, 2).uniform_(-0.3, 0.3))  # (x, y), image = -1..1
        self.weight = nn.Parameter(torch.randn(config.neurons, config.hidden_channels) / config.hidden_channels**0.5)
        self.bias = nn.Parameter(torch.zeros(config.neurons))
        self.gain = nn.Parameter(torch.zeros(config.neurons, config.covariates))
        self.register_buffer("response_scale", torch.ones(config.neurons))
        self.register_buffer("covariate_mean", torch.zeros(config.covariates))
        self.register_buffer("covariate_std", torch.ones(config.covariates))

        with torch.no_grad():
            self.spatial.weight.copy_(gabor_filters(config.channels, config.spatial_kernel))
            self.temporal.weight.copy_(delay_kernels(config.channels, config.temporal_kernel))

    @torch.no_grad()
    def standardize(self, response_mean: Tensor, covariate_mean: Tensor, covariate_std: Tensor) -> None:
        """Set the scales: mean response (neurons,), the behavior's mean and standard deviation (covariates,)."""
        self.response_scale.copy_(response_mean.clamp_min(1e-3))
        self.covariate_mean.copy_(covariate_mean[: self.covariates])
        self.covariate_std.copy_(covariate_std[: self.covariates].clamp_min(1e-6))

    def receptive_field_centers(self) -> Tensor:
        """(neurons, 2): row and column of each neuron's receptive field, 0..1 across the movie."""
        return (self.position.detach().clamp(-1, 1).flip(1) + 1) / 2

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (batch, 1 + covariates, frames, height, width) to responses (batch, neurons, frames)."""
        batch, frames = clips.shape[0], clips.shape[2]
        features = self.features(self.filtered(clips), batch=batch, frames=frames)
        return self.answer(self.read(features, batch=batch), clips)

    def filtered(self, clips: Tensor) -> Tensor:
        """The first convolution of each frame: (batch * frames, channels, rows, columns)."""
        return self.spatial(channels_last(grey_of(clips)))

    def features(self, filtered: Tensor, *, batch: int, frames: int) -> Tensor:
        """What the first convolution found, to what neurons read: (batch * frames, channels, rows, columns).

        Channels are last in memory throughout, which makes the depthwise and 3x3 convolutions several times faster on
        a CPU.
        """
        rows, columns = filtered.shape[-2:]
        x = channels_last(filtered).permute(0, 2, 3, 1).reshape(batch, frames, rows * columns, -1)
        before = x[:, :1].expand(-1, self.warmup_frames, -1, -1)  # the first frame is taken to have stood before
        x = nn.functional.silu(self.temporal(torch.cat([before, x], dim=1).permute(0, 3, 1, 2)))
        x = x.permute(0, 2, 3, 1).reshape(batch * frames, rows, columns, -1).permute(0, 3, 1, 2)
        return nn.functional.silu(self.hidden(x))

    def read(self, features: Tensor, *, batch: int) -> Tensor:
        """(batch * frames, hidden, rows, columns), weighted at the neurons' positions: (batch, frames, neurons)."""
        position = self.position.clamp(-1, 1).expand(batch, -1, -1)
        if self.training:
            position = position + self.config.position_jitter * torch.randn_like(position)
        grid = position.repeat_interleave(len(features) // batch, dim=0)[:, None]  # (batch * frames, 1, neurons, 2)
        if features.requires_grad:
            features.register_hook(channels_last)  # grid_sample's gradient lies otherwise, which slows all before it
        sampled = nn.functional.grid_sample(features, grid, align_corners=False, padding_mode="border")[:, :, 0]
        return (sampled * self.weight.T).sum(dim=1).unflatten(0, (batch, -1))

    def answer(self, drive: Tensor, clips: Tensor) -> Tensor:
        """From drive (batch, frames, neurons) and the clips' behavior to responses (batch, neurons, frames)."""
        rate = nn.functional.softplus(drive.transpose(1, 2) + self.bias[:, None])
        return self.response_scale[:, None] * rate * self._behavior_gain(clips[:, 1:, :, 0, 0])

    def _behavior_gain(self, covariates: Tensor) -> Tensor | float:
        """(batch, covariates, frames) to a factor (batch, neurons, frames)."""
        if not self.covariates:
            return 1.0
        z = (covariates - self.covariate_mean[:, None]) / self.covariate_std[:, None]
        # the bound keeps unfamiliar behavior from making responses explode
        return torch.einsum("bct,nc->bnt", z.clamp(-5, 5), self.gain).clamp(-3, 3).exp()


def grey_of(clips: Tensor) -> Tensor:
    """The movie of clips, one image after the other (batch * frames, 1, height, width), standardized."""
    return ((clips[:, 0] - 127.5) / 60.0).flatten(0, 1)[:, None]


def channels_last(images: Tensor) -> Tensor:
    """The same images; values of a pixel lie together in memory."""
    return images.contiguous(memory_format=torch.channels_last)


def gabor_filters(count: int, size: int) -> Tensor:
    """Random Gabor filters (count, 1, size, size) of unit norm, in quadrature pairs, to start training from."""
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    pairs = (count + 1) // 2
    angle = torch.rand(pairs, 1, 1) * torch.pi
    frequency = 0.3 + 1.2 * torch.rand(pairs, 1, 1)  # cycles in half a filter
    phase = torch.rand(pairs, 1, 1) * 2 * torch.pi
    wave = 2 * torch.pi * frequency * (x * angle.cos() + y * angle.sin()) + phase
    envelope = torch.exp(-(x**2 + y**2) / (2 * 0.5**2))
    filters = torch.stack([envelope * wave.cos(), envelope * wave.sin()], dim=1).flatten(0, 1)[:count]
    return (filters / filters.flatten(1).norm(dim=1)[:, None, None])[:, None]


def delay_kernels(count: int, taps: int) -> Tensor:
    """Causal kernels (count, 1, taps, 1): a delayed bump, minus a later one in every other pair of channels."""
    lag = torch.arange(taps).flip(0).float()  # the last tap is the current frame
    peak = taps * (0.15 + 0.35 * torch.rand((count + 1) // 2, 1)).repeat_interleave(2, dim=0)[:count]
    width = taps * 0.12
    bump = torch.exp(-0.5 * ((lag - peak) / width) ** 2)
    later = torch.exp(-0.5 * ((lag - peak - 2 * width) / width) ** 2)
    biphasic = (torch.arange(count) // 2 % 2).float()[:, None] * 0.8
    return ((bump - biphasic * later) / bump.sum(dim=1, keepdim=True))[:, None, :, None]
