"""One page that shows reconstructions to people: no network, no server, nothing to install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel import __version__
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, refuse_existing, user_path
from neuroreel.report import figures
from neuroreel.report.movies import NO_MOVIE, pack_trial
from neuroreel.report.scores import Scores, ScoreTable, read_scores
from neuroreel.results import Reconstruction


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """What the page shows of one trial."""

    name: str
    simulated: bool
    facts: str
    raster: figures.Picture | None
    pictures: list[figures.Picture]
    movie_notes: list[str]
    provenance: dict[str, Any]


def write_report(
    path: str | Path,
    results: Reconstruction | Sequence[Reconstruction],
    *,
    title: str | None = None,
    scores: Scores | None = None,
    movies: Mapping[str, Sequence[ArrayLike]] | None = None,
    notes: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one self-contained HTML page: movies side by side in step, activity, mask, scores, settings, provenance.

    Parameters
    ----------
    path
        Ends in ``.html``.
    results
        One reconstruction, or one a trial.
    title
        Heading of the page; by default it says how many reconstructions there are.
    scores
        ``{trial: {method: {score: value}}}``, or a pandas DataFrame with the columns ``trial``, ``method`` and one
        column a score; None, NaN and infinite values are shown as undefined. The first score is shown under the movies
        too, where its trial is the result's ``trial`` (or ``name``) and its method is what the movie is called:
        ``reconstruction``, ``start``, or a key of ``movies``.
    movies
        Further movies to play beside the others: what each is called, and one (frames, height, width) a result.
    notes
        Plain text for the top of the page; an empty line begins a new paragraph.
    overwrite
        Replace a page that is there.

    Returns
    -------
    Path
        The page written.

    Raises
    ------
    InputError
        No results, movies of another shape, scores of another shape, or a page that exists already.
    """
    path = user_path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path} ends in {path.suffix!r}; the name of a report must end in .html")
    refuse_existing(path, overwrite=overwrite)
    results = [results] if isinstance(results, Reconstruction) else list(results)
    if not results:
        raise InputError("there are no results to report; give at least one reconstruction")
    table = None if scores is None else read_scores(scores)
    films = [_films(result, _extra(movies or {}, number, len(results))) for number, result in enumerate(results)]
    names = _names(results)
    page = _template().render(
        title=title or f"{len(results)} reconstructed movie{'s' if len(results) > 1 else ''}",
        notes=[part.strip() for part in (notes or "").split("\n\n") if part.strip()],
        panels=[_panel(result, name, number) for number, (result, name) in enumerate(zip(results, names, strict=True))],
        labels=list(dict.fromkeys(label for film in films for label in film)),
        data=[_data(result, film, table, trials=len(results)) for result, film in zip(results, films, strict=True)],
        table=table,
        score_plot=_score_plot(table),
        simulated={True: "all", False: "some"}[all(r.simulated for r in results)]
        if _any_simulated(results)
        else "none",
        version=__version__,
    )
    with atomic_path(path, overwrite=overwrite) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


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


def _any_simulated(results: Sequence[Reconstruction]) -> bool:
    return any(result.simulated for result in results)


def _names(results: Sequence[Reconstruction]) -> list[str]:
    """Short names where all are of one recording; numbered where two would be the same."""
    recordings = {result.dataset.attrs.get("recording", "") for result in results}
    short = [str(r.dataset.attrs.get("trial", "")).rpartition("/")[2] or r.name for r in results]
    names = short if len(recordings) == 1 else [result.name for result in results]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _extra(movies: Mapping[str, Sequence[ArrayLike]], number: int, results: int) -> dict[str, ArrayLike]:
    for label, given in movies.items():
        if len(given) != results:
            raise InputError(f"movies[{label!r}] holds {len(given)} movies for {results} results; give one a result")
    return {label: given[number] for label, given in movies.items()}


def _films(result: Reconstruction, extra: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float32]]:
    """The movies of one trial by what they are called, in the order in which they stand side by side."""
    films = {} if result.truth is None else {"true": result.truth}
    films["reconstruction"] = result.video
    start = np.asarray(result.dataset["start"].values, np.float32) if "start" in result.dataset else None
    twin = start is not None and any(_look_alike(start, np.asarray(movie, np.float32)) for movie in extra.values())
    if start is not None and np.ptp(start, axis=0).max() >= 1 and not twin:  # a still start shows nothing
        films["start"] = start
    if result.samples is not None:
        films["a draw"] = result.samples[0]
    if result.deviation is not None:
        films[NO_MOVIE] = (result.deviation * (255 / _white_deviation(result.deviation))).clip(0, 255)
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


def _white_deviation(deviation: NDArray[np.float32]) -> float:
    """Grey levels of deviation that are shown as white: a round number that few pixels exceed."""
    return float(max(10, 10 * np.ceil(np.quantile(deviation, 0.999) / 10)))


def _look_alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """True if no pixel differs by a grey level."""
    return one.shape == other.shape and bool(np.abs(one - other).max() < 1)


def _panel(result: Reconstruction, name: str, number: int) -> _Panel:
    frames, height, width = result.video.shape
    rate, key = result.frame_rate_hz, f"t{number}"
    mask = figures.mask_picture(result, key=key)
    notes = []
    if "smoothed" in result.settings:
        sigmas = ", then ".join(f"{sigma:g}" for sigma in result.settings["smoothed"])
        notes.append(f"The reconstruction is smoothed: Gaussian, sigma {sigmas} frames and pixels.")
    if result.deviation is not None:
        white = _white_deviation(result.deviation)
        notes.append(
            f"Uncertainty: the posterior's standard deviation of each pixel, from 0 (black) to {white:g} grey levels "
            "(white). A draw is one movie that the responses allow."
        )
    return _Panel(
        name=name,
        simulated=result.simulated,
        facts=f"{result.name}: {frames} frames at {rate:g} Hz ({frames / rate:.1f} s), {width} \N{MULTIPLICATION SIGN} "
        f"{height} pixels"
        + (f", {result.dataset.sizes['neuron']} neurons" if "neuron" in result.dataset.sizes else ""),
        raster=figures.raster_picture(result, key=key),
        pictures=([mask] if mask else []) + figures.history_pictures(result, key=key),
        movie_notes=notes,
        provenance=result.provenance,
    )


def _data(
    result: Reconstruction, films: Mapping[str, NDArray[np.float32]], table: ScoreTable | None, *, trials: int
) -> dict[str, Any]:
    """One trial of several for the player: its movies, and under each the first score."""
    packed = pack_trial(films, mask=result.mask, threshold=_outline_threshold(result.mask), trials=trials)
    if table is not None:
        score = table.scores[0]
        known = [str(result.dataset.attrs.get("trial", "")), result.name]
        trial = next((name for name in known if name in table.trials), None)
        for movie in packed["movies"]:
            if trial is not None and movie["label"] in table.methods:
                movie["score"] = f"{table.label(score)} {table.cell(trial, movie['label'], score).text}"
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
