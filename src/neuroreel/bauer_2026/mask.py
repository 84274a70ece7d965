"""The transparency mask (alpha mask, population receptive field): which pixels the population sees.

Source: Bauer, Margrie & Clopath, eLife 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.arguments import instance_of, whole_number
from neuroreel.defaults import MASK_STEPS
from neuroreel.devices import choose_device
from neuroreel.encoding.checks import check_movie_fits, check_responses_fit
from neuroreel.encoding.interface import EncodingModel, device_of, frozen
from neuroreel.errors import InputError
from neuroreel.masks import Mask
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.checks import check_responses, check_trials, trial_specs
from neuroreel.recordings.trial import Trial

LARGEST_START = 0.05
STEP_SIZE = 10.0
BLUR_SIGMA = 5.0 / 64  # of the canvas width: 5 pixels of the published 64
BLUR_RADIUS = 7.0 / 64


def learn_mask(
    model: EncodingModel,
    trials: Sequence[Trial],
    *,
    steps: int = MASK_STEPS,
    first_frame: int = 50,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> NDArray[np.float32]:
    """Learn which pixels matter for a model's responses.

    Each step shows the model one trial's movie through the mask, with another trial's movie behind it, and makes the
    mask more opaque wherever that brings the predicted responses closer to the recorded ones: (1) draw a trial and a
    background; (2) blend; (3) mean squared error of the prediction; (4) gradient over the whole input, divided by its
    norm, clipped, averaged over frames and blurred; (5) move the mask against it.

    Parameters
    ----------
    model
        Any encoding model.
    trials
        Trials with video and responses, at least two.
    steps
        Number of steps; 1000 in the paper.
    first_frame
        Where in each trial the window starts; moved forward in shorter trials.
    seed
        Random seed for the initial mask and the draws of trials. Every trial can be drawn; the published code never
        draws the last one.
    device
        "auto", "cpu", "cuda", ...
    progress
        Show a progress bar.

    Returns
    -------
    ndarray
        (height, width) on the model's canvas, float32; on the video's pixels if the video is not in the center of the
        canvas, because scores and files do not know where it is. Values are not bounded: published masks
        reach 1.4. Pixels of at least 0.5 are usually updated, those of at least 1 scored.

    Raises
    ------
    InputError
        Fewer than two trials, or trials that do not fit the model.
    ResourceError
        The device is not available.
    """
    where = choose_device(device)
    instance_of(model, EncodingModel, name="model")
    count = sum(1 for _ in trial_specs(trials, what="trials"))
    if count < 2:
        raise InputError(f"got {count} trial(s); a mask needs at least two, one as background for the other")
    for name, value, least in (("steps", steps, 1), ("first_frame", first_frame, 0), ("seed", seed, 0)):
        whole_number(value, name=name, least=least)
    for trial in trials:
        _check_trial(model, trial)
    what = "trials to learn the mask from"
    check_responses(trials, check_trials(trials, what=what), what=what)
    rng = np.random.default_rng(seed)
    frames = model.window_frames
    initial = rng.uniform(0, LARGEST_START, (frames, *model.canvas.size)).astype(np.float32)
    pairs = _draw_pairs(rng, count, steps)
    shown = progress_bar(pairs, description="Learning the mask", total=steps, enabled=progress)
    with frozen([model], device=where):
        mask = train_mask(model, trials, torch.from_numpy(initial), shown, first_frame=first_frame)
    return (mask if model.canvas.is_centered else model.canvas.crop(torch.from_numpy(mask)).numpy()).view(Mask)


def _check_trial(model: EncodingModel, trial: Trial) -> None:
    check_movie_fits(model, trial)
    check_responses_fit(model, trial)
    if trial.frames < model.window_frames:
        raise InputError(
            f"{trial.name} has {trial.frames} frames; a mask is learned from windows of {model.window_frames} frames: "
            "leave shorter trials out"
        )


def _draw_pairs(rng: np.random.Generator, trials: int, steps: int) -> list[tuple[int, int]]:
    """A trial and another one as its background, for each step."""
    shown = rng.integers(trials, size=steps)
    behind = (shown + rng.integers(1, trials, size=steps)) % trials
    return list(zip(shown.tolist(), behind.tolist(), strict=True))


def train_mask(
    model: EncodingModel,
    trials: Sequence[Trial],
    initial: Tensor,
    pairs: Sequence[tuple[int, int]] | Iterator[tuple[int, int]],
    *,
    first_frame: int,
) -> NDArray[np.float32]:
    """Train an initial mask (frames, height, width) on the given (trial, background) pairs; returns frame 0."""
    device = device_of(model)
    mask = initial.to(device)
    frames = mask.shape[0]
    for shown, behind in pairs:
        trial, background = trials[shown], trials[behind]
        first = max(0, min(first_frame, trial.frames - frames, background.frames - frames))
        window = slice(first, first + frames)
        video, covariates, target, hidden = (
            torch.from_numpy(array).to(device)
            for array in (
                trial.needs_video()[window],
                np.ascontiguousarray(trial.covariates[:, window]),
                np.ascontiguousarray(trial.needs_responses()[:, window]),
                background.needs_video()[window],
            )
        )
        place = model.canvas.place
        gradient = _mask_gradient(model, mask, place(video), place(hidden), covariates, target)
        mask = mask - STEP_SIZE * _blur(gradient.clamp(-1, 1).mean(dim=0))
    if not torch.isfinite(mask).all():
        raise InputError("the mask became NaN or infinite: the model's weights or its responses are; train it again")
    return mask[0].cpu().numpy()


def _mask_gradient(
    model: EncodingModel, mask: Tensor, video: Tensor, background: Tensor, covariates: Tensor, target: Tensor
) -> Tensor:
    """Gradient of the squared error by the mask (frames, height, width), at unit norm over the whole input.

    The input is video, mask and behavior planes: all of them count in the norm, as published.
    """
    planes = model.assemble(video[None], covariates[None])[0, 1:].requires_grad_()
    leaves = [video.requires_grad_(), mask.detach().requires_grad_(), planes]
    alpha = leaves[1].clamp(0, 1)
    blended = alpha * leaves[0] + (1 - alpha) * background
    predicted = model.window_responses(torch.cat([blended[None], planes])[None])[0]
    counted = slice(model.warmup_frames, None)
    error = (predicted[:, counted] - target[:, counted]).square().mean()
    gradients = torch.autograd.grad(error, leaves if len(planes) else leaves[:2])
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    return gradients[1] / (norm + 1e-6)


def _blur(image: Tensor) -> Tensor:
    """Gaussian blur of an image (height, width), edges reflected."""
    radius = min(max(1, round(BLUR_RADIUS * image.shape[1])), *(size - 1 for size in image.shape))
    sigma = BLUR_SIGMA * image.shape[1]
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = torch.nn.functional.pad(image[None, None], [radius] * 4, mode="reflect")
    return torch.nn.functional.conv2d(padded, (kernel[:, None] * kernel)[None, None])[0, 0]
