"""Pictures of a decoder: its filters, and how it was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuroreel.pictures import draw_images, new_figure
from neuroreel.showing import figure_html, shown
from neuroreel.style import BLUE, FAINT, PAGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neuroreel.decoding.ridge_decoder import RidgeDecoder

SHOWN = 4


def strongest_filters(decoder: RidgeDecoder, count: int) -> dict[str, NDArray[np.float32]]:
    """What one more standard deviation of a neuron's activity adds to the movie, (height, width) in gray levels.

    For the neurons that add most, each at its strongest lag.
    """
    features = decoder.features
    weights = decoder.weights.reshape(len(features.lags), -1, decoder.video_height * decoder.video_width)
    axes = np.eye(features.neurons, dtype=np.float32) if features.axes is None else features.axes
    # squared norms of axes @ weights; the product for all neurons would take gigabytes
    strength = np.stack([np.einsum("nc,nc->n", axes @ (each @ each.T), axes) for each in weights])
    chosen = np.argsort(-strength.max(axis=0), kind="stable")[:count]
    lags = strength.argmax(axis=0)
    return {
        f"neuron {neuron}, at {decoder.lags_s[lags[neuron]]:+.2f} s": (axes[neuron] @ weights[lags[neuron]]).reshape(
            decoder.video_height, decoder.video_width
        )
        for neuron in chosen.tolist()
    }


def decoder_figure(decoder: RidgeDecoder, log: Sequence[Mapping[str, float]] = ()) -> Figure:
    """The mean frame, the strongest filters, the held-out error by penalty (or training step)."""
    images = strongest_filters(decoder, SHOWN)
    size = PAGE * 0.8 / (len(images) + 1) * decoder.video_height / decoder.video_width
    with new_figure(PAGE, max(size + 10, 32)) as figure:
        mean, maps, errors = np.asarray(figure.subfigures(1, 3, width_ratios=[1, len(images), 1.6]))
        draw_images(mean, {"mean frame": decoder.mean_video})
        draw_images(maps, images, signed=True)
        if log or decoder.held_out_errors:
            _draw_errors(errors.subplots(), decoder, log)
    return shown(figure)


def _draw_errors(ax: Axes, decoder: RidgeDecoder, log: Sequence[Mapping[str, float]]) -> None:
    """Held-out errors by penalty, or for a network by training step, starting with ridge."""
    if log:
        ax.plot([row["step"] for row in log], [row["validation_error"] for row in log], color=BLUE, marker="o")
        ax.set(xlabel="training step")
    else:
        penalties, found = zip(*sorted(decoder.held_out_errors.items()), strict=True)
        ax.plot(penalties, found, color=BLUE, marker="o")
        ax.axvline(decoder.penalty, color=FAINT, linestyle="--")
        ax.set(xscale="log", xlabel="penalty")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.xaxis.set_minor_formatter("")
    ax.set_ylabel("held-out error\n(grey levels)")


def decoder_html(decoder: RidgeDecoder, said: str, log: Sequence[Mapping[str, float]] = ()) -> str:
    """The decoder's repr and figure, for notebooks."""
    filters = (
        "Filters: what one more standard deviation of a neuron adds to the movie (white: lighter), each on its own "
    )
    filters += "scale; times are those of the response, after the frame"
    return figure_html(decoder_figure(decoder, log), title="Decoder", facts=[said, filters])
