"""One page that shows reconstructions: no network, no server, nothing to install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel import __version__
from neuroreel.decoding.decoder import decode
from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.errors import InputError
from neuroreel.evaluation.table import trial_of
from neuroreel.files import atomic_path, refuse_existing, user_path
from neuroreel.outlines import scored_share, share_words
from neuroreel.report import figures
from neuroreel.report.movies import NO_MOVIE, pack_trial
from neuroreel.report.scores import Scores, ScoreTable, default_scores, read_scores
from neuroreel.results import Reconstruction
from neuroreel.results.pictures import white_deviation


def write_report(
    path: str | Path,
    results: Reconstruction | Sequence[Reconstruction],
    *,
    title: str | None = None,
    scores: Scores | None = None,
    decoder: RidgeDecoder | None = None,
    movies: Mapping[str, Sequence[ArrayLike]] | None = None,
    notes: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one self-contained HTML page: movies side by side, activity, mask, scores, settings, provenance.

    Parameters
    ----------
    path
        Ends in ``.html``.
    results
        One reconstruction, or one per trial.
    title
        Heading of the page; by default it says how many reconstructions there are.
    scores
        ``{trial: {method: {score: value}}}``, or a pandas DataFrame with the columns ``trial``, ``method`` and one
        column per score; None, NaN and infinite values are shown as undefined. The first score also appears under a
        movie if its trial is the result's ``trial`` (or ``name``) and its method is the movie's label:
        ``reconstruction``, ``start``, or a key of ``movies``. By default scores and baselines are computed inside each
        result's mask if all true movies are known.
    decoder
        Linear decoder of the same neurons: its movie plays next to the others, and the baselines are those of
        ``nr.baselines``. Without it they are gray, the mean of the other true movies, and the reconstruction of another
        trial.
    movies
        Further movies to play: label, and one (frames, height, width) per result.
    notes
        Plain text for the top of the page; an empty line starts a new paragraph.
    overwrite
        Replace an existing page.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        No results, movies or scores of a wrong shape, or a page that already exists.
    """
    path = user_path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path} ends in {path.suffix!r}; the name of a report must end in .html")
    refuse_existing(path, overwrite=overwrite)
    results = [results] if isinstance(results, Reconstruction) else list(results)
    page = report_page(results, title=title, scores=scores, decoder=decoder, movies=movies, notes=notes)
    with atomic_path(path, overwrite=overwrite) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


@dataclass(frozen=True)
class Player:
    """A report's page that plays inline in a notebook. Made by :meth:`Reconstruction.show`."""

    page: str
    height: int = 760

    def _repr_html_(self) -> str:
        source = escape(self.page, quote=True)
        return f'<iframe srcdoc="{source}" style="width:100%;height:{self.height}px;border:0" title="player"></iframe>'

    def __repr__(self) -> str:
        return f"<a page of {len(self.page) / 1e6:.1f} MB that a notebook plays; nr.write_report makes it a file>"


def report_page(
    results: Sequence[Reconstruction],
    *,
    title: str | None = None,
    scores: Scores | None = None,
    decoder: RidgeDecoder | None = None,
    movies: Mapping[str, Sequence[ArrayLike]] | None = None,
    notes: str | None = None,
) -> str:
    """The page that :func:`write_report` writes."""
    if not results:
        raise InputError("there are no results to report; give at least one reconstruction")
    movies = dict(movies or {})
    if decoder is not None and "ridge" not in movies:
        movies["ridge"] = [decode(decoder, trial_of(result)) for result in results]
    films = [_films(result, _extra(movies, number, len(results))) for number, result in enumerate(results)]
    given = default_scores(results, decoder=decoder, movies=movies) if scores is None else scores
    table = None if given is None else read_scores(given)
    names = _names(results)
    return str(
        _template().render(
            title=title or f"{len(results)} reconstructed movie{'s' if len(results) > 1 else ''}",
            notes=[part.strip() for part in (notes or "").split("\n\n") if part.strip()],
            panels=[_panel(result, name, key) for key, (result, name) in enumerate(zip(results, names, strict=True))],
            data=[
                _data(result, film, table, known=known, trials=len(results))
                for result, film, known in zip(results, films, _names_in_tables(results), strict=True)
            ],
            table=table,
            score_plot=_score_plot(table),
            scored=_scored(results),
            simulated=_simulated(results),
            version=__version__,
        )
    )


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("neuroreel.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _simulated(results: Sequence[Reconstruction]) -> str:
    """Whether all, some or none of the results are simulated."""
    told = {result.simulated for result in results}
    return "some" if len(told) > 1 else "all" if True in told else "none"


def _scored(results: Sequence[Reconstruction]) -> str:
    """The share of the screen that is scored: "19% of the screen", "17% to 21% of the screen"."""
    ends = sorted((result.mask for result in results), key=scored_share)
    least, most = share_words(ends[0]), share_words(ends[-1])
    return most if least == most else f"{least.split()[0]} to {most}"


def _names(results: Sequence[Reconstruction]) -> list[str]:
    """Short names if all are from one recording; numbered if two would be the same."""
    recordings = {result.dataset.attrs.get("recording", "") for result in results}
    short = [str(r.dataset.attrs.get("trial", "")).rpartition("/")[2] or r.name for r in results]
    names = short if len(recordings) == 1 else [result.name for result in results]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _names_in_tables(results: Sequence[Reconstruction]) -> list[list[str]]:
    """What a table of scores may call the trial of each result: further ones of a name have numbers, as it has them."""
    names = [result.name for result in results]
    trials = [str(result.dataset.attrs.get("trial", "")) for result in results]
    counts = [names[: i + 1].count(name) for i, name in enumerate(names)]
    numbered = [name if count == 1 else f"{name} ({count})" for name, count in zip(names, counts, strict=True)]
    return [[name] if trials.count(trial) > 1 else [trial, name] for trial, name in zip(trials, numbered, strict=True)]


def _extra(movies: Mapping[str, Sequence[ArrayLike]], number: int, results: int) -> dict[str, ArrayLike]:
    for label, given in movies.items():
        if len(given) != results:
            raise InputError(f"movies[{label!r}] holds {len(given)} movies for {results} results; give one per result")
    return {label: given[number] for label, given in movies.items()}


def _films(result: Reconstruction, extra: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float32]]:
    """The movies of one trial by label, in the order in which they are shown."""
    films = {} if result.truth is None else {"true": result.truth}
    films["reconstruction"] = result.video
    start = np.asarray(result.dataset["start"].values, np.float32) if "start" in result.dataset else None
    twin = start is not None and any(_look_alike(start, np.asarray(movie, np.float32)) for movie in extra.values())
    if start is not None and np.ptp(start, axis=0).max() >= 1 and not twin:  # a still start is not worth showing
        films["start"] = start
    if result.samples is not None:
        films["a draw"] = result.samples[0]
    if result.deviation is not None:
        films[NO_MOVIE] = (result.deviation * (255 / white_deviation(result.deviation))).clip(0, 255)
    for label, movie in extra.items():
        film = np.asarray(movie, np.float32)
        if film.shape != result.video.shape or not np.isfinite(film).all():
            raise InputError(
                f"movies[{label!r}] has shape {film.shape} for {result.name}; "
                f"it must be {result.video.shape}, without NaN or infinite values"
            )
        if label in films:
            raise InputError(f"movies may not use the name {label!r}, which the result itself has; choose another")
        films[label] = film
    return films


def _look_alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """True if no pixel differs by a gray level or more."""
    return one.shape == other.shape and bool(np.abs(one - other).max() < 1)


def _panel(result: Reconstruction, name: str, number: int) -> dict[str, Any]:
    """What the page shows of one trial, beside its movies."""
    frames, height, width = result.video.shape
    rate, key = result.frame_rate_hz, f"t{number}"
    mask = figures.mask_picture(result, key=key)
    notes = []
    if "smoothed" in result.settings:
        sigmas = ", then ".join(f"{sigma:g}" for sigma in result.settings["smoothed"])
        notes.append(f"The reconstruction is smoothed: Gaussian, sigma {sigmas} frames and pixels.")
    if result.deviation is not None:
        white = white_deviation(result.deviation)
        notes.append(
            f"Uncertainty: the posterior's standard deviation of each pixel, from 0 (black) to {white:g} grey levels "
            "(white). A draw is one movie that the responses allow."
        )
    facts = f"{result.name}: {frames} frames at {rate:g} Hz ({frames / rate:.1f} s), {width} \N{MULTIPLICATION SIGN} "
    facts += f"{height} pixels"
    if "neuron" in result.dataset.sizes:
        facts += f", {result.dataset.sizes['neuron']} neurons"
    if result.mask is not None:
        facts += f". Scored: {share_words(result.mask)}, inside the outline"
    return {
        "name": name,
        "simulated": result.simulated,
        "facts": facts,
        "raster": figures.raster_picture(result, key=key),
        "pictures": ([mask] if mask else []) + figures.history_pictures(result, key=key),
        "movie_notes": notes,
        "provenance": result.provenance,
    }


def _data(
    result: Reconstruction,
    films: Mapping[str, NDArray[np.float32]],
    table: ScoreTable | None,
    *,
    known: Sequence[str],
    trials: int,
) -> dict[str, Any]:
    """One of several trials for the player: its movies, with the first score under each."""
    packed = pack_trial(films, mask=result.mask, threshold=_outline_threshold(result.mask), trials=trials)
    if table is not None:
        score = table.scores[0]
        trial = next((name for name in known if name in table.trials), None)
        for movie in packed["movies"]:
            if trial is not None and movie["label"] in table.methods:
                value = table.cell(trial, movie["label"], score).text
                movie["score"] = f"{table.label(score)} {value}, inside {share_words(result.mask)}"
    return {**packed, "rate": result.frame_rate_hz}


def _outline_threshold(mask: NDArray[np.float32] | None) -> float | None:
    """Scores are computed where the mask is at least 1 (published); an untrained or weak mask may not reach it."""
    if mask is None:
        return None
    return 1.0 if (mask >= 1).any() else 0.5


def _score_plot(table: ScoreTable | None) -> figures.Picture | None:
    if table is None:
        return None
    score = table.scores[0]
    values = {method: table.column(method, score) for method in table.methods}
    return figures.score_picture(values, label=table.label(score), key="scores", trials=table.trials)
