"""The smallest workflow that has every step: a configuration, and its commands as Snakemake would run them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

import neuroreel as nr

TINY: dict[str, Any] = {
    "recordings": {"mouse": {"simulate": {"trials": 8, "seconds": 2.0, "neurons": 20, "seed": 0}}},
    "encoders": {"seeds": [0, 1], "train": {"epochs": 2, "settings": {"recipe": {"batches_per_epoch": 2}}}},
    "decoders": True,
    "masks": {"learn": {"steps": 120}},
    "experiments": {
        "every": {
            "movies": 1,
            "passes": 20,
            "settings": {"scoring": {"evaluation_threshold": 0.5, "skip": 10}},
        },
        "natural": {},
        "ablation": {"parts": 2, "fractions": [1.0, 0.5]},
    },
    "report": {"mask_threshold": 0.5},
    "resources": {"default": {"cpus": 1, "memory_gb": 1, "hours": 0.01, "disk_gb": 0.01}},
}


def changed(way: str, value: object) -> dict[str, Any]:
    """TINY with one value, at "recordings/mouse/folder", set; None deletes it."""
    raw: dict[str, Any] = json.loads(json.dumps(TINY))
    *outer, last = way.split("/")
    block = raw
    for key in outer:
        block = block.setdefault(key, {})
    if value is None:
        del block[last]
    else:
        block[last] = value
    return raw


def written(raw: dict[str, Any], folder: Path, name: str = "tiny.yaml") -> Path:
    """A configuration as a file: JSON is YAML."""
    file = folder / name
    file.write_text(json.dumps(raw))
    return file


def workflow(*arguments: str | Path, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """``neuroreel workflow`` in a process of its own."""
    command = [sys.executable, "-m", "neuroreel", "workflow", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def planned_commands(config: Path, out: Path) -> list[list[str]]:
    """The steps that Snakemake would run, in its order: arguments of ``neuroreel.workflow.step``."""
    import shlex

    snakefile = Path(nr.__file__).parent / "workflow" / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "-s", snakefile, "--configfile", config, "--directory", out]
    done = subprocess.run(
        [*map(str, command), "--dry-run", "--printshellcmds", "--cores", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = re.findall(r"-m neuroreel\.workflow\.step (.+?) >> ", done.stdout)
    return [shlex.split(line) for line in lines]


def numbers_in(out: Path) -> dict[str, Any]:
    """Every number that a workflow's folder holds as a result: weights, masks, movies, scores."""
    found: dict[str, Any] = {}
    for file in sorted(out.glob("models/*/*.safetensors")) + sorted(out.glob("decoders/*/*.safetensors")):
        found[str(file.relative_to(out))] = {name: array.tobytes() for name, array in load_file(file).items()}
    for file in sorted(out.glob("masks/*.npy")):
        found[str(file.relative_to(out))] = np.load(file).tobytes()
    for file in sorted(out.glob("experiments/*/jobs/*.nc")):
        found[str(file.relative_to(out))] = nr.Reconstruction.load(file).video.tobytes()
    for file in sorted(out.glob("table.*")):
        found[file.name] = file.read_text()
    return found
