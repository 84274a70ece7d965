"""Training: it learns, it is reproducible, it survives a kill, and it refuses what cannot work before it starts."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.readout import ReadoutModel
from neuroreel.encoding.training.batches import RandomClips, RandomWindows, Share
from neuroreel.encoding.training.recipe import Devices
from neuroreel.encoding.training.store import TrialStore
from neuroreel.locks import folder_lock

RECIPE = {"epochs": 4, "batches_per_epoch": 5, "batch_size": 3, "window_frames": 40}
SIZES = {"channels": 6, "hidden_channels": 8}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> nr.Recording:
    folder = tmp_path_factory.mktemp("mouse") / "mouse"
    return nr.simulate(folder, trials=9, seconds=4, neurons=12, height=18, width=32, seed=1, progress=False)


@pytest.fixture(scope="module")
def trials(recording: nr.Recording) -> list[nr.Trial]:
    return [recording.trials[index] for index in range(6)]


@pytest.fixture(scope="module")
def validation(recording: nr.Recording) -> list[nr.Trial]:
    return [recording.trials[index] for index in range(6, 9)]


def fit(trials: Any, **changes: Any) -> nr.EncodingModel:
    settings = {"recipe": RECIPE, "architecture": SIZES, "progress": False, "seed": 3}
    return nr.fit_encoder(trials, **(settings | changes))


def equal(a: nr.EncodingModel, b: nr.EncodingModel) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def losses(model: nr.EncodingModel) -> list[float]:
    return [row["train_loss"] for row in model.training_log]


# --- it learns ---


def test_windows_shrink_to_short_trials(trials: list[nr.Trial]) -> None:
    """A recipe's default window is longer than some labs' trials; only a window asked for is taken at its word."""
    short = [nr.Trial(video=t.video[:50], responses=t.responses[:, :50], frame_rate_hz=30) for t in trials]
    model = fit(short, recipe={"epochs": 1, "batches_per_epoch": 1})
    assert nr.predict(model, short[0]).shape == (12, 50)


def test_training_predicts_better_than_the_start(trials: list[nr.Trial]) -> None:
    start = fit(trials, recipe={**RECIPE, "epochs": 1, "batches_per_epoch": 1, "learning_rate": 0.0})
    model = fit(trials, recipe={**RECIPE, "epochs": 8, "batches_per_epoch": 40, "ema_decay": 0.9})
    assert nr.encoder_correlation(model, trials) > nr.encoder_correlation(start, trials) + 0.03


@pytest.mark.slow
def test_training_predicts_movies_it_never_saw(tmp_path: Path) -> None:
    recording = nr.simulate(
        tmp_path / "m", trials=28, seconds=8, neurons=60, height=18, width=32, seed=2, progress=False
    )
    train = [recording.trials[index] for index in range(24)]
    held_out = [recording.trials[index] for index in range(24, 28)]
    start = fit(train, architecture={}, recipe={**RECIPE, "epochs": 1, "batches_per_epoch": 1, "learning_rate": 0.0})
    model = fit(train, architecture={}, recipe={"epochs": 8})
    before, after = (nr.encoder_correlation(each, held_out) for each in (start, model))
    assert after > max(before, 0.2), (before, after)


def test_log_has_a_row_an_epoch(trials: list[nr.Trial], validation: list[nr.Trial], tmp_path: Path) -> None:
    model = fit(trials, validation=validation, folder=tmp_path)
    with (tmp_path / "log" / "metrics.csv").open() as file:
        table = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert table == list(model.training_log)
    assert [row["epoch"] for row in table] == [0, 1, 2, 3]
    assert all(row.keys() >= {"train_loss", "validation_correlation", "seconds"} for row in table)
    best = max(row["validation_correlation"] for row in table)
    assert nr.encoder_correlation(model, validation) == pytest.approx(best, abs=1e-5)  # the best epoch is kept


def test_the_average_is_kept(trials: list[nr.Trial], tmp_path: Path) -> None:
    """With a decay near 1 the average stays near the start, however fast the weights move."""
    start = fit(trials, recipe={**RECIPE, "epochs": 1, "batches_per_epoch": 1, "learning_rate": 0.0})
    slow = fit(trials, recipe={**RECIPE, "ema_decay": 0.9999})
    fast = fit(trials, recipe={**RECIPE, "ema_decay": 0.0}, folder=tmp_path)
    moved = [(model.get_parameter("weight") - start.get_parameter("weight")).norm() for model in (slow, fast)]
    assert moved[0] < 0.01 * moved[1]
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state"]
    torch.testing.assert_close(checkpoint["model"]["weight"], fast.get_parameter("weight"))


def test_a_movie_it_was_trained_on_is_marked(trials: list[nr.Trial], validation: list[nr.Trial]) -> None:
    model = fit(trials)
    posterior = nr.fit_posterior(model, trials, compute=nr.Compute(progress=False))
    elsewhere = trials[0].replace(name="the same movie in another trial")
    for trial, known in ((elsewhere, True), (validation[0], False)):
        result = nr.reconstruct(trial, posterior, passes=1, compute=nr.Compute(progress=False))
        assert result.trained_on is known
    assert result.settings["training_split"] == f"{len(trials)} training trials of {trials[0].recording}"


def test_distillation_from_an_ensemble(trials: list[nr.Trial]) -> None:
    """A student that learns from the teachers alone comes closer to them."""
    teachers = [fit(trials, seed=seed) for seed in (1, 2)]
    before = [{name: value.clone() for name, value in teacher.state_dict().items()} for teacher in teachers]
    alone, student = fit(trials), fit(trials, teachers=teachers, recipe=RECIPE | {"distillation": 1.0})
    assert not equal(alone, student)
    for teacher, was in zip(teachers, before, strict=True):
        assert all(torch.equal(value, was[name]) for name, value in teacher.state_dict().items())
    taught = nr.predict(teachers, trials[0])

    def distance(model: nr.EncodingModel) -> float:
        return float(np.square(nr.predict(model, trials[0]) - taught).mean())

    assert distance(student) < distance(alone)
    with pytest.raises(nr.InputError, match="teacher 0 is not a ReadoutModel of the same recordings"):
        fit([each.replace(responses=each.needs_responses()[1:]) for each in trials], teachers=teachers)


def test_early_stop(trials: list[nr.Trial], validation: list[nr.Trial]) -> None:
    still = {**RECIPE, "epochs": 30, "patience": 2, "learning_rate": 0.0, "batches_per_epoch": 1}
    assert len(fit(trials, validation=validation, recipe=still).training_log) == 3


def test_validation_every_other_epoch(trials: list[nr.Trial], validation: list[nr.Trial]) -> None:
    model = fit(trials, validation=validation, recipe={**RECIPE, "validate_every": 2})
    assert ["validation_correlation" in row for row in model.training_log] == [False, True, False, True]


def test_dwiseneuro_without_behavior_trains(trials: list[nr.Trial], validation: list[nr.Trial]) -> None:
    sizes = {"core_features": (8, 8), "spatial_strides": (2, 2), "cortex_features": (16,), "expansion_ratio": 2}
    mute = [trial.replace(behavior=None, pupil_center=None) for trial in (*trials, *validation)]
    recipe = {"epochs": 2, "batches_per_epoch": 2, "batch_size": 2, "warmup_epochs": 0}
    model = fit(mute[:6], validation=mute[6:], kind="dwiseneuro", architecture=sizes, recipe=recipe)
    assert isinstance(model, DwiseNeuro) and model.covariates == 0 and not model.training
    assert nr.predict(model, mute[0]).shape == (12, mute[0].frames)


# --- it is reproducible ---


def test_the_seed_decides_everything(trials: list[nr.Trial]) -> None:
    state = torch.random.get_rng_state()
    first = fit(trials)
    assert torch.equal(torch.random.get_rng_state(), state)  # the caller's random numbers are left alone
    torch.manual_seed(99)
    assert equal(fit(trials), first)
    assert equal(fit(trials, seed=np.int64(3)), first)
    assert not equal(fit(trials, seed=4), first)


def test_windows_depend_on_seed_and_number_alone(trials: list[nr.Trial]) -> None:
    store = TrialStore(trials, show_progress=False)
    windows = RandomWindows(store, window_frames=30, batch_size=4, seed=0)
    again = RandomWindows(store, window_frames=30, batch_size=4, seed=0)
    again[Share(3)]
    batch = windows[Share(7)]
    assert torch.equal(batch.video, again[Share(7)].video)
    assert not torch.equal(batch.video, windows[Share(8)].video)
    assert batch.video.shape == (4, 30, 18, 32) and batch.responses.shape == (4, 12, 30)
    halves = [windows[Share(7, part, 2)] for part in range(2)]
    assert all(torch.equal(batch.responses[part::2], half.responses) for part, half in enumerate(halves))


# --- it survives a kill ---


class KilledError(RuntimeError):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int, error: type[BaseException] = KilledError) -> None:
    """Raise the error where the batch of this step would be read."""
    for batches in (RandomWindows, RandomClips):
        read = batches.__getitem__

        def stop(self: Any, share: Share, read: Any = read) -> Any:
            if share.batch == step:
                raise error
            return read(self, share)

        monkeypatch.setattr(batches, "__getitem__", stop)


@pytest.mark.parametrize("step", [5, 13])
@pytest.mark.parametrize("validated", [False, True])
def test_a_resumed_run_is_the_undisturbed_one(
    trials: list[nr.Trial], validation: list[nr.Trial], tmp_path: Path, step: int, validated: bool
) -> None:
    settings: dict[str, Any] = {"validation": validation} if validated else {}
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(KilledError):
            fit(trials, folder=tmp_path, **settings)
    resumed, undisturbed = fit(trials, folder=tmp_path, **settings), fit(trials, **settings)
    assert equal(resumed, undisturbed)
    assert losses(resumed) == losses(undisturbed) and len(losses(resumed)) == 4
    assert len((tmp_path / "log" / "metrics.csv").read_text().splitlines()) == 5


def test_ctrl_c_stays_a_keyboard_interrupt(
    trials: list[nr.Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        kill_at(patch, 7, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(trials, folder=tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "model.safetensors").exists()
    assert equal(fit(trials, folder=tmp_path), fit(trials))


def test_a_stop_that_was_decided_before_the_kill_holds(
    trials: list[nr.Trial], validation: list[nr.Trial], tmp_path: Path
) -> None:
    still = {**RECIPE, "epochs": 30, "patience": 2, "learning_rate": 0.0, "batches_per_epoch": 1}
    done = fit(trials, validation=validation, recipe=still, folder=tmp_path)
    (tmp_path / "model.safetensors").unlink()  # as if killed between the last epoch and writing the model
    again = fit(trials, validation=validation, recipe=still, folder=tmp_path)
    assert equal(again, done) and len(again.training_log) == len(done.training_log) == 3


def test_a_finished_training_is_not_done_again(trials: list[nr.Trial], tmp_path: Path) -> None:
    done = fit(trials, folder=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, 0)
        again = fit(trials, folder=tmp_path)
    assert equal(again, done) and again.training_log == done.training_log and not again.training


def test_two_trainings_in_one_folder(trials: list[nr.Trial], tmp_path: Path) -> None:
    with (
        folder_lock(tmp_path, what="training"),
        pytest.raises(nr.ResourceError, match=r"works in .* \(training, process"),
    ):
        fit(trials, folder=tmp_path)
    assert not (tmp_path / "training.json").exists()


@pytest.mark.parametrize("rank", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_processes_that_share_a_training_meet_in_its_folder(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ddp, alone = (Devices(torch.device("cpu"), 2, strategy) for strategy in ("ddp", "ddp_spawn"))
    assert ddp.first_process and alone.first_process
    monkeypatch.setenv(rank, "1")
    assert not ddp.first_process and alone.first_process


@pytest.mark.slow
def test_killed_for_good(trials: list[nr.Trial], recording: nr.Recording, tmp_path: Path) -> None:
    """SIGKILL somewhere in the middle, three times, then to the end."""
    recipe = {**RECIPE, "epochs": 12, "batches_per_epoch": 20}
    program = (
        "import sys, json, neuroreel as nr\n"
        "recording = nr.open_recording(sys.argv[1])\n"
        "trials = [recording.trials[i] for i in range(6)]\n"
        "nr.fit_encoder(trials, seed=3, progress=False, folder=sys.argv[2], **json.loads(sys.argv[3]))\n"
    )
    arguments = [str(recording.folder), str(tmp_path / "run"), json.dumps({"recipe": recipe, "architecture": SIZES})]
    run_with_kills(program, arguments, folder=tmp_path / "run")
    assert equal(nr.load_encoder(tmp_path / "run" / "model.safetensors"), fit(trials, recipe=recipe))


def run_with_kills(program: str, arguments: list[str], *, folder: Path) -> None:
    """Run a program that trains in a folder; kill it after a checkpoint, three times, then let it finish."""
    command = [sys.executable, "-c", program, *arguments]
    last = folder / "checkpoints" / "last.ckpt"
    for _ in range(3):
        process = subprocess.Popen(command)
        before = last.stat().st_mtime if last.exists() else 0.0
        while process.poll() is None and not (last.exists() and last.stat().st_mtime > before):
            time.sleep(0.01)
        time.sleep(0.1)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True)


# --- folders of another training, damaged files ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 4}, "seed is 4 now and was 3"),
        ({"kind": "dwiseneuro", "recipe": {}, "architecture": {"cortex_features": (8,)}}, "kind is 'dwiseneuro' now"),
        ({"recipe": {**RECIPE, "epochs": 9}}, "recipe is .*epochs: 9"),
        ({"architecture": {**SIZES, "channels": 4}}, "architecture is .*channels: 4"),
    ],
)
def test_folder_of_another_training(trials: list[nr.Trial], tmp_path: Path, changes: Any, message: str) -> None:
    fit(trials, folder=tmp_path, recipe={**RECIPE, "epochs": 1})
    with pytest.raises(nr.InputError, match=f"holds another training.*{message}"):
        fit(trials, folder=tmp_path, **({"recipe": {**RECIPE, "epochs": 1}} | changes))


def test_folder_of_other_trials(trials: list[nr.Trial], validation: list[nr.Trial], tmp_path: Path) -> None:
    fit(trials, folder=tmp_path, recipe={**RECIPE, "epochs": 1})
    with pytest.raises(nr.InputError, match="training trials is"):
        fit(trials[1:], folder=tmp_path, recipe={**RECIPE, "epochs": 1})
    with pytest.raises(nr.InputError, match="validation trials is"):
        fit(trials, validation=validation, folder=tmp_path, recipe={**RECIPE, "epochs": 1})


def test_damaged_files(trials: list[nr.Trial], tmp_path: Path) -> None:
    fit(trials, folder=tmp_path)
    (tmp_path / "model.safetensors").unlink()
    last, description = tmp_path / "checkpoints" / "last.ckpt", tmp_path / "training.json"
    last.write_bytes(last.read_bytes()[:2000])
    with pytest.raises(nr.InputError, match=r"last\.ckpt is not a readable snapshot.*delete it"):
        fit(trials, folder=tmp_path)
    description.write_text("{")
    with pytest.raises(nr.InputError, match=r"training\.json is damaged"):
        fit(trials, folder=tmp_path)
    description.unlink()
    with pytest.raises(nr.InputError, match="holds checkpoints, but no"):
        fit(trials, folder=tmp_path)


# --- bad input, before any training ---


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object, **__: object) -> None:
        raise AssertionError("the training began")

    monkeypatch.setattr("neuroreel.encoding.training.loop.train", trained)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "transformer"}, "kind is 'transformer'.*readout, dwiseneuro"),
        ({"recipe": {"speed": 3}}, "no setting of the recipe 'speed'; .*must be one of learning_rate"),
        ({"architecture": {"heads": 3}}, "no setting of the architecture 'heads'; .*must be one of neurons"),
        ({"architecture": {"channels": "many"}}, "no core_readout model can be built"),
        ({"architecture": {"channels": -1}}, "no core_readout model can be built"),
        ({"architecture": {"neurons": 3}}, "come from the trials"),
        ({"architecture": {"covariates": 9}}, "takes 9 behavior channels, the trials have 4"),
        ({"recipe": {"epochs": 0}}, "epochs is 0; it must be a whole number, at least 1"),
        ({"recipe": {"learning_rate": float("nan")}}, "learning_rate is nan"),
        ({"recipe": {"ema_decay": 1.0}}, "ema_decay is 1.0; it must be below 1"),
        ({"recipe": {"window_frames": 12}}, "more than the 12 frames"),
        ({"recipe": {"window_frames": 500}}, "fewer than a training window"),
        ({"kind": "dwiseneuro", "architecture": {}}, "sees windows of 32 frames"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"device": "cuda:9"}, "'cuda:9' is not available"),
        ({"device": "abacus"}, "device is 'abacus'"),
    ],
)
def test_bad_settings(trials: list[nr.Trial], changes: Any, message: str) -> None:
    with pytest.raises(nr.NeuroreelError, match=message):
        fit(trials, **changes)


@pytest.mark.usefixtures("no_training")
def test_bad_trials(trials: list[nr.Trial], validation: list[nr.Trial]) -> None:
    good = trials[0]
    with pytest.raises(nr.InputError, match="training trials: there are none"):
        fit([])
    with pytest.raises(nr.InputError, match="validation trials: got one Trial"):
        fit(trials, validation=good)
    with pytest.raises(nr.InputError, match="no responses"):
        fit([good.replace(responses=None)])
    with pytest.raises(nr.InputError, match="no video"):
        fit([good.replace(video=None)])
    assert good.responses is not None
    with pytest.raises(nr.InputError, match="11 neurons instead of 12"):
        fit([good, good.replace(responses=good.responses[1:])])


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_rate_hz": 20.0}, "validation trials have 20 frames per second instead of 30"),
        ({"behavior": None}, "validation trials have 0 behavior channels instead of 2"),
        ({"responses": None}, "no responses"),
        ({"responses": np.ones((3, 120))}, "validation trials have 3 neurons instead of 12"),
    ],
)
def test_validation_trials_that_differ(
    trials: list[nr.Trial], validation: list[nr.Trial], change: Any, message: str
) -> None:
    with pytest.raises(nr.InputError, match=message):
        fit(trials, validation=[trial.replace(**change) for trial in validation])


@pytest.mark.usefixtures("no_training")
def test_validation_trials_that_are_too_short(trials: list[nr.Trial]) -> None:
    assert trials[0].video is not None and trials[0].responses is not None
    short = nr.Trial(
        video=trials[0].video[:10],
        responses=trials[0].responses[:, :10],
        behavior=np.ones((2, 10)),
        pupil_center=np.ones((2, 10)),
        frame_rate_hz=30.0,
    )
    with pytest.raises(nr.InputError, match="too short"):
        fit(trials, validation=[short])


def test_a_training_that_diverges_says_so(trials: list[nr.Trial]) -> None:
    with pytest.raises(nr.InputError, match="the training has diverged"):
        fit(trials, recipe={**RECIPE, "learning_rate": 1e30, "warmup_epochs": 0})


def test_one_line_of_progress(
    trials: list[nr.Trial], validation: list[nr.Trial], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("neuroreel.encoding.training.fit.somebody_looks", lambda: True)
    model = fit(trials, validation=validation, progress=True)
    assert isinstance(model, ReadoutModel)
    out, shown = capsys.readouterr()
    assert out == "" and shown.count("\n") == 1
    last = shown.rstrip().split("\r")[-1]
    assert last.startswith("Training: 100%") and "20/20" in last and "loss=" in last and "correlation=" in last
