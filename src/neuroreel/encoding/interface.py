"""The interface of encoding models, and how other code borrows a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from neuroreel.encoding.standardization import Standardization
from neuroreel.encoding.training_split import TrainingSplit
from neuroreel.errors import InputError
from neuroreel.masks import centered_place

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """Where a video is placed on a model's input: the input's size, the video's position, the gray around it.

    Sizes and offsets in pixels, ``padding`` in gray levels 0..255.
    """

    height: int
    width: int
    video_height: int
    video_width: int
    top: int = 0
    left: int = 0
    padding: float = 0.0

    def __post_init__(self) -> None:
        rows, columns = self.height - self.top - self.video_height, self.width - self.left - self.video_width
        if min(self.top, self.left, rows, columns) < 0:
            raise InputError(f"the video does not lie on its canvas: {self}")

    @classmethod
    def plain(cls, video_height: int, video_width: int) -> Canvas:
        """The canvas of a model that takes the video directly."""
        return cls(height=video_height, width=video_width, video_height=video_height, video_width=video_width)

    @property
    def is_centered(self) -> bool:
        """Whether the video is in the center, as assumed for masks of the canvas's size."""
        return (self.top, self.left) == centered_place(self.video_size, self.size)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the model's input."""
        return self.height, self.width

    @property
    def video_size(self) -> tuple[int, int]:
        """(height, width) of the video."""
        return self.video_height, self.video_width

    def place(self, video: Tensor, *, padding: float | None = None) -> Tensor:
        """Put a video (..., video height, video width) on the canvas (..., height, width), differentiably."""
        if tuple(video.shape[-2:]) != self.video_size:
            raise InputError(
                f"the video is {video.shape[-1]}x{video.shape[-2]} pixels (width x height); "
                f"this model takes {self.video_width}x{self.video_height}: resize the video or train a model on it"
            )
        right = self.width - self.left - self.video_width
        bottom = self.height - self.top - self.video_height
        grey = self.padding if padding is None else padding
        return pad(video, (self.left, right, self.top, bottom), value=grey)

    def crop(self, canvas: Tensor) -> Tensor:
        """Cut the video (..., video height, video width) out of the canvas (..., height, width)."""
        rows = slice(self.top, self.top + self.video_height)
        return canvas[..., rows, self.left : self.left + self.video_width]


class EncodingModel(nn.Module, ABC):
    """Maps video (and behavior, if used) to responses; differentiable with respect to its input.

    A subclass sets the attributes below and writes ``forward``; everything else follows. It sees *clips* of
    ``clip_frames`` frames, every ``clip_stride``-th of the movie. A *window* is a run of consecutive movie frames that
    contains ``clip_stride`` interleaved clips. Other code calls ``responses`` and ``window_responses``.

    Attributes
    ----------
    canvas
        Where the video is placed on the model's input.
    clip_frames, clip_stride
        Frames in a clip, and the step between them in movie frames.
    any_length
        True if clips may be longer than ``clip_frames`` (for instance convolutions in time without position code).
    warmup_frames
        Movie frames at the start of a window whose responses do not count, because they depend on what came before.
    neurons
        Number of predicted neurons.
    covariates
        Number of behavior channels it uses (0: none), in the order of ``Trial.covariates``.
    behavior_as
        "planes": each behavior channel fills a plane of the input. "vectors": ``forward`` takes it as a second argument
        (batch, covariates, clip frames).
    output_axes
        Order of the axes that ``forward`` returns.
    standardize_video, standardize_behavior, standardize_responses
        How gray levels and behavior are standardized before ``forward``, and how responses were standardized in
        training, which is undone on the output. None if not standardized.
    frame_rate_hz
        Frame rate of the movies and responses it was trained on.
    training_log
        One row per epoch, if ``fit_encoder`` made the model.
    training_split
        Which movies it was trained on, if that is declared.
    license
        License of its weights.
    """

    canvas: Canvas
    clip_frames: int
    clip_stride: int = 1
    any_length: bool = False
    warmup_frames: int = 0
    neurons: int
    covariates: int = 0
    behavior_as: Literal["planes", "vectors"] = "planes"
    output_axes: str = "batch neurons frames"
    frame_rate_hz: float
    training_log: Sequence[Mapping[str, float]] = ()
    training_split: TrainingSplit | None = None
    license: str = ""
    standardize_video: Standardization | None
    standardize_behavior: Standardization | None
    standardize_responses: Standardization | None

    def __init__(self) -> None:
        super().__init__()
        self.standardize_video = self.standardize_behavior = self.standardize_responses = None

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Clips (batch, 1 + covariates, clip frames, height, width) to responses (batch, neurons, clip frames).

        With behavior as vectors: clips (batch, 1, ...) and behavior (batch, covariates, clip frames). It may return
        only the last frames, if the missing ones are within ``warmup_frames``.
        """

    def plot(self) -> Figure:
        """Receptive fields of some of the neurons; drawn without pyplot."""
        from neuroreel.encoding.pictures import model_figure

        return model_figure(self)

    def _repr_html_(self) -> str:
        from neuroreel.encoding.pictures import model_html

        return model_html(self)

    def receptive_field_centers(self) -> Tensor | None:
        """(neurons, 2): row and column of each neuron's receptive field, 0..1 across the movie; None if unknown."""
        return None

    @property
    def window_frames(self) -> int:
        """Consecutive movie frames in a window of the nominal length."""
        return self.clip_frames * self.clip_stride

    @property
    def shortest_trial_frames(self) -> int:
        """The fewest frames that a trial may have."""
        return self.warmup_frames + 1 if self.any_length else self.window_frames

    def assemble(self, canvas_video: Tensor, covariates: Tensor) -> Tensor:
        """The model's input: the video on its canvas, then each behavior channel as a constant plane.

        (batch, frames, height, width) and (batch, channels, frames) to (batch, 1 + covariates, frames, height, width).
        """
        planes = covariates[:, : self.covariates, :, None, None].expand(-1, -1, -1, *canvas_video.shape[-2:])
        return torch.cat([canvas_video[:, None], planes], dim=1)

    def answers(self, clips: Tensor) -> Tensor:
        """The output of ``forward`` for clips, (batch, neurons, frames returned), in the recording's units."""
        inputs: tuple[Tensor, ...] = (clips,)
        if self.behavior_as == "vectors" or self.standardize_video or self.standardize_behavior:
            video, behavior = clips[:, :1], clips[:, 1:]
            as_vectors = self.behavior_as == "vectors"
            behavior = behavior[..., 0, 0] if as_vectors else behavior
            video = video if self.standardize_video is None else self.standardize_video(video)
            behavior = behavior if self.standardize_behavior is None else self.standardize_behavior(behavior)
            inputs = (video, behavior) if as_vectors else (torch.cat([video, behavior], dim=1),)
        found = self(*inputs)
        if self.output_axes != EncodingModel.output_axes:
            axes = self.output_axes.split()
            found = found.permute([axes.index(axis) for axis in EncodingModel.output_axes.split()])
        return found if self.standardize_responses is None else self.standardize_responses.inverse(found)

    def responses(self, clips: Tensor) -> Tensor:
        """Responses to every frame of clips (batch, 1 + covariates, frames, ...): (batch, neurons, frames).

        Output belongs to the last frames. Earlier frames, which do not count, repeat the first response.
        """
        answers = self.answers(clips)
        missing = clips.shape[2] - answers.shape[2]
        return pad(answers, (missing, 0), mode="replicate") if missing else answers

    def window_responses(self, inputs: Tensor) -> Tensor:
        """Responses to every frame of windows: split them into interleaved clips, predict, and merge.

        (batch, channels, frames, height, width) to (batch, neurons, frames).
        """
        stride = self.clip_stride
        if stride == 1:
            return self.responses(inputs)
        batch, channels, frames, height, width = inputs.shape
        clips = inputs.unflatten(2, (frames // stride, stride)).movedim(3, 1)  # (batch, stride, channels, clip, h, w)
        responses = self.responses(clips.reshape(batch * stride, channels, frames // stride, height, width))
        return responses.unflatten(0, (batch, stride)).movedim(1, 3).flatten(2)


def device_of(model: nn.Module) -> torch.device:
    """A model's device; the CPU for a model without parameters."""
    return next(model.parameters(), torch.empty(0)).device


@contextmanager
def frozen(models: Sequence[EncodingModel], *, device: torch.device | None = None) -> Iterator[None]:
    """Models in evaluation mode, with weights frozen, on ``device``; restored afterwards."""
    places = [device_of(model) for model in models]
    modes = [(module, module.training) for model in models for module in model.modules()]
    learning = [[weight.requires_grad for weight in model.parameters()] for model in models]
    try:
        for model in models:
            if device is not None:
                model.to(device)
            model.eval().requires_grad_(False)
        yield
    finally:
        for model, place, flags in zip(models, places, learning, strict=True):
            if device is not None:
                model.to(place)
            for weight, flag in zip(model.parameters(), flags, strict=True):
                weight.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode
