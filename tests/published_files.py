"""Files as the authors' code writes them, with made-up numbers; and hostile ones."""

from __future__ import annotations

import io
import pickle
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import torch


def result_fields(
    *,
    frames: int = 20,
    neurons: int = 3,
    mouse: int = 0,
    trial: int = 0,
    model: int = 0,
    seed: int = 0,
    highest_mask: float = 1.0,
    reduction: float = 0.5,
) -> dict[str, Any]:
    """The fields of a result. The true movie and the responses depend on mouse and trial alone."""
    movie, own = np.random.default_rng([seed, mouse, trial]), np.random.default_rng([seed, mouse, trial, model, 1])
    return {
        "epochs": np.int64(25),
        "strides": np.array([8]),
        "lr": 1000,
        "loss_func": "poisson",
        "mouse_index": np.int64(mouse),
        "trial": trial,
        "video_length": frames,
        "model_paths": [PosixPath(f"data/experiments/true_batch_002/fold_{model}/model-017-0.29.pth")],
        "model_list": np.array([model]),
        "population_reduction": reduction,
        "population_mask": movie.random((neurons, 1)) > 0.5,
        "use_adam": True,
        "mask": np.random.default_rng(mouse).random((64, 64)).astype(np.float32) * np.float32(highest_mask),
        "device": torch.device("cuda", 0),
        "video_gt": movie.uniform(0, 255, (frames, 36, 64)).round(),
        "video_pred": own.uniform(0, 255, (frames, 36, 64)).astype(np.float32),
        "behavior": movie.random((2, frames)),
        "pupil_center": movie.random((2, frames)),
        "responses": torch.from_numpy(movie.random((frames, neurons)).astype(np.float32)).T,  # a view with strides
        "responses_predicted_gt": own.random((neurons, frames, 1)),
        "responses_predicted_full": own.random((neurons, frames)),
        "video_itter": [0, 10, 20, 24],
        "response_loss_gt": torch.tensor(-0.5),
        "response_loss_full": own.random(4).tolist(),
        "response_corr_gt": np.float64(own.random()),
        "response_corr_full": [*own.random(4)],
        "video_corr": [np.float64(np.nan), *own.random(3)],
        "video_RMSE": [*own.random(4)],
        "motion_energy_gt": movie.random(frames - 1),
        "motion_energy_recon": own.random(frames - 1).astype(np.float32),
    }


def write_pickled(file: Path, thing: object, *, protocol: int = 4) -> Path:
    """As ``numpy.save`` writes a dictionary."""
    return write_raw(file, pickle.dumps(thing, protocol=protocol))


def write_raw(file: Path, instructions: bytes) -> Path:
    """Instructions of a pickle behind the header of an array of one object."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(stream.getvalue() + instructions)
    return file


def write_result(folder: Path, name: str, **changes: Any) -> Path:
    """A result; changes are sizes and numbers of :func:`result_fields`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"reconstruction_summary_{name}.npy"
    np.save(file, np.array(result_fields(**changes), dtype=object), allow_pickle=True)
    return file


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function: object, *arguments: object, state: object = None) -> None:
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.call
