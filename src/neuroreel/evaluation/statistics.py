"""Tests between conditions that were measured in the same animals.

As published (Bauer, Margrie & Clopath, eLife 2026), the sample size counts animals: a repeated-measures analysis of
variance of their means, and paired t-tests with Bonferroni's correction. There is also a mixed
model of single scores, in which trials are nested in animals (``neuroreel.evaluation.mixed_model``).

Tables are tidy: one row per score, with columns for animal, trial and condition. statsmodels and SciPy do the
computing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, stats

from neuroreel.errors import InputError
from neuroreel.extras import needs

FEWEST_ANIMALS = 3
CONFIDENCE = 0.95
NOTHING = 1e-20  # of the mean square: less is rounding of equal numbers
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class StatisticalTest:
    """One test, with everything that a figure legend needs; ``print`` it for the text.

    Attributes
    ----------
    test
        Its name.
    comparison
        What was compared: a factor, or two conditions.
    statistic, value, df
        "F" or "t", its value, and its degrees of freedom.
    p, p_corrected
        Without and with the correction; equal if there is none.
    correction
        Its name; empty if there is none.
    n
        Number of animals.
    trials
        Number of trials, if they were not averaged first; else 0.
    estimate, low, high
        Mean difference of two conditions and its 95 % confidence interval, not corrected; nan for F.
    """

    test: str
    comparison: str
    statistic: str
    value: float
    df: tuple[float, ...]
    p: float
    p_corrected: float
    correction: str = ""
    n: int
    trials: int = 0
    estimate: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")

    def __str__(self) -> str:
        parts = [f"{self.test}, {self.comparison}: "]
        if not np.isnan(self.estimate):
            parts.append(f"{self.estimate:.3g} (95 % interval {self.low:.3g} to {self.high:.3g}), ")
        degrees = ", ".join(f"{each:g}" for each in self.df)
        parts.append(f"{self.statistic}({degrees}) = {self.value:.2f}, p = {self.p:.2g}")
        parts.append(f" (corrected {self.p_corrected:.2g}: {self.correction})" if self.correction else "")
        parts.append(f", n = {self.n} animals" + (f", {self.trials} trials" if self.trials else ""))
        return "".join(parts)


def repeated_measures_anova(
    table: pd.DataFrame, *, score: str, within: str | Sequence[str], animal: str = "recording"
) -> tuple[StatisticalTest, ...]:
    """Repeated-measures analysis of variance over animals, of one or several factors and their interactions.

    Scores of an animal in a condition are averaged first. F and p come from statsmodels' ``AnovaRM``; the
    corrected p allows for variances that differ between conditions (Greenhouse & Geisser 1959: degrees of freedom are
    multiplied by Box's epsilon), which the published statistics do not.

    Parameters
    ----------
    table
        One row per score.
    score, animal
        Names of columns.
    within
        Name of the factor's column, or of several.

    Returns
    -------
    tuple of StatisticalTest
        One for each factor, then for their interactions.

    Raises
    ------
    InputError
        Missing columns, NaN, fewer than three animals or two conditions, an animal without one of the conditions, or
        no variation.
    ResourceError
        statsmodels is not installed.
    """
    anova = needs("statsmodels.stats.anova", extra="figures")
    factors = [within] if isinstance(within, str) else list(within)
    check_table(table, score=score, animal=animal, others=factors)
    levels = [levels_of(table, factor) for factor in factors]
    means = _cell_means(table, score=score, animal=animal, factors=factors, levels=levels)  # (animals, cells)
    names = [f"factor{number}" for number in range(len(factors))]  # a formula cannot use other column names
    coded = {name: pd.factorize(table[factor])[0] for name, factor in zip(names, factors, strict=True)}
    frame = pd.DataFrame({"animal": table[animal], "score": table[score], **coded})
    sizes = [len(each) for each in levels]
    effects = [each for count in range(1, len(names) + 1) for each in combinations(range(len(names)), count)]
    called = {effect: " x ".join(factors[number] for number in effect) for effect in effects}
    epsilons = {effect: _epsilon(means, sizes, effect, what=f"the effect of {called[effect]}") for effect in effects}
    found = anova.AnovaRM(frame, "score", "animal", within=names, aggregate_func="mean").fit().anova_table
    rows = {effect: found.loc[":".join(names[number] for number in effect)] for effect in effects}
    return tuple(
        f_test(
            test="repeated-measures ANOVA",
            comparison=called[effect],
            value=float(rows[effect]["F Value"]),
            df=(float(rows[effect]["Num DF"]), float(rows[effect]["Den DF"])),
            epsilon=epsilons[effect],
            n=len(means),
        )
        for effect in effects
    )


def paired_tests(
    table: pd.DataFrame,
    *,
    score: str,
    condition: str,
    animal: str = "recording",
    pairs: Sequence[tuple[Any, Any]] | None = None,
) -> tuple[StatisticalTest, ...]:
    """Paired t-tests over animals between conditions, with Bonferroni's correction for the number of tests.

    Scores of an animal in a condition are averaged first.

    Parameters
    ----------
    table
        One row per score.
    score, condition, animal
        Names of columns.
    pairs
        Conditions to compare, first minus second; by default all pairs, in the order in which they appear.

    Raises
    ------
    InputError
        Missing columns, NaN, fewer than three animals or two conditions, an animal without one of the conditions,
        an unknown condition, or differences that are all the same.
    """
    check_table(table, score=score, animal=animal, others=[condition])
    levels = levels_of(table, condition)
    chosen = pairs_of(levels, pairs, condition=condition)
    means = _cell_means(table, score=score, animal=animal, factors=[condition], levels=[levels])
    tests = []
    for first, second in chosen:
        one, other = means[:, levels.index(first)], means[:, levels.index(second)]
        if np.var(one - other) <= NOTHING * np.mean(np.square(means)):
            raise InputError(
                f"{score} differs by {np.mean(one - other):g} between {first} and {second} in every animal: "
                "without variation there is nothing to test"
            )
        found = stats.ttest_rel(one, other)
        interval = found.confidence_interval(CONFIDENCE)
        tests.append(
            StatisticalTest(
                test="paired t-test",
                comparison=f"{first} - {second}",
                statistic="t",
                value=float(found.statistic),
                df=(float(found.df),),
                p=float(found.pvalue),
                n=len(means),
                estimate=float(np.mean(one - other)),
                low=float(interval.low),
                high=float(interval.high),
                **bonferroni(float(found.pvalue), len(chosen)),
            )
        )
    return tuple(tests)


def f_test(
    *, test: str, comparison: str, value: float, df: tuple[float, float], epsilon: float, n: int, trials: int = 0
) -> StatisticalTest:
    """An F test, corrected for an epsilon below 1."""
    corrected = epsilon < 1 - 1e-9
    shrunk = [each * (epsilon if corrected else 1) for each in df]
    return StatisticalTest(
        test=test,
        comparison=comparison,
        statistic="F",
        value=value,
        df=df,
        p=float(stats.f.sf(value, *df)),
        p_corrected=float(stats.f.sf(value, *shrunk)),
        correction=f"Greenhouse-Geisser, epsilon {epsilon:.2f}" if corrected else "",
        n=n,
        trials=trials,
    )


def bonferroni(p: float, tests: int) -> dict[str, Any]:
    """The corrected p and the name of the correction; a single test is not corrected."""
    return {"p_corrected": min(1.0, p * tests), "correction": f"Bonferroni for {tests} tests" if tests > 1 else ""}


def check_table(table: pd.DataFrame, *, score: str, animal: str, others: Sequence[str]) -> None:
    """Raise InputError unless the columns exist and are complete, scores are numbers, and there are enough animals."""
    if not hasattr(table, "columns"):
        raise InputError(f"the table is a {type(table).__name__}; give a pandas.DataFrame with a row for each score")
    wanted = [score, animal, *others]
    missing = [name for name in wanted if name not in table.columns]
    if missing or len(set(wanted)) < len(wanted):
        raise InputError(
            f"asked for the columns {wanted}; they must be different columns among {list(map(str, table.columns))}"
        )
    if table[score].dtype.kind not in "fiu":
        raise InputError(f"column {score!r} has type {table[score].dtype}; scores must be numbers")
    for name in wanted:
        bad = int(table[name].isna().sum())
        bad += int(np.isinf(table[name]).sum()) if name == score else 0
        if bad:
            raise InputError(f"column {name!r} has {bad} NaN or infinite values of {len(table)}; leave those rows out")
    animals = table[animal].nunique()
    if animals < FEWEST_ANIMALS:
        raise InputError(
            f"the table has {animals} animals in column {animal!r}; a test over animals needs at least {FEWEST_ANIMALS}"
        )


def levels_of(table: pd.DataFrame, factor: str) -> list[Hashable]:
    """The conditions in the order in which they appear; InputError if there is only one."""
    levels = list(table[factor].unique())
    if len(levels) < 2:
        raise InputError(f"column {factor!r} has only {levels[0]!r}; a comparison needs at least two conditions")
    return levels


def pairs_of(
    levels: Sequence[Hashable], pairs: Sequence[tuple[Any, Any]] | None, *, condition: str
) -> list[tuple[Any, Any]]:
    """The pairs to compare, all by default; InputError for an unknown condition."""
    chosen = list(combinations(levels, 2)) if pairs is None else list(pairs)
    if not chosen:
        raise InputError("pairs is empty; leave it out to compare all conditions")
    for pair in chosen:
        if len(set(pair)) != 2 or not set(pair) <= set(levels):
            raise InputError(
                f"cannot compare {pair}; column {condition!r} has {', '.join(map(str, levels))}: give two of them"
            )
    return chosen


def _cell_means(
    table: pd.DataFrame, *, score: str, animal: str, factors: list[str], levels: list[list[Hashable]]
) -> Floats:
    """(animals, cells): mean score of each animal in each combination of conditions; InputError if one is missing."""
    index = pd.MultiIndex.from_product([list(table[animal].unique()), *levels])
    means = table.groupby([animal, *factors], observed=True)[score].mean().reindex(index)
    missing = means.index[means.isna()]
    if len(missing):
        each, *cell = missing[0]
        where = ", ".join(f"{name} {value}" for name, value in zip(factors, cell, strict=True))
        raise InputError(
            f"animal {each} has no score for {where} (gaps like this: {len(missing)}); every animal needs every "
            "condition: leave the animal out, or use nr.mixed_model"
        )
    return means.to_numpy().reshape(table[animal].nunique(), -1)


def _epsilon(means: Floats, sizes: list[int], effect: Sequence[int], *, what: str) -> float:
    """Box's epsilon of an effect, between 1 / degrees of freedom and 1; InputError if nothing varies.

    Computed from the covariance C across animals of the effect's orthonormal contrasts: trace(C)² / (contrasts x
    trace(C²)).
    """
    contrast = np.ones((1, 1))
    for number, size in enumerate(sizes):
        part = linalg.helmert(size) if number in effect else np.full((1, size), size**-0.5)
        contrast = np.kron(contrast, part)
    covariance = np.atleast_2d(np.cov(contrast @ means.T))
    if np.trace(covariance) <= NOTHING * np.mean(np.square(means)):
        raise InputError(f"{what} is the same in every animal: without variation there is nothing to test")
    return float(np.trace(covariance) ** 2 / (len(covariance) * np.trace(covariance @ covariance)))
