"""``neuroreel benchmark quality``: all reconstruction methods on the same data, with the same scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from scipy.stats import t as student

from neuroreel.arguments import whole_number
from neuroreel.errors import InputError
from neuroreel.recordings.recording import Recording
from neuroreel.studies.compared import Subject
from neuroreel.studies.methods import CEILINGS, METHODS, SLOW
from neuroreel.studies.mouse import Mouse, SimulatedMouse, Training, check_same_run, simulated_mouse
from neuroreel.studies.run import Runner
from neuroreel.studies.store import Store


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What to compare, and with how much effort.

    Parameters
    ----------
    methods
        Names of ``METHODS``; empty: all but the slow ones.
    movies
        Test movies of each recording.
    training
        Training of the encoding models.
    decoder_steps
        Training steps of the convolutional decoder.
    samples
        Draws from the posterior, for the coverage of its intervals; 0 for none.
    iterations
        Iterations of the published method.
    published_mask
        Also score inside the mask of the published rule.
    """

    methods: tuple[str, ...] = ()
    movies: int = 12
    training: Training = field(default_factory=lambda: Training(models=2, epochs=3, batches_per_epoch=30))
    decoder_steps: int = 350
    samples: int = 0
    iterations: int = 1000
    published_mask: bool = False

    def __post_init__(self) -> None:
        if unknown := [name for name in self.methods if name not in METHODS]:
            raise InputError(f"there is no method {unknown[0]!r}; there are {', '.join(map(repr, METHODS))}")
        for name, least in (("movies", 1), ("decoder_steps", 1), ("samples", 0), ("iterations", 1)):
            whole_number(getattr(self, name), name=name, least=least)
        if self.samples == 1:
            raise InputError("samples is 1; a deviation needs at least 2 draws, or 0 for none")

    def chosen(self, *, simulated: bool) -> list[str]:
        """The methods in the order of the table; ceilings only if the truth is known."""
        wanted = self.methods or [name for name in METHODS if name not in SLOW]
        return [name for name in METHODS if name in wanted and (simulated or name not in CEILINGS)]


QUICK = Quality(movies=2, training=Training(models=2, epochs=1, batches_per_epoch=12), decoder_steps=30)
QUICK_MOUSE = SimulatedMouse(trials=28, seconds=5.0, neurons=120, height=18, width=32)


def compare_methods(
    folder: Path,
    recordings: Sequence[Recording],
    quality: Quality,
    *,
    seed: int = 0,
    say: Callable[[str], object] = lambda _: None,
) -> pd.DataFrame:
    """Fit what the methods need to each recording, reconstruct its test movies by every method, and score them.

    Parameters
    ----------
    folder
        Stores every part, movie and score; a second call makes what is missing or was made with other settings.
    recordings
        With folds 0 to 6: fold 0 is tested, fold 1 validates, the others train.
    quality
        Methods and effort.
    seed
        Random seed.
    say
        Called with a line of text before each step.

    Returns
    -------
    DataFrame
        One row per recording, movie, method and score: ``recording``, ``group``, ``trial``, ``method``, ``score``,
        ``value``. Simulated recordings that differ only in their seed share a group.

    Raises
    ------
    InputError
        The folder holds other files.
    """
    runner, tables = Runner(Store(folder), say=say), []
    for recording in recordings:
        check_same_run(folder / recording.name, "every method on the movies of a recording\n", what="comparison")
        say(f"{recording.name}: {recording.neurons} neurons{', a simulated mouse' if recording.simulated else ''}")
        mouse = Mouse(
            recording=recording,
            training=quality.training,
            home=recording.name,
            seed=seed,
            decoder_steps=quality.decoder_steps,
        )
        subject = Subject(mouse=mouse, quality=quality)
        methods = quality.chosen(simulated=recording.simulated)
        say(f"Reconstruct {len(subject.numbers)} test movies by {len(methods)} methods")
        rows = subject.rows(methods, runner)
        group = recording.name.partition("_seed_")[0] if recording.simulated else recording.name
        tables.append(pd.DataFrame(rows).assign(recording=recording.name, group=group))
    return pd.concat(tables, ignore_index=True)[["recording", "group", "trial", "method", "score", "value"]]


def summarize(table: pd.DataFrame, score: str = "video_correlation") -> pd.DataFrame:
    """Mean of a score over movies, and its paired difference to ridge, with 95 % intervals (Student).

    Returns
    -------
    DataFrame
        Indexed by group and method: ``movies``, ``mean``, ``interval`` (half its width), ``difference``,
        ``difference_interval``, ``worst`` (the smallest difference), ``ratio`` to ridge's mean.
    """
    rows = {}
    chosen = table[table["score"] == score]
    for group, of_group in chosen.groupby("group", sort=False):
        wide = of_group.pivot_table(index=["recording", "trial"], columns="method", values="value", sort=False)
        for method in [name for name in METHODS if name in wide]:
            values = wide[method].dropna()
            row = {"movies": len(values), "mean": values.mean(), "interval": half_interval(values)}
            if "ridge" in wide:
                gap = (wide[method] - wide["ridge"]).dropna()
                row |= {
                    "difference": gap.mean(),
                    "difference_interval": half_interval(gap),
                    "worst": gap.min(),
                    "ratio": values.mean() / baseline if (baseline := wide["ridge"].mean()) else float("nan"),
                }
            rows[(group, method)] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index=["group", "method"])


def half_interval(values: pd.Series[float]) -> float:
    """Half the 95 % interval of a mean (Student); NaN for one value."""
    if len(values) < 2:
        return float("nan")
    return float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)


def simulated_recordings(folder: Path, mice: Sequence[SimulatedMouse], seeds: Sequence[int]) -> list[Recording]:
    """One simulated recording for each mouse and seed."""
    runner = Runner(Store(folder))
    return [
        runner.get(
            simulated_mouse(
                runner.store,
                f"{mouse.neurons}_neurons_snr_{mouse.signal_to_noise:g}_seed_{seed}",
                mouse,
                seed=seed,
            )
        )
        for mouse in mice
        for seed in seeds
    ]
