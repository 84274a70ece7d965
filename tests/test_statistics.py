"""Tests between conditions against formulas written out, and against one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.evaluation.statistics import _epsilon


def scores(
    *,
    animals: int = 5,
    trials: int = 6,
    effect: float = 0.15,
    animal_sd: float = 0.3,
    interaction_sd: float = 0.05,
    trial_sd: float = 0.08,
    seed: int = 1,
) -> pd.DataFrame:
    """A row a score: made-up animals, trials in them, each trial in three conditions."""
    random = np.random.default_rng(seed)
    rows = []
    for animal in range(animals):
        level, slopes = random.normal(scale=animal_sd), random.normal(scale=interaction_sd, size=3)
        for trial in range(trials):
            own = level + random.normal(scale=trial_sd)
            for number, name in enumerate(("quarter", "half", "all")):
                score = 0.3 + effect * number + own + slopes[number] + random.normal(scale=0.05)
                rows.append({"recording": f"m{animal}", "trial": trial, "fraction": name, "score": score})
    return pd.DataFrame(rows)


def wide(table: pd.DataFrame) -> np.ndarray:
    """Means (animals, conditions), conditions in their order of appearance."""
    return table.groupby(["recording", "fraction"])["score"].mean().unstack()[["quarter", "half", "all"]].to_numpy()


SMALL: dict[str, Any] = {"score": "score", "animal": "recording"}


# --- analysis of variance ------------------------------------------------------------------------------------------


def test_anova_of_one_factor_by_its_formula() -> None:
    table = scores()
    means = wide(table)
    animals, conditions = means.shape
    grand = means.mean()
    between = animals * ((means.mean(axis=0) - grand) ** 2).sum() / (conditions - 1)
    rest = means - means.mean(axis=1, keepdims=True) - means.mean(axis=0) + grand
    error = (rest**2).sum() / ((animals - 1) * (conditions - 1))
    (found,) = nr.repeated_measures_anova(table, within="fraction", **SMALL)
    assert found.value == pytest.approx(between / error)
    assert found.df == (2, 8)
    assert found.p == pytest.approx(scipy.stats.f.sf(between / error, 2, 8))
    assert found.n == 5
    assert 0.5 < float(found.correction.split()[-1]) < 1
    assert found.p < found.p_corrected < 0.05
    assert str(found).startswith(f"repeated-measures ANOVA, fraction: F(2, 8) = {found.value:.2f}, p = {found.p:.2g} (")
    assert str(found).endswith("n = 5 animals")


def test_anova_of_two_conditions_is_the_paired_t_test() -> None:
    table = scores()
    table = table[table["fraction"] != "half"]
    (anova,) = nr.repeated_measures_anova(table, within="fraction", **SMALL)
    (paired,) = nr.paired_tests(table, condition="fraction", **SMALL)
    assert anova.value == pytest.approx(paired.value**2)
    assert anova.p == anova.p_corrected == pytest.approx(paired.p)
    assert anova.correction == paired.correction == ""


def test_anova_of_two_factors_by_projections() -> None:
    """Each effect is tested on its own orthonormal contrasts, as a multivariate text has it."""
    random = np.random.default_rng(0)
    values = random.normal(size=(4, 2, 3)) + np.array([0, 0.5, 1])
    rows = [{"mouse": a, "x": x, "t": t, "score": values[a, x, t]} for a, x, t in np.ndindex(4, 2, 3)]
    table = pd.DataFrame(rows).sample(frac=1, random_state=0)  # the order of rows must not matter
    found = nr.repeated_measures_anova(table, score="score", within=["t", "x"], animal="mouse")
    assert [each.comparison for each in found] == ["t", "x", "t x x"]
    flat = np.ones((1, 2)) / np.sqrt(2), np.ones((1, 3)) / np.sqrt(3)
    steep = np.array([[1, -1]]) / np.sqrt(2), np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])
    for test, contrast in zip(
        found, (np.kron(flat[0], steep[1]), np.kron(steep[0], flat[1]), np.kron(*steep)), strict=True
    ):
        seen = values.reshape(4, 6) @ contrast.T
        k = len(contrast)
        signal = 4 * (seen.mean(axis=0) ** 2).sum() / k
        noise = ((seen - seen.mean(axis=0)) ** 2).sum() / (3 * k)
        assert test.value == pytest.approx(signal / noise), test.comparison
        assert test.df == (k, 3 * k)


def test_epsilon_at_its_bounds() -> None:
    random = np.random.default_rng(0)
    drawn = random.normal(size=(200_000, 4))
    assert _epsilon(drawn, [4], [0], what="x") == pytest.approx(1, abs=0.001)  # equal variances, no covariance
    rank_one = np.outer(random.normal(size=10), [1, 2, 5, 9]) + random.normal(size=(10, 1))
    assert _epsilon(rank_one, [4], [0], what="x") == pytest.approx(1 / 3)


# --- paired tests --------------------------------------------------------------------------------------------------


def test_paired_tests_against_scipy_and_by_hand() -> None:
    table = scores()
    means = wide(table)
    found = nr.paired_tests(table, condition="fraction", **SMALL)
    assert [each.comparison for each in found] == ["quarter - half", "quarter - all", "half - all"]
    for test, (i, j) in zip(found, ((0, 1), (0, 2), (1, 2)), strict=True):
        gap = means[:, i] - means[:, j]
        t = gap.mean() / (gap.std(ddof=1) / np.sqrt(5))
        assert test.value == pytest.approx(t)
        assert test.df == (4,)
        assert test.p == pytest.approx(scipy.stats.ttest_rel(means[:, i], means[:, j]).pvalue)
        assert test.p_corrected == pytest.approx(min(1, 3 * test.p))
        half = scipy.stats.t.ppf(0.975, 4) * gap.std(ddof=1) / np.sqrt(5)
        assert (test.estimate, test.low, test.high) == pytest.approx((gap.mean(), gap.mean() - half, gap.mean() + half))
    assert "Bonferroni for 3 tests" in str(found[0])
    (alone,) = nr.paired_tests(table, condition="fraction", pairs=[("all", "half")], **SMALL)
    assert alone.value == pytest.approx(-found[2].value)
    assert alone.p_corrected == alone.p


def test_more_trials_are_no_more_animals() -> None:
    table = scores(trials=3)
    twice = pd.concat([table, table.assign(trial=table["trial"] + 100)])
    for test in (
        nr.paired_tests(twice, condition="fraction", **SMALL)[0],
        nr.paired_tests(table, condition="fraction", **SMALL)[0],
    ):
        assert test.n == 5
        assert test.df == (4,)
    assert nr.paired_tests(twice, condition="fraction", **SMALL)[0].p == pytest.approx(
        nr.paired_tests(table, condition="fraction", **SMALL)[0].p
    )


# --- mixed model ---------------------------------------------------------------------------------------------------


def test_mixed_model_of_a_balanced_design_is_the_analysis_of_variance() -> None:
    table = scores()
    found = nr.mixed_model(table, condition="fraction", **SMALL)
    (anova,) = nr.repeated_measures_anova(table, within="fraction", **SMALL)
    assert found.overall.value == pytest.approx(anova.value, rel=1e-3)
    assert found.overall.df == anova.df
    assert found.overall.p == pytest.approx(anova.p, rel=0.01)
    means = wide(table).mean(axis=0)
    assert [each.estimate for each in found.pairs] == pytest.approx(
        [means[0] - means[1], means[0] - means[2], means[1] - means[2]]
    )
    assert (found.overall.n, found.overall.trials) == (5, 30)
    assert "n = 5 animals, 30 trials" in str(found)


def test_variances_by_mean_squares() -> None:
    """The estimates of a balanced nested design (Searle, Casella & McCulloch 1992), where none would be negative."""
    table = scores()
    found = nr.mixed_model(table, condition="fraction", **SMALL)
    y = table["score"].to_numpy().reshape(5, 6, 3)  # (animals, trials, conditions)
    animal, condition, trial = y.mean(axis=(1, 2)), y.mean(axis=(0, 1)), y.mean(axis=2)
    cell, grand = y.mean(axis=1), y.mean()
    ms_animal = 18 * ((animal - grand) ** 2).sum() / 4
    ms_trial = 3 * ((trial - animal[:, None]) ** 2).sum() / (5 * 5)
    ms_interaction = 6 * ((cell - animal[:, None] - condition + grand) ** 2).sum() / 8
    rest = y - trial[:, :, None] - cell[:, None] + animal[:, None, None]
    ms_rest = (rest**2).sum() / (5 * 5 * 2)
    expected = {
        "residual_sd": ms_rest,
        "trial_sd": (ms_trial - ms_rest) / 3,
        "interaction_sd": (ms_interaction - ms_rest) / 6,
        "animal_sd": (ms_animal - ms_trial - ms_interaction + ms_rest) / 18,
    }
    for name, variance in expected.items():
        assert getattr(found, name) == pytest.approx(np.sqrt(variance), rel=0.01), name


@pytest.mark.parametrize(
    "flat",
    [{"interaction_sd": 0.0}, {"animal_sd": 0.0}, {"trial_sd": 0.0, "animal_sd": 0.0, "interaction_sd": 0.0}],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_variances_of_nothing_are_no_fault(flat: dict[str, float], seed: int) -> None:
    """REML by brute force over a grid of variances can do no better than what was found."""
    table = scores(seed=seed, trials=4, **flat)
    found = nr.mixed_model(table, condition="fraction", **SMALL)
    names = ("animal_sd", "interaction_sd", "trial_sd")
    ratios = np.array([getattr(found, name) ** 2 for name in names]) / found.residual_sd**2
    best = restricted_likelihood(table, ratios)
    grid = np.array([0, 0.03, 0.1, 0.3, 1, 3, 10, 30])
    others = [restricted_likelihood(table, np.array([a, b, c])) for a in grid for b in grid for c in grid]
    assert best > max(others) - 1e-3
    assert found.overall.p < 1


def restricted_likelihood(table: pd.DataFrame, ratios: np.ndarray) -> float:
    """Up to a constant, with the residual variance at its best (Patterson & Thompson 1971)."""
    codes = {name: pd.factorize(table[name])[0] for name in ("recording", "fraction", "trial")}
    own = codes["recording"]
    groups = [own, own * 100 + codes["fraction"], own * 100 + codes["trial"]]
    y, x = table["score"].to_numpy(), np.eye(3)[codes["fraction"]]
    v = np.eye(len(y)) + sum(r * (g[:, None] == g) for r, g in zip(ratios, groups, strict=True))
    inverse = np.linalg.inv(v)
    inner = x.T @ inverse @ x
    rest = y - x @ np.linalg.solve(inner, x.T @ inverse @ y)
    free = len(y) - 3
    return -0.5 * float(
        free * np.log(rest @ inverse @ rest / free) + np.linalg.slogdet(v)[1] + np.linalg.slogdet(inner)[1]
    )


def test_mixed_model_of_gaps_and_of_trials_of_their_own() -> None:
    table = scores()
    gaps = table.drop(index=table.index[(table["recording"] == "m0") & (table["fraction"] == "all")]).iloc[3:]
    found = nr.mixed_model(gaps, condition="fraction", pairs=[("quarter", "all")], **SMALL)
    assert found.overall.df == (2, 7)
    assert found.overall.trials == 29
    assert found.pairs[0].estimate == pytest.approx(wide(table)[:, 0].mean() - wide(table)[:, 2].mean(), abs=0.03)
    alone = nr.mixed_model(table, condition="fraction", trial=None, **SMALL)
    assert np.isnan(alone.trial_sd) and alone.overall.trials == 0
    assert alone.residual_sd > nr.mixed_model(table, condition="fraction", **SMALL).residual_sd
    means = table.groupby(["recording", "fraction"], as_index=False, sort=False)["score"].mean()
    (anova,) = nr.repeated_measures_anova(table, within="fraction", **SMALL)
    of_means = nr.mixed_model(means, condition="fraction", trial=None, **SMALL)
    assert of_means.overall.value == pytest.approx(anova.value, rel=1e-3)
    assert np.isnan(of_means.interaction_sd)


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Where only the animals' effects differ, trials must not be taken for animals."""
    tables = [scores(effect=0, interaction_sd=0.1, trials=3, animals=4, seed=seed) for seed in range(16)]
    alarms = [nr.mixed_model(table, condition="fraction", **SMALL).overall.p < 0.05 for table in tables]
    assert sum(alarms) <= 4  # 1 is expected; 5 or more come once in a thousand such runs


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["repeated_measures_anova", "paired_tests", "mixed_model"])
def test_refusals(name: str) -> None:
    table = scores()
    factor = "within" if name == "repeated_measures_anova" else "condition"

    def refused(changed: Any, words: str, **options: Any) -> None:
        with pytest.raises(InputError, match=words):
            getattr(nr, name)(changed, **(SMALL | {factor: "fraction"} | options))

    refused(table.assign(score=table["score"].where(table.index > 3)), "4 NaN or infinite")
    refused(table.assign(score=np.inf), "NaN or infinite")
    refused(table.assign(recording=table["recording"].where(table.index > 0)), "1 NaN")
    refused(table[table["recording"].isin(["m0", "m1"])], "2 animals .* at least 3")
    refused(table[table["fraction"] == "all"], "only 'all'")
    refused(table, "asked for the columns", score="psnr")
    refused(table, "must be different", score="fraction")
    refused(table.assign(score="good"), "scores must be numbers")
    refused(table.assign(score=0.5), "without variation")
    refused(table.to_dict("list"), "give a pandas.DataFrame")
    if name != "repeated_measures_anova":
        refused(table, "cannot compare", pairs=[("all", "none")])
        refused(table, "cannot compare", pairs=[("all", "all")])
        refused(table, "pairs is empty", pairs=[])
    if name != "mixed_model":
        gap = (table["recording"] == "m3") & (table["fraction"] == "half")
        refused(table[~gap], "animal m3 has no score for fraction half")


def test_a_mixed_model_needs_animals_with_several_conditions() -> None:
    table = scores(animals=6)
    apart = [
        table[(table["recording"] == f"m{n}") & (table["fraction"] == name)]
        for n, name in enumerate(["all", "half"] * 3)
    ]
    with pytest.raises(InputError, match="too few to tell conditions from animals"):
        nr.mixed_model(pd.concat(apart), condition="fraction", **SMALL)


@pytest.mark.parametrize("seed", range(4))
def test_mixed_model_of_scores_without_interaction(seed: int) -> None:
    """A variance that is 0 makes matrices singular on the way; the model is found all the same."""
    rng = np.random.default_rng(seed)
    rows = [
        {"recording": f"mouse {animal}", "trial": trial, "fraction": fraction, "score": level + height}
        for animal in range(5)
        for trial in range(10)
        for height in [rng.normal(0, 0.05)]
        for fraction, level in ((1.0, 0.5), (0.5, 0.45), (0.25, 0.4))
    ]
    table = pd.DataFrame(rows)
    table["score"] += rng.normal(0, 0.02, len(table))
    found = nr.mixed_model(table, score="score", condition="fraction")
    assert found.overall.p < 1e-6
    assert found.pairs[0].estimate == pytest.approx(0.05, abs=0.02)
