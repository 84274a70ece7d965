"""The simulated mouse itself as an encoding model: no other can be better, so it is a ceiling."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from neuroreel.decoding.decoder import read_arrays, write_arrays
from neuroreel.encoding.interface import Canvas, EncodingModel
from neuroreel.grey import MID_GREY
from neuroreel.posterior.noise import NoiseModel
from neuroreel.recordings.simulate.behavior import HALF_SPEED_CM_PER_S, PUPIL_AROUSAL_PIXELS, PUPIL_PIXELS
from neuroreel.recordings.simulate.calcium import image
from neuroreel.recordings.simulate.population import HALF_SATURATION
from neuroreel.recordings.simulate.truth import SimulatedTruth

NOISE = "neuroreel noise model"
SMALLEST = 1e-12  # added inside an energy cell's root, whose slope is infinite at 0


class TrueSimulator(EncodingModel):
    """Mean responses of a simulated population, differentiable with respect to the movie.

    The same equations as ``Population.expect``, with the trial's behavior; before and after the trial the behavior is
    taken to stay as it is at its ends, for a trial does not tell.
    """

    any_length = True
    covariates = 2  # pupil dilation and running speed

    def __init__(self, truth: SimulatedTruth) -> None:
        super().__init__()
        population, fields = truth.population, truth.population.fields
        height, width = fields.even.shape[1:]
        self.canvas = Canvas.plain(height, width)
        self.neurons = len(fields.even)
        self.frame_rate_hz = population.frame_rate_hz
        self.clip_frames = round(population.frame_rate_hz)
        self.around = population.lead, population.tail
        columns = {
            "selective": fields.direction_selectivity,
            "cosine": np.cos(fields.phase),
            "sine": np.sin(fields.phase),
            "scale": fields.scale,
            **{
                name: getattr(population, name)
                for name in ("threshold", "exponent", "baseline", "amplitude", "pupil_gain", "running_gain")
            },
        }
        for name, values in columns.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None])
        self.register_buffer("complex", torch.from_numpy(fields.kind == "complex")[:, None])
        self.register_buffer("delay", torch.tensor(population.scan_delay, dtype=torch.float32))
        filters = np.concatenate([fields.even, fields.odd]).reshape(2 * self.neurons, -1)
        self.register_buffer("filters", torch.from_numpy(filters))
        self.register_buffer("kernels", torch.from_numpy(np.stack([fields.early, fields.late])).flip(-1).contiguous())

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (batch, 3, frames, height, width) to mean responses (batch, neurons, frames)."""
        frames, (lead, tail) = clips.shape[2], self.around
        video = pad(clips[:, 0].flatten(2), (0, 0, *self.around), value=MID_GREY)
        behavior = pad(clips[:, 1:, :, 0, 0], self.around, mode="replicate")
        above = (self._drive(video) - self.get_buffer("threshold")).clamp_min(0) / HALF_SATURATION
        power = above ** self.get_buffer("exponent")
        pupil = ((behavior[:, :1] - PUPIL_PIXELS) / PUPIL_AROUSAL_PIXELS).clamp(-2.5, 2.5)
        running = behavior[:, 1:] / (behavior[:, 1:] + HALF_SPEED_CM_PER_S)
        gain = (self.get_buffer("pupil_gain") * pupil + self.get_buffer("running_gain") * running).exp()
        rates = self.get_buffer("amplitude") * (self.get_buffer("baseline") + power / (1 + power)) * gain
        seen = torch.zeros_like(rates[..., lead : lead + frames])
        for delay in self.get_buffer("delay").unique():
            own = (self.get_buffer("delay") == delay).nonzero().flatten()
            matrix = _imaging(lead + frames + tail, self.frame_rate_hz, float(delay))[:, lead : lead + frames]
            seen = seen.index_copy(1, own, rates[:, own] @ matrix.to(rates))
        return seen

    def _drive(self, video: Tensor) -> Tensor:
        """Drive of the receptive fields, (batch, frames, pixels) to (batch, neurons, frames): ReceptiveFields.drive."""
        even, odd = (self.get_buffer("filters") @ (video / 127.5 - 1).mT).chunk(2, dim=1)
        selective = self.get_buffer("selective")
        cosine = self._in_time(even, 0) + selective * self._in_time(odd, 1)
        sine = self._in_time(odd, 0) - selective * self._in_time(even, 1)
        linear = self.get_buffer("cosine") * cosine + self.get_buffer("sine") * sine
        energy = (cosine.square() + sine.square() + SMALLEST).sqrt()
        return torch.where(self.get_buffer("complex"), energy, linear) * self.get_buffer("scale")

    def _in_time(self, signal: Tensor, kernel: int) -> Tensor:
        """Causal convolution of each neuron's signal with its own kernel: 0 is early, 1 is late."""
        kernels = self.get_buffer("kernels")[kernel]
        return conv1d(pad(signal, (kernels.shape[1] - 1, 0)), kernels[:, None], groups=self.neurons)


def save_noise(noise: NoiseModel, file: Path) -> None:
    """Write only a noise model: the simulator has no file, so its posterior cannot be saved."""
    arrays = {name: value.numpy() for name, value in vars(noise).items() if isinstance(value, Tensor)}
    write_arrays(file, arrays, {"held_out": noise.held_out}, kind=NOISE, overwrite=True)


def load_noise(file: Path) -> NoiseModel:
    """Read what ``save_noise`` wrote."""
    arrays, facts, _ = read_arrays(file, formats=(NOISE,))
    tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return NoiseModel(**tensors, held_out=bool(facts["held_out"]))


@lru_cache(maxsize=64)
def _imaging(frames: int, frame_rate_hz: float, delay: float) -> Tensor:
    """(frames, frames): the calcium signal of an event in each frame; signals of several events add up."""
    events = np.eye(frames)
    made = image(events, before=events[:, 0], frame_rate_hz=frame_rate_hz, delays=np.full(frames, delay))
    return torch.from_numpy(made)
