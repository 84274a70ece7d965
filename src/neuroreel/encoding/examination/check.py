"""``nr.check_encoder``: say what is wrong with a user's encoding model before anything is inverted."""

from __future__ import annotations

from dataclasses import dataclass

from neuroreel.arguments import instance_of
from neuroreel.encoding.checks import check_movie_fits
from neuroreel.encoding.examination.findings import CHECKS, shapes
from neuroreel.encoding.examination.probe import Probe
from neuroreel.encoding.interface import EncodingModel, frozen
from neuroreel.errors import InputError
from neuroreel.recordings.trial import Trial


@dataclass(frozen=True, kw_only=True)
class EncoderReport:
    """The findings of ``nr.check_encoder``; print it.

    Parameters
    ----------
    name
        Names of model and trial.
    wrong
        What must be fixed before the model can be inverted or its reconstructions trusted.
    notes
        What is worth knowing.
    fine
        What is right.
    """

    name: str
    wrong: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fine: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"wrong  {each}" for each in self.wrong]
        lines += [f"note   {each}" for each in self.notes] + [f"fine   {each}" for each in self.fine]
        return "\n".join([self.name, *lines])


def check_encoder(model: EncodingModel, trial: Trial) -> EncoderReport:
    """Try an encoding model on a trial, and say what is wrong with it.

    Checks the shapes it returns, the frames it leaves out, randomness and memory between calls, dependence on other
    movies in the batch, causality, gradients of the pixels, and the warm-up.

    Parameters
    ----------
    model
        Your adapter, or any other encoding model. It runs on its own device.
    trial
        With a video of the model's size and rate, and behavior if it uses any.

    Returns
    -------
    EncoderReport
        ``print`` it; ``.wrong`` is empty if nothing is wrong.

    Raises
    ------
    InputError
        Not an EncodingModel, a missing attribute, or a trial that does not fit it.
    """
    instance_of(model, EncodingModel, name="the model")
    _check_attributes(model)
    check_movie_fits(model, trial)
    with frozen([model]):
        try:
            probe = Probe.of(model, trial)
        except Exception as error:  # a user's model can raise anything
            said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            return EncoderReport(name=_name(model, trial), wrong=(f"forward raises {said}, given {_given(model)}",))
        found: dict[str, tuple[str, ...]] = {"wrong": (), "notes": (), "fine": ()}
        for check in CHECKS:
            for kind, text in check(probe):
                found[kind] += (text,)
            if check is shapes and found["wrong"]:
                break  # nothing else can be measured
    return EncoderReport(name=_name(model, trial), wrong=found["wrong"], notes=found["notes"], fine=found["fine"])


def _check_attributes(model: EncodingModel) -> None:
    for name in ("canvas", "clip_frames", "neurons", "frame_rate_hz"):
        if not hasattr(model, name):
            raise InputError(f"{type(model).__name__} has no {name}; set it in __init__ (see 'Bring your own model')")


def _given(model: EncodingModel) -> str:
    height, width = model.canvas.size
    frames = "frames" if model.any_length else f"{model.clip_frames} frames"
    if model.behavior_as == "vectors":
        return f"(batch, 1, {frames}, {height}, {width}) and (batch, {model.covariates}, {frames})"
    return f"(batch, {1 + model.covariates}, {frames}, {height}, {width})"


def _name(model: EncodingModel, trial: Trial) -> str:
    return f"{type(model).__name__} on {trial.name}"
