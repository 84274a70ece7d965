"""Where a result comes from: versions, settings and hashes, as plain JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neuroreel import __version__
from neuroreel.errors import InputError

if TYPE_CHECKING:
    from torch import nn

FORMAT_VERSION = 1
KINDS = {  # kinds of results, and what writes them
    "reconstruction": "Reconstruction.save",
    "prediction": "neuroreel predict",
    "receptive_fields": "nr.receptive_fields and write_dataset",
}

_LONGEST_LIST = 16  # arrays in settings: a shape is worth listing, 8,000 flags are not


def collect_provenance(
    *,
    settings: Mapping[str, Any],
    hashes: Mapping[str, str],
    seed: int | None = None,
    device: object = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Collect everything needed to find out later how a result was made.

    Parameters
    ----------
    settings
        The resolved settings, as used.
    hashes
        Hashes of the weights and data, for instance ``{"model": hash_model(model), "responses": hash_array(r)}``.
    seed, device
        As used.
    command
        The command line; detected if the program runs as ``neuroreel``.

    Returns
    -------
    dict
        JSON-serializable: ``versions`` of neuroreel, Python, PyTorch and NumPy, ``machine``, ``device``, ``date``
        (UTC), ``seed``, ``command`` (if known), ``settings``, ``hashes``.
    """
    command = _command_line() if command is None else command
    provenance: dict[str, Any] = {
        "versions": {
            "neuroreel": __version__,
            "python": platform.python_version(),
            "torch": version("torch"),
            "numpy": np.__version__,
        },
        "machine": f"{platform.system()} {platform.machine()}",
        "device": None if device is None else str(device),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": plain(seed),
        "settings": plain(settings),
        "hashes": plain(hashes),
    }
    return provenance if command is None else {**provenance, "command": command}


def _command_line() -> str | None:
    program = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path()
    module = program.parent.name == "neuroreel" and program.stem in ("__main__", "cli")  # python -m neuroreel
    is_ours = program.stem == "neuroreel" or module
    return shlex.join(["neuroreel", *sys.argv[1:]]) if is_ours else None


def hash_array(array: ArrayLike) -> str:
    """SHA-256 of an array's type, shape and values, the same on every machine and for every memory layout."""
    values = np.asarray(array)
    if values.dtype.hasobject:
        raise InputError(f"an array of type {values.dtype} has no fingerprint; convert it to numbers first")
    values = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{values.dtype.str}{np.shape(array)}".encode())
    digest.update(values.reshape(-1).view(np.uint8).data if values.size else b"")
    return digest.hexdigest()


def hash_model(module: nn.Module) -> str:
    """SHA-256 of a model's parameters and buffers, names included; the same on every device."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        value = tensor.detach().cpu().contiguous()
        # NumPy has no bfloat16: hash the raw bytes of every type, with the type's name
        raw = value.reshape(-1).view(torch.uint8).numpy()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} {hash_array(raw)}\n".encode())
    return digest.hexdigest()


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes; InputError if there is no such file."""
    if not Path(path).is_file():
        raise InputError(f"{path} is not a file; give the path of the file whose fingerprint is wanted")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """Turn a setting into JSON without losing information.

    Long arrays become their shape, type and hash; boolean ones also say how many are true.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON has no NaN and no infinity
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | range):
        return [plain(item) for item in (sorted(value, key=repr) if isinstance(value, set | frozenset) else value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        return _plain_array(np.asarray(value))
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return str(value)


def _plain_array(array: np.ndarray) -> Any:
    if array.ndim == 0:
        return plain(array.item())
    if array.size <= _LONGEST_LIST:
        return plain(array.tolist())
    summary: dict[str, Any] = {"shape": list(array.shape), "type": str(array.dtype), "sha256": hash_array(array)}
    return {**summary, "true": int(array.sum())} if array.dtype == bool else summary


def to_json(provenance: Mapping[str, Any]) -> str:
    """One line of JSON, for the attributes of a result."""
    return json.dumps(plain(provenance), ensure_ascii=False, allow_nan=False)


def format_of(kind: str) -> dict[str, Any]:
    """The attributes that say which kind of result a dataset is."""
    return {"format": f"neuroreel {kind}", "format_version": FORMAT_VERSION}


def check_format(attributes: Mapping[Any, Any], *, where: str | Path, kind: str) -> None:
    """Raise InputError unless ``attributes`` are of this kind of result, in a version that this neuroreel can read."""
    if attributes.get("format") != format_of(kind)["format"]:
        raise InputError(
            f"{where} is not a neuroreel {kind}; give a file that {KINDS[kind]} wrote "
            "(files published by the authors of the method open with neuroreel.read_published)"
        )
    found = attributes.get("format_version")
    if not isinstance(found, int | np.integer):
        raise InputError(f"{where} has no format version; it is damaged: write it again")
    if int(found) > FORMAT_VERSION:
        raise InputError(
            f"{where} has format version {int(found)}; this neuroreel ({__version__}) reads up to "
            f"version {FORMAT_VERSION}: install a newer neuroreel"
        )
