"""What ``nr.fit_posterior`` learned: encoding models, movie prior and noise model in one object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from neuroreel.encoding.checks import as_ensemble
from neuroreel.encoding.files import has_file_format, load_encoder, save_encoder
from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, user_path
from neuroreel.posterior.movie_prior import MoviePrior
from neuroreel.posterior.noise import NoiseModel
from neuroreel.recordings.clock import same_rate
from neuroreel.recordings.disk import check_fetched
from neuroreel.results.provenance import hash_model
from neuroreel.showing import figure_html, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT, FORMAT_VERSION = "neuroreel posterior", 1
_FACTS, _TENSORS = "posterior.json", "posterior.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """Encoding models, movie prior and noise model. Made by ``nr.fit_posterior``.

    Parameters
    ----------
    models
        The ensemble.
    movie_prior
        Mean, components and spectra of movies.
    noise
        Gains, shared factors, private parts and spectra of the responses' noise.
    likelihood_weight
        Power of the likelihood.
    facts
        What it was fitted to: numbers of trials, recordings, seed, hashes of the models.
    """

    models: tuple[EncodingModel, ...]
    movie_prior: MoviePrior
    noise: NoiseModel
    likelihood_weight: float
    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        as_ensemble(self.models)
        if self.noise.neurons != self.models[0].neurons:
            raise InputError(
                f"the noise model has {self.noise.neurons} neurons, the encoding models predict "
                f"{self.models[0].neurons}: they are from different recordings"
            )
        if self.movie_prior.size != self.models[0].canvas.video_size:
            raise InputError(
                f"the movie prior has {self.movie_prior.size} pixels (height, width), the encoding models "
                f"take {self.models[0].canvas.video_size}"
            )
        if not same_rate(self.movie_prior.frame_rate_hz, self.models[0].frame_rate_hz):
            raise InputError(
                f"the movie prior is at {self.movie_prior.frame_rate_hz:g} Hz, the encoding models at "
                f"{self.models[0].frame_rate_hz:g} Hz"
            )

    @property
    def neurons(self) -> int:
        """How many neurons it knows."""
        return self.noise.neurons

    @cached_property
    def usable(self) -> Tensor:
        """(neurons,) boolean: neurons whose responses varied in the trials it was fitted to."""
        return self.noise.deviation > 0

    def tensors(self) -> dict[str, Tensor]:
        """Everything that was learned, on the CPU, by names such as "movie_prior.mean" and "noise.gain"."""
        parts = {"movie_prior": self.movie_prior, "noise": self.noise}
        return {
            f"{part}.{name}": value.cpu()
            for part, learned in parts.items()
            for name, value in vars(learned).items()
            if isinstance(value, Tensor)
        }

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write a folder with everything in it: encoding models, prior, noise.

        Models of your own or of another lab have no file format and are left out: give them to ``nr.load_posterior``.

        Raises
        ------
        InputError
            The folder exists and ``overwrite`` is False.
        ResourceError
            The disk is full, or the folder is not writable.
        """
        from safetensors.torch import save

        facts = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "models": len(self.models),
            "models_left_out": not all(map(has_file_format, self.models)),
            "readouts": [getattr(model, "readout", 0) for model in self.models],
            "likelihood_weight": self.likelihood_weight,
            "frame_rate_hz": self.movie_prior.frame_rate_hz,
            "movies": self.movie_prior.source,
            "held_out": self.noise.held_out,
            "facts": dict(self.facts),
        }
        with atomic_path(folder, overwrite=overwrite) as partial:
            partial.mkdir()
            for number, model in enumerate(() if facts["models_left_out"] else self.models):
                save_encoder(model, partial / f"encoder_{number}.safetensors")
            (partial / _TENSORS).write_bytes(save({name: each.contiguous() for name, each in self.tensors().items()}))
            (partial / _FACTS).write_text(json.dumps(facts, indent=1))
        return user_path(folder)

    def plot(self) -> Figure:
        """What was learned, in one figure: signal and noise, spectra, components of movies, factors of the noise."""
        from neuroreel.posterior.figure import posterior_figure

        return shown(posterior_figure(self))

    def __repr__(self) -> str:
        return f"Posterior({'; '.join(self._lines())})"

    def _lines(self) -> list[str]:
        height, width = self.movie_prior.size
        count = len(self.models)
        kinds = ", ".join(sorted({type(model).__name__ for model in self.models}))
        explained = float(self.noise.explained[self.usable].mean())
        shared = self.noise.loadings.square().sum(dim=1) / self.noise.deviation.square().clamp_min(1e-12)
        silent = int((~self.usable).sum())
        return [
            f"{self.neurons} neurons" + (f", {silent} of them constant and left out" if silent else ""),
            f"{count} encoding model{'s' if count > 1 else ''} ({kinds})",
            f"{explained:.0%} of root responses is signal ({self._where()})",
            f"{self.noise.loadings.shape[1]} noise factors are shared ({shared[self.usable].mean():.0%} of the noise)",
            f"movies of {width}x{height} pixels: {len(self.movie_prior.components)} components, from "
            f"{self.movie_prior.source}",
            f"likelihood weight {self.likelihood_weight:g}",
        ]

    def _where(self) -> str:
        """Which trials gains and noise were measured on, and how optimistic that is."""
        if self.noise.held_out:
            return "on validation trials"
        growth = self.facts.get("noise_growth")
        if growth is None:
            return "on the models' own training trials: optimistic, by how much is unknown without training logs"
        return (
            f"on the models' own training trials: optimistic; training logs suggest that the noise is {growth:.2f} "
            "times as large on other trials"
        )

    def _repr_html_(self) -> str:
        return figure_html(self.plot(), title="Posterior", facts=self._lines(), alt="what it learned")


def load_posterior(folder: str | Path, *, models: EncodingModel | Sequence[EncodingModel] | None = None) -> Posterior:
    """Read what :meth:`Posterior.save` wrote. Nothing in it is executed.

    Parameters
    ----------
    models
        The encoding models, in their order, where they are of your own or of another lab and so are not in the folder.

    Raises
    ------
    InputError
        No such folder, one that holds something else or is damaged, or that a newer neuroreel wrote; models that are
        missing, superfluous, or not those it was fitted to.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = user_path(folder)
    for name in (_FACTS, _TENSORS):
        check_fetched(folder / name)
    if not (folder / _FACTS).is_file():
        raise InputError(f"{folder} holds no {_FACTS}; give a folder that Posterior.save wrote")
    try:
        described = json.loads((folder / _FACTS).read_text())
        if described["format"] != FORMAT:
            raise InputError(f"{folder} holds {described['format']}; give a folder that Posterior.save wrote")
        if int(described["format_version"]) > FORMAT_VERSION:
            raise InputError(f"a newer neuroreel wrote {folder}: update neuroreel")
        tensors = load_file(folder / _TENSORS)
        ensemble = _given(models, described, folder) if described.get("models_left_out") else None
        if ensemble is None and models is not None:
            raise InputError(f"{folder} holds its encoding models; leave out models")
        prior, noise = (
            {name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)}
            for part in ("movie_prior.", "noise.")
        )
        return Posterior(
            models=_stored(described, folder) if ensemble is None else ensemble,
            movie_prior=MoviePrior(**prior, frame_rate_hz=described["frame_rate_hz"], source=described["movies"]),
            noise=NoiseModel(**noise, held_out=described["held_out"]),
            likelihood_weight=described["likelihood_weight"],
            facts=described["facts"],
        )
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{folder} is damaged ({type(error).__name__}: {error}); fit the posterior again") from error


def _stored(described: Mapping[str, Any], folder: Path) -> tuple[EncodingModel, ...]:
    return tuple(
        load_encoder(folder / f"encoder_{number}.safetensors", session=described["readouts"][number])
        for number in range(described["models"])
    )


def _given(
    models: EncodingModel | Sequence[EncodingModel] | None, described: Mapping[str, Any], folder: Path
) -> tuple[EncodingModel, ...]:
    """The models, if they are those that the posterior was fitted to."""
    if models is None:
        raise InputError(
            f"{folder} holds no encoding models, as they have no file format of ours: pass the {described['models']} "
            "that the posterior was fitted to as models="
        )
    ensemble = tuple(as_ensemble(models))
    if [hash_model(model) for model in ensemble] != described["facts"]["model_hashes"]:
        raise InputError(
            f"these are not the encoding models that {folder} was fitted to, or not in their order: it has "
            f"{described['models']}, with other weights than the {len(ensemble)} given"
        )
    return ensemble
