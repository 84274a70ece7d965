"""The report's plots: small vector pictures that follow the page's light or dark colors."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroreel.outlines import mask_outline, share_words
from neuroreel.pictures import scaled_responses
from neuroreel.ranges import range_with_zero
from neuroreel.results import Reconstruction
from neuroreel.results.pictures import sorted_responses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK = "#010203"  # any color that no plot uses: becomes the page's text color
_BLUE, _ORANGE, _GREEN = "#0072b2", "#d55e00", "#009e73"  # distinguishable with any color vision (Okabe and Ito)
_PAGE_COLORS = {_INK: "currentColor", _BLUE: "var(--blue)", _ORANGE: "var(--orange)", _GREEN: "var(--green)"}

_HISTORY = {  # name in the dataset: label, color, line style
    "loss": ("loss", _BLUE, "-"),
    "video_correlation": ("video correlation", _BLUE, "-"),
    "response_correlation": ("response correlation", _ORANGE, "--"),
}
_MOST_ROWS = 128  # of a raster: more would be thinner than a screen's pixels
_COLOR_STEPS = 16  # of a raster: keeps its picture small
_CUT = 2.5  # percent of a raster's values beyond either end of the colors


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot as inline SVG; ``time_box`` is the area of its time axes: left, right, top, bottom as fractions."""

    svg: str
    caption: str
    time_box: tuple[float, float, float, float] | None = None


def history_pictures(result: Reconstruction, *, key: str) -> list[Picture]:
    """Loss, and correlations, over iterations: the pictures for what was recorded, perhaps none."""
    dataset, pictures = result.dataset, []
    if "loss" in dataset:
        alt = f"Loss over {dataset['iteration'].size} recorded iterations"
        svg = _draw_history(result, ["loss"], ylabel="loss", key=f"{key}-loss", alt=alt)
        caption = "Loss: how badly the movie explains the responses, up to a constant. Lower is better."
        pictures.append(Picture(svg=svg, caption=caption))
    correlations = ("video_correlation", "response_correlation")
    lines = [name for name in correlations if name in dataset and np.isfinite(dataset[name]).any()]
    if lines:
        alt = f"Correlation over iterations: {', '.join(_HISTORY[name][0] for name in lines)}"
        svg = _draw_history(result, lines, ylabel="correlation", key=f"{key}-correlation", alt=alt)
        caption = "Correlation of the movie with the true one, of the predicted with the recorded responses."
        pictures.append(Picture(svg=svg, caption=caption))
    return pictures


def _draw_history(result: Reconstruction, lines: Sequence[str], *, ylabel: str, key: str, alt: str) -> str:
    """Lines of ``_HISTORY`` over iterations; their names stand above where the axis does not say them."""
    from matplotlib.ticker import MaxNLocator

    iterations = result.dataset["iteration"]
    with _figure(width=3.6, height=2.5) as figure:
        axes = figure.add_subplot()
        for name in lines:
            label, color, style = _HISTORY[name]
            marker = "o" if iterations.size <= 12 else ""
            axes.plot(iterations, result.dataset[name], color=color, linestyle=style, label=label, marker=marker)
        axes.set(xlabel="iteration", ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if ylabel not in lines:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, handlelength=1.6, borderpad=0)
        return _svg(figure, key=key, alt=alt)


def mask_picture(result: Reconstruction, *, key: str) -> Picture | None:
    """The transparency mask with its contours at 0.5 (update) and 1 (scoring); None if there is no mask."""
    mask = result.mask
    if mask is None:
        return None
    height, width = mask.shape
    with _figure(width=3.6, height=min(0.75 + 2.9 * height / width, 4.5)) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(mask, cmap="gray", vmin=0, vmax=max(1.0, float(mask.max())))
        for level, style, color in ((0.5, "--", _ORANGE), (1.0, "-", _BLUE)):
            for line in mask_outline(mask, threshold=level):
                axes.plot(*(line.T - 0.5), color=color, linestyle=style, linewidth=1.2)
        axes.set(xlabel="column (pixels)", ylabel="row (pixels)")
        figure.colorbar(image, ax=axes, label="mask", fraction=0.04)
        alt = f"Transparency mask, {width} by {height} pixels, values {mask.min():.2f} to {mask.max():.2f}"
        caption = (
            "Transparency mask: which parts of the movie the neurons respond to. Outlines at 0.5 (dashed) and at 1 "
            f"(solid), where there are any. Pixels of at least 1 are scored: {share_words(mask)}."
        )
        return Picture(svg=_svg(figure, key=f"{key}-mask", alt=alt), caption=caption)


def raster_picture(result: Reconstruction, *, key: str) -> Picture | None:
    """Recorded and predicted responses one above the other; None if nothing was recorded.

    Each neuron is divided by the standard deviation of its recorded responses, the same in all panels; a nearly silent
    neuron by more. Neurons are sorted by how well the true movie (else the reconstruction) predicts them.
    """
    activity = sorted_responses(result)
    if not activity:
        return None
    neurons, frames = next(iter(activity.values())).shape
    scaled = scaled_responses(*activity.values(), most_rows=_MOST_ROWS)
    panels = dict(zip(activity, scaled, strict=True))
    svg, time_box = _draw_rasters(panels, neurons=neurons, seconds=frames / result.frame_rate_hz, key=key)
    caption = _raster_caption(result, neurons=neurons, predicted=len(activity) > 1)
    return Picture(svg=svg, caption=caption, time_box=time_box)


def _raster_caption(result: Reconstruction, *, neurons: int, predicted: bool) -> str:
    caption = f"Responses of {neurons} neurons"
    if neurons > _MOST_ROWS:
        caption += f", means of {-(-neurons // _MOST_ROWS)} neighbors in the picture"
    if predicted:
        caption += ", best predicted at the top"
    caption += (
        ". Each neuron in standard deviations of its recorded responses (at least a quarter of the neurons' upper "
    )
    caption += "quartile); one color scale for all."
    if predicted:
        caption += " r: mean over neurons of the correlation with the recorded responses, all frames."
    if "predicted" in result.dataset and "of" in result.dataset["predicted"].attrs:
        caption += f" Predicted from {result.dataset['predicted'].attrs['of']}."
    return caption


def score_picture(values: Mapping[str, Sequence[float]], *, label: str, key: str, trials: Sequence[str]) -> Picture:
    """One score: a dot per trial, a bar for the mean over trials, one line per method."""
    with _figure(width=4.4, height=0.75 + 0.36 * len(values)) as figure:
        axes = figure.add_subplot()
        for row, points in enumerate(values.values()):
            spread = np.linspace(-0.16, 0.16, len(points)) if len(points) > 1 else np.zeros(1)
            axes.scatter(points, row + spread, s=16, color=_BLUE, alpha=0.7, linewidths=0)
            if not np.isfinite(points).any():
                axes.text(0.02, row, "undefined", transform=axes.get_yaxis_transform(), va="center", fontsize="small")
            elif len(trials) > 1:
                mean = float(np.nanmean(np.asarray(points, float)))
                axes.plot([mean, mean], [row - 0.32, row + 0.32], color=_ORANGE, linewidth=2.5, solid_capstyle="butt")
        axes.set_yticks(range(len(values)), [textwrap.fill(method, 22) for method in values])
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(label)
        axes.margins(x=0.06)
        caption = f"Dots: the {len(trials)} trials. Bars: their mean." if len(trials) > 1 else trials[0]
        return Picture(svg=_svg(figure, key=key, alt=f"{label} of {', '.join(values)}"), caption=caption)


def _draw_rasters(
    panels: Mapping[str, NDArray[Any]], *, neurons: int, seconds: float, key: str
) -> tuple[str, tuple[float, float, float, float]]:
    from matplotlib import colormaps

    width, panel, gap, below = 4.4, 1.3, 0.32, 1.15  # inches
    height = below + len(panels) * (panel + gap)
    left, right = 0.13, 0.97
    low, high = range_with_zero(*panels.values(), narrowest=1.0, cut=_CUT)
    with _figure(width=width, height=height, layout=None) as figure:
        for number, (title, rows) in enumerate(panels.items()):
            bottom = height - (number + 1) * (panel + gap)
            axes = figure.add_axes((left, bottom / height, right - left, panel / height))
            image = axes.imshow(
                rows,
                cmap=colormaps["magma"].resampled(_COLOR_STEPS),
                vmin=low,
                vmax=high,
                aspect="auto",
                interpolation="none",
                extent=(0, seconds, neurons, 0),
            )
            axes.set_title(title, fontsize="medium", loc="left", pad=3)
            axes.set_ylabel("neuron")
            axes.tick_params(labelbottom=number == len(panels) - 1)
        axes.set_xlabel("time (s)")
        scale = figure.add_axes((left + 0.2, 0.46 / height, right - left - 0.4, 0.09 / height))
        bar = figure.colorbar(image, cax=scale, orientation="horizontal", extend="max")
        bar.set_label("response (standard deviations)")
        if bar.solids is not None:
            bar.solids.set_edgecolor("face")  # or renderers leave hairlines between the colors
        alt = f"Responses of {neurons} neurons over {seconds:.1f} s: {', '.join(panels)}"
        return _svg(figure, key=f"{key}-raster", alt=alt), (left, right, gap / height, below / height)


@contextmanager
def _figure(*, width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Iterator[Figure]:
    """A new figure, without pyplot, in the page's style; width and height in inches."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: Any = dict.fromkeys(inked, _INK)
    style |= {"svg.fonttype": "none", "svg.hashsalt": "neuroreel", "font.size": 9.5, "axes.linewidth": 0.8}
    style["text.parse_math"] = False  # a $ in a method's name stays a $
    style |= {"axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.8, "lines.markersize": 4}
    with rc_context(style):
        yield Figure(figsize=(width, height), layout=layout)


def _svg(figure: Figure, *, key: str, alt: str) -> str:
    """The figure as an inline SVG element with unique ids and the page's fonts and colors."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    text = buffer.getvalue()
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", text[text.index("<svg") :])
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text)
    for color, page_color in _PAGE_COLORS.items():
        text = text.replace(color, page_color)
    width, height = (round(inches * 96) for inches in figure.get_size_inches())
    view = re.search(r'viewBox="[^"]*"', text)
    opening = f'<svg {view[0] if view else ""} width="{width}" height="{height}" role="img" aria-label="{escape(alt)}">'
    return re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)
