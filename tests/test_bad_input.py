"""Bad input: a clear error before work starts, from Python and from the command line, and nothing half-written."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.cli import main
from neuroreel.commands.files import result_files
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.errors import InputError, ResourceError
from neuroreel.recordings.movie_file import movie_trial, read_movie
from neuroreel.recordings.nwb.images import Look
from published_files import Payload, write_result
from toy_encoder import ToyEncoder, toy_trials

QUIET = nr.Compute(device="cpu", progress=False)

# --- from Python ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> ToyEncoder:
    return ToyEncoder(neurons=10, covariates=1)


@pytest.fixture(scope="module")
def trial(model: ToyEncoder) -> nr.Trial:
    return toy_trials(model, 1)[0]


def cut(trial: nr.Trial, frames: int) -> nr.Trial:
    return trial.replace(
        video=trial.video[:frames], responses=trial.responses[:, :frames], behavior=trial.behavior[:, :frames]
    )


Make = Callable[[nr.Trial], dict[str, Any]]
EITHER_METHOD: list[tuple[str, Make, str]] = [
    ("no trials", lambda _: {"trials": []}, "no trials were given"),
    ("no trial", lambda _: {"trials": [np.zeros((10, 40))]}, "ndarray"),
    ("other neurons", lambda t: {"trials": t.replace(responses=t.responses[:7])}, "7 neurons, the model predicts 10"),
    ("withheld", lambda t: {"trials": t.replace(responses=None)}, "no responses"),
    ("rate", lambda t: {"trials": t.replace(frame_rate_hz=60)}, "60 Hz, the model at 30 Hz"),
    ("behavior", lambda t: {"trials": t.replace(behavior=None)}, "0 behavior channels, the model needs 1"),
    ("movie size", lambda t: {"trials": t.replace(video=t.video[:, :5])}, r"8x5 pixels .* takes 8x6"),
    ("too short", lambda t: {"trials": cut(t, 7)}, "7 frames, the model's window is 8 frames"),
    ("one too short", lambda t: {"trials": [t, cut(t, 7)]}, "7 frames"),
    ("white is 1", lambda t: {"trials": t.replace(video=t.video / 255)}, "grey level is .* white is 255; multiply"),
    ("negative", lambda t: {"trials": t.replace(responses=-1 - t.responses)}, "reconstruct: 100 % .* are negative"),
    ("mask rank", lambda _: {"mask": np.ones((2, 6, 8))}, r"shape \(2, 6, 8\); a mask is one image"),
    ("mask NaN", lambda _: {"mask": np.full((6, 8), np.nan)}, "holds NaN"),
    ("neurons size", lambda _: {"neurons": np.ones(4, bool)}, r"shape \(4,\).* must be \(10,\) boolean"),
    ("neurons type", lambda _: {"neurons": np.arange(10)}, "boolean"),
    ("neurons none", lambda _: {"neurons": np.zeros(10, bool)}, "keeps no neuron"),
    ("seed", lambda _: {"seed": -1}, "seed is -1; it must be a whole number, at least 0"),
]
PUBLISHED_METHOD: list[tuple[str, Make, str]] = [
    ("no models", lambda _: {"models": []}, "no encoding model was given"),
    ("no model", lambda _: {"models": [torch.nn.Linear(2, 2)]}, "Linear is not an EncodingModel"),
    ("ensemble", lambda _: {"models": [ToyEncoder(neurons=10), ToyEncoder(neurons=9)]}, "must agree in neurons"),
    ("mask size", lambda _: {"mask": np.ones((6, 9))}, r"mask is \(6, 9\) .* must be \(8, 8\).* or \(6, 8\)"),
    ("mask empty", lambda _: {"mask": np.full((6, 8), 0.4)}, "no pixel of the mask reaches 0.5 .*0.4"),
    ("setting", lambda _: {"preset": "default"}, "no setting of the published method 'preset'"),
    ("choice", lambda _: {"ensemble": "movies"}, "ensemble is 'movies'; it must be one of gradients, videos"),
    ("yes or no", lambda _: {"window_norm": "yes"}, "window_norm is 'yes'; it must be one of True, False"),
    ("iterations", lambda _: {"iterations": 0}, "iterations is 0; it must be a whole number, at least 1"),
    ("half an iteration", lambda _: {"iterations": 2.5}, "iterations is 2.5"),
    ("a word", lambda _: {"iterations": "many"}, "iterations is 'many'"),
    ("record_every", lambda _: {"record_every": 0}, "record_every is 0"),
    ("learning rate", lambda _: {"learning_rate": -1.0}, "learning_rate is -1.0; it must be a number, at least 0"),
    ("threshold", lambda _: {"mask_threshold": np.nan}, "mask_threshold is nan"),
]
POSTERIOR: list[tuple[str, Make, str]] = [
    ("samples", lambda _: {"samples": -1}, "samples is -1; it must be a whole number, at least 0"),
    ("passes", lambda _: {"passes": 0}, "passes is 0; it must be a whole number, at least 1"),
    ("mask size", lambda _: {"mask": np.ones((5, 9))}, r"\(5, 9\)"),
    ("constant neurons", lambda _: {"neurons": np.arange(10) < 2}, "keeps none whose responses varied"),
    ("start size", lambda _: {"start": np.ones((40, 5, 8))}, r"start has shape \(40, 5, 8\).* shape \(40, 6, 8\)"),
    ("start length", lambda _: {"start": np.ones((39, 6, 8))}, r"start has shape \(39, 6, 8\)"),
    ("start NaN", lambda _: {"start": np.full((40, 6, 8), np.nan)}, "start .* NaN"),
    ("one start", lambda t: {"trials": [t, t], "start": [t.video]}, "start has 1 movies for 2 trials"),
]


@pytest.fixture(scope="module")
def posterior(model: ToyEncoder) -> nr.Posterior:
    """Of ten neurons, of which the first two never varied."""
    return nr.fit_posterior(model, silenced(toy_trials(model, 3)), factors=1, compute=QUIET)


def silenced(trials: list[nr.Trial], *, neurons: int = 2) -> list[nr.Trial]:
    """The trials with neurons that are constant."""
    quiet = np.arange(trials[0].neurons)[:, None] < neurons
    return [each.replace(responses=np.where(quiet, 1, each.responses)) for each in trials]


def named(*cases: list[tuple[str, Make, str]]) -> list[Any]:
    return [pytest.param(make, message, id=name) for group in cases for name, make, message in group]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch, posterior: nr.Posterior, trial: nr.Trial) -> None:
    """A model that is computed fails the test."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("work started")

    monkeypatch.setattr(ToyEncoder, "forward", work)


@pytest.mark.parametrize(("make", "message"), named(EITHER_METHOD, POSTERIOR))
def test_bad_requests_are_refused_before_any_work(
    make: Make, message: str, posterior: nr.Posterior, trial: nr.Trial, no_work: None
) -> None:
    with pytest.raises(InputError, match=message):
        nr.reconstruct(**({"trials": trial, "posterior": posterior, "compute": QUIET} | make(trial)))


@pytest.mark.parametrize(("make", "message"), named(EITHER_METHOD, PUBLISHED_METHOD))
def test_bad_requests_of_the_published_method_are_refused_before_any_work(
    make: Make, message: str, model: ToyEncoder, trial: nr.Trial, no_work: None
) -> None:
    with pytest.raises(InputError, match=message):
        nr.bauer_2026.reconstruct(**({"trials": trial, "models": model, "compute": QUIET} | make(trial)))


NATURAL = nr.MoviePrior.natural(height=6, width=8, frame_rate_hz=60)
BAD_FITS: list[tuple[str, Make, str]] = [
    ("no trials", lambda _: {"trials": []}, "training trials: there are none"),
    ("no trial", lambda t: {"trials": [t, t.video]}, "number 1 is a ndarray"),
    ("no movie", lambda t: {"trials": [t, t.replace(video=None)]}, "number 1 .* has no video"),
    ("withheld", lambda t: {"trials": [t, t.replace(responses=None)]}, "number 1 .* has no responses"),
    (
        "other neurons",
        lambda t: {"trials": [t.replace(responses=t.responses[:7])] * 2},
        "7 neurons, the model predicts",
    ),
    ("neurons differ", lambda t: {"trials": [t, t.replace(responses=t.responses[:7])]}, "7 neurons instead of 10"),
    ("rate", lambda t: {"trials": [t.replace(frame_rate_hz=60)] * 2}, "60 Hz, the model at 30 Hz"),
    ("movie size", lambda t: {"trials": [t.replace(video=t.video[:, :5])] * 2}, r"8x5 pixels .* takes 8x6"),
    ("behavior", lambda t: {"trials": [t.replace(behavior=None)] * 2}, "0 behavior channels, the model needs 1"),
    ("too few frames", lambda t: {"trials": [t]}, "training trials have 40 frames.* need at least 60"),
    ("negative", lambda t: {"trials": [t.replace(responses=-1 - t.responses)] * 2}, "are negative"),
    ("validation", lambda t: {"validation": [t.replace(responses=t.responses[:7])]}, "7 neurons"),
    ("validation trial", lambda t: {"validation": t}, "validation trials: got one Trial"),
    ("no models", lambda _: {"models": []}, "no encoding model was given"),
    ("models", lambda _: {"models": [ToyEncoder(neurons=10), ToyEncoder(neurons=9)]}, "must agree in neurons"),
    ("factors", lambda _: {"factors": -1}, "factors is -1; it must be a whole number, at least 0"),
    ("no weight", lambda _: {"likelihood_weight": 0}, "likelihood_weight is 0.*above 0, 1 at most"),
    ("too much weight", lambda _: {"likelihood_weight": 1.5}, "likelihood_weight is 1.5.*above 0, 1 at most"),
    ("negative weight", lambda _: {"likelihood_weight": -1}, "likelihood_weight is -1"),
    ("prior's rate", lambda _: {"movie_prior": NATURAL}, "movie prior is at 60 Hz, the models at 30 Hz"),
    (
        "prior's size",
        lambda _: {"movie_prior": nr.MoviePrior.natural(height=6, width=9, frame_rate_hz=30)},
        r"movie prior has \(6, 9\) pixels",
    ),
]


@pytest.mark.parametrize(("make", "message"), named(BAD_FITS))
def test_bad_fits_are_refused_before_any_work(
    make: Make, message: str, model: ToyEncoder, trial: nr.Trial, no_work: None
) -> None:
    with pytest.raises(InputError, match=message):
        nr.fit_posterior(**({"trials": [trial] * 2, "models": model, "compute": QUIET} | make(trial)))


def test_constant_neurons_are_left_out_and_said_to_be(model: ToyEncoder, posterior: nr.Posterior) -> None:
    assert "10 neurons, 2 of them constant and left out" in repr(posterior)
    trial, changed = toy_trials(model, 1)[0], silenced(toy_trials(model, 1))[0]
    one, other = (nr.reconstruct(each, posterior, passes=4, compute=QUIET) for each in (trial, changed))
    assert one.settings["neurons_kept"] == 8
    np.testing.assert_array_equal(one.video, other.video)
    with pytest.raises(InputError, match="no neuron's responses vary"):
        nr.fit_posterior(model, silenced(toy_trials(model, 3), neurons=10), factors=1, compute=QUIET)


def test_weights_that_are_no_numbers(model: ToyEncoder, posterior: nr.Posterior, trial: nr.Trial) -> None:
    broken = ToyEncoder(neurons=10, covariates=1)
    with torch.no_grad():
        broken.filters[4] = torch.nan
    with pytest.raises(InputError, match="predict NaN or infinite responses to trial 0"):
        nr.fit_posterior(broken, [trial] * 2, compute=QUIET)
    with pytest.raises(InputError, match="posterior is NaN or infinite"):
        nr.reconstruct(trial, dataclasses.replace(posterior, models=(broken,)), compute=QUIET)
    with pytest.raises(InputError, match="NaN or infinite in pass 0"):
        nr.bauer_2026.reconstruct(trial, broken, compute=QUIET)


def test_parts_of_a_posterior_that_do_not_belong_together(posterior: nr.Posterior) -> None:
    with pytest.raises(InputError, match="has 10 neurons, the encoding models predict 9"):
        dataclasses.replace(posterior, models=(ToyEncoder(neurons=9),))
    with pytest.raises(InputError, match="prior is at 60 Hz, the encoding models at 30 Hz"):
        dataclasses.replace(posterior, movie_prior=NATURAL)
    wide = nr.MoviePrior.natural(height=6, width=9, frame_rate_hz=30)
    with pytest.raises(InputError, match=r"has \(6, 9\) pixels .* encoding models take \(6, 8\)"):
        dataclasses.replace(posterior, movie_prior=wide)


BAD_COMPUTE: list[tuple[dict[str, Any], str]] = [
    ({"max_memory": "8 parsecs"}, "max_memory is '8 parsecs'; it must be an amount of memory"),
    ({"max_memory": 0}, "max_memory is 0"),
    ({"device": "toaster"}, "device is 'toaster'"),
    ({"precision": "half"}, "precision is 'half'; it must be one of auto, float32, bfloat16"),
    ({"progress": 1}, "progress is a int"),
]


@pytest.mark.parametrize(("options", "message"), BAD_COMPUTE)
def test_a_compute_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        nr.Compute(**options)
    with pytest.raises(ResourceError, match="'cuda:99' is not available"):
        nr.Compute(device="cuda:99")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a posterior."""
    torch.manual_seed(0)
    config = ReadoutConfig(neurons=8, video_height=8, video_width=12, frame_rate_hz=30.0)
    model, random = ReadoutModel(config), np.random.default_rng(0)
    shown = [
        nr.Trial(video=random.uniform(0, 255, (60, 8, 12)), responses=random.poisson(2.0, (8, 60)), frame_rate_hz=30.0)
        for _ in range(3)
    ]
    fitted = nr.fit_posterior(model, shown, factors=1, compute=QUIET)
    return fitted.save(tmp_path_factory.mktemp("posterior") / "folder")


def described(change: dict[str, Any]) -> Callable[[Path], object]:
    """Changes what stands in the description."""

    def damage(folder: Path) -> None:
        file = folder / "posterior.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (shutil.rmtree, "holds no posterior.json"),
    "no description": (lambda f: (f / "posterior.json").unlink(), "holds no posterior.json"),
    "no json": (lambda f: (f / "posterior.json").write_text("{"), "is damaged .*fit the posterior again"),
    "a list": (lambda f: (f / "posterior.json").write_text("[]"), "is damaged"),
    "something else": (described({"format": "neuroreel decoder"}), "holds neuroreel decoder"),
    "newer": (described({"format_version": 99}), "a newer neuroreel wrote"),
    "other models": (described({"models": 3}), r"encoder_1\.safetensors|is damaged"),
    "no tensors": (lambda f: (f / "posterior.safetensors").unlink(), "is damaged"),
    "cut": (lambda f: os.truncate(f / "posterior.safetensors", 900), "is damaged"),
    "no encoder": (lambda f: (f / "encoder_0.safetensors").unlink(), r"encoder_0\.safetensors"),
    "encoder cut": (lambda f: os.truncate(f / "encoder_0.safetensors", 900), r"encoder_0\.safetensors"),
    "not fetched": (lambda f: (f / "posterior.safetensors").write_text("/annex/objects/MD5E-s1--0\n"), "been fetched"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_posterior_is_refused(damage: str, stored: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(stored, tmp_path / "posterior"))
    assert nr.load_posterior(folder).neurons == 8
    spoil, message = DAMAGES[damage]
    spoil(folder)
    with pytest.raises(InputError, match=message):
        nr.load_posterior(folder)


def test_a_posterior_is_not_overwritten(stored: Path) -> None:
    with pytest.raises(InputError, match="already exists"):
        nr.load_posterior(stored).save(stored)


def around_their_means(trials: list[nr.Trial]) -> list[nr.Trial]:
    """The trials with z-scored responses."""
    return [each.replace(responses=each.responses - each.responses.mean(axis=1, keepdims=True)) for each in trials]


def test_nothing_learns_from_responses_that_are_negative_on_the_whole(model: ToyEncoder) -> None:
    trials = around_their_means(toy_trials(model, 3))
    for learn in (nr.fit_decoder, nr.fit_encoder, lambda each, **_: nr.learn_mask(model, each)):
        with pytest.raises(InputError, match=r"responses are negative|negative or zero on average"):
            learn(trials, progress=False)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_movies_whose_white_is_one_enter_nowhere(dtype: Any, tmp_path: Path) -> None:
    ones = np.random.default_rng(0).random((30, 6, 8)) > 0.5
    np.save(tmp_path / "ones.npy", ones.astype(dtype))
    np.save(tmp_path / "r.npy", np.ones((3, 30)))
    (tmp_path / "trials.csv").write_text("video,responses\nones.npy,r.npy\n")
    with pytest.raises(InputError, match="trial 0: the largest grey level is 1, but white is 255"):
        nr.import_table(tmp_path / "trials.csv", tmp_path / "out", frame_rate_hz=30)
    assert not (tmp_path / "out").exists()
    shown = nr.Trial(video=ones * 255, responses=np.ones((3, 30)), frame_rate_hz=30)
    recording = nr.write_recording(tmp_path / "mouse", [shown])
    with pytest.raises(InputError, match=r"ones\.npy: the largest grey level is 1, but white is 255"):
        movie_trial(tmp_path / "ones.npy", recording)  # what `predict --videos` opens
    with pytest.raises(InputError, match=r"white is 255; pass grey_levels=\(0, 1\)"):
        Look()(ones.astype(dtype), what="series")
    np.testing.assert_array_equal(Look(grey_levels=(0, 1))(ones.astype(dtype), what="series"), ones * 255.0)


READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("model.safetensors", nr.load_encoder),
    ("model.pth", nr.load_encoder),
    ("mask.npy", nr.load_mask),
    ("result.npy", nr.read_published),
    ("result.nc", nr.Reconstruction.load),
    ("decoder.safetensors", nr.RidgeDecoder.load),
    ("posterior.json", lambda file: nr.load_posterior(file.parent)),
    ("trials.csv", lambda file: nr.import_table(file, file.parent / "out")),
    ("session.nwb", lambda file: nr.import_nwb(file, file.parent / "out")),
    ("movie.tif", read_movie),
    ("movie.mp4", read_movie),
    ("movie.npy", read_movie),
]


@pytest.mark.parametrize(("name", "read"), READERS, ids=[name for name, _ in READERS])
def test_every_reader_says_that_content_was_not_fetched(
    name: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    file, message = tmp_path / name, r"has not been fetched.*'datalad get' or 'git annex get'"
    file.write_text("/annex/objects/MD5E-s11648--0123456789abcdef0123456789abcdef\n")
    with pytest.raises(InputError, match=message):
        read(file)
    file.unlink()
    file.symlink_to(".git/annex/objects/a/b/key/key")
    with pytest.raises(InputError, match=message):
        read(file)


def test_what_systems_hide_among_results_is_no_result(tmp_path: Path) -> None:
    for name in ("trial_001.nc", "._trial_001.nc", ".DS_Store"):
        (tmp_path / name).touch()
    assert result_files((tmp_path,)) == [tmp_path / "trial_001.nc"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": np.full((40, 6, 8), np.nan)}, "1920 NaN or infinite"),
        ({"responses": np.full((10, 40), np.inf)}, "NaN or infinite"),
        ({"video": np.full((40, 6, 8), 256.0)}, "must lie in 0..255"),
        ({"video": np.full((40, 6, 8), "grey")}, "must hold real numbers"),
        ({"video": np.zeros((40, 6, 8, 3))}, r"must be \(frames, height, width\)"),
        ({"responses": np.ones((10, 39))}, "lengths differ"),
    ],
)
def test_bad_trials(change: dict[str, Any], message: str, trial: nr.Trial) -> None:
    with pytest.raises(InputError, match=message):
        trial.replace(**change)


# --- from the command line -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A folder with a small mouse, a model and a mask that fit, which a case may spoil."""

    root: Path

    @property
    def mouse(self) -> Path:
        return self.root / "mouse"

    def data(self, kind: str, number: int) -> Path:
        return self.mouse / "data" / kind / f"{number}.npy"

    def change(self, kind: str, number: int, how: Callable[[np.ndarray[Any, Any]], Any]) -> None:
        array = np.array(np.load(self.data(kind, number)))
        changed = how(array)
        np.save(self.data(kind, number), array if changed is None else changed)

    def command(self, name: str, *more: str) -> list[str]:
        """The command with everything it needs; what is given later wins."""
        encoder, mask = str(self.root / "encoder.safetensors"), str(self.root / "mask.npy")
        needs = {
            "train": [str(self.mouse), "--out", str(self.root / "new"), "--seeds", "0", "--epochs", "1"],
            "fit": [str(self.mouse), "--encoders", encoder, "--out", str(self.root / "new")],
            "mask": [str(self.mouse), "--encoder", encoder, "--out", str(self.root / "new.npy"), "--steps", "2"],
            "reconstruct": [
                *[str(self.mouse), "--method", "bauer_2026", "--encoders", encoder, "--mask", mask],
                *["--trials", "0", "1", "--out", str(self.root / "new"), "--passes", "1"],
            ],
        }
        return [name, *needs.get(name, []), *more]

    def posterior(self, folder: str) -> list[str]:
        """The command that reconstructs with a posterior."""
        return ["reconstruct", str(self.mouse), "--out", str(self.root / "new"), "--posterior", str(self.root / folder)]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pristine")
    nr.simulate(root / "mouse", trials=14, seconds=3, neurons=8, seed=0, progress=False)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"neurons": 8, "video_height": 36, "video_width": 64, "frame_rate_hz": 30.0}
    nr.save_encoder(ReadoutModel(ReadoutConfig(covariates=4, **sizes)), root / "encoder.safetensors")
    nr.save_encoder(ReadoutModel(ReadoutConfig(covariates=4, **sizes | {"neurons": 9})), root / "nine.safetensors")
    nr.save_encoder(ReadoutModel(ReadoutConfig(covariates=4, **sizes | {"video_width": 32})), root / "half.safetensors")
    nr.save_mask(root / "mask.npy", np.ones((36, 64), np.float32))
    nine, shown = nr.load_encoder(root / "nine.safetensors"), list(nr.open_recording(root / "mouse").trials[:2])
    shown = [each.replace(responses=np.pad(each.needs_responses(), ((0, 1), (0, 0)), mode="edge")) for each in shown]
    nr.fit_posterior(nine, shown, factors=1, compute=QUIET).save(root / "nine")
    np.save(root / "nan.npy", np.full((36, 64), np.nan))
    np.save(root / "faint.npy", np.full((36, 64), 0.2))
    np.save(root / "small.npy", np.ones((3, 4)))
    (root / "notes.txt").write_text("no data")
    (root / "cut.safetensors").write_bytes((root / "encoder.safetensors").read_bytes()[:5000])
    shutil.copy(root / "encoder.json", root / "cut.json")
    return root


@pytest.fixture
def place(pristine: Path, tmp_path: Path) -> Place:
    shutil.copytree(pristine, tmp_path / "place")
    return Place(tmp_path / "place")


def nan_inside(array: np.ndarray[Any, Any]) -> None:
    array[..., 20] = np.nan


def brighter(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.int16) + 200


Spoil = Callable[[Place], Any]
BAD_COMMANDS: list[tuple[str, Spoil, Callable[[Place], list[str]], str]] = [
    (
        "no folder",
        lambda _: 0,
        lambda p: (
            [*p.command("train", str(p.root / "nowhere"))[:1], str(p.root / "nowhere"), "--out", str(p.root / "new")]
        ),
        "nowhere",
    ),
    ("no recording", lambda p: shutil.rmtree(p.mouse / "data"), lambda p: p.command("train"), "mouse"),
    ("no tiers", lambda p: (p.mouse / "meta/trials/tiers.npy").unlink(), lambda p: p.command("train"), "tiers"),
    ("missing responses", lambda p: p.data("responses", 3).unlink(), lambda p: p.command("train"), "responses"),
    (
        "truncated video",
        lambda p: os.truncate(p.data("videos", 1), 4000),
        lambda p: p.command("reconstruct"),
        "1.npy|trial 1|1:",
    ),
    ("truncated header", lambda p: os.truncate(p.data("videos", 1), 20), lambda p: p.command("reconstruct"), "1.npy"),
    ("NaN inside", lambda p: p.change("behavior", 1, nan_inside), lambda p: p.command("reconstruct"), "NaN"),
    (
        "NaN inside, train",
        lambda p: [p.change("behavior", n, nan_inside) for n in range(14)],
        lambda p: p.command("train"),
        "NaN",
    ),
    (
        "fewer neurons",
        lambda p: p.change("responses", 1, lambda a: a[:5]),
        lambda p: p.command("reconstruct"),
        "neurons",
    ),
    (
        "grey levels",
        lambda p: p.change("videos", 1, brighter),
        lambda p: p.command("reconstruct"),
        "0..255",
    ),
    (
        "text for a video",
        lambda p: np.save(p.data("videos", 1), np.array(["a"])),
        lambda p: p.command("reconstruct"),
        "1.npy",
    ),
    (
        "other neurons",
        lambda _: 0,
        lambda p: p.command("reconstruct", "--encoders", str(p.root / "nine.safetensors")),
        "8 neurons, the model predicts 9",
    ),
    (
        "other movies",
        lambda _: 0,
        lambda p: p.command("reconstruct", "--encoders", str(p.root / "half.safetensors")),
        "32x36|mask is",
    ),
    (
        "no encoder",
        lambda _: 0,
        lambda p: p.command("reconstruct", "--encoders", "gone.safetensors"),
        "no file gone.safetensors",
    ),
    (
        "text for an encoder",
        lambda _: 0,
        lambda p: p.command("reconstruct", "--encoders", str(p.root / "notes.txt")),
        "'.txt'",
    ),
    (
        "truncated encoder",
        lambda _: 0,
        lambda p: p.command("mask", "--encoder", str(p.root / "cut.safetensors")),
        "damaged",
    ),
    ("readout", lambda _: 0, lambda p: p.command("mask", "--session", "3"), "there is no readout 3"),
    ("mask size", lambda _: 0, lambda p: p.command("reconstruct", "--mask", str(p.root / "small.npy")), r"\(3, 4\)"),
    ("mask NaN", lambda _: 0, lambda p: p.command("reconstruct", "--mask", str(p.root / "nan.npy")), "NaN"),
    (
        "mask empty",
        lambda _: 0,
        lambda p: p.command("reconstruct", "--mask", str(p.root / "faint.npy")),
        "no pixel of the mask",
    ),
    ("mask gone", lambda _: 0, lambda p: p.command("reconstruct", "--mask", "gone.npy"), "gone.npy"),
    (
        "text for a mask",
        lambda _: 0,
        lambda p: p.command("reconstruct", "--mask", str(p.root / "notes.txt")),
        "cannot be read as a mask",
    ),
    ("no posterior", lambda _: 0, lambda p: p.posterior("gone"), "gone holds no posterior.json"),
    ("a posterior of others", lambda _: 0, lambda p: p.posterior("nine"), "8 neurons, the model predicts 9"),
    ("neither", lambda _: 0, lambda p: p.posterior("nine")[:-2], "give --posterior"),
    ("both", lambda _: 0, lambda p: p.command("reconstruct", "--posterior", "nine"), "takes --encoders, and neither"),
    ("draws as published", lambda _: 0, lambda p: p.command("reconstruct", "--samples", "2"), "nor --samples"),
    (
        "fit, other neurons",
        lambda _: 0,
        lambda p: p.command("fit", "--encoders", str(p.root / "nine.safetensors")),
        "8 neurons",
    ),
    ("fit, fold", lambda _: 0, lambda p: p.command("fit", "--test-fold", "fold_9"), "fold_9"),
    ("fit, there already", lambda _: 0, lambda p: p.command("fit", "--out", str(p.root / "nine")), "already exists"),
    ("fit, weight", lambda _: 0, lambda p: p.command("fit", "--likelihood-weight", "0"), "--likelihood-weight is 0"),
    (
        "trial number",
        lambda _: 0,
        lambda p: p.command("reconstruct", "--trials", "0", "99"),
        "no trial 99 in mouse; its trials are numbered 0 to 13",
    ),
    ("negative trial", lambda _: 0, lambda p: p.command("reconstruct", "--trials", "-1"), "no trial -1"),
    ("fold", lambda _: 0, lambda p: [*p.command("reconstruct"), "--fold", "fold_9", "--trials"], "fold_9"),
    ("test fold", lambda _: 0, lambda p: p.command("train", "--test-fold", "fold_9"), "fold_9"),
    (
        "same folds",
        lambda _: 0,
        lambda p: p.command("train", "--test-fold", "fold_1"),
        "test and validation fold at once",
    ),
    ("iterations", lambda _: 0, lambda p: p.command("reconstruct", "--passes", "0"), "--passes is 0"),
    ("epochs", lambda _: 0, lambda p: p.command("train", "--epochs", "0"), "epochs is 0"),
    ("steps", lambda _: 0, lambda p: p.command("mask", "--steps", "0"), "steps is 0"),
    ("device, train", lambda _: 0, lambda p: p.command("train", "--device", "cuda:99"), "'cuda:99' is not available"),
    ("device, mask", lambda _: 0, lambda p: p.command("mask", "--device", "cuda:99"), "'cuda:99' is not available"),
    ("memory", lambda _: 0, lambda p: p.command("reconstruct", "--max-memory", "lots"), "--max-memory is 'lots'"),
    (
        "too little memory",
        lambda _: 0,
        lambda p: p.command("reconstruct", "--max-memory", "1kB"),
        r"a window of \d+ frames takes about .*, but --max-memory is 1 kB, of which .*: allow more",
    ),
    ("device, reconstruct", lambda _: 0, lambda p: p.command("reconstruct", "--device", "gpu"), "device is 'gpu'"),
    ("no results", lambda _: 0, lambda p: p.command("evaluate", str(p.mouse)), "holds no results; give .nc files"),
    (
        "a result that is not there",
        lambda _: 0,
        lambda p: p.command("evaluate", "gone.nc"),
        "no file or folder gone.nc",
    ),
    ("nothing to evaluate", lambda _: 0, lambda p: p.command("evaluate"), "no results were given; give .nc files"),
    (
        "text for a result",
        lambda _: 0,
        lambda p: p.command("report", str(p.root / "notes.txt"), "--out", str(p.root / "new.html")),
        "notes.txt",
    ),
    (
        "report's name",
        lambda _: 0,
        lambda p: p.command("report", str(p.mouse), "--out", str(p.root / "new.pdf")),
        "must end in .html",
    ),
    ("no neurons", lambda _: 0, lambda p: p.command("simulate", str(p.root / "new"), "--neurons", "0"), "neurons is 0"),
    ("folder in use", lambda _: 0, lambda p: p.command("simulate", str(p.mouse)), "mouse"),
    ("demo elsewhere", lambda _: 0, lambda p: p.command("demo", "--quick", "--out", str(p.root)), "holds other files"),
]


def listing(root: Path) -> dict[str, int]:
    return {str(file.relative_to(root)): file.stat().st_mtime_ns for file in root.rglob("*") if file.is_file()}


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message with which a command refuses."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    said = capsys.readouterr()
    assert stopped.value.code == 2
    assert "Traceback" not in said.err + said.out
    return said.err


@pytest.mark.parametrize(
    ("spoil", "command", "message"), [case[1:] for case in BAD_COMMANDS], ids=[case[0] for case in BAD_COMMANDS]
)
def test_bad_commands_are_refused(
    spoil: Spoil,
    command: Callable[[Place], list[str]],
    message: str,
    place: Place,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(place)
    before = listing(place.root)
    error = refusal(command(place), capsys)
    assert error.startswith("neuroreel: ") and len(error) < 1000
    assert re.search(message, error), error
    assert listing(place.root) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sing"], "sing"),
        (["reconstruct"], "required"),
        (["reconstruct", "mouse", "--encoders", "a", "--out", "b", "--method", "magic"], "magic"),
        (["simulate", "mouse", "--neurons", "many"], "many"),
        (["train", "mouse", "--out", "b", "--kinds", "readout"], "--kinds"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refusal(arguments, capsys)


def test_a_movie_shorter_than_a_window(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("videos", "responses", "behavior", "pupil_center"):
        place.change(kind, 1, lambda array: array[..., :10])
    error = refusal(place.command("reconstruct"), capsys)
    assert "10 frames" in error and "too short" in error
    assert not (place.root / "new").exists()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for 64 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full(tiny_disk: Path, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal([*place.command("reconstruct"), "--out", str(tiny_disk)], capsys)
    assert "no space left on the disk" in error and error.count("\n") == 1
    assert list(tiny_disk.iterdir()) == []
    error = refusal(["simulate", str(tiny_disk / "mouse"), "--trials", "7", "--seconds", "2", "--neurons", "4"], capsys)
    assert "no space left on the disk" in error
    assert list(tiny_disk.iterdir()) == []


@pytest.mark.parametrize("name", ["mask", "reconstruct"])
def test_a_full_disk_without_a_mount(
    name: str, place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    before = listing(place.root)
    assert "no space left on the disk" in refusal(place.command(name), capsys)
    assert listing(place.root) == before


def test_faults_of_the_machine_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for error, message in [
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "out of memory"),
        (PermissionError(errno.EACCES, "Permission denied", "mouse"), "Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file", "mouse"), "'mouse'"),
    ]:

        def fail(*_: object, raised: Exception = error, **__: object) -> None:
            raise raised

        monkeypatch.setattr("neuroreel.recordings.recording.open_recording", fail)
        said = refusal(["train", "mouse", "--out", "models"], capsys)
        assert message in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "check the network"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "no other process uses it"),
        (TimeoutError("timed out"), "check the network"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "another process ended early"),
        (ChildProcessError(errno.ECHILD, "No child processes"), "another process ended early"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error\n"),
    ],
)
def test_advice_is_about_what_is_wrong(
    error: OSError, advice: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("neuroreel.recordings.recording.open_recording", fail)
    said = refusal(["train", "mouse", "--out", "models"], capsys)
    assert advice in said and "check the path" not in said and said.count("\n") == 1


def test_what_exists_is_named_in_the_command_lines_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(["simulate", str(tmp_path)], capsys)
    assert said.endswith("already exists and is not overwritten; choose another name or pass --overwrite\n")
    page = tmp_path / "page.html"
    page.write_text("mine")
    said = refusal(["report", str(tmp_path), "--out", str(page)], capsys)
    assert said.endswith("page.html already exists and is not overwritten; choose another name or pass --overwrite\n")
    assert page.read_text() == "mine"


@pytest.mark.parametrize(
    "words", [["~/mouse", "--encoder", "e", "--out", "m"], ["mouse", "--encoder", "e", "--out=~/taken"]]
)
def test_home_on_the_command_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "taken").touch()
    assert f"neuroreel: {tmp_path}/" in refusal(["mask", *words], capsys)


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("neuroreel.recordings.recording.open_recording", fail)
    with pytest.raises(ZeroDivisionError):
        main(["train", "mouse", "--out", "models"])


def test_ctrl_c_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("neuroreel.recordings.recording.open_recording", stop)
    with pytest.raises(SystemExit) as stopped:
        main(["train", "mouse", "--out", "models"])
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "neuroreel: stopped; give the same command again to resume\n"


@pytest.mark.slow
def test_exit_status_and_message_of_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "neuroreel", "train", "nowhere", "--out", "models"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("neuroreel: ") and "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_a_reconstruction(place: Place) -> None:
    command = place.command("reconstruct", "--passes", "100000")
    before = listing(place.root)
    process = subprocess.Popen(
        [sys.executable, "-m", "neuroreel", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    snapshot = "new/trial_000-trial0.pt"  # the first is saved after 20 s
    try:
        for _ in range(3000):
            if process.poll() is not None or (place.root / snapshot).exists():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert (said, error) == ("", "neuroreel: stopped; give the same command again to resume\n")
    assert set(listing(place.root)) - set(before) == {snapshot}


# --- the authors' files -----------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(golden: Path) -> dict[str, Any]:
    """A published checkpoint, to be spoiled."""
    return dict(torch.load(next(golden.glob("checkpoints/fold_0/*.pth")), weights_only=True))


def spoiled(place: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Set what lies at a place such as ``params/nn_module/1/groups``."""

    def spoil(checkpoint: dict[str, Any]) -> None:
        *path, last = place.split("/")
        target: Any = checkpoint
        for key in path:
            target = target[int(key) if key.isdecimal() else key]
        target[last] = value

    return spoil


def first_weight(change: Callable[[torch.Tensor], Any]) -> Callable[[dict[str, Any]], None]:
    def spoil(checkpoint: dict[str, Any]) -> None:
        weights = checkpoint["nn_state_dict"]
        weights["core.stem.0.weight"] = change(weights["core.stem.0.weight"])

    return spoil


def renamed(checkpoint: dict[str, Any]) -> None:
    weights = checkpoint["nn_state_dict"]
    weights["core.stem.0.kernel"] = weights.pop("core.stem.0.weight")


BAD_CHECKPOINTS: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("renamed", renamed, r"another architecture \(missing: stem\.0\.weight; unexpected: stem\.0\.kernel\)"),
    ("shape", first_weight(lambda w: w[1:]), r"of another shape: stem\.0\.weight \(7, 5, 1, 1, 1\) instead of \(8, 5,"),
    ("expansion", spoiled("params/nn_module/1/expansion_ratio", 7), r"of another shape: .* and \d+ more"),
    ("gigantic", spoiled("params/nn_module/1/core_features", (10**7,) * 3), "of another shape"),
    ("endless", spoiled("params/nn_module/1/core_features", (10**15,) * 3), "can be built|of another shape"),
    ("groups", spoiled("params/nn_module/1/groups", 0), "no DwiseNeuro can be built from its description"),
    ("words", spoiled("params/nn_module/1/cortex_features", "wide"), "no DwiseNeuro can be built"),
    ("no readouts", spoiled("params/nn_module/1/readout_outputs", []), "readout_neurons is empty"),
    ("unknown setting", spoiled("params/nn_module/1/heads", 8), "settings that DwiseNeuro does not know: .'heads'"),
    ("other clips", spoiled("params/frame_stack/step", 3), "trained with frame_stack step 3; only 2 is known"),
    ("other canvas", spoiled("params/inputs_processor/1/size", [32, 32]), r"size .* only \(64, 64\) is known"),
    ("kind", lambda c: c["params"].update(nn_module=("resnet", {})), "kind 'resnet'; only 'dwiseneuro'"),
    ("no kind", lambda c: c["params"].pop("nn_module"), "not a published checkpoint .*nn_module"),
    ("only weights", lambda c: c.pop("params"), "must hold model_name, params and nn_state_dict"),
    ("NaN", first_weight(lambda w: w * np.nan), r"NaN or infinite \(stem\.0\.weight\)"),
    ("complex", first_weight(lambda w: w.to(torch.complex64)), "not a plain tensor"),
    ("sparse", first_weight(lambda w: w.to_sparse()), "not a plain tensor"),
    ("no tensor", first_weight(lambda w: w.tolist()), "not a plain tensor"),
    ("expanded", first_weight(lambda w: torch.zeros(1).expand(w.shape)), "fewer values than its shape"),
]


@pytest.mark.parametrize(
    ("spoil", "message"), [case[1:] for case in BAD_CHECKPOINTS], ids=[case[0] for case in BAD_CHECKPOINTS]
)
def test_published_checkpoints_of_other_models(
    spoil: Callable[[dict[str, Any]], Any], message: str, checkpoint: dict[str, Any], tmp_path: Path
) -> None:
    spoil(checkpoint)
    file = tmp_path / "model.pth"
    torch.save(checkpoint, file)
    with pytest.raises(InputError, match=message) as caught:
        nr.load_encoder(file)
    assert str(caught.value).startswith(str(file)) and len(str(caught.value)) < 800


def test_weights_that_are_only_weights(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    torch.save(checkpoint["nn_state_dict"], tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"not a published checkpoint \(KeyError: .*params"):
        nr.load_encoder(tmp_path / "weights.pth")


@pytest.mark.parametrize("kept", np.linspace(0, 1, 12, endpoint=False))
def test_published_checkpoints_cut_short(kept: float, golden: Path, tmp_path: Path) -> None:
    whole = next(golden.glob("checkpoints/fold_0/*.pth")).read_bytes()
    (tmp_path / "model.pth").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(InputError, match="truncated, damaged or something else") as caught:
        nr.load_encoder(tmp_path / "model.pth")
    assert "weights_only" not in str(caught.value)  # no advice to open it unsafely


def test_published_checkpoints_with_any_damage(golden: Path, tmp_path: Path) -> None:
    """Errors or other numbers, never anything else, wherever a byte is wrong."""
    whole = next(golden.glob("checkpoints/fold_0/*.pth")).read_bytes()
    random = np.random.default_rng(0)
    file = tmp_path / "model.pth"
    for _ in range(60):
        damaged = bytearray(whole)
        for place in (random.integers(20_000), -random.integers(1, 12_000), random.integers(len(whole))):
            damaged[place] = random.integers(256)
        file.write_bytes(damaged)
        with contextlib.suppress(InputError):
            nr.load_encoder(file, session=1)


def test_hostile_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    for function, argument in ((os.system, f"touch {trace}"), (eval, f"open({str(trace)!r}, 'w')")):
        for zipped in (True, False):
            hostile = {"params": Payload(function, argument), "nn_state_dict": {}}
            torch.save(hostile, tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
            with pytest.raises(nr.RefusedError, match=rf"{function.__name__}.* Nothing was run") as caught:
                nr.load_encoder(tmp_path / "model.pth")
            assert "will likely succeed" not in str(caught.value)
    assert not trace.exists()


def test_conversions_are_refused_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        write_result(tmp_path / folder, "m0_t0")
    twice = [str(tmp_path / folder / "reconstruction_summary_m0_t0.npy") for folder in ("a", "b")]
    trace, hostile = tmp_path / "ran", str(tmp_path / "hostile.pth")
    torch.save({"params": Payload(os.system, f"touch {trace}"), "nn_state_dict": {}}, hostile)
    out = tmp_path / "out"
    cases = {
        "would both become reconstruction_summary_m0_t0.nc": twice,
        "there is no file gone.pth": [*twice[:1], "gone.pth"],
        "no files to convert": [],
        "Nothing was run": [hostile],
    }
    for message, files in cases.items():
        said = refusal(["convert", *files, "--out", str(out)], capsys)
        assert message in said and said.count("\n") == 1
    assert not trace.exists() and not list(out.rglob("*"))
