"""What DwiseNeuro trains on: clips of several recordings, CutMix, batches shared among passes and devices."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroreel as nr
from mice import HEIGHT, SIZES, WIDTH, made_up_mice
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.training.batches import Box, RandomClips, Share, draw_box, shares_of
from neuroreel.encoding.training.recipe import resolve_recipe
from neuroreel.encoding.training.store import TrialStore


def untrained(neurons: tuple[int, ...]) -> DwiseNeuro:
    config = DwiseNeuroConfig(readout_neurons=neurons, **SIZES)  # type: ignore[arg-type]
    return DwiseNeuro(DwiseNeuroNetwork(config), readout=0, video_size=(HEIGHT, WIDTH))


def clips_of(trials: dict[str, list[nr.Trial]], *, seed: int = 0, **changes: Any) -> RandomClips:
    model = untrained(tuple(each[0].neurons for each in trials.values()))
    stores = [TrialStore(each, show_progress=False) for each in trials.values()]
    recipe = resolve_recipe("dwiseneuro", {"batch_size": 4, **changes})
    return RandomClips(stores, model=model, recipe=recipe, seed=seed)


def clock_trial(frames: int, neurons: int = 2) -> nr.Trial:
    """Movie, behaviour and responses all say the number of the frame."""
    clock = np.arange(frames, dtype=np.float32)
    return nr.Trial(
        video=np.broadcast_to(clock[:, None, None], (frames, HEIGHT, WIDTH)),
        responses=np.broadcast_to(clock, (neurons, frames)),
        behavior=np.broadcast_to(clock, (2, frames)),
        pupil_center=np.broadcast_to(clock, (2, frames)),
        frame_rate_hz=30.0,
    )


def test_clips_are_16_frames_every_second_one_from_anywhere() -> None:
    clips = clips_of({"mouse": [clock_trial(31 + 3)]}, batch_size=40, cutmix_probability=0.0)
    batch = clips[Share(0)]
    assert batch.video.shape == (40, 16, HEIGHT, WIDTH) and batch.video.dtype == torch.uint8
    frames = batch.video[:, :, 0, 0].float()
    assert torch.equal(frames - frames[:, :1], torch.arange(0, 32, 2).float().expand(40, -1))
    assert set(frames[:, 0].tolist()) == {0, 1, 2, 3}  # every place there is, the last one too
    assert torch.equal(batch.covariates, frames[:, None].expand(-1, 4, -1))
    (responses,) = batch.responses
    assert torch.equal(responses, frames[:, :, None].expand(-1, -1, 2))


def test_clips_are_drawn_independently() -> None:
    clips = clips_of(made_up_mice((3,), trials=3), batch_size=200, cutmix_probability=0.5)
    drawn = clips.draw(0)
    trials = Counter(clip.place.trial for clip in drawn)
    assert all(40 < trials[index] < 95 for index in range(3))
    assert 70 < sum(clip.box is not None for clip in drawn) < 130
    starts = np.array([clip.place.start for clip in drawn])
    assert abs(np.corrcoef(starts[:-1], starts[1:])[0, 1]) < 0.2


@settings(max_examples=30, deadline=None)
@given(recordings=st.integers(1, 7), batch_size=st.integers(1, 9), batches=st.integers(1, 12))
def test_recordings_are_drawn_equally(recordings: int, batch_size: int, batches: int) -> None:
    clips = clips_of(made_up_mice(tuple(range(1, recordings + 1)), trials=1), batch_size=batch_size)
    drawn = [clip.recording for number in range(batches) for clip in clips.draw(number)]
    counts = Counter(drawn)
    assert len(drawn) == batch_size * batches
    assert max(counts.values()) - min(counts[k] for k in range(recordings)) <= 1


def test_the_order_of_recordings_is_random() -> None:
    clips = clips_of(made_up_mice((1, 2, 3), trials=1), batch_size=3)
    assert len({tuple(clip.recording for clip in clips.draw(number)) for number in range(60)}) == 6


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    trials = made_up_mice()
    clips, again = clips_of(trials), clips_of(trials)
    again[Share(3)]
    assert equal(clips[Share(7)], again[Share(7)])
    assert not equal(clips[Share(7)], clips[Share(8)])
    assert not equal(clips[Share(7)], clips_of(trials, seed=1)[Share(7)])


def test_shares_make_up_the_batch() -> None:
    """Passes and devices: each sample in one of them, with what belongs to it."""
    clips = clips_of(made_up_mice((5, 7, 2)), batch_size=12)
    whole = clips[Share(2)]
    shares = [clips[Share(2, part, 3)] for part in range(3)]
    for part, share in enumerate(shares):
        assert torch.equal(share.video, whole.video[part::3])
        for k in range(3):
            mine = [i for i, row in enumerate(whole.rows[k].tolist()) if row % 3 == part]
            assert torch.equal(share.rows[k] * 3 + part, whole.rows[k][mine])
            assert torch.equal(share.responses[k], whole.responses[k][mine] if mine else torch.empty(0))
    assert sum(len(share.pasted) for share in shares) == len(whole.pasted) > 0


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 1), (2, 1), (3, 2)])
def test_processes_share_every_batch(processes: int, accumulate: int) -> None:
    drawn = []
    for rank in range(processes):
        mine = shares_of(range(10, 15), accumulate=accumulate, rank=rank, processes=processes)
        assert [share.batch for share in mine] == [n for n in range(10, 15) for _ in range(accumulate)]
        drawn += mine
    parts = processes * accumulate
    assert sorted(drawn) == [Share(number, part, parts) for number in range(10, 15) for part in range(parts)]


# --- CutMix ---


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), height=st.integers(1, 64), width=st.integers(1, 64), alpha=st.floats(0.1, 5.0))
def test_boxes_lie_on_the_canvas(seed: int, height: int, width: int, alpha: float) -> None:
    box = draw_box(np.random.default_rng(seed), height=height, width=width, alpha=alpha)
    assert 0 <= box.top <= box.bottom <= height and 0 <= box.left <= box.right <= width
    assert box.area == (box.bottom - box.top) * (box.right - box.left)


def test_sizes_of_boxes() -> None:
    """With alpha 1 the box has a share U of the canvas, uniform in 0..1, before the edges cut it.

    A side s of a box whose middle is uniform keeps s - s^2 / 4, so of the area E[(s - s^2 / 4)^2] is left, s^2 = U.
    """
    rng = np.random.default_rng(0)
    areas = [draw_box(rng, height=512, width=512, alpha=1.0).area / 512**2 for _ in range(4000)]
    s = np.sqrt((np.arange(100_000) + 0.5) / 100_000)
    assert np.mean(areas) == pytest.approx(((s - s**2 / 4) ** 2).mean(), abs=0.01)


def test_the_box_is_cut_from_the_assembled_input() -> None:
    """Behaviour and padding are pasted with the movie; responses are mixed by the area that was pasted."""
    trials = {"mouse": [clock_trial(60), clock_trial(80)]}
    clips = clips_of(trials, batch_size=16, cutmix_probability=1.0)
    model, drawn, batch = untrained((2,)), clips.draw(5), clips[Share(5)]
    inputs = batch.inputs(model)
    assert inputs.shape == (16, 5, 16, *model.canvas.size)
    for row, clip in enumerate(drawn):
        assert clip.other is not None and clip.box is not None
        own, other = (torch.arange(place.start, place.start + 32, 2).float() for place in (clip.place, clip.other))
        top, bottom, left, right = clip.box
        inside = torch.zeros(model.canvas.size, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        behavior = torch.where(inside, other[:, None, None], own[:, None, None])
        assert torch.equal(inputs[row, 1:], behavior.expand(4, -1, -1, -1))
        video = behavior.clone()
        video[:, : model.canvas.top] = video[:, model.canvas.top + HEIGHT :] = 0
        assert torch.equal(inputs[row, 0], video)
        share = inside.float().mean()
        wanted = (own * (1 - share) + other * share)[:, None].expand(-1, 2)
        torch.testing.assert_close(batch.responses[0][row], wanted)
    assert len({clip.box.area for clip in drawn if clip.box}) > 8


def test_an_empty_box_changes_nothing() -> None:
    target, source = torch.zeros(2, 4, 4), torch.ones(2, 4, 4)
    Box(2, 2, 0, 4).paste(target, source)
    assert not target.any()
    Box(1, 3, 0, 1).paste(target, source)
    assert target.sum() == 4
