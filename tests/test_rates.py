"""One tolerance for one clock: what a model takes, a decoder and the checks of trials take too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.recordings.checks import check_trials
from neuroreel.recordings.clock import same_rate
from toy_encoder import ToyEncoder, toy_trials

MODEL = ToyEncoder(neurons=8)
TRIALS = toy_trials(MODEL, 4)
QUIET = nr.Compute(device="cpu", progress=False)
POSTERIOR = nr.fit_posterior(MODEL, TRIALS, factors=1, compute=QUIET)
DECODER = nr.fit_decoder(TRIALS, progress=False)


def ensemble(rate_hz: float) -> object:
    other = ToyEncoder(neurons=8, seed=1)
    other.frame_rate_hz = rate_hz
    return nr.predict([MODEL, other], TRIALS[0])


def at(rate_hz: float) -> nr.Trial:
    return TRIALS[0].replace(frame_rate_hz=rate_hz)


DOORS: dict[str, Callable[[float], object]] = {
    "predict": lambda rate: nr.predict(MODEL, at(rate)),
    "decode": lambda rate: nr.decode(DECODER, at(rate)),
    "fit_posterior": lambda rate: nr.fit_posterior(MODEL, [at(rate)] * 2, factors=1, compute=QUIET),
    "reconstruct": lambda rate: nr.reconstruct(at(rate), POSTERIOR, passes=1, compute=QUIET),
    "published": lambda rate: nr.bauer_2026.reconstruct(at(rate), MODEL, iterations=1, compute=QUIET),
    "trials together": lambda rate: check_trials([TRIALS[1], at(rate)]),
    "ensemble": ensemble,
}


@pytest.mark.parametrize("door", DOORS)
def test_a_clock_is_judged_alike_everywhere(door: str) -> None:
    for rate_hz in (29.98, 30.0, 30.02):
        DOORS[door](rate_hz)
    for rate_hz in (29.9, 30.1, 25):
        with pytest.raises(InputError, match=f"{rate_hz:g}"):
            DOORS[door](rate_hz)


@given(st.floats(0.1, 1000), st.floats(0.1, 1000))
def test_it_does_not_matter_which_rate_comes_first(one: float, other: float) -> None:
    assert same_rate(one, other) == same_rate(other, one)
    assert same_rate(one, one * 1.0009) and not same_rate(one, one * 1.0012)
