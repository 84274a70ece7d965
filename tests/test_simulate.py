"""The simulated mouse: its movies, receptive fields, responses and files."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroreel.errors import InputError
from neuroreel.recordings import Recording, open_recording
from neuroreel.recordings.disk import read_json
from neuroreel.recordings.simulate import SimulatedTruth, load_truth, simulate
from neuroreel.recordings.simulate.behavior import Behavior, simulate_behavior
from neuroreel.recordings.simulate.calcium import image
from neuroreel.recordings.simulate.mouse import _draw_movie_of_fold
from neuroreel.recordings.simulate.population import Population, draw_population
from neuroreel.recordings.simulate.processes import Stream, fluctuations, generator, low_pass
from neuroreel.recordings.simulate.receptive_fields import KINDS, ReceptiveFields
from neuroreel.stimuli.movies import draw_movie, render
from neuroreel.stimuli.photographs import photographs_of_fold
from neuroreel.stimuli.screen import Screen

Array = np.ndarray[Any, Any]
SMALL: dict[str, Any] = {"trials": 9, "seconds": 2.0, "neurons": 40, "progress": False}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return simulate(tmp_path_factory.mktemp("simulated") / "mouse", seed=3, repeats=4, **SMALL)


@pytest.fixture(scope="module")
def truth(recording: Recording) -> SimulatedTruth:
    return load_truth(recording.folder)


@pytest.fixture(scope="module")
def population() -> Population:
    movies = [draw_movie(np.random.default_rng(k), fold=k % 7, frames=120) for k in range(7)]
    return draw_population(np.random.default_rng(0), neurons=120, movies=movies, signal_to_noise=0.4)


@pytest.fixture(scope="module")
def trial(population: Population) -> tuple[Array, Behavior]:
    """A movie of 20 s, and a session's behaviour around it."""
    video = np.concatenate([render(draw_movie(np.random.default_rng(50 + k), fold=k, frames=120)) for k in range(5)])
    behavior = simulate_behavior(np.random.default_rng(1), frames=population.period(len(video)), frame_rate_hz=30)
    return video, behavior


def rows_correlate(a: Array, b: Array) -> Array:
    """Pearson correlation of each row of two arrays."""
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a.astype(float), b.astype(float)))
    return np.asarray((a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1)))


def at_rest(frames: int) -> Behavior:
    return Behavior(pupil=np.full(frames, 30.0), running=np.zeros(frames), pupil_center=np.zeros((2, frames)))


# --- the recording -------------------------------------------------------------------------------------------------


def test_recording_has_the_sensorium_layout(recording: Recording) -> None:
    assert recording.neurons == 40
    assert recording.video_size == (36, 64)
    assert recording.frame_rate_hz == 30
    assert recording.tiers == ("train",) * 9 + ("oracle",) * 4
    trial = recording.trials[0]
    assert trial.frames == 60
    assert trial.behavior is not None
    assert trial.behavior.shape == (2, 60)
    assert trial.pupil_center is not None
    assert trial.pupil_center.shape == (2, 60)
    assert trial.responses is not None
    assert trial.responses.min() >= 0
    assert recording.coordinates is not None
    assert recording.coordinates.shape == (40, 3)


def test_hash_folds_are_the_folds_of_the_photographs(recording: Recording) -> None:
    """The published rule, computed anew from the files, agrees with the photographs that were shown."""
    (recording.folder / "meta" / "trials" / "folds.json").unlink()
    words = open_recording(recording.folder).folds()
    counts = Counter(words[:9])
    assert set(counts) == {f"fold_{k}" for k in range(7)}
    assert set(counts.values()) == {1, 2}
    screen = {"frames": 60, "height": 36, "width": 64, "frame_rate_hz": 30.0}
    for index, word in enumerate(words[:9]):
        fold = int(word.removeprefix("fold_"))
        movie = _draw_movie_of_fold(generator(3, Stream.MOVIE, index), fold=fold, screen=screen)  # type: ignore[arg-type]
        assert np.array_equal(render(movie), recording.trials[index].needs_video())
        assert {scene.photograph for scene in movie.scenes} <= set(photographs_of_fold(fold))


def test_repeats_show_one_movie_with_other_noise(recording: Recording) -> None:
    repeats = recording.trials[9:]
    assert recording.folds()[9:] == ["fold_0"] * 4
    assert all(np.array_equal(trial.video, repeats[0].video) for trial in repeats)  # type: ignore[arg-type]
    assert not np.array_equal(repeats[0].needs_responses(), repeats[1].needs_responses())


def test_same_seed_gives_the_same_files(recording: Recording, tmp_path: Path) -> None:
    again = simulate(tmp_path / "again", seed=3, repeats=4, **SMALL)
    files = sorted(file.relative_to(recording.folder) for file in recording.folder.rglob("*.npy"))
    assert len(files) > 4 * 13
    for file in files:
        assert (again.folder / file).read_bytes() == (recording.folder / file).read_bytes(), file


def test_another_seed_gives_another_mouse(recording: Recording, tmp_path: Path) -> None:
    other = simulate(tmp_path / "other", seed=4, **SMALL)
    for field in ("video", "responses", "behavior", "pupil_center"):
        assert not np.array_equal(getattr(other.trials[0], field), getattr(recording.trials[0], field)), field
    assert not np.array_equal(
        load_truth(other.folder).receptive_fields.centers, load_truth(recording.folder).receptive_fields.centers
    )


def test_more_neurons_leave_movies_and_behavior_as_they_are(recording: Recording, tmp_path: Path) -> None:
    other = simulate(tmp_path / "other", seed=3, **{**SMALL, "neurons": 7})
    for index in (0, 8):
        a, b = other.trials[index], recording.trials[index]
        assert np.array_equal(a.needs_video(), b.needs_video())
        assert a.behavior is not None
        assert b.behavior is not None
    assert other.neurons == 7


def test_it_says_that_it_is_simulated(recording: Recording) -> None:
    kept = read_json(recording.folder / "meta" / "simulation.json")
    assert kept["simulated"] is True
    assert "nothing in here was recorded from an animal" in kept["remark"]
    assert kept["name"].startswith("simulated")
    assert kept["seed"] == 3
    assert kept["signal_to_noise"] == 0.4
    assert kept["photographs"]["0"] == list(photographs_of_fold(0))


def test_another_frame_size_and_rate(tmp_path: Path) -> None:
    recording = simulate(tmp_path / "small", height=24, width=32, frame_rate_hz=15.0, **SMALL)
    assert recording.video_size == (24, 32)
    assert recording.frame_rate_hz == 15
    truth = load_truth(recording.folder)
    trial = recording.trials[0]
    assert trial.frames == 30
    expected = truth.expected_responses(0)
    assert expected.shape == (40, 30)
    # The screen is as large as ever: the patch covers the same share of it.
    assert truth.coverage().shape == (24, 32)
    assert truth.receptive_fields.centers[:, 1].std() / 32 == pytest.approx(
        29 / Screen().degrees_per_pixel(64) / 64, rel=0.3
    )


# --- what cannot be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"neurons": 0}, "neurons is 0; it must be a whole number, at least 1"),
        ({"neurons": 2.5}, "neurons is 2.5; it must be a whole number"),
        ({"trials": 6}, "trials is 6; it must be a whole number, at least 7, one for each fold"),
        ({"seconds": -1.0}, "seconds is -1.0; it must be a positive number"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"seconds": 0.1}, "are 3 frames; a movie needs at least 5"),
        ({"seconds": "long"}, "seconds is 'long'"),
        ({"frame_rate_hz": 0}, "frame_rate_hz is 0"),
        ({"signal_to_noise": float("inf")}, "signal_to_noise is inf"),
        ({"seed": -1}, "seed is -1"),
        ({"repeats": -2}, "repeats is -2"),
        ({"height": 2}, "height is 2"),
        ({"name": "mouse 7"}, "must start with 'simulated'"),
    ],
)
def test_impossible_numbers_are_refused_before_work_starts(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    started = time.process_time()
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        simulate(tmp_path / "mouse", **{**SMALL, **wrong})
    assert time.process_time() - started < 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "mouse").mkdir()
    (tmp_path / "mouse" / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="not overwritten"):
            simulate(tmp_path / "mouse", overwrite=overwrite, **SMALL)
    assert [file.name for file in tmp_path.rglob("*")] == ["mouse", "thesis.txt"]


def test_a_simulation_that_stops_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    respond, calls = Population.respond, []

    def stop_at_the_third(self: Population, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return respond(self, *arguments)

    monkeypatch.setattr(Population, "respond", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "mouse", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_real_recordings_have_no_truth(tmp_path: Path, recording: Recording) -> None:
    with pytest.raises(InputError, match="is not a simulated recording"):
        load_truth(tmp_path)
    with pytest.raises(InputError, match="trials 0 to 12; there is no trial 13"):
        load_truth(recording.folder).expected_responses(13)


# --- receptive fields ----------------------------------------------------------------------------------------------


def test_truth_is_what_was_simulated(truth: SimulatedTruth, recording: Recording) -> None:
    """Responses drawn anew from the files on disk equal those in the recording."""
    for index in (0, 5, 10):
        trial = recording.trials[index]
        behavior = truth.population.behavior_of(index, truth.behavior, frames=trial.frames)
        responses = truth.population.respond(generator(3, Stream.NOISE, index), trial.needs_video(), behavior)
        assert np.array_equal(responses, trial.needs_responses())
        shown = slice(truth.population.lead, truth.population.lead + trial.frames)
        assert np.array_equal(behavior.channels[:, shown], trial.behavior)  # type: ignore[arg-type]


def test_population_is_diverse(population: Population) -> None:
    fields_ = population.fields
    for kind, share in KINDS.items():
        assert (fields_.kind == kind).mean() == pytest.approx(share, abs=0.01)
    striped = fields_.spatial_frequency > 0
    assert set(fields_.kind[striped]) == {"simple", "complex"}
    assert np.ptp(fields_.size_deg) > 3
    assert fields_.spatial_frequency[striped].min() >= 0.012
    assert fields_.spatial_frequency[striped].max() <= 0.148  # what 3.4 degrees a pixel can show
    assert np.ptp(fields_.temporal_frequency) > 2
    assert len(np.unique(fields_.orientation)) == len(fields_.orientation)


def test_a_spot_drives_unoriented_cells_most_in_the_centre(population: Population) -> None:
    fields_ = population.fields
    rows, columns = np.indices((36, 64))
    for kind, grey in (("on", 255.0), ("off", 0.0)):
        for neuron in np.flatnonzero(fields_.kind == kind)[:5]:
            center = fields_.centers[neuron]
            peaks = []
            for shift in ((0, 0), (3, 0), (-3, 0), (0, 3), (0, -3)):
                spot = np.hypot(rows - center[0] - shift[0], columns - center[1] - shift[1]) < 1.5
                video = np.repeat(np.where(spot, grey, 127.5)[None], 20, axis=0)
                peaks.append(fields_.drive(video)[neuron].max())
            assert peaks[0] == max(peaks)
            assert peaks[0] > 0


def test_reverse_correlation_finds_the_true_filters(population: Population) -> None:
    """Stimuli averaged by response over white noise give a phase-sensitive cell's filter (Chichilnisky 2001)."""
    noise = np.random.default_rng(2).choice([0.0, 255.0], (6000, 36, 64)).astype(np.float32)
    fields_ = population.fields
    rates = population.rates(fields_.drive(noise), at_rest(6000))
    flat = noise.reshape(6000, -1) - 127.5
    similar, located = [], []
    for neuron in np.flatnonzero(fields_.kind != "complex"):
        averages = np.stack(
            [(rates[neuron, lag:] - rates[neuron].mean()) @ flat[: 6000 - lag] for lag in range(population.lead // 3)]
        )
        average = averages[np.argmax(np.abs(averages).max(axis=1))]
        true = _filter_at(fields_, int(neuron), lag=int(np.argmax(np.abs(averages).max(axis=1))))
        inside = fields_.envelopes[neuron].ravel() > 0.1
        similar.append(np.corrcoef(average[inside], true[inside])[0, 1])
        located.append(inside[np.argmax(np.abs(average))])
    assert np.median(similar) > 0.85
    assert np.mean(located) > 0.9


def _filter_at(fields_: ReceptiveFields, neuron: int, *, lag: int) -> Array:
    """(pixels,) what a phase-sensitive cell looked for ``lag`` frames ago, from the truth."""
    cos, sin = np.cos(fields_.phase[neuron]), np.sin(fields_.phase[neuron])
    even, odd = fields_.even[neuron].ravel(), fields_.odd[neuron].ravel()
    late = fields_.direction_selectivity[neuron] * fields_.late[neuron, lag]
    return np.asarray((cos * even + sin * odd) * fields_.early[neuron, lag] + (cos * odd - sin * even) * late)


def gratings(fields_: ReceptiveFields, neuron: int, *, phase: float, hertz: float) -> Array:
    """(120, 36, 64) a grating as the neuron likes it, drifting."""
    degrees = Screen().degrees_per_pixel(64)
    rows, columns = (
        (np.arange(size) - center) * degrees for size, center in zip((36, 64), fields_.centers[neuron], strict=True)
    )
    angle = fields_.orientation[neuron]
    across = columns[None, :] * np.cos(angle) + rows[:, None] * np.sin(angle)
    time_s = np.arange(120)[:, None, None] / 30
    argument = 2 * np.pi * (fields_.spatial_frequency[neuron] * across - hertz * time_s) + phase
    return np.asarray(127.5 + 60 * np.cos(argument))


def test_energy_cells_do_not_care_about_phase_and_simple_cells_do(population: Population) -> None:
    """Modulation ratio F1/F0 of the rate to a drifting grating: below 1 for complex cells (Skottun et al. 1991)."""
    fields_ = population.fields
    ratios: dict[str, list[float]] = {"simple": [], "complex": []}
    for kind, list_ in ratios.items():
        inside = (np.abs(fields_.centers - [17.5, 31.5]) < [9, 20]).all(axis=1)
        for neuron in np.flatnonzero((fields_.kind == kind) & inside)[:12]:
            drive = fields_.drive(gratings(fields_, neuron, phase=0.0, hertz=2.0))[neuron, 60:]
            rate = np.maximum(drive, 0)
            spectrum = np.abs(np.fft.rfft(rate))
            list_.append(2 * spectrum[4] / spectrum[0])  # two cycles a second for two seconds
    assert len(ratios["complex"]) > 8
    assert max(ratios["complex"]) < 0.5
    assert min(ratios["simple"]) > 1.0


def test_static_phases_drive_energy_cells_alike(population: Population) -> None:
    fields_ = population.fields
    for neuron in np.flatnonzero(fields_.kind == "complex")[:8]:
        phases = [
            fields_.drive(gratings(fields_, neuron, phase=phase, hertz=0.0))[neuron].max()
            for phase in np.linspace(0, 2 * np.pi, 5)[:-1]
        ]
        assert max(phases) < 1.35 * min(phases)


def test_direction_selective_cells_prefer_one_direction(population: Population) -> None:
    fields_ = population.fields
    chosen = np.flatnonzero(fields_.kind == "complex")
    preference = []
    for neuron in chosen:
        there, back = (
            fields_.drive(gratings(fields_, int(neuron), phase=0.0, hertz=sign * fields_.temporal_frequency[neuron]))[
                neuron, 60:
            ].mean()
            for sign in (1, -1)
        )
        preference.append(abs(there - back) / (there + back))
    assert np.corrcoef(preference, fields_.direction_selectivity[chosen])[0, 1] > 0.8


def test_coverage_shows_where_the_population_looks(truth: SimulatedTruth) -> None:
    coverage = truth.coverage()
    assert coverage.shape == (36, 64)
    assert coverage.min() >= 0
    assert coverage.max() <= 1
    rows, columns = np.indices(coverage.shape)
    middle = np.array([(rows * coverage).sum(), (columns * coverage).sum()]) / coverage.sum()
    assert middle == pytest.approx(truth.receptive_fields.centers.mean(axis=0), abs=1.5)
    assert coverage[:3, :3].max() == 0  # nobody looks into the corner
    # Independently: an envelope is 1 at its centre and falls to exp(-1/2) one deviation away.
    fields_ = truth.receptive_fields
    for neuron in np.flatnonzero(fields_.elongation == 1)[:3]:
        row, column = np.rint(fields_.centers[neuron]).astype(int)
        distance = np.hypot(*(fields_.centers[neuron] - (row, column))) * Screen().degrees_per_pixel(64)
        expected = np.exp(-0.5 * (distance / fields_.size_deg[neuron]) ** 2)
        assert fields_.envelopes[neuron, row, column] == pytest.approx(expected, rel=1e-4)


def test_drive_is_causal_and_grey_drives_nothing(population: Population) -> None:
    video = np.full((40, 36, 64), 127.5, np.float32)
    assert np.abs(population.fields.drive(video)).max() < 1e-6
    video[20:] = 255
    drive = population.fields.drive(video)
    assert np.abs(drive[:, :20]).max() < 1e-6
    assert np.abs(drive[:, 20:]).max() > 0.1


# --- responses -----------------------------------------------------------------------------------------------------


def test_mean_of_many_trials_is_the_expected_response(population: Population, trial: tuple[Array, Behavior]) -> None:
    video, behavior = trial
    expected = population.expect(video, behavior)
    repeats = [population.respond(np.random.default_rng(k), video, behavior) for k in range(60)]
    means = np.stack([repeat.mean(axis=1) for repeat in repeats])
    error = means.std(axis=0) / np.sqrt(60)
    assert np.all(np.abs(means.mean(axis=0) - expected.mean(axis=1)) < 5 * error)
    assert means.mean() == pytest.approx(expected.mean(), rel=0.02)
    assert np.median(rows_correlate(np.mean(repeats, axis=0), expected)) > 0.95


def test_expected_responses_correlate_as_planned(population: Population, trial: tuple[Array, Behavior]) -> None:
    video, behavior = trial
    expected = population.expect(video, behavior)
    single = population.respond(np.random.default_rng(0), video, behavior)
    oracle = rows_correlate(single, expected)
    assert 0.42 < oracle.mean() < 0.66
    assert np.std(oracle) > 0.07  # neurons differ
    quiet = replace(population, event_size=population.event_size / 10, shared=population.shared / 10)
    assert rows_correlate(quiet.respond(np.random.default_rng(0), video, behavior), expected).mean() > 0.85


@pytest.mark.parametrize("ratio", [0.3, 3.0])
def test_signal_to_noise_is_an_argument(ratio: float) -> None:
    movies = [draw_movie(np.random.default_rng(k), fold=k % 7, frames=120) for k in range(7)]
    population = draw_population(np.random.default_rng(0), neurons=60, movies=movies, signal_to_noise=ratio)
    video = render(draw_movie(np.random.default_rng(9), fold=2, frames=600))
    behavior = simulate_behavior(np.random.default_rng(1), frames=population.period(600), frame_rate_hz=30)
    expected = population.expect(video, behavior)
    noise = population.respond(np.random.default_rng(0), video, behavior) - expected
    measured = np.median(expected.var(axis=1) / noise.var(axis=1))
    assert measured == pytest.approx(ratio, rel=0.6)  # one movie of 20 s, not those it was set on


def test_running_and_pupil_raise_responses(population: Population, trial: tuple[Array, Behavior]) -> None:
    video, _ = trial
    frames = population.period(len(video))
    rest = population.expect(video, at_rest(frames))
    running = replace(at_rest(frames), running=np.full(frames, 20.0))
    wide = replace(at_rest(frames), pupil=np.full(frames, 36.0))
    for behavior, gain in ((running, population.running_gain), (wide, population.pupil_gain)):
        ratio = population.expect(video, behavior).mean(axis=1) / rest.mean(axis=1)
        assert np.mean(ratio) > 1.05
        assert np.all((ratio > 1) == (gain > 0))


def test_neurons_share_noise(population: Population, trial: tuple[Array, Behavior]) -> None:
    video, behavior = trial
    expected = population.expect(video, behavior)
    noise = np.concatenate(
        [population.respond(np.random.default_rng(k), video, behavior) - expected for k in range(8)], axis=1
    )
    off_diagonal = np.corrcoef(noise)[~np.eye(len(noise), dtype=bool)]
    assert 0.003 < off_diagonal.mean() < 0.1
    alone = replace(population, shared=np.zeros_like(population.shared))
    noise = np.concatenate(
        [alone.respond(np.random.default_rng(k), video, behavior) - expected for k in range(8)], axis=1
    )
    assert abs(np.corrcoef(noise)[~np.eye(len(noise), dtype=bool)].mean()) < 0.003


def test_responses_have_the_scale_and_the_memory_of_deconvolved_calcium(
    population: Population, trial: tuple[Array, Behavior]
) -> None:
    responses = population.respond(np.random.default_rng(0), *trial)
    assert 2 < np.median(responses.mean(axis=1)) < 8
    assert 1 < np.median(responses.std(axis=1) / responses.mean(axis=1)) < 4
    memory = [np.median(rows_correlate(responses[:, :-lag], responses[:, lag:])) for lag in (1, 4, 30)]
    assert memory[0] > 0.85  # read eight times a second, so neighbouring frames are nearly alike
    assert 0.35 < memory[1] < 0.8
    assert memory[2] < 0.35


# --- calcium, behaviour, processes ---------------------------------------------------------------------------------


@given(
    st.floats(5.0, 120.0),
    st.lists(st.floats(0, 1), min_size=2, max_size=4),
    st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_imaging_is_linear_keeps_the_sum_and_never_negative(rate: float, delays: list[float], seed: int) -> None:
    random = np.random.default_rng(seed)
    frames = round(6 * rate)
    a, b = np.zeros((2, len(delays), frames))
    a[:, : round(rate)], b[:, round(rate / 2) : round(rate)] = random.random((2, len(delays), 1))

    def take(events: Array) -> Array:
        return image(events, before=np.zeros(len(delays)), frame_rate_hz=rate, delays=np.array(delays))

    assert take(a).min() >= 0
    assert np.allclose(take(a + 2 * b), take(a) + 2 * take(b), rtol=1e-4, atol=1e-5)
    assert take(a).sum(axis=1) == pytest.approx(a.sum(axis=1), rel=0.12)


def test_imaging_smears_an_event_over_a_few_frames() -> None:
    event = np.zeros((1, 120))
    event[0, 60] = 1
    response = image(event, before=np.zeros(1), frame_rate_hz=30, delays=np.array([0.5]))[0]
    assert response[:56].max() == 0  # interpolation reaches back one reading, an eighth of a second, and no further
    assert 58 <= np.argmax(response) <= 65
    assert response[58:68].sum() > 0.75
    assert 0 < response[90] < 0.02  # a faint tail, as the deconvolution is imperfect


@pytest.mark.parametrize("rate", [10.0, 30.0])
def test_imaging_of_constant_events_is_constant(rate: float) -> None:
    events = np.full((3, 90), 2.0)
    response = image(events, before=np.full(3, 2.0), frame_rate_hz=rate, delays=np.array([0.0, 0.3, 0.9]))
    assert response[:, 10:-10] == pytest.approx(2.0, rel=0.02)


def test_few_neurons_and_short_trials_are_never_wholly_silent(tmp_path: Path) -> None:
    """All-zero responses stand for withheld ones, so a trial without any event must not look so."""
    recording = simulate(tmp_path / "one", trials=21, seconds=1.0, neurons=1, progress=False)
    assert all(trial.needs_responses().any() for trial in recording.trials)
    assert any(trial.needs_responses().max() < 0.5 for trial in recording.trials)  # there was one


def test_behavior_is_plausible() -> None:
    behavior = simulate_behavior(np.random.default_rng(0), frames=60 * 60 * 30, frame_rate_hz=30)
    runs = behavior.running > 1
    assert 0.15 < runs.mean() < 0.55
    starts = np.flatnonzero(np.diff(runs.astype(int)) == 1)
    assert 150 < len(starts) < 600  # bouts in an hour
    assert behavior.running.min() >= 0
    assert 5 < behavior.running[runs].mean() < 25
    assert 25 < behavior.pupil.mean() < 35
    assert behavior.pupil[runs].mean() > behavior.pupil[~runs].mean() + 3
    assert behavior.channels.dtype == np.float32
    spread = behavior.pupil_center.std(axis=1)
    assert spread[0] > 1.5 * spread[1] > 0
    for trace in (behavior.pupil, behavior.running, behavior.pupil_center[0]):
        assert np.corrcoef(trace[:-1], trace[1:])[0, 1] > 0.98


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_fluctuations_have_unit_variance_and_the_memory_asked_for(seconds: float) -> None:
    noise = fluctuations(np.random.default_rng(0), channels=40, frames=6000, time_constant_s=seconds, frame_rate_hz=20)
    assert noise.mean() == pytest.approx(0, abs=0.15)
    assert noise.var() == pytest.approx(1, abs=0.15)
    assert noise[:, 0].std() == pytest.approx(1, abs=0.35)  # stationary from the first frame
    lag = round(seconds * 20)
    assert np.mean(noise[:, :-lag] * noise[:, lag:]) / noise.var() == pytest.approx(np.exp(-1), abs=0.08)


def test_low_pass_follows_a_step_exponentially() -> None:
    step = np.repeat([2.0, 5.0], [10, 200])
    followed = low_pass(step, time_constant_s=1.0, frame_rate_hz=20)
    assert np.allclose(followed[:10], 2)
    assert followed[10 + 19] == pytest.approx(5 - 3 * np.exp(-1), abs=0.02)
    assert followed[-1] == pytest.approx(5, abs=0.01)


def test_streams_of_random_numbers_are_independent() -> None:
    draws = [generator(0, stream, trial).random() for stream in Stream for trial in (0, 1)]
    draws.append(generator(1, Stream.MOVIE).random())
    assert len(set(draws)) == len(draws)


def test_every_array_of_the_truth_is_kept(truth: SimulatedTruth) -> None:
    for part in (truth.receptive_fields, truth.population, truth.behavior):
        for field in fields(part):
            value = getattr(part, field.name)
            assert value is not None
            if isinstance(value, np.ndarray):
                assert value.size > 0


# --- speed ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sixty_trials_take_less_than_thirty_seconds(tmp_path: Path) -> None:
    started = time.process_time()
    simulate(tmp_path / "mouse", trials=60, seconds=10.0, neurons=400, progress=False)
    assert time.process_time() - started < 30
