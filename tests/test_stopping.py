"""Early stopping by neurons that the likelihood does not see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.inversion.likelihood import Evidence, Fit
from neuroreel.inversion.loop import Progress
from neuroreel.inversion.presets import PRESETS
from neuroreel.inversion.stopping import AllPasses, HeldOutNeurons, held_out_neurons
from toy_encoder import ToyEncoder, toy_trials

NOISY: dict[str, Any] = {"preset": "published", "learning_rate": 300.0, "record_every": 1, "progress": False}


RESPONSES = torch.tensor([1.0, -1.0, 0.0])
OTHER = torch.tensor([1.0, 1.0, -2.0]) / 3**0.5  # as long, and uncorrelated


def fit_of(correlations: list[float], number: int) -> Fit:
    """What a pass finds: neuron 0, which is watched, correlates so in each trial; neuron 1 better and better."""
    watched = [each * RESPONSES + (1 - each**2) ** 0.5 * OTHER for each in correlations]
    seen = RESPONSES + OTHER / (number + 1)
    predicted = torch.stack([torch.stack([each, seen]) for each in watched])
    return Fit(loss=torch.zeros(len(correlations)), gradient=torch.zeros(0), predicted=predicted)


def watched(correlations: list[list[float]], *, patience: int) -> tuple[HeldOutNeurons, int]:
    """A rule that was shown these correlations, (passes, trials), and how many passes it asked for.

    Every pass turns all movies into its own number plus one.
    """
    trials = len(correlations[0])
    evidence = Evidence(
        responses=RESPONSES.expand(trials, 2, 3),
        covariates=torch.zeros(trials, 0, 3),
        keep=torch.tensor([True, False]),
    )
    progress = Progress(videos=torch.zeros(trials, 1, 1, 1))
    rule = HeldOutNeurons(evidence=evidence, start=progress.videos, patience=patience)
    for number, of_pass in enumerate(correlations):
        progress.videos, progress.iteration = torch.full_like(progress.videos, number + 1), number
        rule(progress, fit_of(of_pass, number))
        if rule.stopped:
            return rule, number + 1
    return rule, len(correlations)


def test_stops_when_the_correlation_has_not_risen_and_keeps_the_best_movie() -> None:
    rule, passes = watched([[-0.5], [0.3], [0.8], [0.7], [0.8], [0.75], [0.9]], patience=3)
    assert passes == 6
    # pass 2 found a correlation of 0.8 for the movie that pass 1 had made
    assert rule.chosen(torch.full((1, 1, 1, 1), 6.0)).item() == 2


def test_where_the_correlation_rises_to_the_end_the_last_movie_is_kept() -> None:
    rule, passes = watched([[0.1], [0.2], [0.3]], patience=2)
    assert passes == 3 and not rule.stopped
    assert rule.chosen(torch.full((1, 1, 1, 1), 3.0)).item() == 3


@given(
    found=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30),
    patience=st.integers(1, 5),
)
def test_a_trial_gets_the_same_movie_alone_and_in_a_group(found: list[tuple[int, int]], patience: int) -> None:
    together, passes = watched([[a / 10, b / 10] for a, b in found], patience=patience)
    chosen = together.chosen(torch.full((2, 1, 1, 1), float(passes))).flatten().tolist()
    for trial in range(2):
        alone, made = watched([[pair[trial] / 10] for pair in found], patience=patience)
        assert alone.chosen(torch.full((1, 1, 1, 1), float(made))).item() == chosen[trial]
        assert made <= passes


def test_a_restored_rule_goes_on_exactly() -> None:
    found = [[0.1, 0.9], [0.5, 0.8], [0.4, 0.7], [0.45, 0.95]]
    whole, _ = watched(found, patience=3)
    first, _ = watched(found[:2], patience=3)
    second, _ = watched([[0.0, 0.0]], patience=3)
    second.restore(first.state())
    for number in (2, 3):
        movies = torch.full((2, 1, 1, 1), float(number + 1))
        second(Progress(videos=movies, iteration=number), fit_of(found[number], number))
    for name, value in whole.state().items():
        assert torch.equal(value, second.state()[name]), name


@given(count=st.integers(2, 60), dropped=st.floats(0, 1), fraction=st.floats(0.01, 0.5), seed=st.integers(0, 9))
def test_held_out_neurons_are_a_fraction_of_those_kept(count: int, dropped: float, fraction: float, seed: int) -> None:
    keep = np.random.default_rng(seed).random(count) >= dropped
    keep[:2] = True
    held = held_out_neurons(keep, fraction=fraction, seed=seed)
    assert held.dtype == bool and held.shape == keep.shape
    assert not (held & ~keep).any() and (keep & ~held).any()
    assert held.sum() == max(1, round(fraction * keep.sum())) or held.sum() == keep.sum() - 1
    np.testing.assert_array_equal(held, held_out_neurons(keep, fraction=fraction, seed=seed))


def test_no_preset_holds_out_neurons_unless_asked() -> None:
    assert all(settings.held_out == 0 for settings in PRESETS.values())
    videos = torch.rand(2, 3, 4, 5)
    assert AllPasses().chosen(videos) is videos and not AllPasses().stopped


def test_a_noisy_trial_ends_early_with_a_better_movie_and_needs_no_true_movie() -> None:
    model = ToyEncoder(neurons=60)
    trial = toy_trials(model, 1, frames=48)[0]
    trial = trial.replace(responses=(3 * np.random.default_rng(1).poisson(trial.responses / 3)).astype(np.float32))
    passes = 150
    full = nr.reconstruct(trial, model, iterations=passes, **NOISY)
    early = nr.reconstruct(trial, model, iterations=passes, held_out=0.2, patience=5, **NOISY)
    assert early.dataset.sizes["iteration"] < passes / 2
    blind = nr.reconstruct(trial.replace(video=None), model, iterations=passes, held_out=0.2, patience=5, **NOISY)
    np.testing.assert_array_equal(early.video, blind.video)
    scores = [nr.video_correlation(trial.video, result.video, skip=0) for result in (early, full)]
    assert scores[0] > scores[1] + 0.02


def test_held_out_neurons_drive_nothing() -> None:
    model = ToyEncoder(neurons=30)
    trial = toy_trials(model, 1)[0]
    options = NOISY | {"iterations": 6, "held_out": 0.3, "patience": 6, "seed": 2}
    held = held_out_neurons(np.ones(30, bool), fraction=0.3, seed=2)
    responses = trial.responses.copy()
    responses[held] = 3 * responses[held] + 1  # no correlation changes
    one, other = (nr.reconstruct(each, model, **options) for each in (trial, trial.replace(responses=responses)))
    np.testing.assert_array_equal(one.video, other.video)


def test_too_few_neurons_and_senseless_fractions_are_refused() -> None:
    model = ToyEncoder(neurons=5)
    trial = toy_trials(model, 1)[0]
    with pytest.raises(InputError, match="use at least two neurons"):
        nr.reconstruct(trial, model, neurons=np.arange(5) == 2, held_out=0.1, progress=False)
    for wrong in (-0.1, 0.9, "much", float("nan")):
        with pytest.raises(InputError, match="held_out is"):
            nr.reconstruct(trial, model, held_out=wrong, progress=False)
    with pytest.raises(InputError, match="patience is 0"):
        nr.reconstruct(trial, model, patience=0, progress=False)


def test_the_pass_is_known_whose_movie_is_kept() -> None:
    rule, passes = watched([[-0.5], [0.3], [0.8], [0.7], [0.8], [0.75], [0.9]], patience=3)
    assert rule.kept(passes - 1, trials=1) == [1]  # pass 2 found 0.8 for the movie that pass 1 had made
    rule, passes = watched([[0.9], [0.3], [0.2]], patience=2)
    assert rule.kept(passes - 1, trials=1) == [-1]  # the start
    rule, passes = watched([[0.1, 0.5], [0.2, 0.4], [0.3, 0.3]], patience=5)
    assert rule.kept(passes - 1, trials=2) == [2, -1]
    assert AllPasses().kept(7, trials=2) == [7, 7]


def test_a_result_says_which_row_of_its_history_is_its_own(tmp_path: Path) -> None:
    model = ToyEncoder(neurons=60)
    trial = toy_trials(model, 1, frames=48)[0]
    trial = trial.replace(responses=(3 * np.random.default_rng(1).poisson(trial.responses / 3)).astype(np.float32))
    early = nr.reconstruct(trial, model, iterations=150, held_out=0.2, patience=5, **NOISY)
    history = early.dataset["video_correlation"]
    scored = nr.video_correlation(trial.video, early.video, skip=32)
    assert early.kept_iteration is not None and early.kept_iteration < int(history["iteration"][-1])
    assert float(history.sel(iteration=early.kept_iteration)) == pytest.approx(scored, abs=1e-5)
    assert abs(float(history[-1]) - scored) > 1e-4
    full = nr.reconstruct(trial, model, iterations=7, **NOISY)
    assert full.kept_iteration == 6
    assert float(full.dataset["video_correlation"][-1]) == pytest.approx(
        nr.video_correlation(trial.video, full.video, skip=32), abs=1e-5
    )
    loaded = nr.Reconstruction.load(early.save(tmp_path / "early.nc"))
    assert loaded.kept_iteration == early.kept_iteration
    # the pass with which an early stop ends has a row, whatever record_every
    rare = nr.reconstruct(trial, model, iterations=150, held_out=0.2, patience=5, **NOISY | {"record_every": 50})
    assert int(rare.dataset["iteration"][-1]) == int(history["iteration"][-1])
