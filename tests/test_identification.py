"""Identification of frames and clips against counting by brute force."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.evaluation.identification import _chance_of_being_chosen

HEIGHT, WIDTH, FRAMES = 5, 6, 40


def movies(count: int = 4, *, noise: float = 60, seed: int = 0, frames: int = FRAMES) -> tuple[list[Any], list[Any]]:
    random = np.random.default_rng(seed)
    truths = [random.uniform(0, 255, (frames, HEIGHT, WIDTH)) for _ in range(count)]
    return truths, [truth + random.normal(0, noise, truth.shape) for truth in truths]


def by_hand(truths: Any, videos: Any, masks: Any, *, ways: int, clip: int, every: int, skip: int) -> list[list[float]]:
    """Accuracy of each piece, movie by movie: every set of wrong candidates is tried."""
    pieces = [
        (number, start) for number, truth in enumerate(truths) for start in range(skip, len(truth) - clip + 1, every)
    ]
    found: list[list[float]] = [[] for _ in truths]
    for own in pieces:
        mask = masks[own[0]]
        video = videos[own[0]][own[1] : own[1] + clip][:, mask].ravel()
        likeness = {
            (number, start): np.corrcoef(video, truths[number][start : start + clip][:, mask].ravel())[0, 1]
            for number, start in pieces
        }
        draws = list(combinations([piece for piece in pieces if piece != own], ways - 1))
        won = [all(likeness[own] > likeness[other] for other in draw) for draw in draws]
        found[own[0]].append(float(np.mean(won)))
    return found


@pytest.mark.parametrize(("ways", "clip", "every"), [(2, 1, 10), (3, 1, 17), (4, 4, 12), (2, 9, 9)])
def test_every_draw_by_brute_force(ways: int, clip: int, every: int) -> None:
    truths, videos = movies(3, noise=300 * np.sqrt(clip))
    random = np.random.default_rng(1)
    masks = [random.random((HEIGHT, WIDTH)) > 0.4 for _ in truths]
    found = nr.identify(truths, videos, ways=ways, clip_frames=clip, every=every, mask=masks, skip=3)
    expected = by_hand(truths, videos, masks, ways=ways, clip=clip, every=every, skip=3)
    assert found.by_movie == pytest.approx([np.mean(each) for each in expected])
    assert found.accuracy == pytest.approx(np.mean(np.concatenate(expected)))
    assert found.pieces == sum(map(len, expected))
    assert found.chance == 1 / ways
    assert 0.3 < found.accuracy < 0.999, "too easy or too hard to tell anything"


def test_among_all_candidates_it_is_the_share_of_first_ranks() -> None:
    truths, videos = movies(4, noise=250)
    found = nr.identify(truths, videos, ways=None, every=5, skip=0)
    true = np.concatenate([each[::5] for each in truths]).reshape(-1, HEIGHT * WIDTH)
    shown = np.concatenate([each[::5] for each in videos]).reshape(-1, HEIGHT * WIDTH)
    likeness = np.corrcoef(shown, true)[: len(shown), len(shown) :]
    assert found.ways == len(true) == 32
    assert found.accuracy == pytest.approx((likeness.argmax(axis=1) == np.arange(len(true))).mean())


def test_perfect_grey_and_unrelated_movies() -> None:
    truths, _ = movies(6)
    perfect = nr.identify(truths, truths, ways=None, every=4, skip=0)
    assert (perfect.accuracy, perfect.low, perfect.high) == (1, 1, 1)
    grey = [np.full_like(truth, 127.5) for truth in truths]
    for ways in (2, 7):
        assert nr.identify(truths, grey, ways=ways, every=4, skip=0).accuracy == pytest.approx(1 / ways)
    unrelated = nr.identify(truths, movies(6, seed=9)[0], every=1, skip=0)
    assert unrelated.low < 0.5 < unrelated.high


def test_more_candidates_are_harder_and_longer_clips_easier() -> None:
    truths, videos = movies(4, noise=400)
    by_ways = [nr.identify(truths, videos, ways=ways, every=5, skip=0).accuracy for ways in (2, 5, 20)]
    assert by_ways == sorted(by_ways, reverse=True)
    clips = nr.identify(truths, videos, ways=5, clip_frames=5, every=5, skip=0)
    assert clips.accuracy > by_ways[1]


def test_a_movie_that_was_shown_twice_is_no_wrong_candidate() -> None:
    truths, videos = movies(3)
    once = nr.identify(truths, truths, every=40, ways=None, skip=0)
    twice = nr.identify([*truths, truths[0]], [*videos, videos[0]], every=40, ways=3, skip=0)
    assert once.ways == 3
    assert twice.accuracy == 1
    with pytest.raises(InputError, match="2 to 3 candidates"):  # two wrong ones beside the movie shown twice
        nr.identify([*truths, truths[0]], [*videos, videos[0]], every=40, ways=4, skip=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(2, 8))
def test_choice_among_tied_candidates(better: int, tied: int, worse: int, ways: int) -> None:
    candidates = [1] * better + [0] * tied + [-1] * worse
    if ways - 1 > len(candidates):
        return
    draws = list(combinations(candidates, ways - 1))
    expected = np.mean([0 if 1 in draw else 1 / (1 + draw.count(0)) for draw in draws])
    counts = (np.array([each]) for each in (better, tied, len(candidates)))
    names = ("better", "tied", "wrong")
    assert _chance_of_being_chosen(**dict(zip(names, counts, strict=True)), ways=ways) == pytest.approx(expected)


def test_interval_is_that_of_movies() -> None:
    """Of movies that are all good or all bad, the interval must be wide, however many frames they have."""
    truths, videos = movies(8, noise=1)
    bad = movies(8, seed=5)[0]
    mixed = [videos[number] if number % 2 else bad[number] for number in range(8)]
    found = nr.identify(truths, mixed, ways=10, every=1, skip=0)
    assert found == nr.identify(truths, mixed, ways=10, every=1, skip=0)
    assert found.low < found.accuracy < found.high
    spread = np.std(found.by_movie) / np.sqrt(8)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert str(found).startswith("10-way frame identification: 0.")
    assert "n = 320 frames of 8 movies" in str(found)
    alone = nr.identify(truths[:1], videos[:1], skip=0, every=1, clip_frames=1)
    assert np.isnan(alone.low)
    assert "interval" not in str(alone)


def test_masks_of_two_sizes_mean_what_they_mean_to_the_scores() -> None:
    truths, videos = movies(3, noise=300)
    small = np.random.default_rng(2).random((3, HEIGHT, WIDTH)) > 0.4
    on_canvas = np.pad(small[1], ((2, 2), (1, 1)))
    mixed = nr.identify(truths, videos, mask=[small[0], on_canvas, small[2]], every=4, skip=0)
    for alike in (list(small), small):
        assert mixed == nr.identify(truths, videos, mask=alike, every=4, skip=0)
    one = nr.identify(truths, videos, mask=small[0], every=4, skip=0)
    assert one == nr.identify(truths, videos, mask=small[0].tolist(), every=4, skip=0) != mixed
    with pytest.raises(InputError, match="got 0 masks"):
        nr.identify(truths, videos, mask=[])


def test_refusals() -> None:
    truths, videos = movies(2)
    with pytest.raises(InputError, match="1 <= clip_frames <= every"):
        nr.identify(truths, videos, clip_frames=31)
    with pytest.raises(InputError, match="as many"):
        nr.identify(truths, videos[:1])
    with pytest.raises(InputError, match="got 1 masks"):
        nr.identify(truths, videos, mask=[np.ones((HEIGHT, WIDTH))])
    with pytest.raises(InputError, match="2 candidates"):
        nr.identify(truths, videos, ways=3, every=40, skip=0)
    with pytest.raises(InputError, match="fewer than clip_frames"):
        nr.identify(truths, videos, clip_frames=20, skip=30)
    with pytest.raises(InputError, match="one size"):
        nr.identify([truths[0], truths[1][:, :3]], [videos[0], videos[1][:, :3]])
    with pytest.raises(InputError, match="NaN"):
        nr.identify([truths[0] * np.nan, truths[1]], videos)
