"""The table of scores."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.evaluation.table import format_identification, format_table, mean_scores, score_table, table_json
from toy_encoder import ToyEncoder, toy_trials

QUIET = nr.Compute(device="cpu", progress=False)


@pytest.fixture(scope="module")
def results() -> list[nr.Reconstruction]:
    model = ToyEncoder()
    return nr.bauer_2026.reconstruct(toy_trials(model, 2, frames=50), model, iterations=4, compute=QUIET)


@pytest.fixture(scope="module")
def decoder() -> nr.RidgeDecoder:
    return nr.fit_decoder(toy_trials(ToyEncoder(), 5, frames=50, seed=4), progress=False)


def test_scores_are_those_of_the_score_functions(results: list[nr.Reconstruction], decoder: nr.RidgeDecoder) -> None:
    table = score_table(results, decoder=decoder, smooth=0.5, seed=3)
    assert list(table) == ["trial 0", "trial 1"]
    rows = table["trial 1"]
    assert list(rows) == ["reconstruction", "reconstruction, smoothed 0.5", "grey", "mean", "ridge", "shuffled"]
    truth = results[1].truth
    assert rows["reconstruction"]["video_correlation"] == nr.video_correlation(truth, results[1].video)
    smoothed = results[1].smooth(0.5).video
    assert rows["reconstruction, smoothed 0.5"]["video_correlation"] == nr.video_correlation(truth, smoothed)
    assert math.isnan(rows["grey"]["video_correlation"])
    assert rows["ridge"]["video_correlation"] > rows["shuffled"]["video_correlation"]
    assert 0 < rows["reconstruction"]["response_correlation"] <= 1


def test_how_much_of_the_screen_is_scored_stands_in_the_table(results: list[nr.Reconstruction]) -> None:
    mask = np.zeros((6, 8), np.float32)
    mask[:3, :4] = 1.2
    masked = nr.Reconstruction(results[0].dataset.assign(mask=(("height", "width"), mask)))
    table = score_table([masked])
    assert table["trial 0"]["reconstruction"]["share_of_screen_scored"] == 0.25
    assert format_table(table).splitlines()[-1] == "scored: 25% of the screen"
    both = score_table([masked, results[1]])
    assert format_table(both).splitlines()[-1] == "scored: 25% to 100% of the screen"


def test_extra_movies_are_scored(results: list[nr.Reconstruction]) -> None:
    table = score_table(results, extra={"truth itself": [result.needs_truth() for result in results]})
    assert mean_scores(table)["truth itself"] == pytest.approx(1)


def test_two_results_of_one_trial_are_both_kept(results: list[nr.Reconstruction]) -> None:
    table = score_table([results[0], results[1].smooth(1), results[1], results[1]])
    assert list(table) == ["trial 0", "trial 1", "trial 1 (2)", "trial 1 (3)"]
    assert table["trial 1 (2)"] == table["trial 1 (3)"] != table["trial 1"]


def test_means_leave_undefined_scores_out() -> None:
    table = {
        "a": {"x": {"video_correlation": 0.5}, "y": {"video_correlation": math.nan}},
        "b": {"x": {"video_correlation": math.nan}, "y": {"video_correlation": math.nan}},
    }
    means = mean_scores(table)
    assert means["x"] == 0.5
    assert math.isnan(means["y"])


def test_table_as_text_and_json(results: list[nr.Reconstruction], decoder: nr.RidgeDecoder) -> None:
    table = score_table(results, decoder=decoder)
    lines = format_table(table).splitlines()
    assert lines[0].split()[:4] == ["mean", "over", "2", "trials"]
    assert len(lines) == 1 + 5 + 1 and lines[-1] == "scored: 100% of the screen"
    assert f"{mean_scores(table)['ridge']:.3f}" in format_table(table)
    table["trial NaN"] = {"perfect": {"psnr": math.inf, "rmse": 0.0, "video_correlation": math.nan}}
    read = json.loads(table_json(table))
    assert read["trial NaN"]["perfect"] == {"psnr": None, "rmse": 0.0, "video_correlation": None}
    assert read["trial 0"]["ridge"] == table["trial 0"]["ridge"]


def test_no_ssim_for_frames_smaller_than_its_window(results: list[nr.Reconstruction]) -> None:
    random = np.random.default_rng(0)
    truth, video = random.uniform(0, 255, (2, 35, 12, 14)).astype(np.float32)
    large = nr.Reconstruction.build(
        video=video, frame_rate_hz=30, settings={}, hashes={}, trial=nr.Trial(video=truth, frame_rate_hz=30)
    )
    (rows,) = score_table([large]).values()
    assert rows["reconstruction"]["ssim"] == nr.ssim(truth, video)
    assert rows["reconstruction"]["pixel_correlation"] == pytest.approx(np.mean(nr.pixel_correlation(truth, video)))
    assert "ssim" not in score_table(results)["trial 0"]["reconstruction"]
    assert "undefined" in format_table(score_table(results))


def test_responses_of_the_true_movie_stand_beside(results: list[nr.Reconstruction]) -> None:
    row = score_table(results)["trial 1"]["reconstruction"]
    recorded, truth = (results[1].dataset[name].values for name in ("responses", "predicted_truth"))
    expected = np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(recorded, truth, strict=True)])
    assert row["response_correlation_truth"] == pytest.approx(expected, abs=1e-5)
    assert row["response_correlation_truth"] != row["response_correlation"]


def test_identification_of_several_movies(results: list[nr.Reconstruction]) -> None:
    lines = format_identification(results, skip=10).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "2-way frame identification",
        "2-way clip identification",
        "4-way frame identification",
    ]
    truths, videos = [result.truth for result in results], [result.video for result in results]
    assert lines[0] == str(nr.identify(truths, videos, every=30, skip=10))
    assert format_identification(results[:1], skip=10) == ""
    assert format_identification(results) == ""  # no second is left


def test_baselines_need_responses(results: list[nr.Reconstruction], decoder: nr.RidgeDecoder) -> None:
    silent = nr.Reconstruction(results[0].dataset.drop_vars("responses"))
    with pytest.raises(InputError, match="trial 0 has no responses; decoding needs recorded activity"):
        score_table([silent], decoder=decoder)
    assert math.isnan(score_table([silent])["trial 0"]["reconstruction"]["response_correlation"])


def test_nothing_to_score(results: list[nr.Reconstruction]) -> None:
    model = ToyEncoder()
    unknown = toy_trials(model, 1)[0].replace(video=None)
    result = nr.bauer_2026.reconstruct(unknown, model, iterations=1, compute=QUIET)
    with pytest.raises(InputError, match="true movie is not known"):
        score_table([result])
    with pytest.raises(InputError, match="no results"):
        score_table([])
    with pytest.raises(InputError):
        score_table(results, mask_threshold=1.0, skip=50)
    assert np.isfinite(score_table(results, skip=0)["trial 0"]["reconstruction"]["rmse"])
