"""The report: what stands on the page, and whether a browser without a network shows and plays it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from PIL import Image

from neuroreel import fit_decoder, video_correlation
from neuroreel.errors import InputError
from neuroreel.recordings.trial import Trial
from neuroreel.report import write_report
from neuroreel.report.figures import raster_picture
from neuroreel.report.movies import pack_trial
from neuroreel.report.scores import Cell, default_scores, read_scores
from neuroreel.results import Reconstruction

RATE = 30.0
FRAMES, HEIGHT, WIDTH = 60, 18, 32
SCORES = {
    "trial 0": {
        "reconstruction": {"video_correlation": 0.71, "rmse": 31.25},
        "grey": {"video_correlation": None, "rmse": 47.0},
    },
    "trial 1": {
        "reconstruction": {"video_correlation": 0.65, "rmse": 33.75},
        "grey": {"video_correlation": float("nan"), "rmse": 49.0},
    },
    "trial 2": {"reconstruction": {"video_correlation": float("nan"), "rmse": float("inf")}},
}


def make_result(number: int, *, simulated: bool = True, **changes: Any) -> Reconstruction:
    """Test data: a drifting grating as the true movie, a noisy copy as the reconstruction, made-up responses.

    The first pixel of both movies is the number of the frame, so that a browser can be asked which frame it shows.
    """
    rng = np.random.default_rng(number)
    frame, row, column = np.meshgrid(np.arange(FRAMES), np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    truth = 127.5 + 100 * np.sin(0.5 * column + 0.2 * row - (0.2 + 0.1 * number) * frame)
    video = np.clip(127.5 + 0.5 * (truth - 127.5) + rng.normal(0, 8, truth.shape), 0, 255)
    truth[:, 0, 0] = video[:, 0, 0] = np.arange(FRAMES)
    truth[:, 0, 1] = video[:, 0, 1] = 200 + number
    drive = 1 + np.sin(rng.uniform(0.1, 0.4, (40, 1)) * np.arange(FRAMES))
    responses = rng.poisson(drive).astype(np.float32)
    distance = np.hypot((row[0] - 9) / 6, (column[0] - 16) / 10)
    arguments: dict[str, Any] = {
        "video": video,
        "frame_rate_hz": RATE,
        "trial": Trial(video=truth, responses=responses, frame_rate_hz=RATE, name=f"trial {number}"),
        "recording": "test gratings",
        "simulated": simulated,
        "start": np.clip(video + 10, 0, 255),
        "mask": np.clip(1.5 - 0.5 * distance, 0, None),
        "predicted": 0.4 * drive,
        "predicted_truth": 0.8 * drive,
        "history": {
            "iteration": [0, 10, 20],
            "loss": [1.2, 1.0, 0.9],
            "response_correlation": [0.1, 0.2, 0.3],
            "video_correlation": [0.5, 0.6, 0.7],
        },
        "settings": {"method": "posterior", "passes": 20, "prior": {"kind": "ridge", "weight": 0.5}},
        "hashes": {"model": "0" * 64},
    }
    return Reconstruction.build(**{**arguments, **changes})


def page_data(page: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: list[dict[str, Any]] = json.loads(found[1])
    return data


def unpack(trial: dict[str, Any], number: int) -> np.ndarray:
    """The frames of one movie as the page's player unpacks them."""
    sheets = [url.removeprefix("data:image/png;base64,") for url in trial["movies"][number]["sheets"]]
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet)))).ravel() for sheet in sheets]
    grey = np.concatenate(pixels) * (255 / (trial["levels"] - 1))
    return grey.reshape(trial["frames"], trial["height"], trial["width"])


# ---------------------------------------------------------------------------------------------- what stands on the page


def test_the_page_carries_the_movies_exactly(tmp_path: Path) -> None:
    result = make_result(0)
    page = write_report(tmp_path / "report.html", result).read_text()
    (trial,) = page_data(page)
    assert [movie["label"] for movie in trial["movies"]] == ["true", "reconstruction", "start"]
    assert trial["rate"] == RATE and trial["levels"] == 256
    assert result.truth is not None
    np.testing.assert_array_equal(unpack(trial, 0), np.rint(result.truth))
    np.testing.assert_array_equal(unpack(trial, 1), np.rint(result.video))


def test_everything_said_is_on_the_page(tmp_path: Path) -> None:
    path = write_report(
        tmp_path / "report.html",
        [make_result(number).smooth(0.5) for number in range(3)],
        title="Three gratings",
        notes="First paragraph.\n\nSecond paragraph.",
        scores=SCORES,
    )
    page = path.read_text()
    assert "<h1>Three gratings</h1>" in page
    assert "<p>First paragraph.</p>" in page and "<p>Second paragraph.</p>" in page
    assert page.count("A simulated mouse, not a real one") == 2  # at the top, and beside the scores
    for text in ("recorded", "predicted from the true movie (r =", "predicted from the reconstruction (r ="):
        assert page.count(f">{text}") == 3
    for text in (
        "Transparency mask",
        "Loss: how badly",
        ">iteration</text>",
        "time (s)",
        "sigma 0.5 frames and pixels",
    ):
        assert text in page
    assert "Predicted from the reconstruction before smoothing" in page
    for text in ("<dt>method</dt>", "<dt>weight</dt>", "0" * 64, "<dt>torch</dt>"):
        assert page.count(text) == 3


def test_scores_and_baselines_are_there_by_default(tmp_path: Path) -> None:
    results = [make_result(number) for number in range(3)]
    page = write_report(tmp_path / "report.html", results).read_text()
    given = default_scores(results, decoder=None, movies={})
    table = read_scores(given)
    assert table.methods == ("reconstruction", "grey", "mean of the other movies", "another trial's")
    assert table.trials == tuple(result.name for result in results)
    first = table.cell(results[0].name, "reconstruction", "video_correlation")
    assert first.value == pytest.approx(results[0].score())
    other = table.cell(results[0].name, "another trial's", "video_correlation").value
    assert other == pytest.approx(video_correlation(results[0].truth, results[2].video, mask=results[0].mask))
    share = f"{(results[0].mask >= 1).mean():.0%} of the screen"
    assert f"Mean over 3 trials; scored: {share}" in page and f"Scored: {share}, inside the outline" in page
    assert page_data(page)[0]["movies"][1]["score"] == f"video correlation {first.text}, inside {share}"
    short = make_result(0)
    cut = Reconstruction(short.dataset.isel(frame=slice(20)))
    assert read_scores(default_scores([cut], decoder=None, movies={})).methods == ("reconstruction", "grey")
    assert default_scores([make_result(0, mask=np.zeros((HEIGHT, WIDTH)))], decoder=None, movies={}) is None


def test_two_results_of_a_trial_have_their_own_scores(tmp_path: Path) -> None:
    better = make_result(0)
    worse = better.smooth(1.5)
    page = write_report(tmp_path / "report.html", [better, worse]).read_text()
    first, second = (trial["movies"][1]["score"] for trial in page_data(page))
    assert f"video correlation {better.score():.3f}," in first and f"video correlation {worse.score():.3f}," in second
    assert first != second


def test_a_decoder_adds_its_movie_and_its_baselines(tmp_path: Path) -> None:
    results = [make_result(number) for number in range(3)]
    trials = [Trial(video=r.truth, responses=r.responses, frame_rate_hz=RATE, name=r.name) for r in results]
    decoder = fit_decoder(trials, progress=False)
    page = write_report(tmp_path / "report.html", results, decoder=decoder).read_text()
    labels = [movie["label"] for movie in page_data(page)[0]["movies"]]
    assert labels == ["true", "reconstruction", "start", "ridge"]
    for method in ("ridge", "mean", "grey", "shuffled"):
        assert f'<th scope="col">{method}</th>' in page


def test_real_recordings_are_not_called_simulated(tmp_path: Path) -> None:
    page = write_report(tmp_path / "real.html", make_result(0, simulated=False), scores=SCORES).read_text()
    assert "simulated" not in page.replace('class="simulated', "").replace(".simulated", "")
    both = [make_result(0), make_result(1, simulated=False)]
    mixed = write_report(tmp_path / "mixed.html", both, scores=SCORES).read_text()
    assert "The trials marked so come" in mixed
    assert "trial 0 (simulated)" in mixed and "trial 1 (simulated)" not in mixed


def test_nothing_on_the_page_comes_from_elsewhere_or_is_run(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script> $x$ \"'&"
    trial = Trial(responses=np.ones((2, FRAMES)), frame_rate_hz=RATE, name=nasty)
    result = make_result(0, trial=trial, predicted=None, predicted_truth=None, settings={nasty: nasty}, recording=nasty)
    scores = {nasty: {nasty: {nasty: 0.5}}}
    page = write_report(
        tmp_path / "r.html", result, title=nasty, notes=nasty, scores=scores, movies={nasty: [result.video]}
    )
    text = page.read_text()
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert text.count("<script") == 2  # the data and the player
    addresses = set(re.findall(r"\w+://[^\s\"'<>)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nothing ever asks for
    assert "default-src 'none'" in text  # the page forbids the browser what it does not do itself


def test_a_result_with_nothing_but_a_movie_is_shown(tmp_path: Path) -> None:
    bare = Reconstruction.build(video=np.zeros((5, 4, 6)), frame_rate_hz=10.0, settings={}, hashes={})
    page = write_report(tmp_path / "bare.html", bare).read_text()
    (trial,) = page_data(page)
    assert [movie["label"] for movie in trial["movies"]] == ["reconstruction"]
    assert trial["outline"] is None and "<table>" not in page and 'class="raster"' not in page


def raster_colors(result: Reconstruction) -> list[np.ndarray]:
    """Of each panel, from top to bottom, where its pixels (rows, frames) lie on the color scale, from 0 to 1."""
    picture = raster_picture(result, key="t0")
    assert picture is not None
    scale = np.rint(255 * colormaps["magma"].resampled(32)(np.linspace(0, 1, 32))[:, :3]).astype(int)
    panels = []
    for encoded in re.findall(r'href="data:image/png;base64,([^"]*)"', picture.svg)[:3]:  # then comes the scale's own
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")).astype(int)
        panels.append(np.abs(pixels[:, :, None] - scale).sum(axis=-1).argmin(axis=-1) / 31)
    return panels


def sparse_activity(neurons: int, silent: int) -> dict[str, Any]:
    """Rare events, well predicted; the last neurons are all but silent, though as much is predicted for them."""
    rng = np.random.default_rng(0)
    recorded = np.where(rng.random((neurons, FRAMES)) < 0.1, rng.uniform(5, 15, (neurons, FRAMES)), 0.0)
    predicted = 0.5 * recorded + 1.0
    recorded[neurons - silent :] = 1e-3 * rng.random((silent, FRAMES))
    trial = Trial(responses=recorded, frame_rate_hz=RATE, name="sparse")
    return {"trial": trial, "predicted": predicted, "predicted_truth": predicted}


@pytest.mark.parametrize(("neurons", "silent"), [(1000, 0), (1000, 1), (1000, 50), (40, 1), (40, 2)])
def test_responses_can_be_seen_whatever_neurons_are_silent(neurons: int, silent: int) -> None:
    panels = raster_colors(make_result(0, **sparse_activity(neurons, silent)))
    shown = [np.median(panel.max(axis=1)) for panel in panels]  # the brightest moment of most rows
    assert len(panels) == 3 and shown[0] > 0.8 and min(shown) > 0.5
    assert np.median(panels[0]) < 0.3, "the moments between events stay dark"


def test_a_silent_neuron_is_drawn_flat_and_no_brighter_than_others() -> None:
    recorded, predicted, _ = raster_colors(make_result(0, **sparse_activity(100, 1)))
    assert (recorded[-1] == 0).all(), "the worst predicted row is the silent neuron's"
    assert predicted[-1].max() < 1.5 * np.median(predicted.max(axis=1))


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_constant_responses_are_drawn(level: float) -> None:
    trial = Trial(responses=np.full((5, FRAMES), level), frame_rate_hz=RATE, name="constant")
    panels = raster_colors(make_result(0, trial=trial, predicted=np.zeros((5, FRAMES)), predicted_truth=None))
    assert [len(np.unique(panel)) for panel in panels[:2]] == [1, 1] and panels[1].max() == 0


def test_other_movies_play_beside_and_a_start_is_not_shown_twice(tmp_path: Path) -> None:
    results = [make_result(0), make_result(1)]
    ridge = [result.dataset["start"].values for result in results]
    page = write_report(tmp_path / "report.html", results, movies={"ridge": ridge}).read_text()
    assert [m["label"] for m in page_data(page)[1]["movies"]] == ["true", "reconstruction", "ridge"]
    grey = make_result(0, start=np.full((FRAMES, HEIGHT, WIDTH), 127.5))
    page = write_report(tmp_path / "grey.html", grey).read_text()
    assert [m["label"] for m in page_data(page)[0]["movies"]] == ["true", "reconstruction"]


def test_the_same_call_writes_the_same_page(tmp_path: Path) -> None:
    result = make_result(0)
    first, second = (write_report(tmp_path / name, result, scores=SCORES) for name in ("a.html", "b.html"))
    assert first.read_bytes() == second.read_bytes()


def test_bad_requests_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    result, path = make_result(0), tmp_path / "report.html"
    with pytest.raises(InputError, match="no results"):
        write_report(path, [])
    with pytest.raises(InputError, match=r"must end in \.html"):
        write_report(tmp_path / "report.pdf", result)
    with pytest.raises(InputError, match="holds 2 movies for 1 results"):
        write_report(path, result, movies={"ridge": [result.video, result.video]})
    with pytest.raises(InputError, match=r"has shape \(59"):
        write_report(path, result, movies={"ridge": [result.video[1:]]})
    with pytest.raises(InputError, match="may not use the name 'true'"):
        write_report(path, result, movies={"true": [result.video]})
    with pytest.raises(InputError, match="scores"):
        write_report(path, result, scores={"trial 0": {"ridge": 0.5}})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []
    path.write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        write_report(path, result)
    assert path.read_text() == "mine"
    assert write_report(path, result, overwrite=True).read_text().startswith("<!doctype html>")


def test_pyplot_is_left_alone(tmp_path: Path) -> None:
    """Nobody's open figures or backend are touched: pyplot is not even imported."""
    result = make_result(0).save(tmp_path / "result.nc")
    code = (
        "import sys; from neuroreel.report import write_report; from neuroreel.results import Reconstruction\n"
        f"write_report({str(tmp_path / 'r.html')!r}, Reconstruction.load({str(result)!r}))\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --------------------------------------------------------------------------------------------------------------- scores


def test_scores_mean_over_the_trials_for_which_they_are_defined() -> None:
    table = read_scores(SCORES)
    assert table.trials == ("trial 0", "trial 1", "trial 2") and table.methods == ("reconstruction", "grey")
    assert table.mean("reconstruction", "video_correlation") == Cell(value=pytest.approx(0.68), of=2)
    assert table.mean("grey", "rmse").value == 48.0
    assert not table.mean("grey", "video_correlation").defined
    assert not table.cell("trial 2", "reconstruction", "rmse").defined  # infinite
    assert not table.cell("trial 2", "grey", "rmse").defined  # not given
    assert (table.label("rmse"), table.label("video_correlation")) == ("RMSE (grey levels)", "video correlation")


def test_numbers_are_shown_with_sensible_digits() -> None:
    texts = [Cell(value=value).text for value in (0.69349, -0.03, 31.25, float("nan"))]
    assert texts == ["0.693", "\N{MINUS SIGN}0.030", "31.2", "\N{EN DASH}"]


def test_a_data_frame_says_the_same_as_a_dictionary(tmp_path: Path) -> None:
    rows = [{"trial": t, "method": m, **found} for t, methods in SCORES.items() for m, found in methods.items()]
    table, frame = read_scores(SCORES), read_scores(pd.DataFrame(rows))
    assert (table.trials, table.methods, table.scores) == (frame.trials, frame.methods, frame.scores)
    pages = [
        write_report(tmp_path / f"{name}.html", make_result(0), scores=scores).read_text().split('id="data"')[0]
        for name, scores in (("a", SCORES), ("b", pd.DataFrame(rows)))
    ]
    result_date = re.compile(r"<dt>date</dt>.*?</dd>", re.DOTALL)
    assert result_date.sub("", pages[0]) == result_date.sub("", pages[1])


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {"trial": 0.5},
        {"trial": {"ridge": {"video_correlation": "high"}}},
        [0.5],
        pd.DataFrame({"trial": ["a"], "score": [0.5]}),
        pd.DataFrame({"trial": ["a", "a"], "method": ["x", "x"], "rmse": [1.0, 2.0]}),
    ],
)
def test_scores_of_another_shape_are_refused(scores: Any) -> None:
    with pytest.raises(InputError, match="score"):
        read_scores(scores)


# --------------------------------------------------------------------------------------------------------------- movies


def test_movies_that_take_too_much_room_lose_grey_levels_and_say_so() -> None:
    rng = np.random.default_rng(0)
    noise = {
        name: np.clip(rng.normal(127, 30, (300, 36, 64)), 0, 255).astype(np.float32) for name in ("true", "b", "c")
    }
    packed = pack_trial(noise, mask=None, threshold=None)
    size = sum(len(url) for movie in packed["movies"] for url in movie["sheets"])
    assert size < 1_250_000 and packed["levels"] < 256
    error = np.abs(unpack(packed, 0) - noise["true"]).max()
    assert error <= 0.5 * 255 / (packed["levels"] - 1) + 1e-3


def test_large_and_long_movies_are_shrunk_and_cut_into_sheets() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 301), (400, 91, 301)).astype(np.float32)
    packed = pack_trial({"true": ramp}, mask=np.ones((91, 301), np.float32), threshold=1.0)
    assert (packed["shrink"], packed["height"], packed["width"]) == (3, 31, 101)
    assert len(packed["movies"][0]["sheets"]) == 2
    frames = unpack(packed, 0)
    np.testing.assert_allclose(frames[399, 30, :-1], ramp[0, 0, 1:-1:3], atol=0.6)


def test_contrast_matching_gives_the_true_mean_and_deviation_inside_the_mask() -> None:
    result = make_result(0)
    assert result.truth is not None and result.mask is not None
    packed = pack_trial({"true": result.truth, "reconstruction": result.video}, mask=result.mask, threshold=1.0)
    movie, inside = packed["movies"][1], result.mask >= 1
    matched = movie["gain"] * result.video[:, inside] + movie["offset"]
    assert matched.mean() == pytest.approx(result.truth[:, inside].mean(), abs=1e-2)
    assert matched.std() == pytest.approx(result.truth[:, inside].std(), rel=1e-4)


@pytest.mark.slow
def test_eight_noisy_movies_of_300_frames_stay_below_10_mb(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    results = []
    for number in range(8):
        video = np.clip(rng.normal(127, 30, (300, 36, 64)), 0, 255)  # noise packs worst of all
        responses = rng.poisson(1.0, (400, 300)).astype(np.float32)
        shown = {"truth": video[::-1], "start": video[::-1, ::-1], "mask": np.ones((36, 64))}
        shown |= {"responses": responses, "predicted": responses, "predicted_truth": responses}
        trial = Trial(video=video, frame_rate_hz=RATE, name=f"noise {number}")
        results.append(
            Reconstruction.build(video=video, frame_rate_hz=RATE, trial=trial, settings={}, hashes={}, **shown)
        )
    assert write_report(tmp_path / "large.html", results).stat().st_size < 10e6


# -------------------------------------------------------------------------------------------------------------- browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium without a network; skips where it, its driver or selenium is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium to drive a browser")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((path for name in names if (path := shutil.which(name))), None)
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("needs Chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    flags += "disable-component-update disable-sync disable-dev-shm-usage"
    for flag in [*flags.split(), f"user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(f"--{flag}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=webdriver.ChromeService(chromedriver), options=options)
    driver.set_script_timeout(20)
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = [make_result(number) for number in range(3)]
    long = "ridge-regression-with-a-name-that-has-no-place-to-break"
    movies = {long: [result.video[:, ::-1] for result in results]}
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(path, results, scores=SCORES, movies=movies, notes="Test data: gratings, and noisy copies.")


@pytest.fixture
def page(browser: Any, report: Path) -> Any:
    """The report, opened from disk at desktop size, playing."""
    resize(browser, 1280)
    browser.get(report.as_uri())
    wait_for(browser, "return document.querySelectorAll('#stage canvas[data-frame]').length >= 4")
    check(browser, "match")  # most tests read the movies' own grey levels
    return browser


def resize(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def wait_for(browser: Any, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda driver: driver.execute_script(script), script)


def screens(browser: Any) -> list[dict[str, Any]]:
    """Of each movie shown: its name, the frame it says it shows, and its first pixels."""
    script = """
      return [...document.querySelectorAll('.movie:not([hidden])')].map((movie) => {
        const canvas = movie.querySelector('canvas'), context = canvas.getContext('2d');
        const grey = (x, y) => context.getImageData(x, y, 1, 1).data[0];
        const pixels = [grey(0, 0), grey(1, 0), grey(5, 9)];
        return {label: movie.dataset.label, frame: Number(canvas.dataset.frame), pixels};
      });
    """
    found: list[dict[str, Any]] = browser.execute_script(script)
    return found


def pause(browser: Any) -> None:
    button = browser.find_element("id", "play")
    if button.get_attribute("aria-label") == "Pause":
        button.click()


def show_frame(browser: Any, frame: int) -> None:
    script = "const s = document.getElementById('scrub'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))"
    browser.execute_script(script, frame)


def check(browser: Any, option: str) -> None:
    browser.find_element("id", option).click()


def test_movies_play_in_step_at_their_own_speed(page: Any) -> None:
    """Sampled inside the browser, frame by frame as it draws: every canvas shows the same frame, and time is right."""
    samples = page.execute_async_script("""
      const done = arguments[0], samples = [], movies = ['true', 'reconstruction'];
      const canvases = movies.map((m) => document.querySelector(`.movie[data-label=${m}] canvas`));
      function sample() {
        const first = (c) => c.getContext('2d').getImageData(0, 0, 1, 1).data[0];
        const seen = canvases.map((c) => [Number(c.dataset.frame), first(c)]);
        samples.push({at: performance.now(), seen: seen.flat(), clock: document.getElementById('clock').textContent});
        if (performance.now() - samples[0].at > 1500) done(samples); else requestAnimationFrame(sample);
      }
      requestAnimationFrame(sample);
    """)
    for sample in samples:
        assert len(set(sample["seen"])) == 1, sample  # two frame numbers and two first pixels
        assert sample["clock"] == f"frame {sample['seen'][0] + 1} of {FRAMES}, {sample['seen'][0] / RATE:.2f} s"
    frames = np.unwrap([sample["seen"][0] for sample in samples], period=FRAMES)
    assert (np.diff(frames) >= 0).all() and len(set(frames)) > 10
    seconds = (samples[-1]["at"] - samples[0]["at"]) / 1000
    assert (frames[-1] - frames[0]) / seconds == pytest.approx(RATE, rel=0.1)


def test_pause_scrub_step_and_keys(page: Any) -> None:
    pause(page)
    show_frame(page, 17)
    assert {screen["pixels"][0] for screen in screens(page)[:2]} == {17}
    assert page.find_element("id", "clock").text == "frame 18 of 60, 0.57 s"
    body = page.find_element("tag name", "body")
    page.execute_script("document.activeElement.blur()")
    body.send_keys("\ue014")  # right arrow
    assert {screen["frame"] for screen in screens(page)} == {18}
    body.send_keys("\ue012\ue012")  # left arrow, twice
    assert {screen["frame"] for screen in screens(page)} == {16}
    body.send_keys(" ")
    wait_for(page, "return Number(document.querySelector('canvas').dataset.frame) !== 16")
    page.find_element("id", "play").send_keys(" ")  # the button's own key, once and not twice
    assert page.find_element("id", "play").get_attribute("aria-label") == "Play"
    still = screens(page)
    page.execute_async_script("setTimeout(arguments[0], 200)")
    assert screens(page) == still


def test_every_trial_can_be_chosen(page: Any) -> None:
    pause(page)
    labels = page.find_elements("css selector", ".trials label")
    assert [label.text for label in labels] == ["trial 0", "trial 1", "trial 2"]
    for number in (1, 2, 0):
        labels[number].click()
        wait_for(page, f"return document.getElementById('stage').dataset.trial === '{number}'")
        assert {screen["pixels"][1] for screen in screens(page)[:2]} == {200 + number}
        panels = page.find_elements("css selector", ".panel")
        assert [panel.is_displayed() for panel in panels] == [panel == panels[number] for panel in panels]
    captions = [movie.text for movie in page.find_elements("css selector", ".movie figcaption")]
    assert captions[:2] == ["true movie", "reconstruction\nvideo correlation 0.710, inside 32% of the screen"]


def test_difference_outline_and_contrast(page: Any) -> None:
    pause(page)
    show_frame(page, 5)
    true, ours = screens(page)[:2]
    assert all(screen["label"] != "difference" for screen in screens(page))
    check(page, "difference")
    difference = next(screen for screen in screens(page) if screen["label"] == "difference")
    expected = [127.5 + (a - b) / 2 for a, b in zip(true["pixels"], ours["pixels"], strict=True)]
    np.testing.assert_allclose(difference["pixels"], expected, atol=0.51)
    check(page, "difference")
    check(page, "match")
    changed = screens(page)
    assert changed[0]["pixels"] == true["pixels"] and changed[1]["pixels"] != ours["pixels"]
    outlines = (
        "return [...document.querySelectorAll('.movie:not([hidden]) svg')].filter((s) => s.checkVisibility()).length"
    )
    assert page.execute_script(outlines) == len(changed)
    check(page, "outline")
    assert page.execute_script(outlines) == 0


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_sticks_out_of_the_page(page: Any, width: int) -> None:
    resize(page, width)
    page.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    check(page, "difference")
    for number in range(3):
        page.execute_script(f"document.querySelectorAll('.trials input')[{number}].click()")
        wait_for(page, f"return document.getElementById('stage').dataset.trial === '{number}'")
        root = "document.documentElement"  # its client width leaves out the scroll bar
        assert page.execute_script(f"return {root}.scrollWidth - {root}.clientWidth") == 0
        outside = page.execute_script("""
          const sticksOut = (e) => e.getBoundingClientRect().right > document.documentElement.clientWidth;
          return [...document.querySelectorAll('main *')]
            .filter((e) => e.checkVisibility() && !e.closest('.scroll, svg') && sticksOut(e))
            .map((e) => e.outerHTML.slice(0, 200));
        """)
        assert outside == []


def test_the_console_is_empty_and_nothing_is_fetched(page: Any, report: Path) -> None:
    page.get_log("browser"), page.get_log("performance")  # forget what came before
    page.get(report.as_uri())
    wait_for(page, "return document.querySelectorAll('#stage canvas[data-frame]').length >= 4")
    for number in range(3):
        page.execute_script(f"document.querySelectorAll('.trials input')[{number}].click()")
        wait_for(page, f"return document.getElementById('stage').dataset.trial === '{number}'")
    assert page.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert report.as_uri() in urls
    assert [url for url in urls if not url.startswith(("data:", report.as_uri()))] == []


def test_the_page_can_be_read_without_eyes_or_a_mouse(page: Any) -> None:
    problems = page.execute_script("""
      const named = (e) => e.getAttribute('aria-label') || e.getAttribute('alt') || e.getAttribute('aria-hidden')
        || (e.labels && e.labels.length && e.labels[0].textContent.trim());
      const found = [...document.querySelectorAll('canvas, svg, img, button, input, select')].filter((e) => !named(e));
      const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
      return [...found.map((e) => e.outerHTML.slice(0, 200)), ...ids.filter((id, i) => ids.indexOf(id) !== i)];
    """)
    assert problems == []
    assert page.find_element("tag name", "html").get_attribute("lang") == "en"
    levels = [element.tag_name for element in page.find_elements("css selector", "h1, h2, h3")]
    assert levels[0] == "h1" and levels.count("h1") == 1
    page.refresh()  # the keyboard goes on from where the mouse was last
    wait_for(page, "return document.querySelectorAll('#stage canvas[data-frame]').length >= 4")
    reached = []
    for _ in range(6):
        page.switch_to.active_element.send_keys("\ue004")  # tab
        reached.append(page.execute_script("return document.activeElement.id || document.activeElement.name"))
    assert reached == ["trial", "play", "scrub", "speed", "outline", "difference"]


def test_a_dark_page_is_dark_and_its_text_light(page: Any) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    colors = page.execute_script("""
      const grey = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 3;
      const text = document.querySelector('.panel:not([hidden]) svg text');
      return [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill].map(grey);
    """)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert colors[0] < 60 and colors[1] > 180


def test_who_asked_for_less_motion_gets_none(page: Any, report: Path) -> None:
    calm = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": calm})
    page.get(report.as_uri())
    wait_for(page, "return document.querySelectorAll('#stage canvas[data-frame]').length >= 4")
    page.execute_async_script("setTimeout(arguments[0], 200)")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert {screen["frame"] for screen in screens(page)} == {0}
    assert page.find_element("id", "play").get_attribute("aria-label") == "Play"
