"""benchmarks/passes.py runs, goes on where it was, and its table says what it took."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "passes.py"


@pytest.mark.slow
def test_passes_to_the_published_score(tmp_path: Path) -> None:
    out, work = tmp_path / "passes.json", tmp_path / "work"
    command = [sys.executable, str(SCRIPT), "--quick", "--movies", "1", "--out", str(out), "--folder", str(work)]
    command += ["--only", "shifted windows", "shifted, gradient smoothed 2, Adam", "default"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    report = json.loads(out.read_text())
    assert report["quick"] and {"date", "machine", "versions", "mouse"} <= report.keys()
    published, *others = report["rows"]
    assert [published[goal]["times_fewer"] for goal in ("published_final", "published_best")] == [1.0, 1.0]
    assert [row["what"] for row in others] == command[-3:] and all(row["what"] in shown for row in report["rows"])
    # 6 passes of 2 + (90 - 40) // 8 windows, of 32 frames that count and 8 before them
    assert published["window_passes"] == 6 * 8 and published["passes"] == 6
    assert others[0]["window_passes"] < published["window_passes"] / 2
    curves = {file: file.stat().st_mtime_ns for file in (work / "curves").iterdir()}
    assert len(curves) == 4
    subprocess.run(command, check=True, capture_output=True)
    assert curves == {file: file.stat().st_mtime_ns for file in (work / "curves").iterdir()}
