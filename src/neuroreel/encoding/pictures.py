"""Pictures of an encoding model: receptive fields of some of its neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from neuroreel.grey import MID_GREY
from neuroreel.pictures import draw_images, new_figure
from neuroreel.showing import figure_html, shown
from neuroreel.style import PAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuroreel.encoding.interface import EncodingModel

SHOWN = 6
_NOISE = 20.0  # gray levels: exactly at gray, a model may have no gradient


def gradients_at_grey(model: EncodingModel, neurons: list[int]) -> NDArray[np.float32]:
    """Which pixels change these neurons' predicted responses to a nearly grey movie: (neurons, height, width).

    The gradient of the response in a clip's last frame, with respect to the most effective frame.
    """
    from neuroreel.encoding.interface import device_of, frozen

    device, noise = device_of(model), torch.Generator().manual_seed(0)
    frames, (height, width) = model.clip_frames, model.canvas.video_size
    video = MID_GREY + _NOISE * torch.randn(1, frames, height, width, generator=noise)
    video = video.to(device).requires_grad_()
    with frozen([model]):
        clips = model.assemble(model.canvas.place(video), torch.zeros(1, model.covariates, frames, device=device))
        responses = model.responses(clips)[0, :, -1]
        maps = []
        for number in neurons:
            (gradient,) = torch.autograd.grad(responses[number], video, retain_graph=True)
            moment = gradient[0].square().sum(dim=(1, 2)).argmax()
            maps.append(gradient[0, moment].cpu().numpy())
    return np.stack(maps)


def model_figure(model: EncodingModel) -> Figure:
    """Gradients of some neurons, evenly spread over the population: white where more light means more activity."""
    numbers = sorted(set(np.linspace(0, model.neurons - 1, SHOWN).astype(int).tolist()))
    maps = gradients_at_grey(model, numbers)
    height, width = maps.shape[1:]
    with new_figure(PAGE, PAGE / len(numbers) * height / width + 8) as figure:
        draw_images(figure, {f"neuron {number}": each for number, each in zip(numbers, maps, strict=True)}, signed=True)
    return shown(figure)


def model_html(model: EncodingModel) -> str:
    """The model's sizes and figure, for notebooks."""
    canvas = model.canvas
    facts = [
        f"{model.neurons:,} neurons",
        f"movies of {canvas.video_width}x{canvas.video_height} pixels at {model.frame_rate_hz:g} Hz",
        f"clips of {model.clip_frames} frames" + (", or longer" if model.any_length else ""),
        f"{model.covariates} behavior channels" if model.covariates else "uses no behavior",
        f"{sum(weight.numel() for weight in model.parameters()):,} weights",
        "Pictures: gradient of a neuron's response to a nearly grey movie, white where light raises it",
    ]
    return figure_html(model_figure(model), title=f"Encoding model ({type(model).__name__})", facts=facts)
