"""Reading and writing recordings in the Sensorium layout."""

from __future__ import annotations

import errno
import json
import pickle
import resource
import shutil
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from neuroreel.errors import InputError, NeuroreelError, ResourceError
from neuroreel.recordings import Trial, check_trials, open_recording, write_recording

MOUSE = "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20"


def make_trial(frames=12, *, neurons=3, seed=0, height=4, width=6, **changes) -> Trial:
    random = np.random.default_rng(seed)
    fields = {
        "video": random.integers(0, 256, (frames, height, width)).astype(np.float32),
        "responses": random.random((neurons, frames)) + 0.1,
        "behavior": random.random((2, frames)),
        "pupil_center": random.random((2, frames)),
        "frame_rate_hz": 30,
    }
    return Trial(**{**fields, **changes})


@pytest.fixture
def folder(tmp_path):
    """A small recording: trials of 12, 9, 12 and 12 frames, the last one withheld."""
    trials = [make_trial(seed=0), make_trial(9, seed=1), make_trial(seed=2), make_trial(seed=3, responses=None)]
    write_recording(tmp_path / "mouse", trials, tiers=["train", "train", "oracle", "final_test_main"])
    return tmp_path / "mouse"


def file_of(folder, kind, index):
    return folder / "data" / kind / f"{index}.npy"


def assert_same(trial, other):
    for field in ("video", "responses", "behavior", "pupil_center"):
        mine, its = getattr(trial, field), getattr(other, field)
        assert (mine is None) == (its is None), field
        if mine is not None:
            np.testing.assert_array_equal(mine, its, err_msg=field)
    assert trial.frame_rate_hz == other.frame_rate_hz


# --- reading -------------------------------------------------------------------------------------------------------


def test_the_golden_recordings_are_read_as_they_lie(golden):
    source = golden / "recordings" / MOUSE
    recording = open_recording(source)
    assert (recording.name, recording.neurons, recording.frame_rate_hz) == (MOUSE, 32, 30.0)
    assert recording.video_size == (36, 64)
    assert recording.tiers == ("train",) * 20
    assert recording.coordinates.shape == (32, 3)
    np.testing.assert_array_equal(recording.unit_ids, np.arange(32))
    trial = recording.trials[12]
    assert trial.name == "dynamic29515-10-12/trial 12"
    video = np.load(file_of(source, "videos", 12))
    np.testing.assert_array_equal(trial.video, np.stack([video[:, :, frame] for frame in range(70)]))
    for kind in ("responses", "behavior", "pupil_center"):
        np.testing.assert_array_equal(getattr(trial, kind), np.load(file_of(source, kind, 12)))
    assert check_trials(recording.trials).frames == 20 * 70
    stored = np.load(source / "meta/statistics/behavior/all/mean.npy")
    np.testing.assert_array_equal(recording.statistics["behavior"].mean, stored[:, 0])
    assert set(recording.statistics) == {"responses", "behavior", "pupil_center"}


def test_a_movie_that_was_not_shown_meets_the_mean_behavior(folder):
    recording = open_recording(folder)
    movie = np.random.default_rng(5).uniform(0, 255, (20, 4, 6))
    trial = recording.trial_showing(movie)
    np.testing.assert_allclose(trial.video, movie, rtol=1e-6)
    assert trial.responses is None and trial.recording == recording.name and trial.frame_rate_hz == 30
    training = [recording.trials[index] for index in (0, 1)]  # the two of tier "train"
    for kind in ("behavior", "pupil_center"):
        mean = np.concatenate([getattr(each, kind) for each in training], axis=1).mean(axis=1)
        np.testing.assert_allclose(getattr(trial, kind), np.repeat(mean[:, None], 20, axis=1), rtol=1e-5)


def test_a_movie_that_cannot_be_shown(folder):
    with pytest.raises(InputError, match=r"5x4 pixels .* 6x4: resize"):
        open_recording(folder).trial_showing(np.zeros((20, 4, 5)))
    with pytest.raises(InputError, match=r"0\.\.255"):
        open_recording(folder).trial_showing(np.full((20, 4, 6), 300))
    (folder / "meta/statistics/behavior/all/mean.npy").unlink()
    with pytest.raises(InputError, match="mean behavior is not known"):
        open_recording(folder).trial_showing(np.zeros((20, 4, 6)))


def test_statistics_written_are_those_of_the_golden_recordings(golden, tmp_path):
    recording = open_recording(golden / "recordings" / MOUSE)
    copy = write_recording(tmp_path / "copy", recording.trials)
    for kind, statistics in recording.statistics.items():
        np.testing.assert_allclose(copy.statistics[kind].mean, statistics.mean, rtol=1e-5)
        np.testing.assert_allclose(copy.statistics[kind].std, statistics.std, rtol=1e-5)
        for which in ("mean", "std"):
            part = f"meta/statistics/{kind}/all/{which}.npy"
            assert np.load(copy.folder / part).shape == np.load(recording.folder / part).shape


def test_trials_are_lazy_and_mapped(folder):
    trials = open_recording(folder).trials
    assert len(trials) == 4
    assert isinstance(trials[0].video, np.memmap)
    assert isinstance(trials[0].responses, np.memmap)
    assert not isinstance(trials[0].behavior, np.memmap)  # small: read, which leaves no open file behind
    assert not trials[0].video.flags.writeable
    assert_same(trials[-2], trials[2])
    assert trials[np.int64(1)].frames == 9
    assert trials[1:].indices == (1, 2, 3)
    assert trials[::-1][0].name == "mouse/trial 3"
    assert [trial.frames for trial in trials] == [12, 9, 12, 12]
    assert repr(trials[:2]) == "<2 trials of mouse>"
    file_of(folder, "videos", 0).unlink()  # nothing was kept: the next look finds out
    with pytest.raises(InputError, match=r"0\.npy is missing"):
        trials[0]


def test_a_recording_is_the_sequence_of_its_trials(folder):
    recording = open_recording(folder)
    assert len(recording) == len(recording.trials) == len(list(recording))
    np.testing.assert_array_equal(recording[-1].responses, recording.trials[-1].responses)
    assert recording[1:3].indices == (1, 2)
    assert list(recording.specs()) == list(recording.trials.specs())
    assert list(recording.stamps()) == list(recording.trials.stamps())
    with pytest.raises(IndexError):
        recording[len(recording)]


@pytest.mark.parametrize("index", [4, -5, 1000])
def test_a_trial_that_is_not_there(folder, index):
    with pytest.raises(IndexError, match="has no trial") as raised:
        open_recording(folder).trials[index]
    assert isinstance(raised.value, InputError)


def test_hundreds_of_trials_need_no_hundreds_of_open_files(tmp_path):
    recording = write_recording(tmp_path / "long", (make_trial(5, seed=i) for i in range(100)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 30, hard))
    try:
        assert check_trials(recording.trials).frames == 500
        assert sum(trial.frames for trial in recording.trials) == 500
        with pytest.raises(ResourceError, match="one at a time"):
            list(recording.trials)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_trial_is_checked_once_and_not_read_again_for_its_size(folder):
    recording = open_recording(folder)
    spec = check_trials(recording.trials[:3])
    shutil.rmtree(folder / "data" / "videos")
    assert check_trials(recording.trials[:3]) == spec


def test_padding_ends_at_the_first_nan_of_the_responses_else_of_the_behavior(folder):
    stored = np.load(file_of(folder, "responses", 1))
    assert stored.shape == (3, 12)
    assert np.isnan(stored[:, 9:]).all()
    assert np.isnan(np.load(file_of(folder, "videos", 1))[..., 9:]).all()
    recording = open_recording(folder)
    assert recording.trials[1].frames == 9
    responses = np.load(file_of(folder, "responses", 0))
    responses[:, 10:] = np.nan  # the responses end early, all else goes on
    np.save(file_of(folder, "responses", 0), responses)
    trial = recording.trials[0]
    assert trial.frames == len(trial.video) == trial.behavior.shape[1] == 10
    behavior = np.load(file_of(folder, "behavior", 3))
    behavior[:, 7:] = np.nan
    np.save(file_of(folder, "behavior", 3), behavior)
    assert recording.trials[3].frames == 7


def test_withheld_responses_are_never_handed_out(folder):
    recording = open_recording(folder)
    assert recording.trials[3].responses is None  # no file
    padded = np.zeros((3, 12))
    padded[:, 9:] = np.nan
    for dummy in (np.zeros((3, 12)), padded, np.full((3, 12), np.nan)):
        np.save(file_of(folder, "responses", 3), dummy)
        trial = open_recording(folder).trials[3]
        assert trial.responses is None
        assert trial.frames == 12  # the dummies do not tell the length
    with pytest.raises(InputError, match=r"number 3 \(mouse/trial 3\) has no responses"):
        check_trials(recording.trials)
    np.save(file_of(folder, "responses", 3), np.ones((3, 12)))  # released after the competition
    assert open_recording(folder).trials[3].neurons == 3


@pytest.mark.parametrize("index", [0, 2])
def test_zero_responses_in_a_train_or_oracle_trial_are_refused(folder, index):
    np.save(file_of(folder, "responses", index), np.zeros((3, 12)))
    with pytest.raises(InputError, match=f"mouse/trial {index}: the responses are all zero"):
        open_recording(folder).trials[index]


def test_a_recording_without_behavior_at_another_rate(tmp_path):
    trials = [make_trial(behavior=None, pupil_center=None, frame_rate_hz=59.94, height=15, width=15)]
    recording = write_recording(tmp_path / "retina", trials)
    assert recording.frame_rate_hz == 59.94
    assert recording.kinds == {"videos", "responses"}
    assert recording.trials[0].covariates.shape == (0, 12)
    assert_same(recording.trials[0], trials[0])


def test_select_by_tier_and_fold(tmp_path):
    trials = [make_trial(seed=i) for i in range(4)]
    tiers = ["train", "train", "oracle", "none"]
    recording = write_recording(tmp_path / "m", trials, tiers=tiers, folds=["fold_0", "fold_10", "fold_0", "none"])
    assert recording.folds() == ["fold_0", "fold_10", "fold_0", "none"]
    assert recording.select("fold_0").indices == (0, 2)
    assert recording.select("fold_10", "none").indices == (1, 3)
    assert recording.select("train").indices == (0, 1)
    assert recording.select("oracle", "fold_10").indices == (1, 2)
    assert_same(recording.select("fold_0")[1], trials[2])
    assert recording.select("fold_0", "fold_3").indices == (0, 2)  # fold 3 happens to be empty
    with pytest.raises(InputError, match="no trials in 'fold_3'; it has fold_0 2, fold_10 1, none 1"):
        recording.select("fold_3")
    with pytest.raises(InputError, match="no trials in 'orcale'; it has none 1, oracle 1, train 2"):
        recording.select("orcale")
    with pytest.raises(InputError, match="no trials in 'orcale'; it has fold_0 2"):
        recording.select("fold_0", "orcale")
    with pytest.raises(InputError, match="no trials in no fold and no tier"):
        recording.select()


def test_folds_are_a_copy(folder):
    recording = open_recording(folder)
    recording.folds()[0] = "fold_99"
    assert recording.folds()[0] != "fold_99"


def test_what_a_recording_shows_of_itself(folder):
    recording = open_recording(folder)
    tiers = "final_test_main 1, oracle 1, train 2"
    assert repr(recording) == f"Recording('mouse', 4 trials ({tiers}), 3 neurons, 6x4 pixels at 30 Hz)"
    page = recording._repr_html_()
    assert all(words in page for words in ("mouse", tiers, "6x4 pixels", "behavior, pupil center"))
    odd = folder.rename(folder.with_name("<b>&"))
    assert "&lt;b&gt;&amp;" in open_recording(odd)._repr_html_()
    assert "<b>&" not in open_recording(odd)._repr_html_()


def test_a_recording_travels_to_another_process(folder):
    recording = pickle.loads(pickle.dumps(open_recording(folder)))
    assert recording.trials[2].frames == 12


def test_links_to_folders_of_one_name_keep_their_own_names(folder, tmp_path):
    for number in (1, 2):
        shutil.copytree(folder, tmp_path / "server" / f"animal_{number}" / "session1")
        (tmp_path / f"mouse_{number}").symlink_to(f"server/animal_{number}/session1")
    first, second = (open_recording(tmp_path / f"mouse_{number}") for number in (1, 2))
    assert (first.name, second.name) == ("mouse_1", "mouse_2")
    assert first.trials[0].recording == "mouse_1"
    assert open_recording(tmp_path / "mouse_1/../session1").name == "session1"  # ".." is left where the link leads


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(folder, tmp_path):
    (tmp_path / "link").symlink_to("mouse")
    written = write_recording(tmp_path / "link", [make_trial(seed=5)], overwrite=True)
    assert (written.name, len(written.trials)) == ("link", 1)
    assert (tmp_path / "link").is_symlink()
    assert len(open_recording(folder).trials) == 1


def test_a_relative_path_and_a_home_are_understood(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder.parent))
    assert open_recording(".").name == open_recording("~/mouse").name == "mouse"


# --- what is no recording, or a damaged one ------------------------------------------------------------------------


def test_a_folder_that_is_no_recording_says_what_was_looked_for(folder, tmp_path):
    with pytest.raises(InputError, match=r"nowhere is not a folder"):
        open_recording(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"looked for data/videos and meta/trials/tiers\.npy.*open one of them: mouse"):
        open_recording(tmp_path)
    (tmp_path / "mouse.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="unpack it first"):
        open_recording(tmp_path / "mouse.zip")


def remove(name):
    return lambda folder: (folder / name).unlink()


def store(name, array):
    return lambda folder: np.save(folder / name, array)


def cut_short(name):
    def damage(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def write_text(name, text):
    return lambda folder: (folder / name).write_text(text)


def with_value(name, place, value):
    def damage(folder):
        array = np.load(folder / name)
        array[place] = value
        np.save(folder / name, array)

    return damage


DAMAGED_AT_OPENING = {
    "no tiers": (remove("meta/trials/tiers.npy"), r"did not find meta/trials/tiers\.npy"),
    "tiers cut short": (cut_short("meta/trials/tiers.npy"), "cannot be read as a NumPy array"),
    "tiers one short": (store("meta/trials/tiers.npy", ["train"] * 3), r"has 3 words.*too many 3\.npy"),
    "tiers one long": (store("meta/trials/tiers.npy", ["train"] * 5), r"has 5 words: missing 4\.npy"),
    "tiers are numbers": (store("meta/trials/tiers.npy", np.arange(4)), "must hold words"),
    "tiers are objects": (
        lambda folder: np.save(folder / "meta/trials/tiers.npy", np.array(["train"] * 4, object), allow_pickle=True),
        "cannot be read",
    ),
    "tiers in rows": (store("meta/trials/tiers.npy", [["train"] * 4]), "must have 1 axes"),
    "tiers hold a fold": (store("meta/trials/tiers.npy", ["train", "train", "fold_", "none"]), "trial 2 has 'fold_'"),
    "tiers with an empty word": (store("meta/trials/tiers.npy", ["train", "", "train", "none"]), "trial 1 has ''"),
    "a video missing": (remove("data/videos/1.npy"), r"videos.*missing 1\.npy, too many none"),
    "responses missing": (remove("data/responses/0.npy"), r"responses.*missing 0\.npy"),
    "a behavior missing": (remove("data/behavior/3.npy"), r"behavior.*missing 3\.npy"),
    "a trial too many": (store("data/videos/4.npy", np.zeros((4, 6, 12))), r"too many 4\.npy"),
    "ids of other neurons": (store("meta/neurons/unit_ids.npy", np.arange(4)), "number of neurons differs"),
    "coordinates of others": (
        store("meta/neurons/cell_motor_coordinates.npy", np.zeros((2, 3))),
        "number of neurons differs",
    ),
    "settings no JSON": (write_text("meta/neuroreel.json", "{"), "cannot be read as JSON"),
    "settings a list": (write_text("meta/neuroreel.json", "[30]"), "must be an object"),
    "rate zero": (write_text("meta/neuroreel.json", '{"frame_rate_hz": 0}'), "must be a positive number"),
    "rate missing": (write_text("meta/neuroreel.json", "{}"), "frame_rate_hz: None"),
    "rate a word": (write_text("meta/neuroreel.json", '{"frame_rate_hz": "30"}'), "must be a positive number"),
}

DAMAGED_AT_ACCESS = {
    "video cut short": (cut_short("data/videos/2.npy"), r"videos/2\.npy cannot be read.*copy it again"),
    "video empty": (write_text("data/videos/1.npy", ""), "cannot be read as a NumPy array"),
    "video no array": (write_text("data/videos/1.npy", "hello"), "cannot be read as a NumPy array"),
    "responses cut short": (cut_short("data/responses/2.npy"), r"responses/2\.npy cannot be read"),
    "responses flat": (store("data/responses/1.npy", np.ones(12)), "must have 2 axes"),
    "responses complex": (store("data/responses/1.npy", np.ones((3, 12), complex)), "must hold real numbers"),
    "other neurons": (store("data/responses/2.npy", np.ones((4, 12))), r"trial 2 has 4 neurons.*recording has 3"),
    "another frame size": (store("data/videos/1.npy", np.zeros((6, 6, 12))), r"6x6 pixels.*recording has 3 and 6x4"),
    "a longer video": (store("data/videos/1.npy", np.zeros((4, 6, 13))), "trial 1: lengths differ, in frames"),
    "time first": (store("data/videos/0.npy", np.zeros((12, 4, 6))), "videos seems to have its axes in another order"),
    "neurons last": (store("data/responses/2.npy", np.ones((12, 3))), "responses seems to have its axes in another"),
    "white is 1": (store("data/videos/0.npy", np.full((4, 6, 12), 0.5)), "largest grey level is 0.5, but white is 255"),
    "booleans": (store("data/videos/0.npy", np.ones((4, 6, 12), bool)), "multiply the movie by 255"),
    "a shorter behavior": (store("data/behavior/0.npy", np.zeros((2, 11))), "trial 0: lengths differ, in frames"),
    "NaN in neuron 0": (with_value("data/responses/0.npy", (0, 5), np.nan), "NaN at frame 5 of 12 and numbers after"),
    "NaN in neuron 1": (with_value("data/responses/0.npy", (1, 5), np.nan), "responses holds 1 NaN"),
    "infinite response": (with_value("data/responses/0.npy", (2, 0), np.inf), "responses holds 1 NaN or infinite"),
    "NaN in the behavior": (with_value("data/behavior/0.npy", (0, 3), np.nan), "trial 0: behavior holds 1 NaN"),
    "NaN in the pupil": (with_value("data/pupil_center/0.npy", (1, 3), np.nan), "trial 0: pupil_center holds 1 NaN"),
    "NaN in the video": (with_value("data/videos/0.npy", (0, 0, 11), np.nan), "trial 0: video holds 1 NaN"),
    "nothing but NaN": (store("data/responses/0.npy", np.full((3, 12), np.nan)), "nothing but NaN"),
    "too bright": (with_value("data/videos/0.npy", (0, 0, 0), 256), "must lie in 0..255"),
}


@pytest.mark.parametrize("damage", DAMAGED_AT_OPENING)
def test_damage_found_at_opening(folder, damage):
    change, message = DAMAGED_AT_OPENING[damage]
    change(folder)
    with pytest.raises(InputError, match=message):
        open_recording(folder)


@pytest.mark.parametrize("damage", DAMAGED_AT_ACCESS)
def test_damage_found_at_access(folder, damage):
    change, message = DAMAGED_AT_ACCESS[damage]
    change(folder)
    recording = open_recording(folder)
    with pytest.raises(InputError, match=message):
        check_trials(recording.trials[:3])


def test_damaged_statistics(folder):
    store("meta/statistics/behavior/all/std.npy", np.ones(3))(folder)
    with pytest.raises(InputError, match="one mean and one std per channel"):
        _ = open_recording(folder).statistics
    shutil.rmtree(folder / "meta" / "statistics" / "behavior")
    assert set(open_recording(folder).statistics) == {"responses", "pupil_center"}
    store("meta/statistics/responses/all/mean.npy", np.array([[1.0, 3.0], [2.0, 0.0], [5.0, 5.0]]))(folder)
    np.testing.assert_array_equal(open_recording(folder).statistics["responses"].mean, [3, 2, 5])


def test_strangers_in_the_folders_are_left_alone(folder):
    for name in (".DS_Store", "._0.npy", "Thumbs.db", ".gitattributes", "notes.npy", "00.npy", "0.npy.part"):
        for kind in ("videos", "responses", "behavior"):
            (folder / "data" / kind / name).write_text("x")
        (folder / "meta" / "trials" / name).write_text("x")
    assert len(open_recording(folder).trials) == 4


def annexed(file):
    """A link to content that git-annex has not fetched."""
    file.unlink()
    file.symlink_to(f"../.git/annex/objects/0a/b1/MD5E-s90--0123{file.suffix}/MD5E-s90--0123{file.suffix}")


def unlocked(file):
    file.write_text("/annex/objects/MD5E-s90--0123\n")


def lfs(file):
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 90\n")


@pytest.mark.parametrize(
    ("stand_in", "command"),
    [(annexed, "'datalad get' or 'git annex get'"), (unlocked, "git annex get"), (lfs, "git lfs pull")],
)
@pytest.mark.parametrize(
    "name",
    [
        "data/videos/2.npy",
        "data/responses/3.npy",  # withheld, if it were not there
        "meta/trials/tiers.npy",
        "meta/trials/folds.json",
        "meta/neurons/unit_ids.npy",
        "meta/neuroreel.json",
        "meta/statistics/behavior/all/mean.npy",
    ],
)
def test_content_that_was_not_fetched_is_asked_for(folder, stand_in, command, name):
    open_recording(folder).folds()
    (folder / name).touch()
    stand_in(folder / name)

    def look_at_everything():
        recording = open_recording(folder)
        return recording.folds(), list(recording.trials), recording.statistics

    with pytest.raises(InputError, match=rf"{Path(name).name} has not been fetched.*{command}"):
        look_at_everything()


def test_a_link_to_nowhere_and_an_empty_subdataset(folder, tmp_path):
    file = file_of(folder, "videos", 0)
    file.unlink()
    file.symlink_to("gone.npy")
    with pytest.raises(InputError, match=r"0\.npy is a link to .*gone\.npy, which does not exist"):
        open_recording(folder)
    (tmp_path / "subdataset").mkdir()
    with pytest.raises(InputError, match="it is empty: if it is a DataLad subdataset, run 'datalad get"):
        open_recording(tmp_path / "subdataset")


def test_bytes_and_short_words_of_other_writers(folder):
    np.save(folder / "meta/trials/tiers.npy", np.array(["train", "train", "train", "none"], dtype="S5"))
    assert open_recording(folder).tiers == ("train", "train", "train", "none")


# --- writing -------------------------------------------------------------------------------------------------------


@st.composite
def recordings(draw):
    """Trials that fit each other, of any size, rate, length and type, with or without behavior."""
    sizes = {name: draw(st.integers(1, 4)) for name in ("height", "width", "neurons", "channels")}
    rate = draw(st.floats(0.01, 1000))
    kinds = draw(st.sets(st.sampled_from(["behavior", "pupil_center"])))
    movie_type = draw(st.sampled_from([np.uint8, np.float32, np.float64, np.int64]))
    number_type = draw(st.sampled_from([np.float32, np.float64, np.uint8]))

    def array(shape, dtype):
        return draw(npst.arrays(dtype, shape, elements=st.integers(0, 255)))

    def movie(shape):
        drawn = array(shape, movie_type)
        return np.where(drawn == 1, 2, drawn).astype(movie_type)  # a movie of 0 and 1 is refused: its white is 1

    def trial():
        frames = draw(st.integers(1, 6))
        responses = array((sizes["neurons"], frames), number_type)
        responses[draw(st.integers(0, sizes["neurons"] - 1)), draw(st.integers(0, frames - 1))] = 1  # not all zero
        return Trial(
            video=movie((frames, sizes["height"], sizes["width"])),
            responses=responses,
            frame_rate_hz=rate,
            **{kind: array((sizes["channels"], frames), number_type) for kind in kinds},
        )

    return [trial() for _ in range(draw(st.integers(1, 4)))]


@settings(max_examples=40, deadline=None)
@given(recordings(), st.integers(0, 3), st.data())
def test_what_is_written_is_read_again(tmp_path_factory, trials, padding, data):
    tiers = data.draw(st.lists(st.sampled_from(["train", "oracle"]), min_size=len(trials), max_size=len(trials)))
    longest = max(trial.frames for trial in trials)
    recording = write_recording(
        tmp_path_factory.mktemp("written") / "mouse", iter(trials), tiers=tiers, pad_to=longest + padding or None
    )
    assert list(recording.tiers) == tiers
    assert recording.neurons == trials[0].neurons
    assert recording.frame_rate_hz == trials[0].frame_rate_hz
    for trial, read in zip(trials, recording.trials, strict=True):
        assert_same(trial, read)
        assert read.frames == trial.frames
    train = [trial for trial, tier in zip(trials, tiers, strict=True) if tier == "train"] or trials
    frames = np.concatenate([trial.responses for trial in train], axis=1).astype(float)
    np.testing.assert_allclose(recording.statistics["responses"].mean, frames.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(recording.statistics["responses"].std, frames.std(axis=1), atol=1e-9)
    assert set(recording.statistics) == recording.kinds - {"videos"}


def test_types_are_kept_where_nothing_is_padded(tmp_path):
    trial = make_trial(video=np.zeros((12, 4, 6), np.uint8))
    recording = write_recording(tmp_path / "a", [trial])
    assert recording.trials[0].video.dtype == np.uint8
    assert recording.trials[0].responses.dtype == np.float64
    padded = write_recording(tmp_path / "b", [trial], pad_to=20)
    assert padded.trials[0].video.dtype == np.float32
    assert np.load(file_of(padded.folder, "responses", 0)).shape == (3, 20)


def test_ids_coordinates_and_further_files(tmp_path):
    fields = np.arange(12.0).reshape(3, 2, 2)
    recording = write_recording(
        tmp_path / "mouse",
        [make_trial()],
        unit_ids=[7, 8, 9],
        coordinates=np.eye(3),
        extra={"meta/simulation.json": {"seed": 3}, "meta/neurons/receptive_fields.npy": fields},
    )
    np.testing.assert_array_equal(recording.unit_ids, [7, 8, 9])
    np.testing.assert_array_equal(recording.coordinates, np.eye(3))
    assert json.loads((recording.folder / "meta/simulation.json").read_text()) == {"seed": 3}
    np.testing.assert_array_equal(np.load(recording.folder / "meta/neurons/receptive_fields.npy"), fields)


def test_only_one_trial_is_held_while_writing(tmp_path):
    written = []

    def trials():
        for seed in range(6):
            trial = make_trial(seed=seed)
            written.append(weakref.ref(trial))
            yield trial
            del trial
            assert sum(reference() is not None for reference in written) <= 1  # the one that the writer's loop holds

    write_recording(tmp_path / "mouse", trials())
    assert len(written) == 6


REFUSED = {
    "no trials": ({"trials": []}, "no trials"),
    "no trial": ({"trials": [1]}, "number 0 is a int, not a Trial"),
    "no video": ({"trials": [make_trial(video=None)]}, "has no video"),
    "no responses in train": ({"trials": [make_trial(responses=None)]}, "has no responses; only live_test_main"),
    "zero responses": ({"trials": [make_trial(responses=np.zeros((3, 12)))]}, "all-zero responses"),
    "other neurons": ({"trials": [make_trial(), make_trial(neurons=4)]}, "4 neurons instead of 3"),
    "other size": ({"trials": [make_trial(), make_trial(width=7)]}, "7x4 pixels"),
    "other rate": ({"trials": [make_trial(), make_trial(frame_rate_hz=15)]}, "15 frames per second instead of 30"),
    "no pupil": ({"trials": [make_trial(), make_trial(pupil_center=None)]}, "0 pupil center channels instead of 2"),
    "white is 1": ({"trials": [make_trial(video=np.ones((12, 4, 6), np.uint8))]}, "the largest grey level is 1, but"),
    "tiers too short": ({"tiers": ["train"]}, "tiers has 1 words for 2 trials"),
    "tiers too long": ({"tiers": ["train"] * 3}, "tiers has 3 words for 2 trials"),
    "tiers of folds": ({"tiers": ["train", "fold_0"]}, "trial 1 has 'fold_0'"),
    "tiers of numbers": ({"tiers": ["train", 3]}, "trial 1 has 3"),
    "folds too short": ({"folds": ["fold_0"]}, "folds has 1 words for 2 trials"),
    "folds unknown": ({"folds": ["fold_0", "test"]}, "trial 1 has 'test'; it must have a fold such as 'fold_3'"),
    "folds cut": ({"folds": ["fold_0", "fold_"]}, "trial 1 has 'fold_'"),
    "ids too many": ({"unit_ids": np.arange(4)}, "unit_ids has shape"),
    "coordinates too few": ({"coordinates": np.zeros((2, 3))}, "cell_motor_coordinates has shape"),
    "padding too short": ({"pad_to": 11}, "12 frames, more than pad_to=11"),
    "extra outside": ({"extra": {"../x.json": 1}}, "cannot be written"),
    "extra absolute": ({"extra": {"/x.json": 1}}, "cannot be written"),
    "extra in the way": ({"extra": {"meta/trials/tiers.npy": [1]}}, "not one of its own"),
    "extra as data": ({"extra": {"data/videos/0.npy": [1]}}, "not one of its own"),
    "extra pickled": ({"extra": {"meta/x.pkl": 1}}, "cannot be written"),
    "extra objects": ({"extra": {"meta/x.npy": [None]}}, "Python objects"),
    "extra not JSON": ({"extra": {"meta/x.json": {"a": np.ones(2)}}}, "cannot be written"),
}


@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, case, lazily):
    change, message = REFUSED[case]
    arguments = {"trials": [make_trial(seed=0), make_trial(seed=1)], **change}
    trials = arguments.pop("trials")
    if lazily and case.startswith(("tiers too", "folds too")):
        message = "words|more trials"  # a generator cannot be counted before
    with pytest.raises(InputError, match=message):
        write_recording(tmp_path / "mouse", iter(trials) if lazily else trials, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_nothing_behind(tmp_path, interruption):
    def trials():
        yield make_trial()
        raise interruption

    with pytest.raises(interruption):
        write_recording(tmp_path / "mouse", trials())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError("1000 requested and 16 written")])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing_behind(tmp_path, monkeypatch, error):
    def save(*_, **__):
        raise error

    trial = make_trial()
    monkeypatch.setattr(np, "save", save)
    with pytest.raises(ResourceError, match="no space left on the disk"):
        write_recording(tmp_path / "mouse", [trial])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_in_silence(folder, tmp_path):
    before = open_recording(folder).trials[0]
    with pytest.raises(InputError, match="already exists"):
        write_recording(folder, [make_trial(seed=9)])
    assert_same(open_recording(folder).trials[0], before)
    replaced = write_recording(folder, [make_trial(seed=9)], overwrite=True)
    assert len(replaced.trials) == 1
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not a recording; it is not overwritten"):
        write_recording(tmp_path / "thesis", [make_trial()], overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert len(write_recording(tmp_path / "empty", [make_trial()], overwrite=True).trials) == 1


def test_a_recording_can_be_rewritten_in_place(folder):
    recording = open_recording(folder)
    expected = [np.array(trial.video) for trial in recording.trials]
    rewritten = write_recording(folder, recording.trials, tiers=recording.tiers, overwrite=True)
    for video, trial in zip(expected, rewritten.trials, strict=True):
        np.testing.assert_array_equal(video, trial.video)


def test_opening_warns_of_nothing(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = open_recording(folder)
        assert recording.trials[0].needs_responses().shape == (3, 12)
        assert recording.statistics


def test_errors_are_of_the_family_that_the_command_line_prints(tmp_path):
    with pytest.raises(NeuroreelError):
        open_recording(tmp_path)
