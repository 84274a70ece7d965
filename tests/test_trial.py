"""One trial, and trials that belong together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from neuroreel.errors import InputError
from neuroreel.recordings import Trial, TrialSpec, check_trials

small = st.integers(1, 5)


@st.composite
def arrays_of_a_trial(draw):
    """Valid arrays of any size, type and combination."""
    frames = draw(small)
    number = {"allow_nan": False, "allow_infinity": False, "width": 32}
    movie = st.one_of(
        npst.arrays(np.uint8, (frames, draw(small), draw(small))),
        npst.arrays(
            st.sampled_from([np.float32, np.float64]), (frames, draw(small), draw(small)), elements=st.integers(0, 255)
        ),
    )
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
    "time first": ({"responses": np.ones((4, 2))}, r"\(channels, frames\)"),
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
        ({"frame_rate_hz": 15}, "15 frames a second instead of 30"),
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
