"""Folds that never leak a movie."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from neuroreel.errors import InputError, ResourceError
from neuroreel.recordings import Trial, open_recording, splits, write_recording
from neuroreel.recordings.splits import fold_of, opening_of, video_hash

OLD = "dynamic29156-11-10-Video-8744edeac3b4d1ce16b680916b5267ce"

movies = npst.arrays(np.uint8, st.tuples(st.integers(5, 23), st.integers(2, 9), st.integers(2, 9)))


def make_recording(folder, *, tiers, movies=None, **options):
    random = np.random.default_rng(0)
    movies = movies or [random.integers(0, 256, (15, 8, 12)) for _ in tiers]
    trials = [Trial(video=movie, responses=np.ones((2, len(movie))), frame_rate_hz=30) for movie in movies]
    return write_recording(folder, trials, tiers=tiers, **options)


def of_others(recording):
    """The recording as if others had written it in this layout: nothing says by which rule it is folded."""
    (recording.folder / "meta/neuroreel.json").unlink()
    return open_recording(recording.folder)


def test_golden_folds_exactly(golden, tmp_path):
    expected = json.loads((golden / "folds.json").read_text())
    assert len(expected) == 2
    for name, words in expected.items():
        shutil.copytree(golden / "recordings" / name, tmp_path / name)
        assert open_recording(tmp_path / name).folds() == words
        assert open_recording(tmp_path / name).folds() == words  # from the file this time


def independent_hash(video: np.ndarray) -> int:
    """The rule, written out bit by bit: five frames, 32x32 pixels, low 8x8 of the cosine transform above its median."""
    length = len(video)
    step = length // 5
    value = 0
    for frame in list(range(step // 2, length, step))[:5]:
        small = Image.fromarray(video[frame].astype(np.uint8)).resize((32, 32), Image.Resampling.LANCZOS)
        spectrum = scipy.fft.dct(scipy.fft.dct(np.asarray(small, np.float64), axis=0), axis=1)[:8, :8]
        bits = "".join("1" if above else "0" for above in (spectrum > np.median(spectrum)).ravel())
        value ^= int(bits, 2)
    return value


def test_published_folds_outlive_a_copy_and_a_link(golden, tmp_path):
    for number, (name, words) in enumerate(json.loads((golden / "folds.json").read_text()).items()):
        recording = open_recording(golden / "recordings" / name)
        assert write_recording(tmp_path / f"copy {number}", list(recording.trials[4:])).folds() == words[4:]
        shutil.copytree(recording.folder, tmp_path / name)
        (tmp_path / f"mouse {number}").symlink_to(name)
        linked = open_recording(tmp_path / f"mouse {number}")
        assert (linked.name, linked.folds()) == (f"mouse {number}", words)


@pytest.mark.parametrize("frames", [5, 6, 9, 10, 70, 299, 300])
def test_the_hash_follows_the_published_rule(frames):
    video = np.random.default_rng(frames).integers(0, 256, (frames, 36, 64)).astype(np.float32)
    assert video_hash(video) == independent_hash(video)
    assert fold_of(video) == independent_hash(video) % 7
    assert fold_of(video, folds=3) == independent_hash(video) % 3


def independent_opening_hash(video: np.ndarray) -> int:
    """The rule for other recordings, written out: from the frame before the first change on, five frames."""
    video = video.astype(np.uint8)
    change = next(i for i in range(1, len(video)) if not np.array_equal(video[i], video[0]))
    start = min(change - 1, len(video) - 5)
    numbers = []
    for frame in video[start : start + 5]:
        numbers += [independent_hash(np.stack([frame] * 5)), int(frame.sum(dtype=int)) // frame.size]
    digest = hashlib.blake2b(b"".join(number.to_bytes(8, "little") for number in numbers), digest_size=8).digest()
    return int.from_bytes(digest, "big")


@pytest.mark.parametrize("lead", [0, 1, 7])
def test_a_movie_is_known_by_where_its_picture_first_changes(lead):
    movie = np.random.default_rng(1).integers(0, 256, (12, 8, 12))
    shown = np.concatenate([np.full((lead, 8, 12), 90), movie])
    first = shown[max(0, lead - 1) :]  # one frame of the grey lead is left
    for frames in (5, 6, 9, len(first)):
        np.testing.assert_array_equal(opening_of(first[:frames]), opening_of(shown))
    assert (opening_of(shown) != opening_of(shown[::-1])).any()


@settings(max_examples=60, deadline=None)
@given(movies, st.sampled_from([np.uint8, np.float32, np.float64, np.int32]))
def test_the_same_movie_has_the_same_fold_whatever_its_type(movie, dtype):
    assert 0 <= video_hash(movie) < 2**64
    assert 0 <= fold_of(movie) < 7
    assert fold_of(movie.astype(dtype)) == fold_of(movie)
    on_disk = np.moveaxis(np.ascontiguousarray(np.moveaxis(movie, 0, -1)), -1, 0)  # another order in memory
    assert fold_of(on_disk) == fold_of(movie)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_movie_never_lands_in_two_folds(tmp_path_factory, data):
    """Two mice see some movies several times, cut at any length, padded to other lengths; responses end early."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shown = [random.integers(0, 256, (20, 4, 6)) for _ in range(data.draw(st.integers(1, 4)))]
    fold_of_movie: dict[int, str] = {}
    for _ in range(2):
        order = data.draw(st.lists(st.integers(0, len(shown) - 1), min_size=1, max_size=6))
        recording = make_recording(
            tmp_path_factory.mktemp("mouse") / "mouse",
            tiers=data.draw(st.lists(st.sampled_from(["train", "oracle"]), min_size=len(order), max_size=len(order))),
            movies=[shown[i][: data.draw(st.integers(5, 20))] for i in order],
            pad_to=data.draw(st.integers(20, 30)),
        )
        for index, trial in enumerate(recording.trials):
            cut_responses(recording, index, frames=data.draw(st.integers(1, trial.frames)))
        for movie, word in zip(order, recording.folds(), strict=True):
            assert fold_of_movie.setdefault(movie, word) == word


def noise_and_cut():
    """A movie of 300 frames, and the same without its last frame: the published rule takes other frames of it."""
    movie = np.random.default_rng(4).integers(0, 256, (300, 8, 12)).astype(np.uint8)
    assert fold_of(movie) != fold_of(movie[:-1])
    return [movie, movie[:-1]]


def test_a_movie_cut_by_one_frame_stays_in_its_fold(tmp_path):
    recording = make_recording(tmp_path / "mouse", tiers=["train"] * 2, movies=noise_and_cut())
    assert len(set(recording.folds())) == 1


def test_where_the_published_rule_parts_one_movie_it_is_said(tmp_path):
    recording = of_others(make_recording(tmp_path / "mouse", tiers=["train"] * 2, movies=noise_and_cut()))
    with pytest.warns(UserWarning, match="movies of trials 0 and 1 begin almost alike, but are in fold_") as warned:
        assert recording.folds() == [f"fold_{fold_of(movie)}" for movie in noise_and_cut()]
    assert len(warned) == 1


def flicker(count):
    levels = np.random.default_rng(0).integers(0, 256, (count, 30, 1, 1))
    return list(np.broadcast_to(levels, (count, 30, 8, 12)).astype(np.uint8))


def test_uniform_frames_of_other_levels_are_other_movies(tmp_path):
    recording = make_recording(tmp_path / "mouse", tiers=["train"] * 42, movies=flicker(21) * 2)
    words = recording.folds()
    assert words[:21] == words[21:]
    assert len(set(words)) >= 5
    kept = json.loads((recording.folder / "meta/trials/folds.json").read_text())
    assert len(set(kept["hashes"])) == 21


def test_that_the_published_rule_cannot_tell_uniform_frames_apart_is_said(tmp_path):
    recording = of_others(make_recording(tmp_path / "mouse", tiers=["train"] * 9, movies=flicker(9)))
    with pytest.warns(UserWarning, match="9 movies that begin differently have only 1 different hashes.*uniform"):
        assert len(set(recording.folds())) == 1


def test_movies_whose_white_is_one_are_not_folded(tmp_path):
    recording = make_recording(tmp_path / "mouse", tiers=["train"] * 3)
    file = recording.folder / "data/videos/1.npy"
    np.save(file, np.load(file) / 255)
    with pytest.raises(InputError, match=r"trial 1 of mouse: .* but white is 255"):
        recording.folds()
    assert not (recording.folder / "meta/trials/folds.json").exists()


def test_a_rule_that_is_not_known_is_refused(tmp_path):
    recording = make_recording(tmp_path / "mouse", tiers=["train"])
    (recording.folder / "meta/neuroreel.json").write_text('{"frame_rate_hz": 30, "fold_rule": "dice"}')
    with pytest.raises(InputError, match="fold_rule: 'dice'; it must be one of published, opening"):
        recording.folds()


def cut_responses(recording, index, *, frames):
    file = recording.folder / "data" / "responses" / f"{index}.npy"
    responses = np.load(file)
    responses[:, frames:] = np.nan
    np.save(file, responses)


TIERS = ["train", "oracle", "live_test_main", "live_test_bonus", "final_test_main", "final_test_bonus", "none", "pilot"]


def test_new_mice_fold_train_and_oracle_old_mice_all_but_none(tmp_path):
    def folded(recording):
        words = recording.folds()
        assert all(word.startswith("fold_") or word == tier for word, tier in zip(words, recording.tiers, strict=True))
        return [tier for word, tier in zip(words, recording.tiers, strict=True) if word != tier]

    assert folded(make_recording(tmp_path / "new", tiers=TIERS)) == ["train", "oracle"]
    assert folded(make_recording(tmp_path / OLD, tiers=TIERS)) == [tier for tier in TIERS if tier != "none"]


def test_short_words_in_the_tiers_do_not_cut_the_folds(tmp_path):
    recording = make_recording(tmp_path / "mouse", tiers=["train", "none"])
    assert np.load(recording.folder / "meta/trials/tiers.npy").dtype == "<U5"  # "fold_0" has six letters
    word, other = recording.folds()
    assert splits.is_fold(word)
    assert other == "none"


@pytest.mark.parametrize(
    ("change", "hashed"), [(lambda mine: mine, independent_opening_hash), (of_others, independent_hash)]
)
def test_the_folds_are_kept_with_how_they_came_about(tmp_path, change, hashed):
    recording = change(make_recording(tmp_path / "mouse", tiers=["train", "none", "oracle"]))
    file = recording.folder / "meta/trials/folds.json"
    assert not file.exists()
    words = recording.folds()
    kept = json.loads(file.read_text())
    assert kept["words"] == words
    assert kept["hashes"][1] is None
    for index in (0, 2):
        assert int(kept["hashes"][index], 16) == hashed(recording.trials[index].video)
        assert words[index] == f"fold_{int(kept['hashes'][index], 16) % 7}"
    assert {"ImageHash", "Pillow", "numpy", "scipy"} == set(kept["versions"])
    assert "perceptual hash" in kept["method"]


def test_another_library_version_cannot_move_the_test_set(tmp_path, monkeypatch):
    recording = make_recording(tmp_path / "mouse", tiers=["train"] * 5)
    words = recording.folds()
    monkeypatch.setattr(splits, "_frame_hash", lambda frame: int(frame[0, 0]))
    assert open_recording(recording.folder).folds() == words
    (recording.folder / "meta/trials/folds.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such hashes are all alike
        assert open_recording(recording.folder).folds() != words


def test_given_folds_are_kept_as_they_are(tmp_path):
    recording = make_recording(tmp_path / "mouse", tiers=["train", "none"], folds=["fold_12", "none"])
    assert open_recording(recording.folder).folds() == ["fold_12", "none"]
    assert "hashes" not in json.loads((recording.folder / "meta/trials/folds.json").read_text())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"words": ["fold_1"]}', "1 words for 2 trials"),
        (
            '{"words": ["fold_1", "train"]}',
            "trial 1 has 'train'; it must have a fold such as 'fold_3', or its tier, 'none'",
        ),
        ('{"words": ["fold_", "none"]}', "trial 0 has 'fold_'"),
        ('{"words": [1, "none"]}', "trial 0 has 1"),
        ('{"words": "fold_1"}', "no list of words"),
        ("{}", "no list of words"),
        ("[]", "must be an object"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_a_folds_file_that_does_not_fit_is_refused(tmp_path, content, message):
    recording = make_recording(tmp_path / "mouse", tiers=["train", "none"])
    (recording.folder / "meta/trials/folds.json").write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        recording.folds()
    assert "delete it" in str(raised.value)


def test_a_folder_that_may_not_be_written_warns_once(tmp_path, monkeypatch):
    @contextmanager
    def refuse(target, **_):
        raise ResourceError(f"{target.parent} is not writable")
        yield

    recording = make_recording(tmp_path / "mouse", tiers=["train"] * 3)
    monkeypatch.setattr(splits, "atomic_path", refuse)
    with pytest.warns(UserWarning, match="folds of mouse cannot be stored"):
        words = recording.folds()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recording.folds() == words  # remembered, no second warning
    assert not (recording.folder / "meta/trials/folds.json").exists()


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (np.zeros((4, 3, 3)), r"shape \(4, 3, 3\) has no hash.*at least 5 frames"),
        (np.zeros((9, 3)), "has no hash"),
        (np.full((9, 3, 3), np.nan), "no hash|NaN"),
        (np.full((9, 3, 3), 256), "0..255"),
        (np.full((9, 3, 3), -1), "0..255"),
    ],
)
def test_what_cannot_be_hashed_is_refused(video, message):
    with pytest.raises(InputError, match=message):
        video_hash(video)


def test_the_trial_that_cannot_be_hashed_is_named(tmp_path):
    recording = make_recording(
        tmp_path / "mouse", tiers=["train", "oracle"], movies=[np.zeros((9, 3, 3)), np.zeros((4, 3, 3))]
    )
    with pytest.raises(InputError, match="trial 1 of mouse: a movie of shape"):
        recording.folds()
    assert not (recording.folder / "meta/trials/folds.json").exists()
