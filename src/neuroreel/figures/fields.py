"""Receptive fields of the neurons from light and dark spots, next to the transparency mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroreel.decimals import in_decimals
from neuroreel.figures.material import needs_columns
from neuroreel.figures.sheet import Drawn
from neuroreel.outlines import share_words
from neuroreel.pictures import draw_outline
from neuroreel.ranges import range_with_zero
from neuroreel.style import FAINT, HEAT, TICK, animal_looks, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_ROWS = {
    "on": ("ON, mean over\nneurons", "gray", "response", "both"),
    "off": ("OFF, mean over\nneurons", "gray", "response", "both"),
    "population": ("population\nreceptive field", HEAT, "share of\nmaximum", "max"),
    "mask": ("transparency\nmask", "gray", "mask", "max"),
}
_CUT = 0.5  # percent of a row's values to clip: a single spot would hide all others


def panel_maps(fields: Sequence[xr.Dataset], subfigure: SubFigure) -> Drawn:
    """One column per animal: mean response to light and to dark spots, population receptive field, mask.

    ``fields`` are those of ``nr.receptive_fields``, with the attribute ``recording``, and ``mask`` (height, width)
    where it is known.
    """
    shown = [_maps(each) for each in fields]
    rows = [name for name in _ROWS if any(name in maps for maps in shown)]
    grid = subfigure.subplots(len(rows), len(shown), squeeze=False)
    for line, name in zip(grid, rows, strict=True):
        label, colors, unit, extend = _ROWS[name]
        _, limit = range_with_zero(*(np.abs(maps[name]) for maps in shown if name in maps), cut=_CUT)
        drawn = [_draw(maps, name, ax, colors=colors, limit=limit) for maps, ax in zip(shown, line, strict=True)]
        line[0].set_ylabel(label, fontsize=TICK)
        image = next((each for each in reversed(drawn) if each is not None), None)
        if image is not None:
            subfigure.colorbar(image, ax=list(line), label=unit, fraction=0.03, pad=0.01, shrink=0.8, extend=extend)
    for maps, ax in zip(shown, grid[0], strict=True):
        ax.set_title(short_name(str(maps.attrs["recording"])), fontsize=TICK)
    for ax in grid.flat:
        ax.tick_params(labelbottom=ax in grid[-1], labelleft=ax in grid[:, 0])
    for ax in grid[-1]:
        ax.set_xlabel("column (pixels)")
    grid[-1, 0].set_ylabel(f"{grid[-1, 0].get_ylabel()}\n\nrow (pixels)", fontsize=TICK)
    numbers = [_numbers(maps).assign(recording=maps.attrs["recording"]) for maps in shown]
    neurons = " and ".join(str(each.sizes["neuron"]) for each in fields)
    caption = (
        f"Receptive fields of {neurons} neurons, one column each: mean change of the predicted response to a light "
        "and to a dark spot at each place; the population receptive field (mean over neurons of their squared maps, "
        "each scaled to a sum of 1). Mid-grey: no change; lighter: more active."
    )
    if "mask" in rows:
        shares = [f"{share_words(maps['mask'].values)}" for maps in shown if "mask" in maps]
        caption += f" Blue: outline of the area that is scored, {' and '.join(shares)}."
    return Drawn(numbers=pd.concat(numbers, ignore_index=True), caption=caption)


def panel_overlap(table: pd.DataFrame, ax: Axes) -> Drawn:
    """How much area the mask and the population receptive field share, and what chance would give."""
    names = ["rf_mask_overlap", "rf_mask_overlap_chance", "rf_mask_correlation"]
    rows = needs_columns(table, "recording", *names, figure="receptive_fields").sort_values("recording")
    looks = animal_looks(list(rows["recording"]))
    for place, row in enumerate(rows.to_dict("records")):
        ax.plot(place, row["rf_mask_overlap"], linestyle="", **looks[row["recording"]])
        ax.plot([place - 0.3, place + 0.3], [row["rf_mask_overlap_chance"]] * 2, color=FAINT, linestyle="--")
        correlation = f"r = {in_decimals(row['rf_mask_correlation'], 2)}"
        ax.text(place, row["rf_mask_overlap"] + 0.04, correlation, ha="center", fontsize=TICK)
    ax.set_xticks(range(len(rows)), [short_name(name) for name in rows["recording"]])
    ax.set(xlim=(-0.6, len(rows) - 0.4), ylim=(0, 1.1), xlabel="animal", ylabel="shared area (Jaccard index)")
    animals = f"n = {len(rows)} animal{'s' if len(rows) > 1 else ''}"
    caption = (
        "Area that the mask (at least 1) and the strongest part of the population receptive field (of the same size) "
        f"share, divided by the area of both; dashed: chance; r: correlation of map and mask over all spots. {animals}."
    )
    return Drawn(numbers=rows[["recording", *names]].reset_index(drop=True), caption=caption)


def _maps(fields: xr.Dataset) -> xr.Dataset:
    """What to draw for one animal: maps (row, column), and the mask on the video."""
    from neuroreel.evaluation.population import population_map

    maps = fields[["on", "off"]].mean("neuron").assign(population=population_map(fields))
    if "mask" in fields:
        maps = maps.assign(mask=(("height", "width"), fields["mask"].values))
    return maps.assign_attrs(fields.attrs)


def _draw(maps: xr.Dataset, name: str, ax: Axes, *, colors: str, limit: float) -> Any:
    """One map on the screen, with the mask's outline; None if unknown."""
    if name not in maps:
        ax.set_axis_off()
        return None
    values = maps[name].values
    low = -limit if name in ("on", "off") else 0.0
    height, width, half = (maps.attrs[each] for each in ("video_height", "video_width", "spot_px"))
    if name == "mask":
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    else:  # spots may leave a margin
        half, rows, columns = half / 2, maps["row"].values, maps["column"].values
        extent = (columns.min() - half, columns.max() + half, rows.max() + half, rows.min() - half)
    image = ax.imshow(values, cmap=colors, vmin=low, vmax=limit, extent=extent, interpolation="nearest")
    draw_outline(ax, maps["mask"].values if "mask" in maps else None)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    return image


def _numbers(maps: xr.Dataset) -> pd.DataFrame:
    table: pd.DataFrame = maps.drop_vars("mask", errors="ignore").to_dataframe().reset_index()
    return table
