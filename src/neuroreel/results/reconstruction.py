"""One reconstructed movie, with everything needed to judge it and to find out how it was made."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neuroreel.arguments import as_array, finite_number, positive_number
from neuroreel.errors import InputError
from neuroreel.recordings.trial import Trial
from neuroreel.results import export
from neuroreel.results.datasets import read_dataset, with_times_and_neurons, write_dataset
from neuroreel.results.provenance import check_format, collect_provenance, format_of, to_json
from neuroreel.showing import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = "reconstruction"
_MOVIE = ("frame", "height", "width")
_ACTIVITY = ("neuron", "frame")

_VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {  # name: axes, what it is, unit
    "video": (_MOVIE, "reconstruction", "grey level 0..255"),
    "truth": (_MOVIE, "true movie", "grey level 0..255"),
    "start": (_MOVIE, "movie that the optimisation started from", "grey level 0..255"),
    "samples": (("sample", *_MOVIE), "draws from the posterior", "grey level 0..255"),
    "deviation": (_MOVIE, "posterior standard deviation", "grey levels"),
    "model_video": (("model", *_MOVIE), "reconstruction from each model of the ensemble", "grey level 0..255"),
    "mask": (("height", "width"), "transparency mask", "1"),
    "neuron_mask": (("neuron",), "neurons that the reconstruction was given", "1"),
    "responses": (_ACTIVITY, "recorded responses", "as recorded"),
    "predicted": (_ACTIVITY, "responses predicted from the reconstruction", "as recorded"),
    "predicted_truth": (_ACTIVITY, "responses predicted from the true movie", "as recorded"),
}


class Reconstruction:
    """A movie reconstructed from responses: a thin face on an :class:`xarray.Dataset`.

    Make one with :meth:`build` or :meth:`load`.

    Parameters
    ----------
    dataset
        ``video`` (frame, height, width), grey 0..255, and where they are known ``truth`` and ``start`` of the same
        shape, ``samples`` (sample, frame, height, width) and their ``deviation``, ``mask`` (height, width),
        ``responses``, ``predicted`` and ``predicted_truth`` (neuron, frame), ``neuron_mask`` (neuron), ``model_video``
        (model, frame, height, width), and ``loss``, ``response_correlation``, ``video_correlation`` (iteration).
        Attributes: ``frame_rate_hz``, ``trial``, ``recording``, ``simulated`` (0 or
        1) and ``provenance`` (JSON).

    Raises
    ------
    InputError
        No ``video``, axes in another order, or attributes that are missing.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        check_format(dataset.attrs, where="the dataset", kind=KIND)
        for name, (axes, _, _) in _VARIABLES.items():
            if name in dataset and dataset[name].dims != axes:
                raise InputError(
                    f"{name} has the axes {dataset[name].dims}; they must be {axes}: use dataset.transpose"
                )
        missing = {"video"} - set(dataset) | {"frame_rate_hz", "provenance"} - set(dataset.attrs)
        if missing:
            raise InputError(f"the dataset has no {', no '.join(sorted(missing))}; make it with Reconstruction.build")
        self.dataset = dataset

    @classmethod
    def build(
        cls,
        *,
        video: ArrayLike,
        frame_rate_hz: float,
        settings: Mapping[str, Any],
        hashes: Mapping[str, str],
        trial: Trial | None = None,
        recording: str = "",
        simulated: bool = False,
        truth: ArrayLike | None = None,
        start: ArrayLike | None = None,
        samples: ArrayLike | None = None,
        deviation: ArrayLike | None = None,
        model_video: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        neuron_mask: ArrayLike | None = None,
        responses: ArrayLike | None = None,
        predicted: ArrayLike | None = None,
        predicted_truth: ArrayLike | None = None,
        history: Mapping[str, Sequence[float]] | None = None,
        neuron_ids: ArrayLike | None = None,
        pixels_per_degree: float | None = None,
        seed: int | None = None,
        device: object = None,
        command: str | None = None,
    ) -> Reconstruction:
        """Put a result together from arrays.

        Parameters
        ----------
        video
            (frames, height, width), grey 0..255: the reconstruction.
        frame_rate_hz
            Frames a second.
        settings, hashes, seed, device, command
            See :func:`~neuroreel.results.provenance.collect_provenance`.
        trial
            Gives the name, and the true movie and the responses unless ``truth`` and ``responses`` are given.
        recording
            Name of the recording that the trial is from.
        simulated
            True if no animal was recorded: it is said wherever the result's numbers are shown.
        truth, start
            (frames, height, width): the true movie, and the movie that the optimisation started from.
        samples
            (samples, frames, height, width): draws from the posterior.
        deviation
            (frames, height, width): the posterior's standard deviation, grey levels.
        model_video
            (models, frames, height, width): each model's own reconstruction.
        mask
            (height, width): the transparency mask on the video's pixels.
        neuron_mask
            (neurons,) boolean: the neurons whose responses were used.
        responses, predicted, predicted_truth
            (neurons, frames): recorded, predicted from the reconstruction, predicted from the true movie.
        history
            What was recorded on the way, each of one length: ``loss``, ``response_correlation``, ``video_correlation``,
            and ``iteration``, the numbers of the iterations they belong to (0, 1, 2, ... by default). NaN where
            undefined.
        neuron_ids
            One a neuron; 0, 1, 2, ... by default.
        pixels_per_degree
            Pixels a degree of visual angle at the middle of the screen, if known: adds coordinates in degrees.

        Raises
        ------
        InputError
            Shapes that do not fit together, NaN or infinite values, grey levels outside 0..255.
        """
        if trial is not None:
            truth = trial.video if truth is None else truth
            responses = trial.responses if responses is None else responses
        arrays = {
            "video": video,
            "truth": truth,
            "start": start,
            "samples": samples,
            "model_video": model_video,
            "mask": mask,
        }
        arrays |= {"responses": responses, "predicted": predicted, "predicted_truth": predicted_truth}
        arrays |= {"neuron_mask": neuron_mask, "deviation": deviation}
        positive_number(frame_rate_hz, name="frame_rate_hz")
        variables = {name: _variable(name, array) for name, array in arrays.items() if array is not None}
        _check_sizes(variables)
        variables |= _history(history or {})
        dataset = xr.Dataset(variables)
        provenance = collect_provenance(settings=settings, hashes=hashes, seed=seed, device=device, command=command)
        dataset.attrs = {
            **format_of(KIND),
            "frame_rate_hz": float(frame_rate_hz),
            "trial": "" if trial is None else trial.name,
            "recording": recording,
            "simulated": int(simulated),
            "provenance": to_json(provenance),
        }
        return cls(_with_coordinates(dataset, neuron_ids=neuron_ids, pixels_per_degree=pixels_per_degree))

    @property
    def video(self) -> NDArray[np.float32]:
        """The reconstruction (frames, height, width), grey 0..255."""
        return np.asarray(self.dataset["video"].values, np.float32)

    @property
    def truth(self) -> NDArray[np.float32] | None:
        """The true movie (frames, height, width), grey 0..255; None where it is not known."""
        return self._array("truth")

    @property
    def mask(self) -> NDArray[np.float32] | None:
        """The transparency mask (height, width); None if none was used."""
        return self._array("mask")

    @property
    def samples(self) -> NDArray[np.float32] | None:
        """Draws from the posterior (samples, frames, height, width), grey 0..255; None if none were made."""
        return self._array("samples")

    @property
    def deviation(self) -> NDArray[np.float32] | None:
        """Posterior standard deviation of each pixel (frames, height, width), grey levels; None without samples."""
        return self._array("deviation")

    @property
    def neuron_mask(self) -> NDArray[np.bool_] | None:
        """Whose responses were used, (neurons,) boolean; None where it is not known."""
        return np.asarray(self.dataset["neuron_mask"].values, bool) if "neuron_mask" in self.dataset else None

    def _array(self, name: str) -> NDArray[np.float32] | None:
        return np.asarray(self.dataset[name].values, np.float32) if name in self.dataset else None

    @property
    def frame_rate_hz(self) -> float:
        """Frames a second."""
        return float(self.dataset.attrs["frame_rate_hz"])

    @property
    def simulated(self) -> bool:
        """True if no animal was recorded."""
        return bool(self.dataset.attrs.get("simulated", 0))

    @property
    def trained_on(self) -> bool:
        """True if an encoding model was trained on this movie, as far as it declares its training set."""
        return bool(self.settings.get("trained_on", False))

    @property
    def name(self) -> str:
        """The trial, and the recording it is from where that is known."""
        trial, recording = (str(self.dataset.attrs.get(key, "")) for key in ("trial", "recording"))
        if "/" in trial:  # a recording's trials are called "mouse/trial 7"
            return trial
        return " of ".join(part for part in (trial or "trial", recording) if part)

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, settings, fingerprints of weights and data, device, seed and date."""
        return dict(json.loads(self.dataset.attrs["provenance"]))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the reconstruction was made with."""
        return dict(self.provenance["settings"])

    def smooth(self, sigma: float) -> Reconstruction:
        """Blur the video with a Gaussian over frames, rows and columns: a new result, ``smoothed`` in its settings.

        The published reconstructions are blurred with a sigma of 0.5 before they are scored (Bauer, Margrie & Clopath,
        eLife 2026). Everything else stays as it is: ``predicted`` still belongs to the video before the blur, and says
        so.

        Parameters
        ----------
        sigma
            Standard deviation in frames and pixels, 0 or more.
        """
        from scipy.ndimage import gaussian_filter

        finite_number(sigma, name="sigma", least=0)
        dataset = self.dataset.copy()
        blurred = np.clip(gaussian_filter(self.video, sigma), 0, 255)  # rounding may step over the ends of the range
        dataset["video"] = dataset["video"].copy(data=blurred)
        if "predicted" in dataset:
            dataset["predicted"] = dataset["predicted"].assign_attrs(of="the reconstruction before smoothing")
        provenance = self.provenance
        provenance["settings"]["smoothed"] = [*provenance["settings"].get("smoothed", []), float(sigma)]
        dataset.attrs["provenance"] = to_json(provenance)
        return Reconstruction(dataset)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a NetCDF file (``.nc``) or a Zarr folder (``.zarr``), whole or not at all.

        Raises
        ------
        InputError
            Another ending, or something is there already and ``overwrite`` is False.
        ResourceError
            The disk is full, the folder may not be written, or zarr is not installed.
        """
        return write_dataset(self.dataset, path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Reconstruction:
        """Read what :meth:`save` wrote, into memory.

        Raises
        ------
        InputError
            There is no such file, it is damaged, it is no reconstruction, or a newer neuroreel wrote it.
        """
        return cls(read_dataset(path, kind=KIND))

    def to_tiff(
        self, path: str | Path, *, with_truth: bool = False, dtype: str = "uint8", overwrite: bool = False
    ) -> Path:
        """Write the video as an ImageJ hyperstack; see :func:`~neuroreel.results.export.write_tiff`."""
        return export.write_tiff(
            path,
            self.video,
            frame_rate_hz=self.frame_rate_hz,
            truth=self._needs_truth() if with_truth else None,
            dtype=dtype,
            pixels_per_degree=self.dataset.attrs.get("pixels_per_degree"),
            overwrite=overwrite,
        )

    def to_mp4(
        self,
        path: str | Path,
        *,
        with_truth: bool = False,
        exact: bool = False,
        scale: int | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the video as H.264; see :func:`~neuroreel.results.export.write_mp4`."""
        return export.write_mp4(
            path,
            self.video,
            frame_rate_hz=self.frame_rate_hz,
            truth=self._needs_truth() if with_truth else None,
            exact=exact,
            scale=scale,
            overwrite=overwrite,
        )

    def to_gif(self, path: str | Path, *, with_truth: bool = False, scale: int = 2, overwrite: bool = False) -> Path:
        """Write the video as an animated GIF, the mask outlined; see :func:`~neuroreel.results.export.write_gif`."""
        return export.write_gif(
            path,
            self.video,
            frame_rate_hz=self.frame_rate_hz,
            truth=self._needs_truth() if with_truth else None,
            mask=self.mask,
            scale=scale,
            overwrite=overwrite,
        )

    def to_nwb(self, path: str | Path, *, metadata: Mapping[str, Any] | None = None, overwrite: bool = False) -> Path:
        """Write everything but the scores as an NWB file; see :func:`~neuroreel.results.nwb.write_nwb`."""
        from neuroreel.results.nwb import write_nwb

        return write_nwb(path, {"": self}, metadata=metadata, overwrite=overwrite)

    def _needs_truth(self) -> NDArray[np.float32]:
        if self.truth is None:
            raise InputError(f"the true movie of {self.name} is not known; leave out with_truth")
        return self.truth

    def plot(self, *, columns: int = 6) -> Figure:
        """A few frames of the true movie above those of the reconstruction, with their times.

        Returns
        -------
        matplotlib.figure.Figure
            Outside pyplot, so nothing needs closing; ``figure.savefig("frames.png")`` writes it.
        """
        figure = export.filmstrip_figure(self._rows(), frame_rate_hz=self.frame_rate_hz, columns=columns)
        figure.suptitle(self.name + (" (a simulated mouse, not a real one)" if self.simulated else ""))
        return shown(figure)

    def score(self, *, skip: int = 30) -> float:
        """Video correlation with the true movie inside the mask, from frame ``skip`` on: as ``nr.video_correlation``.

        Raises
        ------
        InputError
            The true movie is not known, or is no longer than ``skip``.
        """
        from neuroreel.evaluation.scores import video_correlation

        return video_correlation(self._needs_truth(), self.video, mask=self.mask, skip=skip)

    def scores(self, *, skip: int = 30) -> dict[str, float]:
        """Every score that is one number, inside the mask, from frame ``skip`` on: as ``nr.scores``.

        Raises
        ------
        InputError
            The true movie is not known, or is no longer than ``skip``.
        """
        from neuroreel.evaluation.scores import scores

        return scores(self._needs_truth(), self.video, mask=self.mask, skip=skip)

    def _rows(self) -> dict[str, NDArray[np.float32]]:
        truth = {} if self.truth is None else {"true": self.truth}
        return {**truth, "reconstructed": self.video}

    def __repr__(self) -> str:
        frames, height, width = self.video.shape
        parts = [self.name, f"{frames} frames at {self.frame_rate_hz:g} Hz", f"{width}x{height} pixels"]
        parts += ["simulated"] if self.simulated else []
        parts += ["a movie that the encoding model was trained on"] if self.trained_on else []
        if self.truth is not None:
            share = 1.0 if self.mask is None else float((self.mask >= 1).mean())
            score = self.score(skip=min(30, frames // 2)) if share else float("nan")
            parts += [f"video correlation {score:.3f} inside {share:.0%} of the screen"]
        return f"Reconstruction({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """The movies play in step, contrast matched; the outline is the mask's; settings fold out below."""
        movies = self._shown()
        picture = export.gif(list(movies.values()), frame_rate_hz=self.frame_rate_hz, mask=self.mask)
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
            f"<td style='text-align:left'>{html.escape(json.dumps(value, ensure_ascii=False))}</td></tr>"
            for key, value in self.provenance.items()
        )
        return (
            f"<div><p><b>{html.escape(repr(self))}</b><br>{html.escape(' | '.join(movies))}</p>"
            f"<img style='max-width:100%;image-rendering:pixelated' alt='{html.escape(', '.join(movies))}' "
            f"src='data:image/gif;base64,{base64.b64encode(picture).decode()}'>"
            f"<details><summary>Settings and provenance</summary><table>{rows}</table></details></div>"
        )

    def _shown(self) -> dict[str, NDArray[np.float32]]:
        """Movies for the eye, by what they show."""
        from neuroreel.evaluation.scores import match_contrast

        if self.truth is None:
            movies = {"reconstruction": self.video}
        else:
            matched = match_contrast(self.truth, self.video, mask=self.mask)
            movies = {"true movie": self.truth, "reconstruction, at the true movie's contrast": matched}
        if self.deviation is not None:
            largest = max(float(self.deviation.max()), 1.0)
            movies[f"uncertainty (white: {largest:.0f} grey levels)"] = self.deviation * (255 / largest)
        return movies


def _variable(name: str, array: ArrayLike) -> xr.Variable:
    axes, what, unit = _VARIABLES[name]
    values = as_array(array, name=name)
    if values.ndim != len(axes) or values.size == 0:
        raise InputError(f"{name} has shape {values.shape}; it must be ({', '.join(axes)}), none of them 0")
    if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise InputError(f"{name} (type {values.dtype}) must hold real numbers without NaN or infinite values")
    if name == "video" and (values.min() < -1e-3 or values.max() > 255 + 1e-3):  # float32 rounding is no fault
        raise InputError(f"video has grey levels from {values.min():g} to {values.max():g}; they must lie in 0..255")
    kind = bool if name == "neuron_mask" else np.float32
    return xr.Variable(axes, values.astype(kind), {"long_name": what, "units": unit})


def _check_sizes(variables: Mapping[str, xr.Variable]) -> None:
    known: dict[Any, tuple[str, int]] = {}
    for name, variable in variables.items():
        for axis, size in variable.sizes.items():
            first, expected = known.setdefault(axis, (name, size))
            if size != expected:
                raise InputError(
                    f"{name} has {size} on its axis {axis!r}, but {first} has {expected}; cut them to the same size"
                )


def _history(history: Mapping[str, Sequence[float]]) -> dict[str, xr.Variable]:
    lengths = {name: len(values) for name, values in history.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"the recorded values have different lengths: {lengths}; record all of them at the same iterations"
        )
    taken = set(history) & (set(_VARIABLES) | set(_MOVIE) | set(_ACTIVITY) | {"model", "time"})
    if taken:
        raise InputError(f"history may not use the names {sorted(taken)}; rename them")
    values = {name: xr.Variable(("iteration",), np.asarray(values, np.float64)) for name, values in history.items()}
    if values:
        numbers = np.asarray(history.get("iteration", range(len(next(iter(history.values()))))))
        values["iteration"] = xr.Variable(("iteration",), numbers.astype(np.int64))
    return values


def _with_coordinates(
    dataset: xr.Dataset, *, neuron_ids: ArrayLike | None, pixels_per_degree: float | None
) -> xr.Dataset:
    dataset = with_times_and_neurons(dataset, neuron_ids=neuron_ids)
    if pixels_per_degree is not None:
        positive_number(pixels_per_degree, name="pixels_per_degree")
        rows, columns = (np.arange(size) - (size - 1) / 2 for size in (dataset.sizes["height"], dataset.sizes["width"]))
        up = xr.Variable(("height",), -rows / pixels_per_degree, {"units": "degree", "long_name": "elevation"})
        right = xr.Variable(("width",), columns / pixels_per_degree, {"units": "degree", "long_name": "azimuth"})
        dataset = dataset.assign_coords(elevation=up, azimuth=right)
        dataset.attrs["pixels_per_degree"] = float(pixels_per_degree)
    return dataset
