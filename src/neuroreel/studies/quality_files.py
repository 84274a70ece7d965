"""The files of a comparison of methods: tables, figure, and what made them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from neuroreel.files import atomic_path
from neuroreel.results.provenance import collect_provenance
from neuroreel.studies.quality import Quality, summarize
from neuroreel.studies.quality_figure import quality_figure

SHOWN = (
    "video_correlation",
    "response_correlation",
    "seconds",
    "passes",
    "best_pass",
    "video_correlation_at_best_pass",
    "memory_gb",
)


def write_comparison(table: pd.DataFrame, folder: Path, quality: Quality, *, seed: int) -> str:
    """Write table.csv, summary.csv, summary.json and the figure; replaces those of an earlier call.

    Returns
    -------
    str
        The summary, to print.
    """
    summaries = {score: summarize(table, score) for score in dict.fromkeys(table["score"])}
    every = pd.concat(summaries, names=["score"])
    facts = {
        "provenance": collect_provenance(settings=asdict(quality), hashes={}, seed=seed),
        "summary": json.loads(every.reset_index().to_json(orient="records")),
    }
    texts = {
        "table.csv": table.to_csv(index=False),
        "summary.csv": every.to_csv(),
        "summary.json": json.dumps(facts, indent=1, default=str),
    }
    for name, text in texts.items():
        with atomic_path(folder / name, overwrite=True) as partial:
            partial.write_text(text)
    figure = quality_figure(table)
    for name in ("quality.png", "quality.pdf"):
        with atomic_path(folder / name, overwrite=True) as partial:
            figure.savefig(partial, format=name.rpartition(".")[2], dpi=200)
    lines = []
    for score in [name for name in SHOWN if name in summaries]:
        shown = summaries[score].to_string(float_format="{:.3f}".format)
        title = score.replace("_gb", " (GB)").replace("_", " ")
        lines += [f"{title[0].upper()}{title[1:]}:", shown, ""]
    return "\n".join([*lines, f"Tables and figure: {folder}"])
