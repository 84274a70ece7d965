"""The interface and file format of decoders, which decode the movie directly from responses."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.arguments import instance_of
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, user_path
from neuroreel.recordings.clock import same_rate
from neuroreel.recordings.disk import check_fetched
from neuroreel.recordings.trial import Trial

VERSION = "1"


class Decoder(ABC):
    """A map from responses to movies, without an encoding model. Made by ``nr.fit_decoder``."""

    frame_rate_hz: float

    @property
    @abstractmethod
    def neurons(self) -> int:
        """Number of neurons."""

    @abstractmethod
    def movie(self, trial: Trial) -> NDArray[np.float32]:
        """The movie (frames, height, width) in gray levels 0..255, of a trial that fits the decoder."""

    @abstractmethod
    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write one safetensors file with everything in it.

        Raises
        ------
        InputError
            The file exists and ``overwrite`` is False.
        ResourceError
            The disk is full, or the folder is not writable.
        """


def decode(decoder: Decoder, trial: Trial) -> NDArray[np.float32]:
    """Decode the movie from a trial's responses.

    Parameters
    ----------
    decoder
        From ``fit_decoder``, on other trials of the same neurons.
    trial
        With responses; its video, if any, is ignored.

    Returns
    -------
    (frames, height, width) float32
        Gray levels, clipped to 0..255.

    Raises
    ------
    InputError
        No responses, or another number of neurons or frame rate.
    """
    instance_of(decoder, Decoder, name="decoder")
    check_decodable(decoder, trial)
    return decoder.movie(trial)


def check_decodable(decoder: Decoder, trial: Trial) -> None:
    """Raise InputError unless the trial has the responses that the decoder was fitted to."""
    if instance_of(trial, Trial, name="the trial").responses is None:
        raise InputError(f"{trial.name} has no responses; decoding needs recorded activity")
    if trial.neurons != decoder.neurons:
        raise InputError(
            f"{trial.name} has {trial.neurons} neurons, the decoder was fitted to {decoder.neurons}; "
            "use trials of the same recording, or fit a decoder to these neurons"
        )
    if not same_rate(trial.frame_rate_hz, decoder.frame_rate_hz):
        raise InputError(
            f"{trial.name} runs at {trial.frame_rate_hz:g} Hz, the decoder at {decoder.frame_rate_hz:g} Hz; "
            "resample the trial, or fit a decoder at this rate"
        )


def load_decoder(file: str | Path) -> Decoder:
    """Read a decoder that :meth:`Decoder.save` wrote, of either kind. Nothing in it is executed.

    Raises
    ------
    InputError
        No such file, a damaged file, or a file of another kind.
    """
    from neuroreel.decoding.convolutional import ConvolutionalDecoder
    from neuroreel.decoding.ridge_decoder import RidgeDecoder

    kinds = {kind.FORMAT: kind for kind in (RidgeDecoder, ConvolutionalDecoder)}
    arrays, facts, kind = read_arrays(file, formats=tuple(kinds))
    return kinds[kind].from_arrays(arrays, facts)


def write_arrays(
    path: str | Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], *, kind: str, overwrite: bool
) -> Path:
    """Write arrays and plain facts to one safetensors file; ``kind`` is what ``read_arrays`` checks."""
    from safetensors.numpy import save

    metadata = {"format": kind, "version": VERSION, "facts": json.dumps(dict(facts))}
    written = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=metadata)
    with atomic_path(path, overwrite=overwrite) as partial:
        partial.write_bytes(written)
    return user_path(path)


def read_arrays(file: str | Path, *, formats: tuple[str, ...]) -> tuple[dict[str, NDArray[Any]], dict[str, Any], str]:
    """Arrays, facts and format of a file that ``write_arrays`` wrote; InputError for any other."""
    from safetensors import SafetensorError, safe_open

    path = user_path(file)
    check_fetched(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the file that a decoder's save wrote")
    try:
        with safe_open(path, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("format") not in formats or metadata.get("version") != VERSION:
                raise InputError(
                    f"{path} holds {metadata.get('format', 'unnamed arrays')}, version {metadata.get('version', '?')}, "
                    f"not a {' or a '.join(formats)}, version {VERSION}; give the file that a decoder's save wrote"
                )
            names = list(opened.keys())
            return (
                {name: opened.get_tensor(name) for name in names},
                json.loads(metadata["facts"]),
                str(metadata["format"]),
            )
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file, or is damaged: {error}") from error
