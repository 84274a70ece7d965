"""DwiseNeuro, the encoding model that won Sensorium 2023 (R. Baikulov), built from its description.

A clip goes through depthwise 3-D convolutions (the core), is averaged over space, then through grouped 1x1 convolutions
over time (the cortex) to one readout per mouse.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroreel.encoding.dwiseneuro.layers import PositionCode, SqueezeExcite, StochasticDepth, tile_channels
from neuroreel.encoding.interface import Canvas, EncodingModel
from neuroreel.errors import InputError
from neuroreel.masks import centered_place


@dataclass(frozen=True, kw_only=True)
class DwiseNeuroConfig:
    """Sizes of a DwiseNeuro; the defaults are those of the reconstruction paper, except for its ten mice.

    Attributes
    ----------
    readout_neurons, in_channels
        Neurons of each mouse, and input channels (movie and behavior); taken from the trials.
    core_features, spatial_strides
        Channels and stride of each block of the core.
    spatial_kernel, temporal_kernel
        Width (pixels) and length (frames) of a block's filters.
    expansion_ratio
        Factor by which a block is wider inside.
    se_reduce_ratio
        Factor by which a block's gate has fewer channels.
    cortex_features
        Channels of each layer between core and readouts.
    groups
        Groups of the convolutions in cortex and readouts.
    softplus_beta
        Sharpness of the softplus that makes responses positive.
    drop_rate, drop_path_rate
        Dropout before the readouts, and stochastic depth of the last block, during training.
    """

    readout_neurons: tuple[int, ...]
    in_channels: int = 5
    core_features: tuple[int, ...] = (64, 64, 64, 64, 128, 128, 128, 256, 256)
    spatial_strides: tuple[int, ...] = (2, 1, 1, 1, 2, 1, 1, 2, 1)
    spatial_kernel: int = 3
    temporal_kernel: int = 5
    expansion_ratio: int = 7
    se_reduce_ratio: int = 32
    cortex_features: tuple[int, ...] = (1024, 2048, 4096)
    groups: int = 2
    softplus_beta: float = 0.07
    drop_rate: float = 0.4
    drop_path_rate: float = 0.1

    @classmethod
    def from_published(cls, parameters: Mapping[str, Any]) -> DwiseNeuroConfig:
        """From the ``nn_module`` parameters in a published checkpoint, where the first key has another name."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}
        known["readout_neurons"] = known.pop("readout_outputs", ())
        unknown = known.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise InputError(f"the checkpoint's model has settings that DwiseNeuro does not know: {sorted(unknown)}")
        return cls(**known)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a JSON side-car."""
        return asdict(self)


class Block(nn.Module):
    """An inverted residual block: expand, filter space, filter time, gate, project, and add the resized input."""

    def __init__(
        self, config: DwiseNeuroConfig, channels: int, out_channels: int, stride: int, drop_path: float
    ) -> None:
        super().__init__()
        wide = channels * config.expansion_ratio
        k, t = config.spatial_kernel, config.temporal_kernel
        spatial = nn.Conv3d(wide, wide, (1, k, k), (1, stride, stride), (0, k // 2, k // 2), groups=wide, bias=False)
        temporal = nn.Conv3d(wide, wide, (t, 1, 1), padding=(t // 2, 0, 0), groups=wide, bias=False)
        self.expansion = nn.Sequential(nn.Conv3d(channels, wide, 1, bias=False), nn.BatchNorm3d(wide), nn.SiLU())
        self.spatial = nn.Sequential(spatial, nn.BatchNorm3d(wide), nn.SiLU())
        self.temporal = nn.Sequential(temporal, nn.BatchNorm3d(wide), nn.SiLU())
        self.excitation = SqueezeExcite(wide, max(1, wide // config.se_reduce_ratio))
        self.projection = nn.Sequential(nn.Conv3d(wide, out_channels, 1, bias=False), nn.BatchNorm3d(out_channels))
        self.drop_path = StochasticDepth(drop_path)
        self.shortcut_norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames, height, width) to the block's channels and stride."""
        y = self.projection(self.excitation(self.temporal(self.spatial(self.expansion(x)))))
        shortcut = nn.functional.interpolate(x, size=y.shape[2:], mode="nearest") if x.shape[2:] != y.shape[2:] else x
        return self.drop_path(y) + self.shortcut_norm(tile_channels(shortcut, y.shape[1]))


class CortexLayer(nn.Module):
    """A grouped 1x1 convolution over time, a channel shuffle, and a tiled shortcut."""

    def __init__(self, channels: int, out_channels: int, groups: int, drop_path: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out_channels, 1, groups=groups, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)
        self.drop_path = StochasticDepth(drop_path)
        self.shortcut_norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) to (batch, out channels, frames)."""
        y = nn.functional.silu(self.norm(self.conv(x)))
        y = y.unflatten(1, (self.conv.groups, -1)).transpose(1, 2).flatten(1, 2)
        return self.drop_path(y) + self.shortcut_norm(tile_channels(x, y.shape[1]))


class Readout(nn.Module):
    """From the cortex to one mouse's neurons: dropout over channels, a grouped 1x1 convolution, softplus."""

    def __init__(self, config: DwiseNeuroConfig, channels: int, neurons: int) -> None:
        super().__init__()
        outputs = math.ceil(neurons / config.groups) * config.groups  # grouped convolutions need a multiple
        self.neurons = neurons
        self.dropout = nn.Dropout1d(config.drop_rate)
        self.conv = nn.Conv1d(channels, outputs, 1, groups=config.groups)
        self.softplus = nn.Softplus(beta=config.softplus_beta)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) to (batch, neurons, frames), in single precision at least."""
        drive = self.conv(self.dropout(x))[:, : self.neurons]
        return self.softplus(drive.to(torch.promote_types(drive.dtype, torch.float32)))


class DwiseNeuroNetwork(nn.Module):
    """The whole network: one core and cortex, one readout per mouse."""

    def __init__(self, config: DwiseNeuroConfig) -> None:
        super().__init__()
        self.config = config
        features = config.core_features
        if len(features) != len(config.spatial_strides):
            raise InputError(
                f"core_features names {len(features)} blocks, spatial_strides {len(config.spatial_strides)}; "
                "give one number of channels and one stride per block"
            )
        if not config.readout_neurons:
            raise InputError("readout_neurons is empty; a model needs at least one readout")
        blocks: list[nn.Module] = []
        for index, stride in enumerate(config.spatial_strides):
            width, out = features[index], features[min(index + 1, len(features) - 1)]
            # stochastic depth grows with depth, from nothing to drop_path_rate
            rate = config.drop_path_rate * index / len(features)
            blocks += [PositionCode(width), Block(config, width, out, stride, rate)]
        stem = nn.Conv3d(config.in_channels, features[0], 1, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm3d(features[0]))
        self.core = nn.Sequential(*blocks)
        widths = (features[-1], *config.cortex_features)
        self.cortex = nn.Sequential(
            *[CortexLayer(width, out, config.groups, 0.0) for width, out in itertools.pairwise(widths)]
        )
        self.readouts = nn.ModuleList(Readout(config, widths[-1], neurons) for neurons in config.readout_neurons)

    def features(self, clips: Tensor) -> Tensor:
        """(batch, channels, frames, height, width) to the cortex's output (batch, features, frames)."""
        return self.cortex(self.core(self.stem(clips)).mean(dim=(3, 4)))

    def forward(self, clips: Tensor, readout: int) -> Tensor:
        """Responses (batch, neurons, frames) of one readout's neurons."""
        return self.readouts[readout](self.features(clips))


class DwiseNeuro(EncodingModel):
    """A DwiseNeuro network seen through one of its readouts.

    Clips of 16 frames, every second frame; five channels on a square canvas: the video in the middle with 0 around it,
    then pupil dilation, running speed and pupil center (Baikulov 2023).

    Parameters
    ----------
    network
        The network, which other models may share.
    readout
        Which mouse's neurons, by number (from 0) or name.
    video_size
        (height, width) of the movies in pixels.
    frame_rate_hz
        Frames per second of the movies and responses.
    readout_names
        The recording of each readout; empty if unknown.
    """

    clip_frames = 16
    clip_stride = 2

    def __init__(
        self,
        network: DwiseNeuroNetwork,
        *,
        readout: int | str,
        video_size: tuple[int, int] = (36, 64),
        frame_rate_hz: float = 30.0,
        readout_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        counts = network.config.readout_neurons
        self.network = network
        self.readout_names = tuple(readout_names)
        self.readout = readout_number(readout, count=len(counts), names=self.readout_names)
        self.neurons = counts[self.readout]
        self.covariates = network.config.in_channels - 1
        self.canvas = square_canvas(*video_size)
        self.frame_rate_hz = frame_rate_hz

    @property
    def readout_count(self) -> int:
        """Number of readouts, one per recording."""
        return len(self.network.config.readout_neurons)

    def of_readout(self, readout: int | str) -> DwiseNeuro:
        """The model of another recording's neurons, by number or name; it shares the network with this one.

        Raises
        ------
        InputError
            No such readout; the message lists the readouts.
        """
        model = DwiseNeuro(
            self.network,
            readout=readout,
            video_size=self.canvas.video_size,
            frame_rate_hz=self.frame_rate_hz,
            readout_names=self.readout_names,
        )
        model.training_log, model.training_split = self.training_log, self.training_split
        model.training = self.training  # not train(): it would reach into the network that is shared
        return model

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (batch, 5, 16, 64, 64) to responses (batch, neurons, 16)."""
        return self.network(clips, self.readout)


def readout_number(readout: int | str, *, count: int, names: Sequence[str]) -> int:
    """The number of a readout given by number or name; InputError lists the readouts if it is unknown."""
    if len(names) not in (0, count) or len(set(names)) < len(names):
        raise InputError(f"the readouts are named {list(names)}; give each of the {count} a name of its own, or none")
    if isinstance(readout, str) and readout in names:
        return names.index(readout)
    if isinstance(readout, int | np.integer) and not isinstance(readout, bool) and 0 <= readout < count:
        return int(readout)
    called = f" ({', '.join(names)})" if names else ", and their names are not known"
    raise InputError(f"there is no readout {readout!r}; this model has readouts 0..{count - 1}, one per mouse{called}")


def square_canvas(height: int, width: int) -> Canvas:
    """The smallest square canvas with the video in its middle and 0 around it: 64 x 64 for the published 36 x 64."""
    side = max(height, width)
    top, left = centered_place((height, width), (side, side))
    return Canvas(height=side, width=side, video_height=height, video_width=width, top=top, left=left)
