"""A convolutional decoder: the ridge movie, corrected by a small space-time network that sees every neuron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroreel.decoding.decoder import Decoder, read_arrays, write_arrays
from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.grey import MID_GREY
from neuroreel.recordings.trial import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELLS = 600  # about how many cells the grid of neurons has
CHUNK_FRAMES = 600  # decoded at once
CONTRAST = 60.0  # gray levels: the unit of the network's movies


@dataclass(frozen=True, kw_only=True)
class ConvolutionalConfig:
    """Sizes of the network.

    Parameters
    ----------
    neurons, video_height, video_width
        As in the recording.
    lags
        First and last frame of the responses that decode a frame, counted from that frame.
    channels
        Channels per neuron on the grid.
    hidden_channels, blocks, temporal_kernel
        Sizes of the space-time convolutions.
    dropout
        Fraction of hidden channels dropped in each training clip.
    """

    neurons: int
    video_height: int
    video_width: int
    lags: tuple[int, int]
    channels: int = 24
    hidden_channels: int = 32
    blocks: int = 4
    temporal_kernel: int = 5
    dropout: float = 0.1

    @property
    def stride(self) -> int:
        """Pixels per grid cell, along each axis."""
        return max(1, round((self.video_height * self.video_width / CELLS) ** 0.5))

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return -(-self.video_height // self.stride), -(-self.video_width // self.stride)


class ConvolutionalNetwork(nn.Module):
    """Predicts the error of ridge regression from all neurons and the ridge movie.

    1. Each neuron adds its response, in several channels with its own weights, to the grid at its receptive field; 2.
    each channel is filtered over the lags; 3. the ridge movie's pixels join, as channels of their cell; 4. residual
    blocks convolve in space, and over time within each channel; 5. the output is a correction of each cell's pixels.
    The last layer starts at zero: before training the movie is the ridge movie.
    """

    def __init__(self, config: ConvolutionalConfig, positions: Tensor) -> None:
        super().__init__()
        self.config = config
        hidden, pixels = config.hidden_channels, config.stride**2
        first, last = config.lags
        self.positions = nn.Parameter(positions.clone())  # (neurons, 2): row and column of the grid
        self.weight = nn.Parameter(torch.randn(config.neurons, config.channels) / config.channels**0.5)
        self.lag_filter = nn.Conv2d(config.channels, config.channels, (last - first + 1, 1), groups=config.channels)
        nn.init.normal_(self.lag_filter.weight, std=1 / (last - first + 1))
        self.join = nn.Conv2d(config.channels + pixels, hidden, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(hidden, config.temporal_kernel) for _ in range(config.blocks))
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = nn.Conv2d(hidden, pixels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, responses: Tensor, ridge: Tensor) -> Tensor:
        """The corrected movie.

        Parameters
        ----------
        responses
            (batch, neurons, frames), z-scored roots.
        ridge
            (batch, frames, height, width): the ridge movie, as (gray level - 127.5) / 60.

        Returns
        -------
        (batch, frames, height, width) Tensor
        In units of ``ridge``.
        """
        batch, frames, height, width = ridge.shape
        rows, columns = self.config.grid
        stride = self.config.stride
        padding = (0, columns * stride - width, 0, rows * stride - height)
        cells = nn.functional.pixel_unshuffle(nn.functional.pad(ridge.flatten(0, 1)[:, None], padding), stride)
        laid = self._lay(responses)  # (batch, channels, frames, rows * columns)
        laid = self.lag_filter(self._around(laid))
        laid = laid.permute(0, 2, 1, 3).reshape(batch * frames, -1, rows, columns)
        x = self.join(_channels_last(torch.cat([laid, cells], dim=1)))
        for block in self.blocks:
            x = x + self.dropout(block(x, frames))
        correction = nn.functional.pixel_shuffle(self.head(nn.functional.silu(x)), stride)
        return ridge + correction[:, 0, :height, :width].unflatten(0, (batch, frames))

    def _lay(self, responses: Tensor) -> Tensor:
        """Each neuron's channels, split among the four cells around its position: (batch, channels, frames, cells)."""
        rows, columns = self.config.grid
        batch, _, frames = responses.shape
        channels = responses.permute(1, 0, 2)[..., None] * self.weight[:, None, None]
        channels = channels.flatten(1)  # (neurons, batch * frames * channels)
        row = self.positions[:, 0].clamp(0, rows - 1)
        column = self.positions[:, 1].clamp(0, columns - 1)
        top, left = (
            axis.detach().floor().clamp(0, max(0, most - 2)) for axis, most in ((row, rows), (column, columns))
        )
        laid = channels.new_zeros(rows * columns, channels.shape[1])
        for down in (0, 1) if rows > 1 else (0,):
            for right in (0, 1) if columns > 1 else (0,):
                share = (1 - (row - top - down).abs()) * (1 - (column - left - right).abs())
                cell = ((top + down) * columns + left + right).long()
                laid = laid.index_add(0, cell, channels * share[:, None])
        return laid.view(rows * columns, batch, frames, -1).permute(1, 3, 2, 0)

    def _around(self, laid: Tensor) -> Tensor:
        """Pad with the frames that the lags reach before and after: zeros, which mean average responses."""
        first, last = self.config.lags
        kept = laid[:, :, max(0, first) : laid.shape[2] + min(0, last)]
        return nn.functional.pad(kept, (0, 0, max(0, -first), max(0, last)))


class _Block(nn.Module):
    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Conv2d(channels, channels, (taps, 1), padding=(taps // 2, 0), groups=channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(batch * frames, channels, rows, columns) to the same."""
        rows, columns = x.shape[-2:]
        x = nn.functional.silu(self.space(nn.functional.silu(x)))
        x = x.permute(0, 2, 3, 1).reshape(-1, frames, rows * columns, x.shape[1]).permute(0, 3, 1, 2)
        x = self.time(x).permute(0, 2, 3, 1)
        return x.reshape(-1, rows, columns, x.shape[-1]).permute(0, 3, 1, 2)


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvolutionalDecoder(Decoder):
    """A trained network on top of a ridge decoder. Made by ``fit_decoder(..., kind="convolutional")``.

    Parameters
    ----------
    frame_rate_hz
        Frame rate of the trials it was fitted to and decodes.
    ridge
        The ridge decoder that the network corrects.
    network
        In evaluation mode, on the CPU.
    log
        One row per validation: "step", and root mean squared errors in gray levels on validation trials
        ("validation_error") and on training clips since the last row ("training_error"). Step 0 is the ridge movie and
        has no training error.
    residual_covariance, residual_autocorrelation
        Statistics of truth - decoded on validation trials, as in ``RidgeDecoder``.
    """

    FORMAT: ClassVar[str] = "neuroreel convolutional decoder"

    frame_rate_hz: float
    ridge: RidgeDecoder
    network: ConvolutionalNetwork
    log: tuple[Mapping[str, float], ...]
    residual_covariance: NDArray[np.float32] | None
    residual_autocorrelation: NDArray[np.float32]

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return self.ridge.neurons

    def movie(self, trial: Trial) -> NDArray[np.float32]:
        """The movie of a trial, clipped to 0..255."""
        return corrected(self.network, self.ridge.features.standardized(trial), self.ridge.movie(trial))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write one safetensors file with everything in it."""
        ridge, ridge_facts = self.ridge.to_arrays()
        arrays = {f"ridge.{name}": array for name, array in ridge.items()}
        arrays |= {f"network.{name}": weight.numpy() for name, weight in self.network.state_dict().items()}
        arrays["residual_autocorrelation"] = self.residual_autocorrelation
        if self.residual_covariance is not None:
            arrays["residual_covariance"] = self.residual_covariance
        facts = {"ridge": ridge_facts, "config": asdict(self.network.config), "log": [dict(row) for row in self.log]}
        return write_arrays(path, arrays, facts, kind=self.FORMAT, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> ConvolutionalDecoder:
        """Read what ``save`` wrote; InputError if the file is missing, damaged or something else."""
        arrays, facts, _ = read_arrays(path, formats=(cls.FORMAT,))
        return cls.from_arrays(arrays, facts)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> ConvolutionalDecoder:
        """Rebuild the decoder from the arrays that ``save`` wrote."""

        def part(name: str) -> dict[str, NDArray[Any]]:
            return {key.removeprefix(name): array for key, array in arrays.items() if key.startswith(name)}

        config = ConvolutionalConfig(**facts["config"] | {"lags": tuple(facts["config"]["lags"])})
        network = ConvolutionalNetwork(config, torch.zeros(config.neurons, 2))
        network.load_state_dict({name: torch.from_numpy(array) for name, array in part("network.").items()})
        return cls(
            frame_rate_hz=facts["ridge"]["frame_rate_hz"],
            ridge=RidgeDecoder.from_arrays(part("ridge."), facts["ridge"]),
            network=network.eval(),
            log=tuple(facts["log"]),
            residual_covariance=arrays.get("residual_covariance"),
            residual_autocorrelation=arrays["residual_autocorrelation"],
        )

    def plot(self) -> Figure:
        """Like a ridge decoder's, plus the validation error over training; drawn without pyplot."""
        from neuroreel.decoding.pictures import decoder_figure

        return decoder_figure(self.ridge, self.log)

    def _repr_html_(self) -> str:
        from neuroreel.decoding.pictures import decoder_html

        return decoder_html(self.ridge, repr(self), self.log)

    def __repr__(self) -> str:
        best = min(self.log, key=lambda row: row["validation_error"])
        return (
            f"ConvolutionalDecoder({self.neurons} neurons; {best['step']:.0f} steps; error on validation trials "
            f"{best['validation_error']:.1f} grey levels, of ridge {self.log[0]['validation_error']:.1f})"
        )


@torch.no_grad()
def corrected(network: ConvolutionalNetwork, responses: Tensor, ridge: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's movie (frames, height, width) in gray levels 0..255, computed in chunks of frames.

    Parameters
    ----------
    responses
        (frames, neurons), z-scored roots.
    ridge
        (frames, height, width): ridge regression's movie.
    """
    config, device = network.config, network.weight.device
    reach = config.blocks * (config.temporal_kernel // 2)  # frames on either side that a frame depends on, lags aside
    before, after = reach + max(0, -config.lags[0]), reach + max(0, config.lags[1])
    frames = len(ridge)
    movie = np.empty_like(ridge)
    for start in range(0, frames, CHUNK_FRAMES):
        stop = min(frames, start + CHUNK_FRAMES)
        first, last = max(0, start - before), min(frames, stop + after)
        given = (
            responses[first:last].T[None].to(device),
            to_contrast(torch.from_numpy(ridge[first:last]))[None].to(device),
        )
        found = network(*given)[0, start - first : stop - first].cpu()
        movie[start:stop] = (found * CONTRAST + MID_GREY).clamp_(0, 255).numpy()
    return movie


def to_contrast(levels: Tensor) -> Tensor:
    """Gray levels 0..255 in the unit of the network."""
    return (levels - MID_GREY) / CONTRAST
