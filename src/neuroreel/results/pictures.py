"""Pictures of a reconstruction: frames, a playing movie, responses, history, a map."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.defaults import SKIP_FRAMES, frames_to_skip
from neuroreel.errors import InputError
from neuroreel.masks import scored_pixels
from neuroreel.outlines import share_words, svg_path
from neuroreel.pictures import Strip, draw_map, draw_rasters, draw_strips, even_frames, new_figure
from neuroreel.results import export
from neuroreel.showing import shown
from neuroreel.style import BLUE, COLUMN, ORANGE, PAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuroreel.results.reconstruction import Reconstruction

Movies = dict[str, NDArray[np.float32]]
MATCHED = "at the true movie's brightness and contrast, inside the mask"
_HISTORY = {
    "loss": ("loss", BLUE),
    "video_correlation": ("video correlation (r)", BLUE),
    "response_correlation": ("response correlation (r)", ORANGE),
}
_RESPONSES = {
    "responses": "recorded",
    "predicted_truth": "predicted from the true movie",
    "predicted": "predicted from the reconstruction",
}


def matched_movie(result: Reconstruction) -> NDArray[np.float32]:
    """The reconstruction with the true movie's brightness and contrast, which does not affect correlations.

    Gray outside the scored pixels, as in the paper.
    """
    from neuroreel.evaluation.scores import match_contrast

    truth = result.needs_truth()
    return match_contrast(truth, result.video, mask=scored_pixels(result.mask, truth.shape[1:]))


def movies_to_show(result: Reconstruction) -> Movies:
    """The movies to show side by side, by label."""
    if result.truth is None:
        movies = {"reconstruction": result.video}
    else:
        movies = {"true movie": result.truth, "reconstruction": matched_movie(result)}
    if result.deviation is not None:
        white = white_deviation(result.deviation)
        movies[f"uncertainty\n(white: {white:g} grey levels)"] = (result.deviation * (255 / white)).clip(0, 255)
    return movies


def white_deviation(deviation: NDArray[np.float32]) -> float:
    """The deviation (gray levels) shown as white: a round number that few pixels exceed."""
    return float(max(10, 10 * np.ceil(np.quantile(deviation, 0.999) / 10)))


def beside_truth(result: Reconstruction, *, with_truth: bool, match: bool) -> dict[str, Any]:
    """The movies and the comment for an exported file."""
    if not with_truth:
        return {"video": result.video}
    comment = "left: true movie; right: reconstruction"
    if not match:
        return {"video": result.video, "truth": result.needs_truth(), "comment": comment}
    return {"video": matched_movie(result), "truth": result.needs_truth(), "comment": f"{comment}, {MATCHED}"}


def score_words(result: Reconstruction) -> str:
    """The score as it stands wherever people read it: "video correlation 0.702 inside 19% of the screen"."""
    seen = result.mask is None or bool((result.mask >= 1).any())
    score = result.score(skip=frames_to_skip(len(result.video))) if seen else float("nan")
    return f"video correlation {score:.3f} inside {share_words(result.mask)}"


def frames_figure(result: Reconstruction, *, columns: int) -> Figure:
    """A few frames of each movie that is shown, from where scores begin."""
    movies = movies_to_show(result)
    frames, height, width = result.video.shape
    chosen = even_frames(frames, columns, first=SKIP_FRAMES)
    row = (PAGE - 30) / len(chosen) * (height / width + 0.06)
    strip = Strip(name=result.name, rows=movies, frame_rate_hz=result.frame_rate_hz, mask=result.mask)
    with new_figure(PAGE, len(movies) * row + 16, simulated=result.simulated) as figure:
        ax = figure.subplots()
        draw_strips(ax, [strip], frames=[chosen])
        lines = [result.name] if result.truth is None else [f"{result.name}: {score_words(result)}", _said(result)]
        ax.set_title("\n".join(lines), loc="left")
    return shown(figure)


def _said(result: Reconstruction) -> str:
    """A note on what the movies side by side are."""
    return f"reconstruction {MATCHED}" if result.mask is not None else "reconstruction " + MATCHED.partition(",")[0]


def history_figure(result: Reconstruction) -> Figure:
    """Loss and correlations over iterations, each in its own axes."""
    history = result.history
    names = [name for name in _HISTORY if name in history and history[name].notna().any()]
    if not names:
        raise InputError(f"no history was recorded for {result.name}, so there is nothing to plot")
    with new_figure(COLUMN * len(names) * 0.75, 50, simulated=result.simulated) as figure:
        for ax, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            label, color = _HISTORY[name]
            known = history[name].dropna()
            ax.plot(known.index, known, color=color, marker="o" if len(known) <= 12 else "")
            ax.set(xlabel="iteration", ylabel=label)
            ax.xaxis.get_major_locator().set_params(integer=True)
    return shown(figure)


def responses_figure(result: Reconstruction) -> Figure:
    """Recorded responses above those predicted, neurons sorted by how well they are predicted."""
    rasters = sorted_responses(result)
    if not rasters:
        raise InputError(f"no responses were saved with {result.name}, so there is nothing to plot")
    with new_figure(PAGE, 15 + 35 * len(rasters), simulated=result.simulated) as figure:
        axes = list(figure.subplots(len(rasters), 1, squeeze=False)[:, 0])
        draw_rasters(axes, rasters, frame_rate_hz=result.frame_rate_hz)
    return shown(figure)


def sorted_responses(result: Reconstruction) -> dict[str, NDArray[Any]]:
    """Recorded responses, then those predicted, each by its title; empty if none were recorded.

    Neurons are sorted by how well the true movie (else the reconstruction) predicts them.
    """
    from neuroreel.encoding.correlation import neuron_correlations

    found = {name: result.dataset[name].values for name in _RESPONSES if name in result.dataset}
    if "responses" not in found:
        return {}
    recorded = found.pop("responses")
    matches = {name: neuron_correlations(recorded, predicted) for name, predicted in found.items()}
    order = np.argsort(-next(iter(matches.values()), np.zeros(len(recorded))), kind="stable")
    rasters = {_RESPONSES["responses"]: recorded[order]}
    for name, match in matches.items():
        rasters[f"{_RESPONSES[name]} (r = {match.mean():.2f})"] = found[name][order]
    return rasters


def map_figure(result: Reconstruction, *, skip: int) -> Figure:
    """Where the movie was recovered: each pixel's correlation over time, with the scored area outlined."""
    from neuroreel.evaluation.scores import pixel_correlation

    correlations = pixel_correlation(result.needs_truth(), result.video, skip=skip)
    height, width = correlations.shape
    with new_figure(COLUMN, 0.72 * COLUMN * height / width + 18, simulated=result.simulated) as figure:
        ax = figure.subplots()
        draw_map(ax, correlations, label="correlation over time (r)", mask=result.mask)
        ax.set_title(f"{result.name}\n{share_words(result.mask)} is scored", loc="left")
    return shown(figure)


def playing_html(result: Reconstruction) -> str:
    """The movies as one GIF, which needs no script, with the outline drawn over it and the provenance folded below."""
    movies = movies_to_show(result)
    picture = base64.b64encode(export.gif(list(movies.values()), frame_rate_hz=result.frame_rate_hz, scale=1)).decode()
    labels = "".join(f"<div style='flex:1'>{html.escape(label)}</div>" for label in movies)
    said = "" if result.truth is None else f"<div>{html.escape(_said(result)[:1].upper() + _said(result)[1:])}.</div>"
    return (
        f"<div style='max-width:{20 * len(movies)}em'><p><b>{html.escape(repr(result))}</b></p>"
        f"<div style='display:flex;font-weight:bold'>{labels}</div>"
        "<div style='position:relative;line-height:0'>"
        f"<img style='width:100%;image-rendering:pixelated' alt='{html.escape(', '.join(movies))}' "
        f"src='data:image/gif;base64,{picture}'>{_outlines(result, movies)}</div>{said}"
        f"<details><summary>Settings and provenance</summary><table>{_facts(result.provenance)}</table></details></div>"
    )


def _outlines(result: Reconstruction, movies: Movies) -> str:
    """The outline of the scored area over each of the movies in one picture."""
    outline = "" if result.mask is None else svg_path(result.mask)
    if not outline:
        return ""
    height, width = result.video.shape[1:]
    step = width + export.GAP_PIXELS
    path = f"d='{outline}' vector-effect='non-scaling-stroke'"
    paths = "".join(f"<path transform='translate({step * number})' {path}/>" for number in range(len(movies)))
    lines = "".join(
        f"<g fill='none' stroke-linejoin='round' stroke='{color}' stroke-width='{wide}'>{paths}</g>"
        for color, wide in (("white", 2.4), (BLUE, 1.2))
    )
    return (
        f"<svg viewBox='0 0 {step * len(movies) - export.GAP_PIXELS} {height}' preserveAspectRatio='none' "
        f"style='position:absolute;inset:0;width:100%;height:100%' aria-hidden='true'>{lines}</svg>"
    )


def _facts(facts: Mapping[str, Any]) -> str:
    return "".join(
        f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
        f"<td style='text-align:left'>{html.escape(json.dumps(value, ensure_ascii=False))}</td></tr>"
        for key, value in facts.items()
    )
