"""Reading the authors' DwiseNeuro checkpoints (Bauer et al. 2026): names of parameters translated, no code executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuroreel.encoding.dwiseneuro import DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.errors import InputError

# The published module names that differ from ours, in the order in which they are replaced.
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


def read_published_checkpoint(file: str | Path) -> DwiseNeuroNetwork:
    """Build the network of a published ``.pth`` file and load its weights; on CPU, in evaluation mode.

    Raises
    ------
    InputError
        The file is truncated, is no such checkpoint, or its parameters do not fit the model it describes
        (the missing and unexpected ones are named).
    """
    try:
        checkpoint: Any = torch.load(file, map_location="cpu", weights_only=True)
        kind, parameters = checkpoint["params"]["nn_module"]
        weights: dict[str, Tensor] = checkpoint["nn_state_dict"]
        translated = {_translate(name): value for name, value in weights.items()}
        network = DwiseNeuroNetwork(DwiseNeuroConfig.from_published(parameters)) if kind == "dwiseneuro" else None
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    except Exception as error:  # a damaged archive or pickle raises nearly anything
        raise InputError(
            f"{file} is no readable checkpoint of the published kind ({type(error).__name__}: {error}); "
            "it must hold model_name, params and nn_state_dict as pytorch-argus writes them. Download it again?"
        ) from error
    if network is None:
        raise InputError(f"{file} holds a model of kind {kind!r}; only 'dwiseneuro' is known")
    load_weights(network, translated, source=file)
    return network.eval()


def load_weights(module: torch.nn.Module, weights: dict[str, Tensor], *, source: str | Path) -> None:
    """Load weights, naming what is missing, unexpected or of another shape."""
    expected = module.state_dict()
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
    module.load_state_dict(weights)


def _translate(name: str) -> str:
    for published, ours in _RENAMED:
        name = name.replace(published, ours)
    return name


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
