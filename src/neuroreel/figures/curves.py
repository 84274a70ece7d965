"""Panels of scores over one variable (neurons, a threshold, iterations) or two, and movie by movie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neuroreel.decimals import in_decimals
from neuroreel.errors import InputError
from neuroreel.figures.comparisons import counted
from neuroreel.figures.conditions import TARGETS, grating_rows
from neuroreel.figures.material import needs_columns
from neuroreel.figures.sheet import Drawn
from neuroreel.ranges import range_with_zero
from neuroreel.style import BLUE, FAINT, HEAT, TICK, animal_looks, correlation_axis, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_SCORE, _LABEL = "video_correlation", "video correlation (r)"
_MOST_LINES = 60  # of single movies: more would be a block


def panel_curve(
    table: pd.DataFrame,
    ax: Axes,
    *,
    x: str,
    x_label: str,
    logarithmic: bool = False,
    what: str,
) -> Drawn:
    """The video correlation over a number (column ``x``), one line per animal (means over its movies).

    ``what`` is the start of the caption's sentence; ``logarithmic`` is the horizontal axis.
    """
    rows = needs_columns(table, "recording", "trial", x, _SCORE, figure=f"{_SCORE} over {x}")
    movies = rows.groupby(["recording", "trial", x], as_index=False)[_SCORE].mean()
    animals = movies.groupby(["recording", x], as_index=False)[_SCORE].agg(["mean", "sem", "count"])
    looks = animal_looks(list(rows["recording"]))
    for name, own in animals.groupby("recording"):
        ax.errorbar(
            own[x],
            own["mean"],
            yerr=own["sem"].fillna(0),
            **looks[str(name)],
            linewidth=0.8,
            elinewidth=0.6,
            markeredgecolor="white",
            markeredgewidth=0.3,
        )
    if logarithmic:
        _log_axis(ax, sorted(movies[x].unique()))
    ax.set(xlabel=x_label, ylabel=_LABEL)
    reach = animals["sem"].fillna(0)
    cut = correlation_axis(ax, float((animals["mean"] - reach).min()), float((animals["mean"] + reach).max()))
    ax.set_title(counted(movies), loc="right", fontsize=TICK)
    caption = f"{what}: one line per animal, mean ± standard error over its movies.{cut} {counted(movies)}."
    animals = animals.rename(columns={"mean": _SCORE, "sem": "standard_error", "count": "movies"})
    return Drawn(numbers=_joined(movies, animals), caption=caption)


def panel_neurons(table: pd.DataFrame, ax: Axes) -> Drawn:
    """By the number of neurons, each animal a line."""
    counted = "neurons" in table and table["neurons"].notna().any()
    x, label = ("neurons", "neurons") if counted else ("fraction", "fraction of neurons kept")
    rows = needs_columns(table, "fraction", x, figure="ablation")
    if counted:  # a drawn population differs by a few neurons between movies: use the mean
        means = rows.astype({"neurons": float}).groupby(["recording", "fraction"])["neurons"].transform("mean")
        rows = rows.assign(neurons=means.round())
    drawn = panel_curve(rows, ax, x=x, x_label=label, logarithmic=True, what=f"Video correlation by {label}")
    if counted and rows["neurons"].nunique() > 5:
        ax.set_xticks([], minor=True)
    return drawn


def panel_thresholds(table: pd.DataFrame, ax: Axes) -> Drawn:
    """The trained mask at other thresholds."""
    return panel_curve(
        table,
        ax,
        x="mask_threshold",
        x_label="threshold (mask value)",
        what="Video correlation by the threshold of the mask: of pixels moved (published method) or scored (posterior)",
    )


def panel_convergence(history: pd.DataFrame, ax: Axes, *, quantity: str, label: str, what: str) -> Drawn:
    """A quantity over iterations: a faint line per movie, the mean over movies above them.

    ``label`` stands at the quantity's axis, with its unit; ``what`` is the start of the caption's sentence.
    """
    from matplotlib.ticker import MaxNLocator

    rows = needs_columns(history, "recording", "trial", "iteration", quantity, figure="convergence")
    movies = rows.groupby(["recording", "trial", "iteration"], as_index=False)[quantity].mean()
    shown, change = quantity, quantity == "loss"
    if change:  # movies start at different values, which is not informative
        shown = f"{quantity}_change"
        movies[shown] = movies[quantity] - movies.groupby(["recording", "trial"])[quantity].transform("first")
    for _, own in list(movies.groupby(["recording", "trial"]))[:_MOST_LINES]:
        ax.plot(own["iteration"], own[shown], color=FAINT, linewidth=0.4, alpha=0.7)
    counts = movies.groupby("iteration")[shown].count()
    mean = movies.groupby("iteration")[[*dict.fromkeys((quantity, shown))]].mean()
    mean = mean[counts == counts.max()]  # otherwise the mean jumps where movies end
    ax.plot(mean.index, mean[shown], color=BLUE, linewidth=1.4)
    ax.set(xlabel="iteration", ylabel=f"change of {label}" if change else label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.margins(x=0.02)
    cut = "" if change else correlation_axis(ax, float(movies[quantity].min()), float(movies[quantity].max()))
    ax.set_title(counted(movies), loc="right", fontsize=TICK)
    since = ", change since the first logged iteration" if change else ""
    caption = f"{what}{since}: a faint line per movie, the mean over movies on top.{cut} {counted(movies)}."
    return Drawn(numbers=_joined(movies, mean.reset_index(), levels=("movie", "mean over movies")), caption=caption)


def panel_movies(table: pd.DataFrame, ax: Axes) -> Drawn:
    """The video correlation of every movie: one column per animal, its movies from the worst to the best."""
    rows = needs_columns(table, "recording", "trial", "video_correlation", figure="natural")
    movies = rows.groupby(["recording", "trial"], as_index=False)["video_correlation"].mean()
    movies = movies.sort_values(["recording", "video_correlation"], ignore_index=True)
    movies["place"] = movies.index + movies["recording"].rank(method="dense") - 1  # a gap between animals
    looks = animal_looks(list(movies["recording"]))
    for name, own in movies.groupby("recording"):
        ax.plot(own["place"], own["video_correlation"], linestyle="", **looks[str(name)])
    mean = movies.groupby("recording")["video_correlation"].mean().mean()
    ax.axhline(mean, color=FAINT, linewidth=0.8, linestyle="--", zorder=0)
    ax.text(1.01, mean, f"mean\n{in_decimals(mean, 2)}", fontsize=TICK, va="center", transform=ax.get_yaxis_transform())
    middles = movies.groupby("recording")["place"].mean()
    ax.set_xticks(middles, [short_name(str(name)) for name in middles.index])
    ax.set_xlim(-1, movies["place"].max() + 1)
    ax.set_title(counted(movies), loc="right", fontsize=TICK)
    ax.set(xlabel="movies, sorted within their animal", ylabel="video correlation (r)")
    cut = correlation_axis(ax, float(movies["video_correlation"].min()), float(movies["video_correlation"].max()))
    caption = f"Video correlation of every movie; dashed: mean over animals.{cut} {counted(movies)}."
    return Drawn(numbers=movies.drop(columns="place"), caption=caption)


def panel_bound(table: pd.DataFrame, ax: Axes) -> Drawn:
    """Each movie from recorded against predicted responses, with the line on which they would be equal."""
    rows = needs_columns(table, "recording", "trial", "target", "video_correlation", figure="predicted_activity")
    wide = rows.pivot_table(index=["recording", "trial"], columns="target", values="video_correlation")
    if not set(TARGETS) <= set(wide.columns):
        raise InputError("no movie was reconstructed from recorded and from predicted responses; both are needed")
    wide = wide[list(TARGETS)].dropna().reset_index()
    looks = animal_looks(list(wide["recording"]))
    for name, own in wide.groupby("recording"):
        ax.plot(own["recorded"], own["predicted"], linestyle="", **looks[str(name)], alpha=0.8)
    low, high = range_with_zero(1.05 * wide[list(TARGETS)], narrowest=0.05)
    ax.plot([low, high], [low, high], color=FAINT, linewidth=0.6, zorder=0)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set(xlabel="from recorded responses (r)", ylabel="from predicted responses (r)")
    ax.set_title(counted(wide), loc="right", fontsize=TICK)
    caption = (
        f"Video correlation of every movie from recorded against predicted responses; line: equal. {counted(wide)}."
    )
    return Drawn(numbers=wide, caption=caption)


def correlation_colors(values: ArrayLike) -> tuple[float, float]:
    """The range of correlations for the colors: it includes 0 and is at least 0.05 wide."""
    return range_with_zero(values, narrowest=0.05)


def draw_values(values: NDArray[np.float64], ax: Axes, *, colors: tuple[float, float]) -> AxesImage:
    """Correlations (rows, columns) as colors between these two, and as numbers."""
    low, high = colors
    image = ax.imshow(values, cmap=HEAT, vmin=low, vmax=high, origin="lower", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "black" if value > low + 0.55 * (high - low) else "white"
        if np.isfinite(value):
            ax.text(column, row, in_decimals(value, 2), ha="center", va="center", fontsize=TICK, color=ink)
    return image


def panel_map(
    table: pd.DataFrame,
    ax: Axes,
    *,
    x: str,
    y: str,
    x_label: str,
    y_label: str,
    colors: tuple[float, float] | None = None,
    bar: bool = True,
    title: str = "",
    what: str,
) -> Drawn:
    """The mean video correlation over animals by two numbers (columns), each of them an axis of even steps.

    ``colors`` begin and end where neighboring panels' do, by default as the means need it; ``bar`` is their color bar.
    ``what`` is the start of the caption's sentence.
    """
    rows = needs_columns(table, "recording", x, y, _SCORE, figure=f"{_SCORE} map")
    animals = rows.groupby(["recording", x, y], as_index=False)[_SCORE].mean()
    grid = animals.pivot_table(index=y, columns=x, values=_SCORE).sort_index().sort_index(axis=1)
    image = draw_values(grid.to_numpy(), ax, colors=colors or correlation_colors(grid))
    ax.set_xticks(range(grid.shape[1]), [f"{value:.3g}" for value in grid.columns])
    ax.set_yticks(range(grid.shape[0]), [f"{value:.3g}" for value in grid.index])
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_title(", ".join(each for each in (title, counted(rows)) if each), loc="right", fontsize=TICK)
    if bar:
        ax.figure.colorbar(image, ax=ax, label=_LABEL, fraction=0.05, pad=0.02)
    means = animals.groupby([x, y], as_index=False)[_SCORE].agg(["mean", "sem", "count"])
    means = means.rename(columns={"mean": _SCORE, "sem": "standard_error", "count": "animals"})
    caption = f"{what}: {_LABEL}, mean over animals. {counted(rows)}."
    return Drawn(numbers=_joined(animals, means, levels=("animal", "mean over animals")), caption=caption)


_LENGTHS = {
    "x": "temporal_frames",
    "y": "spatial_px",
    "x_label": "temporal length constant (frames)",
    "y_label": "spatial length constant (pixels)",
}


def panel_noise(
    table: pd.DataFrame, ax: Axes, *, inverted: bool, colors: tuple[float, float] | None = None, bar: bool = True
) -> Drawn:
    """Spatial by temporal length constant, for the noise or its phase inversion."""
    rows = noise_rows(table)
    title = "phase-inverted" if inverted else "noise"
    what = "Phase inversions of the same noise" if inverted else "Gaussian noise by its length constants"
    rows = rows[rows["inverted"] == inverted]
    return panel_map(rows, ax, **_LENGTHS, colors=colors, bar=bar, title=title, what=what)


def noise_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Each movie of noise has a name of its own in ``trial``; rows that do not say are not inverted."""
    rows = needs_columns(table, "recording", "spatial_px", "temporal_frames", "video_correlation", figure="noise")
    inverted = rows["inverted"].eq(True).fillna(False).astype(bool) if "inverted" in rows else False
    places = [rows[name] for name in ("spatial_px", "temporal_frames", "repeat") if name in rows]
    names = ["-".join(f"{value:g}" for value in values) for values in zip(*places, strict=True)]
    return rows.assign(inverted=inverted, trial=names)


def panel_frequencies(table: pd.DataFrame, ax: Axes) -> Drawn:
    """By spatial and temporal frequency, over all directions."""
    return panel_map(
        grating_rows(table),
        ax,
        x="temporal_frequency_hz",
        y="spatial_frequency",
        x_label="temporal frequency (Hz)",
        y_label="spatial frequency (cycles/degree)",
        what="Gratings by spatial and temporal frequency, mean over directions",
    )


def _log_axis(ax: Axes, values: list[float]) -> None:
    if values[0] <= 0:
        raise InputError(f"a logarithmic axis needs positive numbers; the smallest is {values[0]:g}")
    ax.set_xscale("log")
    if len(values) <= 8:
        apart = values[:1]
        for value in values[1:]:
            apart += [value] if value >= 1.3 * apart[-1] else []  # labels of closer values would overlap
        ax.set_xticks(apart, [f"{value:g}" for value in apart])
        ax.minorticks_off()


def _joined(below: pd.DataFrame, above: pd.DataFrame, *, levels: tuple[str, str] = ("movie", "animal")) -> pd.DataFrame:
    """Numbers, and what was computed of them, in one table told apart by ``level``."""
    parts = zip((below, above), levels, strict=True)
    return pd.concat([part.assign(level=level) for part, level in parts], ignore_index=True)
