"""What can be wrong with an encoding model, one function per check."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from neuroreel.encoding.examination.probe import MARGIN, Probe

GREY_STEP = 4.0  # gray levels, root mean square, for finite differences
WRONG_SLOPE = 0.2  # relative error of the gradient: differences over several gray levels are not exact

Findings = Iterator[tuple[str, str]]
"""A kind, "wrong", "notes" or "fine", and the finding."""


def shapes(probe: Probe) -> Findings:
    """Check axes, neurons and frames of the output of forward."""
    model, found, frames = probe.model, probe.returned, probe.first.shape[2]
    if not isinstance(found, Tensor):
        many = f" of {len(found)}" if isinstance(found, tuple | list) else ""
        yield "wrong", f"forward returns a {type(found).__name__}{many}; return the one tensor of responses"
        return
    axes = model.output_axes.split()
    if sorted(axes) != ["batch", "frames", "neurons"] or found.ndim != 3:
        yield (
            "wrong",
            f"forward returns the shape {tuple(found.shape)}, and output_axes is {model.output_axes!r}; both must "
            "have batch, neurons and frames, in any order",
        )
        return
    sizes = dict(zip(axes, found.shape, strict=True))
    if sizes["neurons"] != model.neurons or sizes["batch"] != 1 or not 0 < sizes["frames"] <= frames:
        advice = "set neurons, or choose the right readout"
        if model.neurons in found.shape and model.neurons != sizes["neurons"]:
            advice = f"its axes seem to have another order than output_axes, {model.output_axes!r}"
        yield (
            "wrong",
            f"forward returns the shape {tuple(found.shape)} for {model.neurons} neurons and {frames} frames: {advice}",
        )
        return
    yield "fine", f"forward returns {model.neurons} neurons and {sizes['frames']} of {frames} frames"
    left_out = (frames - sizes["frames"]) * model.clip_stride
    if left_out > model.warmup_frames:
        yield (
            "wrong",
            f"forward leaves out the first {left_out} frames, but warmup_frames is {model.warmup_frames}: set "
            f"warmup_frames to at least {left_out}, or those frames would count",
        )


def values(probe: Probe) -> Findings:
    """Check that responses can be rates."""
    found = probe.responses(probe.first)
    if not found.isfinite().all():
        yield (
            "wrong",
            "responses are NaN or infinite: are the weights loaded, and the grey levels scaled as in training?",
        )
    elif found.min() < 0:
        yield (
            "notes",
            f"responses go down to {float(found.min()):.3g}: values below 0 are set to 0, without a gradient",
        )
    if found.dtype not in (torch.float32, torch.float64):
        yield "wrong", f"responses are {found.dtype}: switch off autocast in forward; pixels need float32"
    if float(found.std()) == 0:
        yield "wrong", "all responses are the same number: are the weights loaded, and the grey levels scaled?"


def repeats(probe: Probe) -> Findings:
    """Check that the same movie gets the same responses."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        once = probe.responses(probe.first)
        probe.responses(probe.second)
        torch.manual_seed(1)
        seeded = probe.responses(probe.first)
        torch.manual_seed(2)
        probe.responses(probe.first)
        again = probe.responses(probe.first)
    if probe.differ(once, seeded):
        yield "wrong", "responses depend on what the model saw before: reset its state at the first frame of each call"
    elif probe.differ(once, again):
        yield "wrong", "responses are random: dropout or sampling that stays on in evaluation mode (model.eval())"
    else:
        yield "fine", "the same movie gets the same responses"


def batch(probe: Probe) -> Findings:
    """Check that movies in a batch do not affect each other."""
    alone = torch.cat([probe.responses(probe.first), probe.responses(probe.second)])
    try:
        together = probe.responses(torch.cat([probe.first, probe.second]))
    except Exception as error:  # a user's model can raise anything
        yield "wrong", f"two movies in a batch raise {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return
    if together.shape != alone.shape or probe.differ(together, alone):
        yield "wrong", "responses depend on the other movies in the batch: batch norm in training mode, or mixed axes"
    else:
        yield "fine", "movies in a batch do not affect each other"


def causality(probe: Probe) -> Findings:
    """Check that no later frame changes an earlier response."""
    frames, answered = probe.first.shape[2], probe.responses(probe.first).shape[2]
    change = max(frames - answered + 1, frames // 2)
    changed = probe.first.clone()
    changed[:, 0, change:] = probe.second[:, 0, change:]
    moved = (probe.responses(changed) - probe.responses(probe.first)).abs().amax(dim=(0, 1)) > probe.step
    early = moved[: change - (frames - answered)].nonzero().flatten()
    if not len(early):
        yield "fine", "a later frame changes no earlier response"
        return
    ahead = (change - (frames - answered) - int(early[0])) * probe.model.clip_stride
    yield (
        "wrong",
        f"a change of a frame changes responses up to {ahead} frames before it: the model looks ahead. Pad time only "
        "on the left, or mask attention; if it looks ahead on purpose, say so with its results",
    )


def gradients(probe: Probe) -> Findings:
    """Check that gradients reach the pixels and are the slope of the responses."""
    model, leaf = probe.model, probe.first.clone().requires_grad_()
    found = model.answers(leaf)
    counted = found[:, :, max(0, found.shape[2] - probe.first.shape[2] + model.warmup_frames // model.clip_stride) :]
    if not found.requires_grad:
        yield (
            "wrong",
            "responses carry no gradient: no_grad, inference_mode, detach or NumPy somewhere in forward",
        )
        return
    weights = torch.randn(counted.shape, generator=torch.Generator().manual_seed(1)).to(counted)
    (full,) = torch.autograd.grad((counted * weights).sum(), leaf, allow_unused=True, materialize_grads=True)
    gradient = model.canvas.crop(full[:, 0])
    if not gradient.isfinite().all():
        yield "wrong", "gradients of the pixels are NaN or infinite: a root or a norm of 0 somewhere in forward"
        return
    if not gradient.any():
        yield (
            "wrong",
            "the gradient of every pixel is 0: the responses do not come from the video, or are cut off from it",
        )
        return
    reached = float((gradient != 0).any(dim=1).float().mean())
    if reached < 1:
        yield "notes", f"{1 - reached:.0%} of the pixels never change a response: their gradients cannot be checked"
    yield from _slope(probe, counted=counted.shape[2], weights=weights, gradient=full[:, :1])


def _slope(probe: Probe, *, counted: int, weights: Tensor, gradient: Tensor) -> Findings:
    """Compare the gradient with a finite difference along it."""
    direction = (GREY_STEP * gradient / gradient.square().mean().sqrt()).clamp(-MARGIN, MARGIN)
    ahead, behind = probe.first.clone(), probe.first.clone()
    ahead[:, :1] += direction
    behind[:, :1] -= direction
    difference = probe.responses(ahead)[:, :, -counted:] - probe.responses(behind)[:, :, -counted:]
    measured, told = float((difference * weights).sum()) / 2, float((gradient * direction).sum())
    if abs(measured - told) > WRONG_SLOPE * abs(told):
        yield (
            "wrong",
            f"gradients are not the slope of the responses: a step along them should change these by {told:.3g}, but "
            f"changes them by {measured:.3g}. Rounding, a detach or another data type somewhere in forward",
        )
    else:
        yield "fine", "gradients of the pixels are the slope of the responses"


def behavior(probe: Probe) -> Findings:
    """Check that behavior changes the responses."""
    if not probe.model.covariates:
        return
    changed = probe.first.clone()
    changed[:, 1:] += changed[:, 1:].std() + 1
    if not probe.differ(probe.responses(changed), probe.responses(probe.first)):
        yield "notes", "behavior changes no response: covariates may be 0"


def past(probe: Probe) -> Findings:
    """Check that the warm-up is long enough for the model's memory."""
    model, frames = probe.model, probe.first.shape[2]
    late = min(8, frames // 4)
    if not model.any_length or late < 1:
        return
    try:
        whole, cut = probe.responses(probe.first), probe.responses(probe.first[:, :, late:])
    except Exception as error:  # a user's model can raise anything
        yield (
            "wrong",
            f"any_length is True, but {frames - late} frames raise {type(error).__name__}: set it to False",
        )
        return
    both = min(whole.shape[2], cut.shape[2])
    moved = ((whole[..., -both:] - cut[..., -both:]).abs().amax(dim=(0, 1)) > probe.step).nonzero().flatten()
    remembered = 0 if not len(moved) else frames - late - both + int(moved[-1]) + 1
    if remembered > model.warmup_frames:
        more = "all that were tried" if remembered >= frames - late else f"{remembered}"
        yield (
            "notes",
            f"what came before a window changes its responses for {more} frames, longer than its warm-up of "
            f"{model.warmup_frames}: a longer warmup_frames makes windows agree",
        )


CHECKS = (shapes, values, repeats, batch, causality, gradients, behavior, past)
