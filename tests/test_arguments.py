"""Arguments that many functions share: True is no number, a typo is answered with what was meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neuroreel as nr
from neuroreel.arguments import as_array, finite_number, refuse_unknown, whole_number
from neuroreel.errors import InputError
from toy_encoder import ToyEncoder, toy_trials

MODEL = ToyEncoder(neurons=8)
TRIALS = toy_trials(MODEL, 3)
VIDEO = TRIALS[0].video


POSTERIOR = nr.fit_posterior(MODEL, TRIALS, factors=1, compute=nr.Compute(device="cpu", progress=False))


def reconstruct(**options: Any) -> Any:
    return nr.reconstruct(TRIALS[0], POSTERIOR, **options)


def as_published(**options: Any) -> Any:
    return nr.bauer_2026.reconstruct(TRIALS[0], MODEL, **options)


def learn(**options: Any) -> Any:
    return nr.learn_mask(MODEL, TRIALS, progress=False, **options)


def fit(**options: Any) -> Any:
    return nr.fit_encoder(TRIALS, progress=False, **options)


def identify(**options: Any) -> Any:
    return nr.identify([VIDEO] * 3, [VIDEO] * 3, **options)


COUNTS: dict[str, Callable[[Any], Any]] = {
    "samples": lambda n: reconstruct(samples=n),
    "passes": lambda n: reconstruct(passes=n),
    "seed of reconstruct": lambda n: reconstruct(seed=n),
    "factors": lambda n: nr.fit_posterior(MODEL, TRIALS, factors=n),
    "seed of fit_posterior": lambda n: nr.fit_posterior(MODEL, TRIALS, seed=n),
    "iterations": lambda n: as_published(iterations=n),
    "record_every": lambda n: as_published(record_every=n),
    "seed of the published method": lambda n: as_published(seed=n),
    "steps": lambda n: learn(steps=n),
    "first_frame": lambda n: learn(first_frame=n),
    "seed of learn_mask": lambda n: learn(seed=n),
    "seed of fit_encoder": lambda n: fit(seed=n),
    "devices": lambda n: fit(devices=n),
    "epochs": lambda n: fit(recipe={"epochs": n}),
    "components": lambda n: nr.fit_decoder(TRIALS, components=n, progress=False),
    "held_out_frames": lambda n: nr.fit_decoder(TRIALS, held_out_frames=n, progress=False),
    "seed of fit_decoder": lambda n: nr.fit_decoder(TRIALS, seed=n, progress=False),
    "clips_at_once": lambda n: nr.predict(MODEL, TRIALS[0], clips_at_once=n),
    "clips_at_once of receptive_fields": lambda n: nr.receptive_fields(MODEL, clips_at_once=n, progress=False),
    "skip": lambda n: nr.video_correlation(VIDEO, VIDEO, skip=n),
    "skip of encoder_correlation": lambda n: nr.encoder_correlation(MODEL, TRIALS, skip=n),
    "every": lambda n: identify(every=n, skip=0),
    "clip_frames": lambda n: identify(clip_frames=n, skip=0),
    "ways": lambda n: identify(ways=n, skip=0),
    "seed of identify": lambda n: identify(seed=n, skip=0),
    "bins": lambda n: nr.ensemble_uncertainty(VIDEO, np.stack([VIDEO, VIDEO / 2]), bins=n),
    "seed of shuffle_neurons": lambda n: nr.shuffle_neurons(TRIALS[0], seed=n),
    "neurons": lambda n: nr.leave_out_neurons(n),
    "seed of leave_out_neurons": lambda n: nr.leave_out_neurons(10, seed=n),
}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [True, 2.5, "3"])
def test_counts_are_whole_numbers_everywhere(name: str, value: Any) -> None:
    word = name.split(" of ")[0]
    with pytest.raises(InputError, match=f"{word} is {value!r}; it must be a whole number"):
        COUNTS[name](value)


def test_numbers() -> None:
    assert [whole_number(n, name="n", least=0) for n in (0, 7, np.int32(3), np.uint8(9))] == [0, 7, 3, 9]
    assert [finite_number(n, name="n") for n in (-1, 0.5, np.float32(2))] == [-1, 0.5, 2]
    for wrong in (True, np.True_, 1.0, None, [1], 0):
        with pytest.raises(InputError, match="whole number, at least 1"):
            whole_number(wrong, name="n")
    for wrong in (True, np.inf, np.nan, "1", None, -0.5):
        with pytest.raises(InputError, match=r"n is .*; it must be a number, at least 0"):
            finite_number(wrong, name="n", least=0)
    assert as_array([[1, 2], [3, 4]], name="rows").shape == (2, 2)
    with pytest.raises(InputError, match="rows cannot be read as an array"):
        as_array([[1, 2], [3]], name="rows")


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("iteration", "iterations"), ("mask_treshold", "mask_threshold"), ("window_norms", "window_norm")],
)
def test_a_typo_is_answered_with_the_setting_that_was_meant(typo: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"no setting of the published method '{typo}'; did you mean '{meant}'"):
        as_published(**{typo: 3})


def test_unknown_names() -> None:
    refuse_unknown(["a"], ["a", "b"], what="letter")
    with pytest.raises(InputError, match=r"^there is no letter 'zzz'; it must be one of a, b$"):
        refuse_unknown(["a", "zzz"], ["a", "b"], what="letter")
    with pytest.raises(InputError, match="no setting of the recipe 'epoch'; did you mean 'epochs'"):
        fit(recipe={"epoch": 3})
    with pytest.raises(InputError, match="no setting of the architecture 'channel'; did you mean 'channels'"):
        fit(architecture={"channel": 3})


DECODER = nr.fit_decoder(TRIALS, progress=False)
WRONG_KINDS: dict[str, tuple[Callable[[], Any], str]] = {
    "no model": (lambda: nr.predict(None, TRIALS[0]), "NoneType is not an EncodingModel"),
    "trials": (lambda: nr.predict(MODEL, TRIALS), "the trial is a list; it must be one Trial"),
    "a movie": (lambda: nr.predict(MODEL, VIDEO), "the trial is a ndarray"),
    "no trials": (lambda: nr.bauer_2026.reconstruct(None, MODEL), "a trial is a NoneType; it must be one Trial"),
    "no trial": (lambda: nr.reconstruct(None, POSTERIOR), "a trial is a NoneType; it must be one Trial"),
    "posterior's folder": (lambda: nr.reconstruct(TRIALS, "posterior"), "posterior is a str; it must be one Posterior"),
    "a model for a posterior": (lambda: nr.reconstruct(TRIALS, MODEL), "posterior is a ToyEncoder"),
    "a device for a compute": (lambda: reconstruct(compute="cuda"), "compute is a str; it must be one Compute"),
    "published compute": (lambda: as_published(compute="cuda"), "compute is a str; it must be one Compute"),
    "compute of a fit": (lambda: nr.fit_posterior(MODEL, TRIALS, compute="cuda"), "compute is a str"),
    "trial to fit": (lambda: nr.fit_posterior(MODEL, TRIALS[0]), "pass a list of trials"),
    "movie prior": (lambda: nr.fit_posterior(MODEL, TRIALS, movie_prior="natural"), "movie_prior is a str"),
    "weight": (lambda: nr.fit_posterior(MODEL, TRIALS, likelihood_weight="half"), "likelihood_weight is 'half'"),
    "decoder's model": (lambda: nr.decode(MODEL, TRIALS[0]), "decoder is a ToyEncoder"),
    "decoded trials": (lambda: nr.decode(DECODER, TRIALS), "the trial is a list"),
    "device": (lambda: nr.Compute(device=None), "device is None"),
    "precision": (lambda: nr.Compute(precision=32), "precision is 32"),
    "progress": (lambda: nr.Compute(progress="no"), "progress is a str; it must be one bool"),
    "memory": (lambda: nr.Compute(max_memory=["8 GB"]), "max_memory is "),
    "checkpoint": (lambda: nr.Compute(checkpoint=3), "checkpoint is 3"),
    "models of a mask": (lambda: nr.learn_mask([MODEL], TRIALS), "model is a list; it must be one EncodingModel"),
    "one trial": (lambda: nr.learn_mask(MODEL, TRIALS[0]), "pass a list of trials"),
    "penalties": (lambda: nr.fit_decoder(TRIALS, penalties="auto"), "penalties is 'auto'"),
    "lags": (lambda: nr.fit_decoder(TRIALS, lags_s="many"), "lags_s is 'many'"),
    "recipe": (lambda: fit(recipe="fast"), "recipe is a str; it must be one dict"),
    "architecture": (lambda: fit(architecture="big"), "architecture is a str"),
    "result's file": (lambda: nr.overfit_gauge("r.nc", np.ones(8, bool)), "result is a str"),
    "trial's fields": (lambda: nr.receptive_fields(MODEL, TRIALS[0]), "recording is a Trial"),
    "ragged": (lambda: identify(mask=[[1], [1, 2]]), "cannot be read as an array"),
    "words": (lambda: nr.band_correlation(VIDEO, VIDEO, frame_rate_hz="fast"), "frame_rate_hz is 'fast'"),
}


@pytest.mark.parametrize("name", WRONG_KINDS)
def test_things_of_the_wrong_kind_are_named(name: str) -> None:
    call, message = WRONG_KINDS[name]
    with pytest.raises(InputError, match=message):
        call()
