"""One trial, and trials that belong together."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from neuroreel.errors import InputError
from neuroreel.recordings import Trial, TrialSpec, check_trials
from neuroreel.recordings.checks import check_responses

small = st.integers(1, 5)


@st.composite
def arrays_of_a_trial(draw):
    """Valid arrays of any size, type and combination."""
    frames = draw(small)
    number = {"allow_nan": False, "allow_infinity": False, "width": 32}
    grey = st.integers(2, 255) | st.just(0)  # a movie of 0 and 1 is refused where it is used: its white is 1
    dtype = st.sampled_from([np.uint8, np.float32, np.float64])
    movie = npst.arrays(dtype, (frames, draw(small), draw(small)), elements=grey)
    channels = npst.arrays(np.float32, (draw(small), frames), elements=st.floats(-1e6, 1e6, **number))
    return {
        "video": draw(movie),
        "responses": draw(st.none() | channels),
        "behavior": draw(st.none() | channels),
        "pupil_center": draw(st.none() | channels),
        "frame_rate_hz": draw(st.floats(0.1, 1000)),
    }


@given(arrays_of_a_trial())
def test_a_valid_trial_says_what_it_holds(arrays):
    trial = Trial(**arrays)
    assert trial.frames == len(arrays["video"])
    assert trial.duration_s == pytest.approx(trial.frames / arrays["frame_rate_hz"])
    assert trial.neurons == (0 if arrays["responses"] is None else len(arrays["responses"]))
    recorded = [arrays[kind] for kind in ("behavior", "pupil_center") if arrays[kind] is not None]
    expected = np.concatenate(recorded) if recorded else np.zeros((0, trial.frames))
    np.testing.assert_array_equal(trial.covariates, expected)
    np.testing.assert_array_equal(trial.needs_video(), arrays["video"])
    assert trial.needs_video().dtype == trial.covariates.dtype == np.float32
    if arrays["responses"] is not None:
        np.testing.assert_array_equal(
            trial.needs_responses(), np.where(arrays["responses"] < 0, 0, arrays["responses"])
        )


@given(arrays_of_a_trial(), st.sampled_from(["video", "responses", "behavior", "pupil_center"]), st.data())
def test_one_bad_value_anywhere_is_refused(arrays, field, data):
    if arrays[field] is None:
        arrays[field] = np.ones((2, len(arrays["video"])))
    broken = arrays[field].astype(float)
    place = tuple(data.draw(st.integers(0, size - 1)) for size in broken.shape)
    broken[place] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    with pytest.raises(InputError, match=f"{field} holds 1 NaN or infinite"):
        Trial(**{**arrays, field: broken})


@given(arrays_of_a_trial(), st.sampled_from(["responses", "behavior", "pupil_center"]), st.sampled_from([-1, 1]))
def test_another_length_is_refused(arrays, field, change):
    frames = len(arrays["video"]) + change
    arrays[field] = np.ones((2, frames))
    with pytest.raises(InputError, match="empty" if frames == 0 else "lengths differ"):
        Trial(**arrays)


VIDEO = np.zeros((4, 2, 3))
FAULTS = {
    "neither": ({"video": None}, "neither a video nor responses"),
    "rank of video": ({"video": VIDEO[0]}, r"video has shape \(2, 3\); it must be \(frames, height, width\)"),
    "rank of responses": ({"responses": np.ones(4)}, r"must be \(neurons, frames\)"),
    "empty": ({"video": np.zeros((4, 0, 3))}, "it is empty"),
    "above 255": ({"video": VIDEO + 256}, "grey levels from 256 to 256"),
    "below 0": ({"video": VIDEO - 1}, "must lie in 0..255"),
    "complex": ({"responses": np.ones((2, 4), complex)}, "must hold real numbers"),
    "words": ({"responses": np.full((2, 4), "a")}, "must hold real numbers"),
    "objects": ({"responses": np.full((2, 4), None)}, "must hold real numbers"),
    "ragged": ({"responses": [[1, 2, 3, 4], [1]]}, "a list that NumPy cannot take"),
    "masked": ({"responses": np.ma.masked_array(np.ones((2, 4)), mask=np.eye(2, 4))}, "masked values"),
    "time first": ({"responses": np.ones((4, 5))}, r"responses seems to have its axes in .* \(neurons, frames\)"),
    "time last": ({"video": VIDEO.T, "responses": np.ones((5, 4))}, r"video seems .* \(frames, height, width\)"),
    "any of two": ({"responses": np.ones((4, 2))}, r"cut or resample .* \(channels, frames\)"),
    "sixteen bits": ({"video": VIDEO + 65535}, "black is 0 and white is 255"),
    "no rate": ({"frame_rate_hz": None}, "frame_rate_hz is None; it must be a positive number"),
    "rate as text": ({"frame_rate_hz": "30"}, "frame_rate_hz is '30'"),
    "rate zero": ({"frame_rate_hz": 0}, "positive"),
    "rate negative": ({"frame_rate_hz": -30.0}, "positive"),
    "rate NaN": ({"frame_rate_hz": np.nan}, "positive"),
    "rate infinite": ({"frame_rate_hz": np.inf}, "positive"),
    "rate complex": ({"frame_rate_hz": np.complex64(30)}, "positive"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_a_clear_error(fault):
    change, message = FAULTS[fault]
    with pytest.raises(InputError, match=message) as raised:
        Trial(**{"video": VIDEO, "frame_rate_hz": 30, "name": "mouse/trial 7", **change})
    assert "mouse/trial 7" in str(raised.value)


def test_what_is_missing_is_asked_for_by_name():
    trial = Trial(responses=np.ones((2, 4)), frame_rate_hz=30, name="spikes")
    assert trial.frames == 4
    with pytest.raises(InputError, match="spikes has no video"):
        trial.needs_video()
    with pytest.raises(InputError, match="trial has no responses"):
        Trial(video=VIDEO, frame_rate_hz=30).needs_responses()


def test_a_changed_copy_is_checked_and_the_original_stays():
    trial = Trial(video=VIDEO, frame_rate_hz=30)
    copy = trial.replace(responses=np.ones((5, 4)), name="copy")
    assert (copy.neurons, copy.name, trial.neurons) == (5, "copy", 0)
    with pytest.raises(InputError, match="lengths differ"):
        trial.replace(responses=np.ones((5, 9)))
    with pytest.raises(AttributeError):
        trial.name = "other"


def test_memory_mapped_arrays_stay_on_disk(tmp_path):
    np.save(tmp_path / "video.npy", VIDEO)
    trial = Trial(video=np.load(tmp_path / "video.npy", mmap_mode="r"), frame_rate_hz=30)
    assert isinstance(trial.video, np.memmap)


def trial_like(**changes) -> Trial:
    fields = {
        "video": np.zeros((4, 2, 3)),
        "responses": np.ones((5, 4)),
        "behavior": np.ones((2, 4)),
        "frame_rate_hz": 30,
        "name": "odd one",
    }
    return Trial(**{**fields, **changes})


def test_trials_that_fit_are_summed_up():
    longer = trial_like(video=np.zeros((9, 2, 3)), responses=np.ones((5, 9)), behavior=np.ones((2, 9)))
    spec = check_trials([trial_like(), longer], what="training trials")
    assert spec == TrialSpec(
        neurons=5, video_height=2, video_width=3, frame_rate_hz=30, behavior_channels=2, pupil_channels=0, frames=13
    )
    assert spec.covariates == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"responses": np.ones((6, 4))}, "6 neurons instead of 5"),
        ({"video": np.zeros((4, 3, 3))}, r"a video of 3x3 pixels \(width x height\) instead of 3x2"),
        ({"frame_rate_hz": 15}, "15 frames per second instead of 30"),
        ({"behavior": None}, "0 behavior channels instead of 2"),
        ({"pupil_center": np.ones((2, 4))}, "2 pupil center channels instead of 0"),
        ({"behavior": None, "pupil_center": np.ones((2, 4))}, "0 behavior channels instead of 2"),
        ({"video": None}, "no video"),
        ({"responses": None}, "no responses"),
    ],
)
def test_the_first_trial_that_differs_is_named(changes, words):
    with pytest.raises(InputError, match=rf"training trials: number 1 \(odd one\) has {words}"):
        check_trials([trial_like(name="first"), trial_like(**changes), trial_like()], what="training trials")


def test_only_what_is_needed_is_asked_for():
    silent = trial_like(responses=None)
    assert check_trials([silent], needs=["video"]).neurons == 0
    unseen = trial_like(video=None)
    assert check_trials([unseen], needs=["responses"]).video_height == 0
    with pytest.raises(InputError, match=r"number 0 \(odd one\) has no video"):
        check_trials([unseen])


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ([], "there are none"),
        (trial_like(), "got one Trial; pass a list"),
        ([1], "number 0 is a int, not a Trial"),
        (iter([]), "pass a list of trials"),
        (None, "got a NoneType"),
    ],
)
def test_what_is_no_list_of_trials_is_refused(trials, words):
    with pytest.raises(InputError, match=words):
        check_trials(trials)


ONES = np.random.default_rng(0).integers(0, 2, (4, 2, 3))


@pytest.mark.parametrize("video", [ONES.astype(bool), ONES.astype(np.uint8), ONES, ONES * 0.6, np.float32(ONES) / 255])
def test_a_movie_whose_white_is_one_is_refused_where_it_is_used(video):
    trial = trial_like(video=video, name="odd one")
    with pytest.raises(InputError, match=r"odd one: the largest grey level is .*white is 255; multiply the movie by"):
        trial.needs_video()
    with pytest.raises(InputError, match="odd one: the largest grey level is"):
        check_trials([trial_like(), trial])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
def test_a_black_movie_is_a_movie(dtype):
    assert check_trials([trial_like(video=np.zeros((4, 2, 3), dtype))]).frames == 4


def responses_like(values):
    return [trial_like(responses=np.asarray(each)) for each in values]


def test_responses_of_which_most_are_negative_are_refused():
    events = np.random.default_rng(0).gamma(0.5, size=(2, 5, 4))
    for negative in (-events, events - 2):
        with pytest.raises(InputError, match=r"training trials: \d+ % of the responses are negative.*flip the sign"):
            check_trials(responses_like(negative), what="training trials")
    assert check_trials(responses_like(-events), needs=["video"]).negative_responses == 40


@pytest.mark.parametrize("seed", range(5))
def test_z_scores_are_refused_though_half_of_them_are_positive(seed):
    """Their mean is zero but for rounding, so that neither the share nor the sign of the mean decides by chance."""
    scores = np.random.default_rng(seed).normal(size=(5, 40))
    scores = (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
    scores -= np.minimum(0, np.sort(scores)[:, 18:19])  # fewer than half are negative
    trials = responses_like(np.split(scores - scores.mean(axis=1, keepdims=True), 10, axis=1))
    spec = TrialSpec.of(trials[0])
    with pytest.raises(InputError, match=r"5 of 5 neurons are negative or zero on average \(the first is neuron 0\)"):
        check_responses(trials, replace(spec, frames=40, negative_responses=1), what="trials")


def test_a_neuron_that_is_negative_on_average_is_named():
    responses = np.ones((2, 5, 4))
    responses[:, 3] *= -1
    trials = responses_like(responses)
    with pytest.raises(InputError, match=r"1 of 5 neurons are negative .* neuron 3\).*leave these neurons out"):
        check_responses(trials, check_trials(trials), what="trials")


def test_overshoots_are_told_once_and_silent_neurons_are_none():
    responses = np.ones((3, 5, 4))
    responses[:, 0] = 0  # silent
    responses[1:, 2, 1] = -0.25
    trials = responses_like(responses)
    with pytest.warns(UserWarning, match=r"trials: 3\.3 % of the responses are negative; they are set to 0") as warned:
        check_responses(trials, check_trials(trials), what="trials")
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_responses(trials[:1], check_trials(trials[:1]), what="trials")
