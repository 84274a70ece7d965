"""Where the time of one window of the paper's full-size model goes: published pass, PyTorch alone, compiled code.

    python benchmarks/profile_window.py [--out profile_window.json] [--models paper small] [--repeats 5]

Seconds by kind of operation, from PyTorch's profiler, which itself takes a few hundredths. Each pass has a process of
its own, and they take turns, as in ``inversion.py``; of the turns, that with the median sum counts. Weights are random.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from _machine import described
from _profile import KINDS
from inversion import FRAMES, MODELS, Worker, in_turns

WAYS = {"published": "published", "PyTorch alone": "ours, PyTorch alone", "compiled": "ours"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/profile_window.json"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["paper"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = [row for name in options.models for row in profiled(name, repeats=options.repeats)]
    report = described() | {"frames": FRAMES, "repeats": options.repeats, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    kinds = [*KINDS, "everything else", "sum"]
    print(f"{'model':6} {'pass':14} " + " ".join(f"{kind:>15}" for kind in kinds))
    for row in rows:
        print(f"{row['model']:6} {row['way']:14} " + " ".join(f"{row['seconds'][kind]:13.3f} s" for kind in kinds))
    print("\nFor docs/speed.md:", *(table_line(row) for row in rows if row["model"] == "paper"), sep="\n")


def table_line(row: dict[str, Any]) -> str:
    """A row as it stands in the table of docs/speed.md."""
    way = {"published": "as published", "PyTorch alone": "ours, PyTorch alone", "compiled": "ours"}[row["way"]]
    seconds = [f"{value:.2f}" if value >= 0.005 else "" for value in row["seconds"].values()]
    return f"| {' | '.join([way, *seconds])} |"


def profiled(name: str, *, repeats: int) -> list[dict[str, Any]]:
    """A row each for the published pass, ours without compiled code, ours."""
    workers = {what: Worker(name, way, "cpu") for what, way in WAYS.items()}
    in_turns(workers, "gradient", 1)  # a pass that is not counted
    rows = []
    for what, turns in in_turns(workers, "profile", repeats).items():
        ordered = sorted(turns, key=lambda seconds: seconds["sum"])
        median = ordered[(len(ordered) - 1) // 2]
        sums = {"sum_least": ordered[0]["sum"], "sum_most": ordered[-1]["sum"]}
        rows.append({"model": name, "way": what, "seconds": median} | sums)
        workers[what].stop()
    return rows


if __name__ == "__main__":
    main()
