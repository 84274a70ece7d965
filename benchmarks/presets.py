"""Presets side by side on held-out movies of a simulated mouse, with the same encoding models.

    python benchmarks/presets.py [--out presets.json] [--quick]

Prints and stores the mean video correlation of every preset and baseline, the seconds each took (once, after a short
call that is not counted), and the machine. Rows differ in how many models they use and how many passes they make.
The mouse is simulated: the figures compare methods, they say nothing about mice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import neuroreel as nr
from _machine import described
from _mouse import prepared
from neuroreel.evaluation.table import mean_scores, score_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/presets.json"))
    parser.add_argument("--movies", type=int, default=3)
    parser.add_argument("--iterations", type=int, nargs="+", default=[30, 100], help="of the published preset")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small mouse: shows that it runs, not how well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(
            Path(folder),
            movies=options.movies,
            iterations=sorted(options.iterations),
            seed=options.seed,
            quick=options.quick,
        )
    report = described() | {"seed": options.seed, "movies": options.movies, "quick": options.quick, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    for row in rows:
        score = "undefined" if row["video_correlation"] is None else f"{row['video_correlation']:.3f}"
        print(f"{row['what']:50} {score:>10} {row['seconds']:8.1f} s")


def compare(folder: Path, *, movies: int, iterations: list[int], seed: int, quick: bool) -> list[dict[str, Any]]:
    size = {"trials": 28, "seconds": 6.0, "neurons": 100} if quick else {}
    lab = prepared(folder, seed=seed, size=size, epochs=1 if quick else 3)
    held_out, models, decoder, mask = list(lab.held_out[:movies]), lab.models, lab.decoder, lab.mask
    runs: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("default", models, {"decoder": decoder}),
        ("default, one model", models[:1], {"decoder": decoder}),
        ("default, without a decoder", models, {}),
    ]
    nr.reconstruct(held_out[:1], models, mask=mask, decoder=decoder, iterations=1, progress=False)  # warm
    rows = []
    for what, chosen, options in runs:
        began = time.perf_counter()
        results = nr.reconstruct(held_out, chosen, mask=mask, **options)
        rows += scored(what, results, seconds=time.perf_counter() - began, decoder=None if rows else decoder)
    return rows + published(held_out, models[0], mask, iterations)


def published(held_out: list[nr.Trial], model: Any, mask: Any, iterations: list[int]) -> list[dict[str, Any]]:
    """The published rule with one model, scored on its way too: where it is stopped matters."""
    began = time.perf_counter()
    seen: dict[int, tuple[Any, float]] = {}

    def keep(progress: Any, _: Any) -> None:
        if progress.iteration + 1 in iterations:
            seen[progress.iteration + 1] = progress.videos.cpu().numpy(), time.perf_counter() - began

    last = iterations[-1]
    options = {"preset": "published", "iterations": last, "record_every": last, "callbacks": [keep]}
    results = nr.reconstruct(held_out, model, mask=mask, **options)
    rows: list[dict[str, Any]] = []
    for passes, (videos, seconds) in seen.items():
        for result, video in zip(results, videos, strict=True):
            result.dataset["video"].values[:] = video
        rows += scored(f"published, one model, {passes} iterations", results, seconds=seconds, smooth=0.5)
    return rows


def scored(what: str, results: list[Any], *, seconds: float, **options: Any) -> list[dict[str, Any]]:
    """A row for each method in the table of scores."""
    rows = []
    for method, score in mean_scores(score_table(results, **options)).items():
        baseline = method in ("grey", "mean", "ridge", "shuffled")
        name = method if baseline else method.replace("reconstruction", what)
        value = None if np.isnan(score) else score
        rows.append({"what": name, "video_correlation": value, "seconds": 0.0 if baseline else seconds})
    return rows


if __name__ == "__main__":
    main()
