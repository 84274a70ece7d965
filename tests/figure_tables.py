"""Made-up tables and movies for tests of figures: numbers that nobody measured, never shown as results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from neuroreel.figures.material import Material, Movies

HEIGHT, WIDTH, FRAMES = 12, 16, 40


def table_of(
    condition: str, effects: Mapping[Any, float], *, animals: int = 4, movies: int = 3, seed: int = 0, **columns: Any
) -> pd.DataFrame:
    """One row a movie and condition, its score the animal's and the movie's level, the effect, and noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for animal in range(animals):
        for trial in range(movies):
            level = 0.5 + 0.05 * rng.normal() + 0.02 * animal
            for value, effect in effects.items():
                score = level + effect + 0.01 * rng.normal()
                rows.append(
                    {
                        "recording": f"mouse_{animal}",
                        "trial": trial,
                        "key": f"{animal}-{trial}-{value}",
                        condition: value,
                        "models": 3,
                        "video_correlation": score,
                        "video_correlation_unsmoothed": score - 0.05,
                        "single_video_correlation": score - 0.1 + 0.01 * rng.normal(),
                        **columns,
                    }
                )
    return pd.DataFrame(rows)


def movies_of(row: Mapping[str, Any]) -> Movies:
    """A true movie, a noisy reconstruction of it by each of three models, and a mask."""
    rng = np.random.default_rng(int(row.get("trial") or 0) if isinstance(row.get("trial"), int) else 0)
    truth = rng.uniform(0, 255, (FRAMES, HEIGHT, WIDTH)).astype(np.float32)
    models = np.clip(0.5 * truth + rng.uniform(0, 127, (3, *truth.shape)), 0, 255).astype(np.float32)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    mask = 1.4 * np.exp(-((rows - HEIGHT / 2) ** 2 + (columns - WIDTH / 2) ** 2) / 30)
    return Movies(
        truth=truth,
        video=models.mean(axis=0),
        frame_rate_hz=30.0,
        mask=mask.astype(np.float32),
        model_videos=models,
    )


def history_of(table: pd.DataFrame) -> pd.DataFrame:
    """Histories of three logged iterations; the video correlation of the first is undefined, as for a grey movie."""
    parts = [
        pd.DataFrame(
            {
                "recording": row["recording"],
                "trial": row["trial"],
                "iteration": [0, 10, 20],
                "loss": [1.0, 0.5, 0.25 + row["trial"]],
                "video_correlation": [np.nan, 0.2, 0.4],
                "response_correlation": [0.1, 0.3, 0.5],
            }
        )
        for row in table.to_dict("records")
    ]
    return pd.concat(parts, ignore_index=True)


def material_of(experiment: str, table: pd.DataFrame, **changes: Any) -> Material:
    """Complete material around a table."""
    usual: dict[str, Any] = {
        "history": history_of,
        "movies": movies_of,
        "said": {"method": "bauer_2026"},
        "finished": len(table),
        "expected": len(table),
    }
    return Material(experiment=experiment, table=table, **{**usual, **changes})


def noise_table(*, animals: int = 2, repeats: int = 2) -> pd.DataFrame:
    """Noise of three spatial and two temporal length constants, as it is and inverted."""
    rows = [
        {
            "recording": f"mouse_{animal}",
            "trial": None,
            "repeat": repeat,
            "spatial_px": spatial,
            "temporal_frames": temporal,
            "inverted": inverted,
            "video_correlation": 0.1 * animal + 0.01 * repeat + 0.05 * spatial + 0.02 * temporal + 0.001 * inverted,
        }
        for animal in range(animals)
        for repeat in range(repeats)
        for spatial in (0.0, 4.0, 8.0)
        for temporal in (0.0, 4.0)
        for inverted in (False, True)
    ]
    return pd.DataFrame(rows)


def grating_table() -> pd.DataFrame:
    """Gratings of two directions, two spatial and two temporal frequencies; three animals."""
    rows = [
        {
            "recording": f"mouse_{animal}",
            "trial": None,
            "direction_deg": direction,
            "spatial_frequency": spatial,
            "temporal_frequency_hz": temporal,
            "video_correlation": 0.1 * animal + direction / 1000 + spatial + temporal / 100 + 0.01 * (animal == 1),
        }
        for animal in range(3)
        for direction in (0.0, 90.0)
        for spatial in (0.036, 0.071)
        for temporal in (0.0, 3.75)
    ]
    return pd.DataFrame(rows)
