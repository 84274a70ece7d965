"""The tests behind a panel, as rows of a table and as words.

As published, the sample size counts animals: a repeated-measures analysis of variance over the means of animals, and
paired t-tests with Bonferroni's correction (Bauer et al. 2026). There is also a mixed model of single movies, which are
nested in animals. ``neuroreel.evaluation`` computes the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from neuroreel.errors import InputError
from neuroreel.evaluation.mixed_model import MixedModel, mixed_model
from neuroreel.evaluation.statistics import FEWEST_ANIMALS, StatisticalTest, paired_tests, repeated_measures_anova

COLUMNS = (
    *("test", "comparison", "statistic", "value", "df", "df_error", "p", "p_corrected", "correction"),
    *("animals", "movies", "estimate", "low", "high", "note"),
)
MARKS = "* p < 0.05, ** p < 0.01, *** p < 0.001, n.s. not significant"


def compare_conditions(
    movies: pd.DataFrame, *, score: str, condition: str, order: Sequence[Any], names: Mapping[Any, str]
) -> pd.DataFrame:
    """All tests between conditions that the data allow.

    Parameters
    ----------
    movies
        ``recording``, ``trial``, the condition and the score, one row per movie and condition.
    score, condition
        Names of columns.
    order, names
        The conditions and their labels.

    Returns
    -------
    pandas.DataFrame
        One row per test, with the columns ``COLUMNS``; none if fewer than three animals have all conditions. If a test
        is impossible, ``note`` says why. Only movies that have all conditions count.
    """
    whole = complete(movies, condition=condition, order=order)
    named = whole.assign(**{condition: [flat(names[value]) for value in whole[condition]]})
    rows: list[dict[str, Any]] = []
    if len(order) > 1 and named["recording"].nunique() >= FEWEST_ANIMALS:
        pairs = list(combinations([flat(names[value]) for value in order], 2))
        chosen: dict[str, Any] = {"score": score, "condition": condition}
        wanted: dict[str, Callable[[], Sequence[StatisticalTest]]] = {
            "paired t-test": lambda: paired_tests(named, pairs=pairs, **chosen),
            "mixed model": lambda: _with_pairs(mixed_model(named, pairs=pairs, **chosen)),
        }
        if len(order) > 2:
            anova = {"repeated-measures ANOVA": lambda: repeated_measures_anova(named, score=score, within=condition)}
            wanted = anova | wanted
        for name, test in wanted.items():
            try:
                rows += [_row(each) for each in test()]
            except InputError as error:  # no variation, or too little data: the figure is drawn anyway
                rows.append({"test": name, "comparison": condition, "note": str(error), "animals": 0, "movies": 0})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def complete(movies: pd.DataFrame, *, condition: str, order: Sequence[Any]) -> pd.DataFrame:
    """The rows of the movies that have all conditions: a paired comparison has no use for others."""
    rows = movies[movies[condition].isin(order)].dropna()
    return rows[rows.groupby(["recording", "trial"])[condition].transform("nunique") == len(order)]


def stars(p: float) -> str:
    """``***`` below 0.001, ``**`` below 0.01, ``*`` below 0.05, else n.s."""
    return next((mark for limit, mark in ((0.001, "***"), (0.01, "**"), (0.05, "*")) if p < limit), "n.s.")


def format_p(p: float) -> str:
    """``p = 0.012``, ``p < 0.001``."""
    return "p undefined" if np.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def counted(movies: pd.DataFrame) -> str:
    """``n = 5 animals, 50 movies``."""
    animals = movies["recording"].nunique()
    trials = len(movies[["recording", "trial"]].drop_duplicates())
    return f"n = {animals} animal{'s' if animals > 1 else ''}, {trials} movie{'s' if trials > 1 else ''}"


def pair_name(left: Any, right: Any, names: Mapping[Any, str]) -> str:
    """``all - half``, from the names of two conditions, which may contain line breaks."""
    return " - ".join(flat(names[each]) for each in (left, right))


def flat(name: str) -> str:
    """A name without its line breaks."""
    return name.replace("-\n", "-").replace("\n", " ")


def summary_of_tests(tests: pd.DataFrame) -> str:
    """The tests in words, each with its statistic, degrees of freedom and p."""
    if not len(tests):
        return f"No test: tests are over animals, of which at least {FEWEST_ANIMALS} must have all conditions."
    said = []
    for (test, animals, movies), rows in tests.groupby(["test", "animals", "movies"], sort=False):
        if rows["note"].any():
            said += [f"No {test}: {note}." for note in rows["note"]]
            continue
        if test == "mixed model":
            rows = rows[rows["statistic"] == "F"]  # its pairs are in the table of tests
        corrections = [each for each in rows["correction"].unique() if each]
        counts = f"n = {animals} animals" + (f", {movies} movies" if movies else "")
        words = ", ".join([counts, *(f"corrected: {each}" for each in corrections)])
        values = "; ".join(_words(row) for row in rows.to_dict("records"))
        said.append(f"{str(test)[0].upper()}{str(test)[1:]} ({words}): {values}.")
    return f"{' '.join(said)} {MARKS}."


def _with_pairs(model: MixedModel) -> list[StatisticalTest]:
    return [model.overall, *model.pairs]


def _row(test: StatisticalTest) -> dict[str, Any]:
    return {
        "test": test.test,
        "comparison": test.comparison,
        "statistic": test.statistic,
        "value": test.value,
        "df": test.df[0],
        "df_error": test.df[1] if len(test.df) > 1 else np.nan,
        "p": test.p,
        "p_corrected": test.p_corrected,
        "correction": test.correction,
        "animals": test.n,
        "movies": test.trials,
        "estimate": test.estimate,
        "low": test.low,
        "high": test.high,
        "note": "",
    }


def _words(row: Mapping[str, Any]) -> str:
    degrees = ", ".join(f"{row[name]:g}" for name in ("df", "df_error") if np.isfinite(row[name]))
    corrected = f" (corrected {format_p(row['p_corrected'])})" if row["correction"] else ""
    return f"{row['comparison']}: {row['statistic']}({degrees}) = {row['value']:.2f}, {format_p(row['p'])}{corrected}"
