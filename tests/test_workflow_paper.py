"""A rehearsal of `paper`: the shipped configuration from its downloads to its figures, on the golden mice and models.

The archive is a server on this machine that holds what the golden folder has, under the published names. What is cut
down: two mice, two models, one movie each, few iterations, coarse grids of stimuli, a CPU.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import neuroreel as nr
from download_server import Gin, serving, zipped
from neuroreel.download.catalogue import FILE
from neuroreel.stimuli.noise import PUBLISHED_LENGTHS, correlated
from neuroreel.studies.table import experiment_table
from neuroreel.workflow.configuration import EXPERIMENTS, READY
from workflows import workflow, written

FEW = {"noise_repeats": 1, "spatial_frequencies": [0.0368], "stimulus_animals": 1}
SMALLER: dict[str, dict[str, Any]] = {
    "natural": {"parts": 2},
    "gradient_ensembling": {"passes": 25, "settings": {"grid": {"trials": [5]}}},  # as the golden reconstruction
    "masks": {"settings": {"grid": {"mask_thresholds": [1.0]}}},
    "ablation": {"fractions": [1.0, 0.5]},
    "noise": {"parts": 2, "settings": {"grid": {"spatial_px": [0, 8], "temporal_frames": [4], **FEW}}},
    "gratings": {"settings": {"grid": {"directions_deg": [0, 90], "temporal_frequencies_hz": [0], **FEW}}},
    "receptive_fields": {"settings": {"grid": {"field_size_px": 12}}},
}


@pytest.mark.parametrize(
    "experiments",
    [
        pytest.param(tuple(EXPERIMENTS), id="all experiments", marks=pytest.mark.nightly),
    ],
)
def test_the_shipped_configuration_runs_to_its_figures(
    experiments: tuple[str, ...], golden: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with serving() as archive:
        fill(archive, golden)
        raw = rehearsal(golden, catalogue(archive, tmp_path), experiments)
        config = written(raw, tmp_path, "paper.yaml")
        workflow(config, "--out", out, "--cores", "2")
    table = pd.read_csv(out / "table.csv")
    for experiment in experiments:
        assert experiment_table(out / "experiments" / experiment).shape[0] >= 2, experiment
        drawn = out / "figures" / experiment
        assert (drawn / "figure.pdf").stat().st_size > 5_000
        assert "method: bauer_2026" in (drawn / "caption.md").read_text()
        ours = table.loc[table["experiment"] == experiment, "ours"]
        assert ours.notna().any() or experiment == "receptive_fields"  # of which the paper gives no number
    assert (out / "report.html").stat().st_size > 100_000
    result = nr.Reconstruction.load(next((out / "experiments").glob("gradient_ensembling/jobs/*29623*_gradients.nc")))
    published = np.load(golden / "reconstructions" / "gradient_ensemble_t0.npz")["video_pred"]
    assert np.linalg.norm(result.video - published) < 1e-5 * np.linalg.norm(published - 127.5)


def rehearsal(golden: Path, catalogue: Path, experiments: tuple[str, ...]) -> dict[str, Any]:
    """The shipped configuration, cut down to what the golden folder has and a CPU does in minutes."""
    raw: dict[str, Any] = yaml.safe_load((READY / "paper.yaml").read_text())
    mice = {path.name for path in (golden / "recordings").iterdir()}
    for block in (raw["recordings"], raw["masks"]["files"]):
        for mouse in set(block) - mice:
            del block[mouse]
    raw["downloads"]["catalogue"] = str(catalogue)
    raw["experiments"]["every"] |= {"movies": 1, "passes": 2}
    for name in EXPERIMENTS:
        if name in experiments:
            raw["experiments"][name] |= {"parts": 1, **SMALLER.get(name, {})}
        else:
            del raw["experiments"][name]
    raw["resources"] = {"default": {"cpus": 2, "memory_gb": 2, "hours": 0.05, "disk_gb": 0.02}}
    return raw


def fill(archive: Gin, golden: Path) -> None:
    """What the golden folder has, where the authors have it; the mask of mouse 1 serves mouse 0, which has none."""
    for mouse in (golden / "recordings").iterdir():
        archive.add(f"{mouse.name}.zip", zipped(mouse))
    for model in (golden / "checkpoints").glob("fold_*/*.pth"):
        archive.add(f"data/experiments/true_batch_002/{model.parent.name}/{model.name}", model.read_bytes())
    for number in (0, 1):
        archive.add(f"reconstructions/masks/mask_m{number}.npy", (golden / "masks" / "mask_m1.npy").read_bytes())
    archive.add("utils_reconstruction/gaussian_noise_movies.npz", noise_file())
    archive.add(
        "utils_reconstruction/grating_movies.npz", (golden / "published_files" / "grating_movies.npz").read_bytes()
    )


def noise_file() -> bytes:
    """Noise in the published layout: the golden folder's has two of the 49 pairs of length constants."""
    shape = (36, 36, 60)
    white = np.random.default_rng(0).standard_normal(shape)
    movies = [[correlated(white, (space, space, time)) for time in PUBLISHED_LENGTHS] for space in PUBLISHED_LENGTHS]
    stream = io.BytesIO()
    np.savez(stream, video=np.moveaxis(movies, (0, 1), (-2, -1))[..., None, :, :])
    return stream.getvalue()


def catalogue(archive: Gin, folder: Path) -> Path:
    """The shipped catalogue, of another address, without the files that the golden folder does not have."""
    lines = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        path = re.search(r'path = "([^"]+)"', line)
        if not path or any(file.endswith(f"/{path[1]}") or file == path[1] for file in archive.files):
            lines.append(re.sub(r"^url = .*", f'url = "{archive.url}"', line))
    file = folder / "catalogue.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file
