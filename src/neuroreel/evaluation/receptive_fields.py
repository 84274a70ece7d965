"""Receptive fields of an encoding model's neurons, from sparse light and dark spots.

Source: Bauer, Margrie & Clopath, eLife 2026, supplement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.arguments import instance_of, whole_number
from neuroreel.devices import choose_device
from neuroreel.encoding.checks import as_ensemble, check_movie_fits
from neuroreel.encoding.interface import EncodingModel, device_of, frozen
from neuroreel.errors import InputError
from neuroreel.grey import MID_GREY
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.recording import Recording
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import collect_provenance, format_of, hash_model, to_json
from neuroreel.stimuli.screen import SENSORIUM_SCREEN, Screen
from neuroreel.stimuli.sparse import SparsePixels

KIND = "receptive_fields"


def receptive_fields(
    models: EncodingModel | Sequence[EncodingModel],
    recording: Recording | None = None,
    *,
    size_px: int = 1,
    size_deg: float | None = None,
    step_px: int | None = None,
    before_s: float = 0.5,
    shown_s: float = 0.5,
    after_s: float = 0.5,
    contrast: float = 1.0,
    screen: Screen = SENSORIUM_SCREEN,
    clips: str = "window",
    padding: float | None = None,
    clips_at_once: int = 4,
    device: str | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Map receptive fields: the predicted response to a spot at each place minus the response to a gray screen.

    1. A movie for each place, light (ON) and dark (OFF): gray, the spot, gray (see ``SparsePixels``). 2. The models
    predict responses to it and to a gray screen, with behavior fixed at its mean. 3. A place's value is the
    mean over the frames that show the spot of the difference, 4. averaged over the models. The published code gets the
    last step wrong and keeps only the last model; map ``models[-1]`` to reproduce that.

    Parameters
    ----------
    models
        One encoding model, or several of the same neurons.
    recording
        Provides the mean behavior; not needed for models without behavior.
    size_px, size_deg, step_px, before_s, shown_s, after_s, contrast, screen
        See ``SparsePixels``. By default a spot is a pixel, and times are the published ones.
    clips
        Which clips a model of fixed clip length sees. "window": the interleaved clips of one window around the spot,
        2 for DwiseNeuro. "all": every clip that contains a frame with the spot, averaged as in ``predict`` and as
        published, 15 for DwiseNeuro and seven times the work. Ignored for models of any length.
    padding
        Gray level around the movie on the models' canvas, by default that of training. The published code uses
        127.5.
    clips_at_once
        Clips that go through a model together; limits memory. A DwiseNeuro of the paper's size needs about 0.6 GiB per
        clip.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps"; the models are moved there and back. By default each stays on its
        own device.
    progress
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        ``on`` and ``off`` (neuron, row, column) float32: response to a light and to a dark spot, minus ``baseline``
        (neuron), the response to gray. Coordinates are the centers of the spots, ``row`` and ``column`` in pixels,
        ``elevation`` and ``azimuth`` in degrees from the middle of the flat screen.

    Raises
    ------
    InputError
        Models that do not fit together or the recording, missing behavior, stimuli too short for a model, spots that do
        not fit, or predictions that are not finite.
    ResourceError
        The device is not available.
    """
    ensemble = as_ensemble(models)
    whole_number(clips_at_once, name="clips_at_once")
    where = None if device is None else choose_device(device)
    height, width = ensemble[0].canvas.video_size
    stimuli = SparsePixels(
        height=height,
        width=width,
        frame_rate_hz=ensemble[0].frame_rate_hz,
        size_px=size_px,
        size_deg=size_deg,
        step_px=step_px,
        before_s=before_s,
        shown_s=shown_s,
        after_s=after_s,
        contrast=contrast,
        screen=screen,
    )
    trial = _grey_trial(ensemble, recording, stimuli)
    mappers = [
        _Mapper(model, trial, stimuli, *_clips_to_show(model, stimuli, clips), padding=padding) for model in ensemble
    ]
    with frozen(ensemble, device=where):
        predicted = _mean_responses(mappers, clips_at_once=clips_at_once, progress=progress)
    settings = asdict(stimuli) | {"clips": clips, "padding": padding, "models": len(ensemble)}
    hashes = {f"model_{number}": hash_model(model) for number, model in enumerate(ensemble)}
    dataset = _as_dataset(predicted, stimuli, neuron_ids=None if recording is None else recording.unit_ids)
    provenance = to_json(collect_provenance(settings=settings, hashes=hashes, device=device))
    return dataset.assign_attrs(recording=trial.recording, simulated=int(trial.simulated), provenance=provenance)


def _grey_trial(ensemble: Sequence[EncodingModel], recording: Recording | None, stimuli: SparsePixels) -> Trial:
    """A gray screen as long as a spot's movie, with the mean behavior, checked against all models."""
    grey = np.full((stimuli.frames, stimuli.height, stimuli.width), MID_GREY, np.float32)
    if recording is None:
        if any(model.covariates for model in ensemble):
            raise InputError(
                "the models take behavior; pass the recording, for its mean: nr.receptive_fields(models, recording)"
            )
        trial = Trial(video=grey, frame_rate_hz=stimuli.frame_rate_hz, name="sparse pixels")
    else:
        if instance_of(recording, Recording, name="recording").neurons not in (0, ensemble[0].neurons):
            raise InputError(
                f"{recording.name} has {recording.neurons} neurons, the models predict {ensemble[0].neurons}: "
                "are they readouts of another recording?"
            )
        trial = recording.trial_showing(grey, name="sparse pixels")
    for model in ensemble:
        check_movie_fits(model, trial)
    return trial


def _clips_to_show(model: EncodingModel, stimuli: SparsePixels, clips: str) -> tuple[Tensor, Tensor]:
    """(clips, clip frames): frames of the movie that the model sees, and the weight of each in the mean.

    Where clips overlap, a frame's response is the mean over them; only frames with the spot count. So the mean response
    is a weighted sum, and clips that add nothing to it need not be computed.
    """
    if clips not in ("window", "all"):
        raise InputError(f"clips is {clips!r}; it must be 'window' or 'all'")
    if model.any_length:
        frames = torch.arange(stimuli.frames)[None]
    else:
        first = torch.arange(stimuli.frames - (model.clip_frames - 1) * model.clip_stride)
        starts = first if clips == "all" else _window_starts(model, stimuli)
        frames = starts[:, None] + model.clip_stride * torch.arange(model.clip_frames)
    shown = torch.zeros(stimuli.frames)
    shown[stimuli.shown] = 1
    weights = (shown / torch.bincount(frames.flatten(), minlength=stimuli.frames).clamp_min(1) / shown.sum())[frames]
    needed = weights.sum(dim=1) > 0
    return frames[needed], weights[needed]


def _window_starts(model: EncodingModel, stimuli: SparsePixels) -> Tensor:
    """First frames of the clips of the fewest windows that contain all frames with the spot, centered if possible."""
    length, shown = model.window_frames, stimuli.shown
    count = -(-(shown.stop - shown.start) // length)
    latest = stimuli.frames - length
    first = min(max(0, (shown.start + shown.stop - count * length) // 2), latest)
    windows = torch.arange(first, first + count * length, length).clamp_max(latest)
    return (windows[:, None] + torch.arange(model.clip_stride)).flatten().unique()


@dataclass(frozen=True, kw_only=False, eq=False)
class _Mapper:
    """One model and its stimuli: number 0 is the gray screen, then come all light spots, then all dark ones."""

    model: EncodingModel
    trial: Trial
    stimuli: SparsePixels
    frames: Tensor
    weights: Tensor
    padding: float | None

    def movies_at_once(self, clips_at_once: int) -> int:
        return max(1, clips_at_once // len(self.frames))

    @torch.inference_mode()
    def responses(self, numbers: NDArray[np.intp]) -> NDArray[np.float32]:
        """Mean responses (neurons, movies) while the spots of these numbers are shown."""
        device = device_of(self.model)
        videos = self.model.canvas.place(self._videos(numbers).to(device), padding=self.padding)
        frames, movies = self.frames.to(device), len(numbers)
        covariates = torch.from_numpy(self.trial.covariates).to(device)[:, frames].movedim(0, 1)
        inputs = self.model.assemble(videos[:, frames].flatten(0, 1), covariates.repeat(movies, 1, 1))
        predicted = self.model.responses(inputs).unflatten(
            0, (movies, len(frames))
        )  # movies, clips, neurons, clip frames
        mean = torch.einsum("mcnf,cf->nm", predicted, self.weights.to(device))
        return np.asarray(mean.cpu().numpy())

    def _videos(self, numbers: NDArray[np.intp]) -> Tensor:
        """(movies, frames, height, width)."""
        stimuli = self.stimuli
        grid = len(stimuli.rows), len(stimuli.columns)
        videos = torch.full((len(numbers), stimuli.frames, stimuli.height, stimuli.width), MID_GREY)
        for video, number in zip(videos, numbers, strict=True):
            if number > 0:
                dark, row, column = np.unravel_index(number - 1, (2, *grid))
                video.copy_(torch.from_numpy(stimuli.movie(int(row), int(column), on=not dark)))
        return videos


def _mean_responses(mappers: Sequence[_Mapper], *, clips_at_once: int, progress: bool) -> NDArray[np.float32]:
    """(neurons, 1 + spots): mean over models of the responses to the gray screen, then to each spot."""
    movies = np.arange(1 + 2 * len(mappers[0].stimuli.rows) * len(mappers[0].stimuli.columns))
    predicted = np.zeros((mappers[0].model.neurons, len(movies)), np.float32)
    jobs = [
        (mapper, batch)
        for mapper in mappers
        for batch in np.array_split(movies, -(-len(movies) // mapper.movies_at_once(clips_at_once)))
    ]
    for mapper, batch in progress_bar(jobs, description="Mapping receptive fields", enabled=progress):
        predicted[:, batch] += mapper.responses(batch) / len(mappers)
    if not np.isfinite(predicted).all():
        raise InputError("the models predict NaN or infinite responses; check their weights, or train them again")
    return predicted


def _as_dataset(predicted: NDArray[np.float32], stimuli: SparsePixels, *, neuron_ids: Any) -> xr.Dataset:
    """Responses (neurons, 1 + spots) as maps around the response to gray."""
    baseline = predicted[:, 0]
    grid = len(predicted), 2, len(stimuli.rows), len(stimuli.columns)
    maps = (predicted[:, 1:] - baseline[:, None]).reshape(grid)
    rows, columns = (firsts + (stimuli.side - 1) / 2 for firsts in (stimuli.rows, stimuli.columns))
    up = stimuli.screen.elevation(stimuli.height, width=stimuli.width)
    right = stimuli.screen.azimuth(stimuli.width)
    angles = {"units": "degree", "long_name": "from the middle of the screen"}
    evoked = {"units": "as recorded", "long_name": "mean response to a spot, minus that to grey"}
    dataset = xr.Dataset(
        {
            "on": (("neuron", "row", "column"), maps[:, 0], evoked),
            "off": (("neuron", "row", "column"), maps[:, 1], evoked),
            "baseline": (("neuron",), baseline, {"units": "as recorded", "long_name": "mean response to grey"}),
        },
        coords={
            "neuron": np.arange(len(baseline)) if neuron_ids is None else neuron_ids,
            "row": ("row", rows, {"units": "pixels"}),
            "column": ("column", columns, {"units": "pixels"}),
            "elevation": ("row", np.interp(rows, np.arange(stimuli.height), up), angles),
            "azimuth": ("column", np.interp(columns, np.arange(stimuli.width), right), angles),
        },
    )
    return dataset.assign_attrs(
        **format_of(KIND), video_height=stimuli.height, video_width=stimuli.width, spot_px=stimuli.side
    )
