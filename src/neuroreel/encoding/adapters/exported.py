"""Any model exported from PyTorch, with a JSON side-car that names its axes.

Follows ``torch.export`` (``.pt2``) and TorchScript (``.ts``). The side-car is next to the program, ``model.json`` for
``model.pt2``; docs/bring_your_model.md has an example, and ``SIDE_CAR`` lists the entries.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from neuroreel.arguments import refuse_unknown
from neuroreel.encoding.adapters.common import find_sizes, needs_trust
from neuroreel.encoding.interface import Canvas, EncodingModel
from neuroreel.encoding.standardization import Standardization
from neuroreel.encoding.training_split import TrainingSplit
from neuroreel.errors import InputError
from neuroreel.files import user_path

FORMAT = "neuroreel exported encoder"
SIDE_CAR = {
    "format": FORMAT,
    "video": "axes (of batch, channels, frames, height, width, in its order), size [height, width], mean, std",
    "behavior": "axes (of batch, channels, frames), channels, mean, std; left out if the program takes none",
    "responses": "axes (of batch, neurons and frames), mean, std, output: which one, if the program returns several",
    "neurons": "how many",
    "frame_rate_hz": "of movies and responses",
    "clip_frames": "frames of the program's input",
    "any_length": "true if it takes other lengths too",
    "warmup_frames": "frames at the start whose responses do not count",
    "license": "of the weights",
    "trained_on": "names of the trials, or beginnings of names of recordings, that it was trained on",
}
_VIDEO, _BEHAVIOR = ("batch", "channels", "frames", "height", "width"), ("batch", "channels", "frames")


class Exported(EncodingModel):
    """Someone else's program, called as its side-car says.

    Parameters
    ----------
    program
        A loaded TorchScript module, or ``torch.export.load(file).module()``.
    described
        The side-car's content.
    """

    behavior_as = "vectors"

    def __init__(self, program: nn.Module, described: dict[str, Any]) -> None:
        super().__init__()
        refuse_unknown(described, SIDE_CAR, what="entry of a side-car")
        self.program = program
        video, behavior, responses = described["video"], described.get("behavior"), described.get("responses", {})
        self.video_axes, self.behavior_axes = video["axes"].split(), (behavior or {}).get("axes", "").split()
        for axes, allowed in ((self.video_axes, _VIDEO), (self.behavior_axes, _BEHAVIOR)):
            if not set(axes) <= set(allowed) or len(set(axes)) < len(axes):
                raise InputError(f"axes are {' '.join(axes)!r}; they must be {', '.join(allowed)}, each at most once")
        axes, self.output = responses.get("axes", EncodingModel.output_axes), responses.get("output", 0)
        self.batch_is_returned = "batch" in axes.split()
        self.output_axes = axes if self.batch_is_returned else f"batch {axes}"
        if sorted(self.output_axes.split()) != ["batch", "frames", "neurons"]:
            raise InputError(f"axes of responses are {axes!r}; they must be batch (if there is one), neurons, frames")
        self.canvas = Canvas.plain(*video["size"])
        self.covariates = int(behavior["channels"]) if behavior else 0
        self.frame_rate_hz = float(described["frame_rate_hz"])
        self.clip_frames, self.any_length = int(described["clip_frames"]), bool(described.get("any_length", False))
        self.warmup_frames, self.license = int(described.get("warmup_frames", 0)), str(described.get("license", ""))
        self.standardize_video = _standardization(video)
        self.standardize_behavior = _standardization(behavior or {})
        find_sizes(self)
        if self.neurons != described["neurons"]:
            raise InputError(f"the program predicts {self.neurons} neurons, not {described['neurons']}")
        self.standardize_responses = _standardization(responses)
        if names := described.get("trained_on"):
            self.training_split = TrainingSplit(
                description="the training set that its side-car names", trials=frozenset(names), recordings=tuple(names)
            )

    def train(self, mode: bool = True) -> Exported:
        """An exported program is always in evaluation mode."""
        self.training = mode
        return self

    def forward(self, clips: Tensor, behavior: Tensor) -> Tensor:
        """(batch, 1, frames, height, width) and (batch, covariates, frames) to the axes that the side-car names."""
        found = [self._one(*each) for each in zip(clips.split(1), behavior.split(1), strict=True)]
        return torch.cat(found, dim=self.output_axes.split().index("batch"))

    def _one(self, clip: Tensor, behavior: Tensor) -> Tensor:
        """One movie: programs are often exported for a batch of one, or for none."""
        inputs = [_arranged(clip, _VIDEO, self.video_axes)]
        if self.covariates:
            inputs.append(_arranged(behavior, _BEHAVIOR, self.behavior_axes))
        found = self.program(*inputs)
        found = found[self.output] if isinstance(found, tuple | list) else found
        return found if self.batch_is_returned else found[None]


def _arranged(values: Tensor, axes: tuple[str, ...], wanted: list[str]) -> Tensor:
    """Reorder axes for the program; axes of length 1 that it does not have are dropped."""
    dropped = [axis for axis in axes if axis not in wanted]
    values = values.squeeze([axes.index(axis) for axis in dropped]) if dropped else values
    left = [axis for axis in axes if axis in wanted]
    return values.permute([left.index(axis) for axis in wanted])


def _standardization(described: dict[str, Any]) -> Standardization | None:
    given = {name: described[name] for name in ("mean", "std") if name in described}
    return Standardization(**given) if given else None


def load(file: str | Path, *, session: int | str = 0, trust: bool = False) -> Exported:
    """Open an exported program and its side-car.

    Raises
    ------
    RefusedError
        Without ``trust``: the file holds a program, which could also read and write files.
    InputError
        No side-car, a side-car with other axes, or a damaged program.
    """
    file = user_path(file)
    needs_trust(trust, what=f"{file} holds a program")
    side_car = file.with_suffix(".json")
    try:
        described = json.loads(side_car.read_text())
        if described["format"] != FORMAT:
            raise InputError(f"{side_car} describes {described['format']!r}; its format must be {FORMAT!r}")
        is_script = file.suffix != ".pt2"
        program = torch.jit.load(file, map_location="cpu") if is_script else torch.export.load(file).module()
        return Exported(program, described).eval()
    except InputError as error:
        raise InputError(f"{side_car}: {error}") from None
    except FileNotFoundError as error:
        raise InputError(f"there is no file {error.filename or file}; give a program with its side-car") from error
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, BadZipFile) as error:
        raise InputError(f"{file} or {side_car} is damaged ({type(error).__name__}: {error})") from error
