"""The untrained model for the trials at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from neuroreel.arguments import instance_of, refuse_unknown
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.encoding.training.material import Material
from neuroreel.errors import InputError
from neuroreel.recordings.checks import TrialSpec


def build_model(kind: str, material: Material, architecture: dict[str, Any]) -> EncodingModel:
    """A model with random weights; InputError if none can be built, or if it no longer fits the trials."""
    spec = material.first
    config: ReadoutConfig | DwiseNeuroConfig
    if kind == "core_readout":
        if len(material.specs) > 1:
            raise InputError(
                f"a readout model is of one recording, and {len(material.specs)} were given "
                f"({', '.join(material.specs)}); train one model each, or one kind='dwiseneuro' for all of them"
            )
        config = ReadoutConfig(
            neurons=spec.neurons,
            video_height=spec.video_height,
            video_width=spec.video_width,
            frame_rate_hz=spec.frame_rate_hz,
            covariates=spec.covariates,
        )
    else:
        neurons = tuple(each.neurons for each in material.specs.values())
        config = DwiseNeuroConfig(readout_neurons=neurons, in_channels=1 + spec.covariates)
    instance_of(architecture, dict, name="architecture")
    refuse_unknown(architecture, config.__dataclass_fields__, what="setting of the architecture")
    try:
        model = _model_of(replace(config, **architecture), spec, list(material.specs))
    except (TypeError, ValueError, RuntimeError, ArithmeticError, IndexError) as error:
        raise InputError(f"no {kind} model can be built with architecture={architecture}: {error}") from error
    _check_built(model, material)
    return model


def _model_of(config: ReadoutConfig | DwiseNeuroConfig, spec: TrialSpec, names: Sequence[str]) -> EncodingModel:
    if isinstance(config, ReadoutConfig):
        return ReadoutModel(config)
    return DwiseNeuro(
        DwiseNeuroNetwork(config),
        readout=0,
        video_size=(spec.video_height, spec.video_width),
        frame_rate_hz=spec.frame_rate_hz,
        readout_names=names,
    )


def _check_built(model: EncodingModel, material: Material) -> None:
    spec = material.first
    wanted = (spec.neurons, (spec.video_height, spec.video_width), spec.frame_rate_hz)
    if (model.neurons, model.canvas.video_size, model.frame_rate_hz) != wanted:
        raise InputError("neurons, movie size and frame rate come from the trials; leave them out of architecture")
    if not 0 <= model.covariates <= spec.covariates:
        raise InputError(
            f"the architecture takes {model.covariates} behaviour channels, the trials have {spec.covariates}; "
            "it can leave some out, but not add any"
        )
