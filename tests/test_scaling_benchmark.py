"""benchmarks/scaling.py runs, fits exponents, and finds memory flat in movies and models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "scaling.py"


def test_the_exponent_is_that_of_a_power(benchmark_module: Any) -> None:
    scaling = benchmark_module("scaling")
    counts = (1, 2, 4, 8)
    assert scaling.slope(counts, [3 * count**1.5 for count in counts]) == pytest.approx(1.5)


@pytest.mark.nightly
def test_scaling(tmp_path: Path) -> None:
    out = tmp_path / "scaling.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--out", str(out)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    report = json.loads(out.read_text())
    assert report["quick"] and {"date", "machine", "versions"} <= report.keys()
    for axis in ("frames", "movies", "models"):
        rows = report["axes"][axis]["rows"]
        assert [row[axis] for row in rows] == sorted(row[axis] for row in rows) and axis in shown
        peaks = [row["peak_mib"] for row in rows]
        if axis != "frames" and None not in peaks:
            assert max(peaks) < 1.5 * min(peaks) + 20
