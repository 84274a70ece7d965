"""A mixed model of single scores, in which trials nest in animals."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pandas import DataFrame
from scipy import stats

from neuroreel.errors import InputError
from neuroreel.evaluation.statistics import (
    CONFIDENCE,
    NOTHING,
    Floats,
    StatisticalTest,
    bonferroni,
    check_table,
    f_test,
    levels_of,
    pairs_of,
)
from neuroreel.extras import needs


@dataclass(frozen=True, kw_only=True)
class MixedModel:
    """A mixed model of single scores: fixed effect of condition; random effects of animals and trials.

    Attributes
    ----------
    overall
        F test of the condition.
    pairs
        t-tests of all pairs of conditions, with Bonferroni's correction.
    animal_sd, interaction_sd, trial_sd, residual_sd
        Standard deviation, in units of the score, of animals, of the effect of the condition across animals, of
        trials within an animal, and of the residual; nan where the design cannot separate it from the residual.
    """

    overall: StatisticalTest
    pairs: tuple[StatisticalTest, ...]
    animal_sd: float
    interaction_sd: float
    trial_sd: float
    residual_sd: float

    def __str__(self) -> str:
        return "\n".join(map(str, (self.overall, *self.pairs)))


def mixed_model(
    table: DataFrame,
    *,
    score: str,
    condition: str,
    animal: str = "recording",
    trial: str | None = "trial",
    pairs: Sequence[tuple[Any, Any]] | None = None,
) -> MixedModel:
    """Mixed model of single scores: a fixed effect of the condition, and random ones of animals and their trials.

    Besides its level, the effect of the condition may differ from animal to animal; otherwise trials would be counted
    as if they were animals. Variances are estimated by restricted maximum likelihood (statsmodels' MixedLM). The
    degrees of freedom follow containment: cells of the table minus animals and conditions, plus 1. In a balanced design
    F and p equal those of ``nr.repeated_measures_anova``, unless a variance is estimated to be 0.

    Parameters
    ----------
    table
        One row per score. Animals may lack conditions, and differ in their number of trials.
    score, condition, animal
        Names of columns.
    trial
        Name of the column that numbers the trials of one animal, in which conditions were compared; None if each score
        comes from a different trial.
    pairs
        Conditions to compare, first minus second; by default all pairs, in the order in which they appear.

    Raises
    ------
    InputError
        Missing columns, NaN, fewer than three animals or two conditions, too few conditions per animal, or no
        variation.
    ResourceError
        statsmodels is not installed.
    """
    mixed = needs("statsmodels.regression.mixed_linear_model", extra="figures")
    check_table(table, score=score, animal=animal, others=[condition, *([] if trial is None else [trial])])
    levels = levels_of(table, condition)
    chosen = pairs_of(levels, pairs, condition=condition)
    coded = _coded(table, score=score, animal=animal, condition=condition, trial=trial, levels=levels)
    cells = len(coded[["animal", "condition"]].drop_duplicates())
    animals = coded["animal"].nunique()
    df = float(cells - animals - len(levels) + 1)
    if df < 1:
        raise InputError(
            f"{animals} animals have {cells} pairs of animal and {condition}: too few to tell conditions from animals; "
            "measure more conditions in each animal"
        )
    means, covariance, deviations = _fit(mixed.MixedLM, coded)
    trials = 0 if trial is None else len(table[[animal, trial]].drop_duplicates())
    common: dict[str, Any] = {"test": "mixed model", "n": animals, "trials": trials}
    steps = np.diff(np.eye(len(levels)), axis=0)
    gaps = steps @ means
    value = float(gaps @ np.linalg.solve(steps @ covariance @ steps.T, gaps)) / len(gaps)
    units = dict(zip(levels, np.eye(len(levels)), strict=True))
    return MixedModel(
        overall=f_test(comparison=condition, value=value, df=(float(len(gaps)), df), epsilon=1.0, **common),
        pairs=tuple(
            _t_test(
                contrast=units[first] - units[second],
                means=means,
                covariance=covariance,
                df=df,
                comparison=f"{first} - {second}",
                tests=len(chosen),
                **common,
            )
            for first, second in chosen
        ),
        **deviations,
    )


def _coded(
    table: DataFrame, *, score: str, animal: str, condition: str, trial: str | None, levels: Sequence[Any]
) -> DataFrame:
    """The columns ``score``, ``animal``, ``condition`` (0, 1, ...) and, if trials can be distinguished, ``trial``."""
    names = {score: "score", animal: "animal", condition: "condition"} | ({} if trial is None else {trial: "trial"})
    coded = table[list(names)].rename(columns=names)
    number = {level: place for place, level in enumerate(levels)}
    coded["condition"] = [number[level] for level in coded["condition"]]
    if coded["score"].var(ddof=0) <= NOTHING * np.mean(np.square(coded["score"])):
        raise InputError(f"column {score!r} is the same in every row: without variation there is nothing to test")
    return coded


def _fit(model: Any, coded: DataFrame) -> tuple[Floats, Floats, dict[str, float]]:
    """Means of the conditions, their covariance, and the standard deviations of the random effects.

    A random effect is in the model if the design separates it from the residual: some animal has two scores in one
    condition, some trial has two scores.
    """
    parts = {}
    if coded.duplicated(["animal", "condition"]).any():
        parts["interaction"] = "0 + C(condition)"
    if "trial" in coded and coded.duplicated(["animal", "trial"]).any():
        parts["trial"] = "0 + C(trial)"
    center, spread = coded["score"].mean(), coded["score"].std(ddof=0)
    scaled = coded.assign(score=(coded["score"] - center) / spread)  # the search for variances works best around 1
    built = model.from_formula(
        "score ~ 0 + C(condition)", scaled, groups="animal", re_formula="1", vc_formula=parts or None
    )
    found, covariance = _found(built, scores=len(coded))
    means = np.asarray(found.fe_params)
    covariance = covariance[: len(means), : len(means)]
    if not (np.isfinite(covariance).all() and (np.diag(covariance) > 0).all()):
        raise InputError(f"the mixed model cannot be fitted to these {len(coded)} scores: they vary too little")
    variances = {"animal": np.asarray(found.cov_re).item(), "residual": found.scale}
    variances |= dict(zip(built.exog_vc.names, found.vcomp, strict=True))
    names = ("animal", "interaction", "trial", "residual")
    deviations = {f"{name}_sd": float(spread * np.sqrt(variances.get(name, np.nan))) for name in names}
    return center + spread * means, spread**2 * covariance, deviations


def _found(built: Any, *, scores: int) -> tuple[Any, Floats]:
    """The fitted model, and the covariance of its parameters.

    The first search takes no derivatives: they vanish where a variance is 0, and statsmodels' default search stops
    short of it. If it hits a variance of exactly 0, which makes a matrix singular, the others are tried.
    """
    reasons = []
    for search in ({"method": "powell", "xtol": 1e-6, "ftol": 1e-9}, {"method": "nm"}, {"method": "lbfgs"}):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about variances of 0, which are allowed
                found = built.fit(reml=True, **search)
                return found, np.asarray(found.cov_params())
        except np.linalg.LinAlgError as error:
            reasons.append(str(error))
    raise InputError(f"the mixed model cannot be fitted to these {scores} scores: {', '.join(sorted(set(reasons)))}")


def _t_test(
    *, contrast: Floats, means: Floats, covariance: Floats, df: float, comparison: str, tests: int, **common: Any
) -> StatisticalTest:
    estimate, error = float(contrast @ means), float(np.sqrt(contrast @ covariance @ contrast))
    p = float(2 * stats.t.sf(abs(estimate) / error, df))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, df)) * error
    return StatisticalTest(
        comparison=comparison,
        statistic="t",
        value=estimate / error,
        df=(df,),
        p=p,
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        **bonferroni(p, tests),
        **common,
    )
