"""benchmarks/clips.py runs, and says what it measured on what."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "clips.py"


@pytest.mark.slow
def test_clips_a_second(tmp_path: Path) -> None:
    out = tmp_path / "clips.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--repeats", "2", "--device", "cpu", "--out", str(out)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    report = json.loads(out.read_text())
    assert report["quick"] and {"date", "machine", "versions"} <= report.keys()
    speeds = {row["what"]: row["clips_per_s"] for row in report["rows"]}
    assert len(speeds) == 4 and all(what in shown for what in speeds)
    assert speeds["read: packed files, mapped"] > speeds["read: np.load of whole trials"]
