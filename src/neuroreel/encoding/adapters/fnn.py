"""fnn, the MICrONS foundation model of mouse visual cortex (MIT).

Follows ``Visual`` of cajal/fnn (``fnn/model/networks.py``): ``forward(stimulus, perspective, modulation)`` takes one
frame (batch, 1, 144, 256) in 0..1, eye position (batch, 2), and pupil radius and speed (batch, 2), and returns
responses (batch, neurons). Its recurrent modules store their state until ``reset()``. ``predict`` and
``generate_response`` block gradients; ``forward`` does not. Wang et al. 2025, doi 10.1038/s41586-025-08829-y.

It is not on PyPI: install it from its repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils._pytree import tree_leaves, tree_map

from neuroreel.encoding.adapters.common import find_sizes, library
from neuroreel.encoding.interface import Canvas
from neuroreel.encoding.recurrent import RecurrentModel
from neuroreel.encoding.standardization import Standardization
from neuroreel.encoding.training_split import TrainingSplit
from neuroreel.errors import InputError
from neuroreel.files import user_path

MONITOR = (144, 256)  # pixels of the movies it was trained on (height, width)
WARMUP_FRAMES = 30  # its state starts at 0, unlike an animal's
State = dict[tuple[str, str], Any]


class Fnn(RecurrentModel):
    """The network of one scan, as an encoding model for movies of any size, which are scaled to the monitor's pixels.

    Parameters
    ----------
    model
        The first value returned by ``microns.scan``.
    video_size
        (height, width) of your movies.
    behavior
        Whether trials have pupil radius, speed and the two pupil coordinates, in this order; otherwise the animal is
        assumed to stand still and look ahead, as in fnn's own ``predict``.
    behavior_statistics
        Mean and std of those four channels, (4,) each: fnn was trained on standardized values.
    frame_rate_hz, warmup_frames
        Frame rate of the movies, and how many of their first frames do not count.
    training_split
        Which movies it was trained on, if known.
    """

    license = "MIT (fnn)"

    def __init__(
        self,
        model: nn.Module,
        *,
        video_size: tuple[int, int] = (36, 64),
        behavior: bool = False,
        behavior_statistics: tuple[ArrayLike, ArrayLike] | None = None,
        frame_rate_hz: float = 30.0,
        warmup_frames: int = WARMUP_FRAMES,
        training_split: TrainingSplit | None = None,
    ) -> None:
        super().__init__()
        self.model, self.covariates = model, 4 if behavior else 0
        self.canvas = Canvas.plain(*video_size)
        self.frame_rate_hz, self.clip_frames = frame_rate_hz, 60
        self.standardize_video = Standardization(std=255.0)
        if behavior and behavior_statistics is None:
            raise InputError("behavior=True needs behavior_statistics=(mean, std) of its four channels")
        if behavior_statistics is not None:
            self.standardize_behavior = Standardization(mean=behavior_statistics[0], std=behavior_statistics[1])
        self.training_split = training_split
        find_sizes(self)
        self.warmup_frames = warmup_frames

    def forward(self, clips: Tensor, behavior: Tensor) -> Tensor:
        """(batch, 1, frames, height, width) and (batch, 4 or 0, frames) to (batch, neurons, frames)."""
        try:
            return super().forward(clips, behavior)
        finally:
            self.model.reset()  # type: ignore[operator]  # neither state nor graph outlives a call

    def step(self, frame: Tensor, behavior: Tensor, state: State | None) -> tuple[Tensor, State]:
        """One frame (batch, height, width) to responses (batch, neurons); the state is taken out of the module."""
        self.model.reset()  # type: ignore[operator]
        for (module, name), value in (state or {}).items():
            setattr(self.model.get_submodule(module), name, _copied(value))
        stimulus = interpolate(frame[:, None], size=MONITOR, mode="bilinear", align_corners=False)
        still = frame.new_zeros(len(frame), 2)
        modulation, perspective = (behavior[:, :2], behavior[:, 2:]) if self.covariates else (still, still)
        responses = self.model(stimulus, perspective, modulation)
        return responses, _state_of(self.model)


def _state_of(model: nn.Module) -> State:
    """Tensors that modules store besides their weights, by module and attribute, copied out of their containers."""
    own = set(vars(nn.Module()))
    return {
        (module, name): _copied(value)
        for module, part in model.named_modules()
        for name, value in vars(part).items()
        if name not in own and any(isinstance(leaf, Tensor) for leaf in tree_leaves(value))
    }


def _copied(value: Any) -> Any:
    return tree_map(lambda leaf: leaf, value)


def load(directory: str | Path, *, session: int | str = 0, **options: Any) -> Fnn:
    """The network of a scan, such as ``session="8-5"``, from the directory that fnn's ``download_data`` filled."""
    found = re.fullmatch(r"(\d+)-(\d+)", str(session))
    if found is None:
        raise InputError(f"session is {session!r}; fnn's scans have two numbers: session='8-5'")
    install = "it is not on PyPI: install it from its repository, cajal/fnn"
    microns = library("fnn.microns", install=install)
    try:
        model, _ = microns.scan(int(found[1]), int(found[2]), cuda=False, directory=str(user_path(directory)))
    except (ValueError, OSError, RuntimeError) as error:  # no such scan or file, or weights of another version
        raise InputError(f"fnn cannot open scan {session} in {directory} ({error})") from error
    return Fnn(model, **options)
