"""Gaussian noise (Figure 4): which length constants in space and time can be reconstructed, and phase inversions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from neuroreel.figures.examples import example_of
from neuroreel.figures.maps import correlation_colors, panel_map
from neuroreel.figures.material import Example, Material, needs_columns
from neuroreel.figures.sheet import Drawn, Sheet, stacked
from neuroreel.figures.strips import panel_strips
from neuroreel.style import PAGE, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_AXES = {
    "x": "temporal_frames",
    "y": "spatial_px",
    "x_label": "temporal length constant (frames)",
    "y_label": "spatial length constant (pixels)",
}


def panel_noise(
    table: DataFrame, ax: Axes, *, inverted: bool, colors: tuple[float, float] | None = None, bar: bool = True
) -> Drawn:
    """Spatial by temporal length constant, of the noise as it is or of its phase inversion."""
    rows = noise_rows(table)
    title = "phase-inverted" if inverted else "noise"
    what = "Phase inversions of the same noise" if inverted else "Gaussian noise by its length constants"
    rows = rows[rows["inverted"] == inverted]
    return panel_map(rows, ax, **_AXES, colors=colors, bar=bar, title=title, what=what)


def noise_rows(table: DataFrame) -> DataFrame:
    """Each movie of noise has a name of its own in ``trial``; rows that do not say are not inverted."""
    rows = needs_columns(table, "recording", "spatial_px", "temporal_frames", "video_correlation", figure="noise")
    inverted = rows["inverted"].eq(True).fillna(False).astype(bool) if "inverted" in rows else False
    places = [rows[name] for name in ("spatial_px", "temporal_frames", "repeat") if name in rows]
    names = ["-".join(f"{value:g}" for value in values) for values in zip(*places, strict=True)]
    return rows.assign(inverted=inverted, trial=names)


def chosen(table: DataFrame) -> list[dict[str, object]]:
    """Three rows to show: of the field reconstructed best, the one in the middle, the worst."""
    rows = noise_rows(table)
    plain = rows[~rows["inverted"]] if (~rows["inverted"]).any() else rows
    means = plain.groupby(["spatial_px", "temporal_frames"])["video_correlation"].mean().sort_values(ascending=False)
    fields = list(dict.fromkeys(means.index[place] for place in (0, len(means) // 2, len(means) - 1)))
    found = []
    for spatial, temporal in fields:
        own = plain[(plain["spatial_px"] == spatial) & (plain["temporal_frames"] == temporal)]
        found.append(own.sort_values("video_correlation").iloc[len(own) // 2].to_dict())
    return found


def draw(material: Material) -> Sheet:
    """The whole figure."""
    rows = noise_rows(material.table)
    there = [inverted for inverted in (False, True) if (rows["inverted"] == inverted).any()]
    means = rows.groupby(["inverted", "spatial_px", "temporal_frames"])["video_correlation"].mean()
    colors = correlation_colors(means)  # of both panels, which share a bar
    examples = [_example(material, row) for row in chosen(material.table)]
    sheet = Sheet(PAGE, 64 + 27 * len(examples), "Gaussian noise by its length constants in space and time.")
    above, below = stacked(sheet.figure, [27 * len(examples), 64])
    sheet.add("frames", panel_strips, examples, above, what="Noise reconstructed best, in the middle, and worst")
    axes = below.subplots(1, len(there), squeeze=False)[0]
    for inverted, ax in zip(there, axes, strict=True):
        name = "inverted" if inverted else "noise"
        last = inverted == there[-1]
        sheet.add(name, panel_noise, material.table, ax, inverted=inverted, colors=colors, bar=last)
    return sheet


def _example(material: Material, row: dict[str, object]) -> Example:
    example = example_of(material, row)
    sizes = f"{row['spatial_px']:g} px, {row['temporal_frames']:g} frames"
    return replace(
        example,
        name=f"{sizes} ({short_name(str(row['recording']))})",
        beside="\n".join((*sizes.split(", "), example.beside)),
    )
