"""Pictures of trials and recordings: movie frames, responses, behavior; and a trial as labeled arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.pictures import Strip, draw_images, draw_rasters, draw_strips, draw_traces, even_frames, new_figure
from neuroreel.recordings.axes import with_coordinates
from neuroreel.showing import shown
from neuroreel.style import BLUE, PAGE

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from neuroreel.recordings.recording import Recording
    from neuroreel.recordings.trial import Trial

_VARIABLES = {  # field of a trial: axes, what it is, unit
    "video": (("frame", "height", "width"), "movie", "grey level 0..255"),
    "responses": (("neuron", "frame"), "recorded responses", "as recorded"),
    "behavior": (("channel", "frame"), "behavior", "as recorded"),
    "pupil_center": (("coordinate", "frame"), "pupil center", "camera pixels"),
}
_RASTER, _TRACE = 45.0, 9.0  # millimeters of height: of a raster, and of each trace below it


def trial_dataset(trial: Trial) -> xr.Dataset:
    """A trial's arrays on labeled axes: see :meth:`neuroreel.Trial.to_xarray`."""
    import xarray as xr

    known = {name: getattr(trial, name) for name in _VARIABLES}
    variables = {
        name: xr.Variable(axes, known[name], {"long_name": what, "units": unit})
        for name, (axes, what, unit) in _VARIABLES.items()
        if known[name] is not None
    }
    facts = {"trial": trial.name, "recording": trial.recording, "simulated": int(trial.simulated)}
    return with_coordinates(xr.Dataset(variables, attrs={"frame_rate_hz": float(trial.frame_rate_hz), **facts}))


def trial_figure(trial: Trial, *, columns: int) -> Figure:
    """Frames of the movie, the responses below, then behavior and pupil, as far as recorded."""
    traces = _traces(trial)
    heights = {
        "movie": 0.0 if trial.video is None else _strip_height(trial.video, columns) + 4,
        "responses": 0.0 if trial.responses is None else _RASTER,
        "behavior": _TRACE * len(traces) + 8 if traces else 0.0,
    }
    there = {name: height for name, height in heights.items() if height}
    with new_figure(PAGE, sum(there.values()) + 6, simulated=trial.simulated) as figure:
        rows = figure.subplots(len(there), 1, height_ratios=list(there.values()), squeeze=False)[:, 0]
        axes = dict(zip(there, rows, strict=True))
        if trial.video is not None:
            _draw_movie(axes["movie"], trial, columns=columns)
        if trial.responses is not None:
            draw_rasters([axes["responses"]], {"responses": trial.responses}, frame_rate_hz=trial.frame_rate_hz)
        if traces:
            draw_traces(axes["behavior"], traces, frame_rate_hz=trial.frame_rate_hz)
        rows[0].set_title(trial.name, loc="left")
    return shown(figure)


def recording_figure(recording: Recording, *, columns: int) -> Figure:
    """One frame from each of several trials, the responses in the first of them that has any, and their mean.

    Only the trials shown are read.
    """
    numbers = even_frames(len(recording), columns)
    trials = [recording[number] for number in numbers]
    images = {
        f"trial {number}": trial.video[trial.frames // 2]
        for number, trial in zip(numbers, trials, strict=True)
        if trial.video is not None
    }
    recorded = next((trial for trial in trials if trial.responses is not None), None)
    height, width = recording.video_size
    tall = PAGE / columns * height / width + 8
    heights = [tall if images else 0.0, _RASTER + 6 if recorded else 0.0]
    with new_figure(PAGE, sum(heights) + 5, simulated=recording.simulated) as figure:
        used = [each for each in heights if each]
        parts = list(np.atleast_1d(np.asarray(figure.subfigures(len(used), 1, height_ratios=used), dtype=object)))
        if images:
            draw_images(parts[0], images)
        if recorded is not None:
            raster, rates = parts[-1].subplots(1, 2, width_ratios=[4, 1])
            title = {f"responses in {recorded.name}": recorded.needs_responses()}
            draw_rasters([raster], title, frame_rate_hz=recorded.frame_rate_hz)
            _draw_activity(rates, recorded.needs_responses())
    return shown(figure)


def recording_html(recording: Recording, facts: list[str]) -> str:
    """The facts, and the figure if its trials can be read."""
    from neuroreel.showing import figure_html

    try:
        figure = recording_figure(recording, columns=6)
    except InputError as error:
        return figure_html(None, title=f"Recording {recording.name}", facts=[*facts, f"Not drawn: {error}"])
    return figure_html(figure, title=f"Recording {recording.name}", facts=facts)


def _strip_height(video: NDArray[Any], columns: int) -> float:
    """Height of a row of frames on a page, in millimeters."""
    return float((PAGE - 20) / min(columns, len(video)) * video.shape[1] / video.shape[2] + 6)


def _draw_movie(ax: Any, trial: Trial, *, columns: int) -> None:
    assert trial.video is not None  # the caller made sure
    strip = Strip(name=trial.name, rows={"movie": trial.video}, frame_rate_hz=trial.frame_rate_hz)
    draw_strips(ax, [strip], frames=[even_frames(trial.frames, columns)])


def _traces(trial: Trial) -> dict[str, NDArray[Any]]:
    """The animal's behavior, by label."""
    traces = {}
    for name, values in (("behavior", trial.behavior), ("pupil center", trial.pupil_center)):
        for number, trace in enumerate([] if values is None else values):
            traces[f"{name} {number}"] = np.asarray(trace)
    return traces


def _draw_activity(ax: Any, responses: NDArray[Any]) -> None:
    """How active the neurons are: a histogram of their means."""
    ax.hist(responses.mean(axis=1), bins=20, color=BLUE)
    ax.set(xlabel="mean response", ylabel="neurons")
