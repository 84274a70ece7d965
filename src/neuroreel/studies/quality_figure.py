"""The figure of a comparison of methods: the quality of each, and at which spatial scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from neuroreel.studies.compared import BAND_NAMES
from neuroreel.studies.methods import CEILINGS, FLOORS
from neuroreel.studies.quality import summarize
from neuroreel.style import BLUE, COLORS, FAINT, INK, LABEL, PAGE, TICK, inches, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IN_BANDS = ("ridge", "convolutional", "posterior")


def quality_figure(table: pd.DataFrame) -> Figure:
    """One row a group of recordings in the table of :func:`~neuroreel.studies.quality.compare_methods`.

    Left the video correlation of each method with 95 % intervals, right by spatial band.
    """
    from matplotlib.figure import Figure

    summary = summarize(table)
    groups = list(dict.fromkeys(table["group"]))
    methods = list(dict.fromkeys(summary.index.get_level_values("method")))
    with style():
        height = 12 + len(groups) * (10 + 4.2 * len(methods))
        figure = Figure(figsize=(inches(PAGE), inches(height)), layout="constrained")
        axes = figure.subplots(len(groups), 2, squeeze=False, width_ratios=(1.5, 1))
        for (left, right), group in zip(axes, groups, strict=True):
            found = summary.loc[group]
            for place, method in enumerate(reversed(found.index)):
                row = found.loc[method]
                color = FAINT if method in FLOORS + CEILINGS else BLUE
                left.errorbar(row["mean"], place, xerr=row["interval"], fmt="o", color=color, elinewidth=0.8)
                left.annotate(
                    f"{row['mean']:.3f}",
                    (1, place),
                    xycoords=("axes fraction", "data"),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=TICK,
                    color=INK,
                    annotation_clip=False,
                )
            if "ridge" in found.index:
                left.axvline(found.loc["ridge", "mean"], color=FAINT, linewidth=0.6, linestyle=":")
            left.set_xlim(-0.1, 1)
            left.set_yticks(range(len(found)), list(reversed(found.index)))
            left.set_xlabel("Video correlation (mean over movies, 95 % interval)")
            left.set_title(
                f"{str(group).replace('_', ' ')}: {int(found['movies'].max())} movies", fontsize=LABEL, loc="left"
            )
            bands = [summarize(table, f"correlation_{name}").loc[group] for name in BAND_NAMES]
            for color, method in zip(COLORS, [name for name in IN_BANDS if name in found.index], strict=False):
                means = [band.loc[method, "mean"] for band in bands]
                right.plot(range(len(bands)), means, "o-", color=color, label=method)
            right.set_xticks(range(len(bands)), ["below 1/16", "1/16 to 1/8", "above 1/8"])
            right.margins(x=0.15)
            right.set_xlabel("Spatial frequency (cycles per pixel)")
            right.set_ylabel("Correlation")
            right.legend(loc="lower left")
    return figure
