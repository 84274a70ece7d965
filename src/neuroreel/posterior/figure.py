"""A figure of a posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from neuroreel.pictures import new_figure
from neuroreel.style import COLORS, INK, PAGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neuroreel.posterior.posterior import Posterior

SHOWN_COMPONENTS = 8


def posterior_figure(posterior: Posterior) -> Figure:
    """Signal and noise of the neurons, spectra of movies and noise, components of movies; drawn without pyplot."""
    with new_figure(PAGE, 75) as figure:
        above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(2.4, 1)))
        signal, noise, movies = above.subplots(1, 3)
        _draw_signal(posterior, signal)
        _draw_noise_spectra(posterior, noise)
        _draw_movie_spectra(posterior, movies)
        for number, ax in enumerate(below.subplots(1, SHOWN_COMPONENTS)):
            _draw_component(posterior, number, ax)
    return figure


def _draw_signal(posterior: Posterior, ax: Axes) -> None:
    explained = posterior.noise.explained[posterior.usable].numpy()
    ax.hist(explained, bins=30, color=COLORS[0])
    ax.axvline(float(explained.mean()), color=INK, linewidth=0.8)
    where = "validation trials" if posterior.noise.held_out else "training trials: optimistic"
    ax.set(xlabel=f"share of root responses explained\n({where})", ylabel="neurons")


def _draw_noise_spectra(posterior: Posterior, ax: Axes) -> None:
    noise = posterior.noise
    private = noise.private_power[posterior.usable].numpy()
    hertz = _frequencies(posterior, private.shape[1])
    private = private / private.mean(axis=1, keepdims=True)
    ax.fill_between(hertz, *np.quantile(private, (0.1, 0.9), axis=0), color=COLORS[0], alpha=0.25, linewidth=0)
    ax.plot(hertz, np.median(private, axis=0), color=COLORS[0], label="private, 80 % of neurons")
    for number, power in enumerate(noise.factor_power.numpy()):
        ax.plot(
            hertz,
            power,
            color=COLORS[1],
            linewidth=0.6,
            linestyle="--",
            label="shared factors" if number == 0 else None,
        )
    _log_axes(ax, ylabel="noise power (mean 1)")


def _draw_movie_spectra(posterior: Posterior, ax: Axes) -> None:
    power = posterior.movie_prior.power.sqrt().numpy()
    hertz = _frequencies(posterior, power.shape[1])
    numbers = sorted({0, min(9, len(power) - 1), min(99, len(power) - 1), len(power) - 1})
    for look, number in enumerate(numbers):
        line = ("-", "--", "-.", ":")[look]  # can be told apart in gray too
        ax.plot(hertz, power[number], color=COLORS[look], linestyle=line, label=f"component {number + 1}")
    _log_axes(ax, ylabel="movie amplitude (grey levels)", legend="upper right")


def _log_axes(ax: Axes, *, ylabel: str, legend: Literal["lower left", "upper right"] = "lower left") -> None:
    ax.set(xscale="log", yscale="log", xlabel="temporal frequency (Hz)", ylabel=ylabel)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,g}")
        axis.set_minor_formatter("")
    ax.legend(loc=legend)


def _draw_component(posterior: Posterior, number: int, ax: Axes) -> None:
    if number >= len(posterior.movie_prior.components):
        ax.set_axis_off()
        return
    image = posterior.movie_prior.components[number].numpy()
    most = np.abs(image).max()
    ax.imshow(image, cmap="gray", vmin=-most, vmax=most)
    ax.set(xticks=[], yticks=[], title=f"component {number + 1}" if number == 0 else f"{number + 1}")


def _frequencies(posterior: Posterior, bins: int) -> np.ndarray:
    """Frequency (Hz) of each cosine coefficient; for a log axis the constant is at half the slowest oscillation."""
    hertz = np.arange(bins) * posterior.movie_prior.frame_rate_hz / (2 * bins)
    hertz[0] = hertz[min(1, bins - 1)] / 2
    return hertz
