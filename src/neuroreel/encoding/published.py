"""Read the authors' DwiseNeuro checkpoints (Bauer et al. 2026): parameters are renamed, no code is executed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuroreel.encoding.dwiseneuro.network import DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.errors import InputError, RefusedError

# Published module names that differ from ours, in order of replacement.
_RENAMED = (
    ("core.stem.", "stem."),
    ("core.blocks.", "core."),
    ("cortex.layers.", "cortex."),
    (".bn_sc.bn.", ".shortcut_norm."),
    (".layer.1.", ".conv."),
    (".bn.bn.", ".norm."),
    (".bn.", "."),
    ("conv_pwl.", "projection."),
    ("conv_pw.", "expansion."),
    ("spat_covn_dw.", "spatial."),
    ("temp_covn_dw.", "temporal."),
    ("se.conv_", "excitation."),
)


# The inputs of the published models, as our DwiseNeuro provides them. Checkpoints with other inputs are refused.
_INPUTS: dict[str, dict[str, Any]] = {
    "frame_stack": {"size": 16, "step": 2, "position": "last"},
    "inputs_processor": {"size": (64, 64), "pad_fill_value": 0.0},
}


def read_published_checkpoint(file: str | Path) -> DwiseNeuroNetwork:
    """Build the network of a published ``.pth`` file and load its weights; on CPU, in evaluation mode.

    Raises
    ------
    RefusedError
        The file contains something that no checkpoint needs (the message names it); nothing was run.
    InputError
        The file is truncated, is not such a checkpoint, was trained on other inputs, or its parameters do not fit the
        model it describes (the message names missing and unexpected ones).
    """
    config, weights = _read_contents(file)
    try:
        # without memory first: a damaged description may claim any amount, but the weights in the file are real
        with torch.device("meta"):
            expected = DwiseNeuroNetwork(config).state_dict()
    except Exception as error:  # invalid sizes, groups that do not divide channels, and so on
        raise InputError(f"{file}: no DwiseNeuro can be built from its description ({_shortened(error)})") from None
    check_weights_fit(expected, weights, source=file)
    network = DwiseNeuroNetwork(config)
    network.load_state_dict(weights)
    return network.eval()


def _read_contents(file: str | Path) -> tuple[DwiseNeuroConfig, dict[str, Tensor]]:
    """The description and the weights, under our names."""
    try:
        checkpoint: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive or pickle raises nearly anything
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise RefusedError(
                f"{file} is not a readable published checkpoint: it asks for {refused[1][:100]}, which these "
                "do not need and which could run code. Nothing was run. Do not open it with "
                "torch.load(weights_only=False)"
            ) from None
        raise InputError(
            f"{file} is not a readable published checkpoint: it is truncated, damaged or something else "
            f"({_shortened(error)}); download it again"
        ) from None
    try:
        params, weights = checkpoint["params"], checkpoint["nn_state_dict"]
        kind, parameters = params["nn_module"]
        inputs = {name: params[name] for name in _INPUTS if name in params}
        translated = {_translate(name): _plain_tensor(value) for name, value in weights.items()}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"{file} is not a published checkpoint ({_shortened(error)}); it must hold model_name, params and "
            "nn_state_dict as pytorch-argus writes them"
        ) from None
    if kind != "dwiseneuro":
        raise InputError(f"{file} holds a model of kind {str(kind)[:50]!r}; only 'dwiseneuro' is known")
    try:
        _check_inputs(inputs)
        return DwiseNeuroConfig.from_published(parameters), translated
    except (InputError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: {error}") from None


def _plain_tensor(value: Any) -> Tensor:
    """A plain dense tensor of real numbers; PyTorch also reads sparse, quantized and expanded ones."""
    plain = isinstance(value, Tensor) and value.layout is torch.strided
    if not plain or value.is_quantized or value.is_complex():
        raise TypeError("a weight that is not a plain tensor")
    if value.device.type != "cpu" or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise TypeError("a weight with fewer values than its shape says")
    return value.detach()


def _check_inputs(inputs: dict[str, Any]) -> None:
    for name, wanted in _INPUTS.items():
        found = inputs.get(name, wanted)
        settings = found[1] if isinstance(found, list | tuple) and len(found) == 2 else found  # (kind, settings)
        if not isinstance(settings, dict):
            raise InputError(f"its {name} is {str(found)[:100]}; a published model has {wanted}")
        for key, value in wanted.items():
            got = settings.get(key, value)
            if (tuple(got) if isinstance(got, list) else got) != value:
                raise InputError(f"it was trained with {name} {key} {str(got)[:50]}; only {value} is known")


def _shortened(error: Exception) -> str:
    """The error in one line, without PyTorch's advice to open the file unsafely."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    unsafe = text.startswith("Weights only load failed")
    return f"{type(error).__name__}: {'not readable' if unsafe else text.partition(chr(10))[0][:200]!a}"


def load_weights(module: torch.nn.Module, weights: dict[str, Tensor], *, source: str | Path) -> None:
    """Load weights; errors name what is missing, unexpected or of another shape."""
    check_weights_fit(module.state_dict(), weights, source=source)
    module.load_state_dict(weights)


def check_weights_fit(expected: dict[str, Tensor], weights: dict[str, Tensor], *, source: str | Path) -> None:
    """Raise InputError unless the weights have the expected names and shapes, and are numbers."""
    missing = sorted(expected.keys() - weights.keys())
    unexpected = sorted(weights.keys() - expected.keys())
    misshapen = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & weights.keys())
        if weights[name].shape != expected[name].shape
    ]
    if missing or unexpected or misshapen:
        faults = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
        listed = "; ".join(f"{fault}: {_some(names)}" for fault, names in faults.items() if names)
        raise InputError(f"{source} holds the weights of another architecture ({listed})")
    if undefined := [name for name, value in weights.items() if not torch.isfinite(value).all()]:
        raise InputError(
            f"{source} holds weights that are NaN or infinite ({_some(undefined)}): it is damaged, or its training "
            "failed; copy or train it again"
        )


def _translate(name: str) -> str:
    for published, ours in _RENAMED:
        name = name.replace(published, ours)
    return name


def _some(names: list[str]) -> str:
    most = 5
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
