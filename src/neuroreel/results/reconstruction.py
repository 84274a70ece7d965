"""One reconstructed movie, with everything needed to judge it and to find out how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neuroreel.arguments import finite_number, positive_number
from neuroreel.recordings.axes import with_coordinates
from neuroreel.recordings.trial import Trial
from neuroreel.results import export, pictures
from neuroreel.results.datasets import read_dataset, write_dataset
from neuroreel.results.provenance import collect_provenance, format_of, to_json
from neuroreel.results.variables import KIND, ReconstructedMovie, reconstruction_dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuroreel.report.page import Player


class Reconstruction(ReconstructedMovie):
    """A movie reconstructed from responses: a thin wrapper around an :class:`xarray.Dataset`.

    Make one with :meth:`build` or :meth:`load`.

    Parameters
    ----------
    dataset
        ``video`` (frame, height, width), gray 0..255, and if known ``truth`` and ``start`` of the same shape,
        ``samples`` (sample, frame, height, width) and their ``deviation``, ``mask`` (height, width), ``responses``,
        ``predicted`` and ``predicted_truth`` (neuron, frame), ``neuron_mask`` (neuron), ``model_video`` (model, frame,
        height, width), and ``loss``, ``response_correlation``, ``video_correlation`` (iteration). Attributes:
        ``frame_rate_hz``, ``trial``, ``recording``, ``simulated`` (0 or 1) and ``provenance`` (JSON).

    Raises
    ------
    InputError
        No ``video``, axes in another order, or missing attributes.
    """

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
        """Build a result from arrays.

        Parameters
        ----------
        video
            (frames, height, width), gray 0..255: the reconstruction.
        frame_rate_hz
            Frames per second.
        settings, hashes, seed, device, command
            See :func:`~neuroreel.results.provenance.collect_provenance`.
        trial
            Gives the name, and the true movie and the responses unless ``truth`` and ``responses`` are given.
        recording
            Name of the trial's recording.
        simulated
            True if no animal was recorded; this is said wherever the result's numbers are shown.
        truth, start
            (frames, height, width): the true movie, and the movie that the optimization started from.
        samples
            (samples, frames, height, width): draws from the posterior.
        deviation
            (frames, height, width): the posterior's standard deviation, gray levels.
        model_video
            (models, frames, height, width): each model's own reconstruction.
        mask
            (height, width): the transparency mask on the video's pixels.
        neuron_mask
            (neurons,) boolean: the neurons whose responses were used.
        responses, predicted, predicted_truth
            (neurons, frames): recorded, predicted from the reconstruction, predicted from the true movie.
        history
            Recorded values, all of one length: ``loss``, ``response_correlation``, ``video_correlation``,
            and ``iteration``, their iteration numbers (0, 1, 2, ... by default). NaN if undefined.
        neuron_ids
            One per neuron; 0, 1, 2, ... by default.
        pixels_per_degree
            Pixels per degree of visual angle at the middle of the screen, if known: adds coordinates in degrees.

        Raises
        ------
        InputError
            Shapes that do not fit together, NaN or infinite values, gray levels outside 0..255.
        """
        if trial is not None:
            truth = trial.video if truth is None else truth
            responses = trial.responses if responses is None else responses
        arrays = {
            "video": video,
            "truth": truth,
            "start": start,
            "samples": samples,
            "deviation": deviation,
            "model_video": model_video,
            "mask": mask,
            "neuron_mask": neuron_mask,
            "responses": responses,
            "predicted": predicted,
            "predicted_truth": predicted_truth,
        }
        positive_number(frame_rate_hz, name="frame_rate_hz")
        dataset = reconstruction_dataset(arrays, history=history or {})
        provenance = collect_provenance(settings=settings, hashes=hashes, seed=seed, device=device, command=command)
        dataset.attrs = {
            **format_of(KIND),
            "frame_rate_hz": float(frame_rate_hz),
            "trial": "" if trial is None else trial.name,
            "recording": recording,
            "simulated": int(simulated),
            "provenance": to_json(provenance),
        }
        return cls(with_coordinates(dataset, neuron_ids=neuron_ids, pixels_per_degree=pixels_per_degree))

    def smooth(self, sigma: float) -> Reconstruction:
        """Blur the video with a Gaussian over frames, rows and columns: a new result, ``smoothed`` in its settings.

        The published reconstructions are blurred with a sigma of 0.5 before they are scored (Bauer, Margrie & Clopath,
        eLife 2026). Everything else is unchanged: ``predicted`` still belongs to the video before blurring, and says
        so.

        Parameters
        ----------
        sigma
            Standard deviation in frames and pixels, 0 or more.
        """
        from scipy.ndimage import gaussian_filter

        finite_number(sigma, name="sigma", least=0)
        dataset = self.dataset.copy()
        blurred = np.clip(gaussian_filter(self.video, sigma), 0, 255)  # rounding may exceed the range
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
            A wrong extension, or the file exists and ``overwrite`` is False.
        ResourceError
            The disk is full, the folder is not writable, or zarr is not installed.
        """
        return write_dataset(self.dataset, path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Reconstruction:
        """Read what :meth:`save` wrote, into memory.

        Raises
        ------
        InputError
            The file does not exist, is damaged, is not a reconstruction, or was written by a newer neuroreel.
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
            truth=self.needs_truth() if with_truth else None,
            dtype=dtype,
            pixels_per_degree=self.dataset.attrs.get("pixels_per_degree"),
            overwrite=overwrite,
        )

    def to_mp4(
        self,
        path: str | Path,
        *,
        with_truth: bool = False,
        match_contrast: bool = True,
        exact: bool = False,
        scale: int | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the video as H.264; see :func:`~neuroreel.results.export.write_mp4`.

        Next to the true movie, it is shown with that movie's brightness and contrast, and is gray outside the mask,
        unless ``match_contrast`` is False or it is to be ``exact``. The file's comment says so.
        """
        return export.write_mp4(
            path,
            frame_rate_hz=self.frame_rate_hz,
            exact=exact,
            scale=scale,
            overwrite=overwrite,
            **pictures.beside_truth(self, with_truth=with_truth, match=match_contrast and not exact),
        )

    def to_gif(
        self,
        path: str | Path,
        *,
        with_truth: bool = False,
        match_contrast: bool = True,
        scale: int = 2,
        overwrite: bool = False,
    ) -> Path:
        """Write the video as an animated GIF, the mask outlined; see :func:`~neuroreel.results.export.write_gif`.

        Next to the true movie, it is shown with that movie's brightness and contrast, as in :meth:`to_mp4`.
        """
        return export.write_gif(
            path,
            frame_rate_hz=self.frame_rate_hz,
            mask=self.mask,
            scale=scale,
            overwrite=overwrite,
            **pictures.beside_truth(self, with_truth=with_truth, match=match_contrast),
        )

    def to_nwb(self, path: str | Path, *, metadata: Mapping[str, Any] | None = None, overwrite: bool = False) -> Path:
        """Write everything but the scores as an NWB file; see :func:`~neuroreel.results.nwb.write_nwb`."""
        from neuroreel.results.nwb import write_nwb

        return write_nwb(path, {"": self}, metadata=metadata, overwrite=overwrite)

    def score(self, *, skip: int = 30) -> float:
        """Video correlation with the true movie inside the mask, from frame ``skip`` on; see ``nr.video_correlation``.

        Raises
        ------
        InputError
            The true movie is unknown, or not longer than ``skip``.
        """
        from neuroreel.evaluation.scores import video_correlation

        return video_correlation(self.needs_truth(), self.video, mask=self.mask, skip=skip)

    def scores(self, *, skip: int = 30) -> dict[str, float]:
        """Every score that is one number, inside the mask, from frame ``skip`` on; see ``nr.scores``.

        Raises
        ------
        InputError
            The true movie is unknown, or not longer than ``skip``.
        """
        from neuroreel.evaluation.scores import scores

        return scores(self.needs_truth(), self.video, mask=self.mask, skip=skip)

    def plot(self, *, columns: int = 6) -> Figure:
        """A few frames of the true movie above those of the reconstruction, with their times and the score.

        As in the paper, the reconstruction has the true movie's brightness and contrast, and is shown inside the mask.
        The posterior's deviation is below it if there are samples.

        Returns
        -------
        matplotlib.figure.Figure
            Made without pyplot, so nothing needs closing; ``figure.savefig("frames.png")`` writes it.
        """
        return pictures.frames_figure(self, columns=columns)

    def plot_history(self) -> Figure:
        """Loss and correlations over iterations; InputError if no history was recorded."""
        return pictures.history_figure(self)

    def plot_responses(self) -> Figure:
        """Recorded and predicted responses, one raster each; InputError if no responses were saved."""
        return pictures.responses_figure(self)

    def plot_map(self, *, skip: int = 30) -> Figure:
        """Where the movie was recovered: the correlation of each pixel over time, from frame ``skip`` on."""
        return pictures.map_figure(self, skip=skip)

    def show(self) -> Player:
        """The report on this result, inline in a notebook: synchronized movies, responses, mask, settings."""
        from neuroreel.report.page import Player, report_page

        return Player(report_page([self], title=self.name))

    def __repr__(self) -> str:
        frames, height, width = self.video.shape
        parts = [self.name, f"{frames} frames at {self.frame_rate_hz:g} Hz", f"{width}x{height} pixels"]
        parts += ["simulated"] if self.simulated else []
        parts += ["a movie that the encoding model was trained on"] if self.trained_on else []
        parts += [] if self.truth is None else [pictures.score_words(self)]
        return f"Reconstruction({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Synchronized movies with matched contrast and the mask's outline; settings fold out below."""
        return pictures.playing_html(self)
