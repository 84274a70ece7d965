"""Training a DwiseNeuro on several recordings, from the door: what comes back, resuming, sharing batches, bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from mice import RECIPE, SIZES, STILL, fit_mice, made_up_mice, made_up_trial
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.training.loop import fabric_of, workers_beside
from neuroreel.encoding.training.losses import ClipLoss
from neuroreel.encoding.training.recipe import Devices
from neuroreel.encoding.training.store import PackedStore
from test_training import KilledError, equal, kill_at, losses, run_with_kills

TRIALS = made_up_mice()
VALIDATION = made_up_mice(trials=2, first=100)


# --- what comes back ---


def test_a_readout_for_each_recording(tmp_path: Path) -> None:
    model = fit_mice(TRIALS, validation=VALIDATION, folder=tmp_path)
    assert isinstance(model, DwiseNeuro) and model.readout_names == ("mouse 0", "mouse 1") and model.neurons == 5
    other = model.of_readout("mouse 1")
    assert other.network is model.network and other.neurons == 7 and not other.training
    assert equal(other, model.of_readout(1)) and other.training_log == model.training_log
    assert nr.predict(other, TRIALS["mouse 1"][0]).shape == (7, 50)
    for readout in (1, "mouse 1", np.int64(1)):
        loaded = nr.load_encoder(tmp_path / "model.safetensors", session=readout)
        np.testing.assert_array_equal(nr.predict(loaded, TRIALS["mouse 1"][0]), nr.predict(other, TRIALS["mouse 1"][0]))
    assert json.loads((tmp_path / "model.json").read_text())["readout_names"] == ["mouse 0", "mouse 1"]


def test_the_score_is_the_mean_over_recordings() -> None:
    model = fit_mice(TRIALS, validation=VALIDATION)
    assert isinstance(model, DwiseNeuro)
    each = [nr.encoder_correlation(model.of_readout(name), VALIDATION[name]) for name in TRIALS]
    assert max(row["validation_correlation"] for row in model.training_log) == pytest.approx(np.mean(each), abs=1e-6)


def test_one_recording_is_named_by_its_trials() -> None:
    trials = TRIALS["mouse 1"]
    model = fit_mice(trials)
    assert isinstance(model, DwiseNeuro) and model.readout_names == ("mouse 1",)
    assert equal(model, fit_mice({"mouse 1": trials}))


def test_it_learns() -> None:
    recipe = {"epochs": 4, "batches_per_epoch": 30, "batch_size": 8, "warmup_epochs": 1, "ema_decay": 0.9}
    model = fit_mice(TRIALS, recipe={**recipe, "learning_rate": 0.1})
    assert losses(model)[-1] < 0.5 * losses(model)[0]


@pytest.mark.parametrize(
    ("readout", "message"),
    [
        (2, r"there is no readout 2; this model has readouts 0\.\.1, one per mouse \(mouse 0, mouse 1\)"),
        (-1, "there is no readout -1"),
        ("mouse 2", r"there is no readout 'mouse 2';.*mouse 0, mouse 1"),
    ],
)
def test_unknown_readouts(readout: Any, message: str, tmp_path: Path) -> None:
    model = fit_mice(TRIALS, folder=tmp_path, recipe={**RECIPE, "epochs": 1})
    assert isinstance(model, DwiseNeuro)
    with pytest.raises(nr.InputError, match=message):
        model.of_readout(readout)
    with pytest.raises(nr.InputError, match=message):
        nr.load_encoder(tmp_path / "model.safetensors", session=readout)


def test_names_that_are_not_known(golden: Path) -> None:
    (file,) = (golden / "checkpoints" / "fold_0").glob("*.pth")
    with pytest.raises(nr.InputError, match="their names are not known"):
        nr.load_encoder(file, session="dynamic29515-10-12")


def test_recordings_in_the_sensorium_layout(golden: Path) -> None:
    recordings = {folder.name[7:14]: nr.open_recording(folder) for folder in sorted((golden / "recordings").iterdir())}
    trials = {name: recording.trials[:5] for name, recording in recordings.items()}
    model = fit_mice(trials, recipe={"epochs": 1, "batches_per_epoch": 2, "batch_size": 4, "warmup_epochs": 0})
    assert isinstance(model, DwiseNeuro) and model.readout_names == ("29515-1", "29623-4")
    assert model.canvas.size == (64, 64) and model.covariates == 4
    for name, recording in recordings.items():
        assert nr.predict(model.of_readout(name), recording.trials[6]).shape == (recording.neurons, 70)


# --- resuming ---


@pytest.mark.parametrize("step", [4, 10])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_is_the_undisturbed_one(tmp_path: Path, step: int, accumulate: int) -> None:
    """Several recordings, CutMix, validation, passes; from memory and, resumed, from packed files."""
    settings: dict[str, Any] = {
        "validation": VALIDATION,
        "recipe": {**RECIPE, "accumulate": accumulate, "cutmix_probability": 0.5},
    }
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(KilledError):
            fit_mice(TRIALS, folder=tmp_path, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuroreel.encoding.training.data.MEMORY_BYTES", 0)
        resumed = fit_mice(TRIALS, folder=tmp_path, **settings)
    undisturbed = fit_mice(TRIALS, **settings)
    assert equal(resumed, undisturbed)
    assert losses(resumed) == losses(undisturbed) and len(losses(resumed)) == 3
    assert len(list((tmp_path / "packed").glob("mouse*"))) == 2


@pytest.mark.slow
def test_killed_for_good(tmp_path: Path) -> None:
    """SIGKILL with several mice, CutMix and packed trials."""
    recipe = {**RECIPE, "epochs": 9, "batches_per_epoch": 12, "cutmix_probability": 0.5}
    program = (
        "import sys, json\n"
        "from neuroreel.encoding.training import data\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from mice import fit_mice, made_up_mice\n"
        "data.MEMORY_BYTES = 0\n"
        "validation = made_up_mice(trials=2, first=100)\n"
        "fit_mice(made_up_mice(), validation=validation, folder=sys.argv[2], recipe=json.loads(sys.argv[3]))\n"
    )
    arguments = [str(Path(__file__).parent), str(tmp_path / "run"), json.dumps(recipe)]
    run_with_kills(program, arguments, folder=tmp_path / "run")
    undisturbed = fit_mice(TRIALS, validation=VALIDATION, recipe=recipe)
    resumed = nr.load_encoder(tmp_path / "run" / "model.safetensors")
    assert equal(resumed, undisturbed) and losses(resumed) == losses(undisturbed)


def test_best_and_last_are_kept(tmp_path: Path) -> None:
    fit_mice(TRIALS, validation=VALIDATION, folder=tmp_path)
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state"]
    assert (tmp_path / "checkpoints" / "best.ckpt").exists()
    assert steps_of(last) == 12 and len(last["rows"]) == 3


def steps_of(checkpoint: dict[str, Any]) -> int:
    """Steps that the optimizer has made."""
    return int(checkpoint["optimizer"]["state"][0]["step"])


def test_other_recordings_in_the_folder(tmp_path: Path) -> None:
    fit_mice(TRIALS, folder=tmp_path)
    with pytest.raises(nr.InputError, match=r"holds another training.*training trials is"):
        fit_mice({"mouse 0": TRIALS["mouse 0"], "mouse 1": TRIALS["mouse 1"][:2]}, folder=tmp_path)


@pytest.mark.parametrize("where", [None, "elsewhere"])
def test_what_is_too_much_for_memory_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    monkeypatch.setattr("neuroreel.encoding.training.data.MEMORY_BYTES", 100)
    folder = tmp_path / "training"
    fit_mice(TRIALS, folder=folder, packed=None if where is None else tmp_path / where)
    packs = sorted((folder / "packed" if where is None else tmp_path / where).glob("mouse*"))
    assert [PackedStore(pack)[0].responses.shape for pack in packs] == [(50, 5), (50, 7)]
    for pack in packs:
        shutil.rmtree(pack)
    fit_mice(TRIALS, folder=folder)  # done: needs them no more
    assert not list((folder / "packed").glob("mouse*"))


# --- batches in parts ---


def freeze_statistics(patch: pytest.MonkeyPatch) -> None:
    """Batch norms as in evaluation: what a sample gives does not depend on the samples beside it."""
    begin = ClipLoss.forward

    def frozen(self: ClipLoss, batch: Any) -> torch.Tensor:
        for module in self.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        return begin(self, batch)

    patch.setattr(ClipLoss, "forward", frozen)


@pytest.mark.parametrize("teachers", [0, 2])
def test_accumulated_gradients_are_the_batch_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, teachers: int) -> None:
    freeze_statistics(monkeypatch)
    recipe = {**RECIPE, "cutmix_probability": 0.5}
    taught_by = [fit_mice(TRIALS, seed=10 + number, recipe={**RECIPE, "epochs": 1}) for number in range(teachers)]
    models = []
    for accumulate in (1, 2, 4):
        settings = {"recipe": {**recipe, "accumulate": accumulate}, "architecture": {**SIZES, **STILL}}
        folder = tmp_path / str(accumulate)
        models.append(fit_mice(TRIALS, folder=folder, teachers=taught_by, **settings))
        assert steps_of(torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state"]) == 12
    for model in models[1:]:
        assert losses(model) == pytest.approx(losses(models[0]), rel=1e-5)
        for ours, theirs in zip(model.parameters(), models[0].parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_two_processes_are_two_passes(tmp_path: Path) -> None:
    """Two CPU processes (gloo) that share each batch take the steps that one process takes in two passes.

    Batch norms see half a batch in both cases. Their running statistics are not compared: the first process keeps its
    own half's.
    """
    settings: dict[str, Any] = {"architecture": {**SIZES, **STILL}, "device": "cpu"}
    recipe = {**RECIPE, "cutmix_probability": 0.5}
    one = fit_mice(TRIALS, recipe={**recipe, "accumulate": 2}, **settings)
    two = fit_mice(TRIALS, recipe=recipe, devices=2, folder=tmp_path, **settings)
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    for ours, theirs in zip(two.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    assert steps_of(torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state"]) == 12


@pytest.mark.slow
def test_two_processes_validate_together() -> None:
    """An odd number of validation trials; the score is that of all of them."""
    validation = {**VALIDATION, "mouse 0": VALIDATION["mouse 0"][:1]}
    model = fit_mice(TRIALS, validation=validation, devices=2, device="cpu", recipe={**RECIPE, "epochs": 2})
    assert isinstance(model, DwiseNeuro)
    each = [nr.encoder_correlation(model.of_readout(name), validation[name]) for name in TRIALS]
    assert max(row["validation_correlation"] for row in model.training_log) == pytest.approx(np.mean(each), abs=1e-5)


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_said() -> None:
    with pytest.raises(nr.InputError, match="the training has diverged"):
        fit_mice(TRIALS, devices=2, device="cpu", recipe={**RECIPE, "learning_rate": 1e30, "warmup_epochs": 0})


def test_workers_read_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = fit_mice(TRIALS)
    monkeypatch.setattr("neuroreel.encoding.training.loop.workers_beside", lambda _: 2)
    assert equal(fit_mice(TRIALS), alone)


@pytest.mark.parametrize(
    ("device", "count", "cores", "workers"), [("cpu", 1, 8, 0), ("cuda", 1, 8, 4), ("cuda", 4, 8, 1)]
)
def test_workers_beside_gpus(
    monkeypatch: pytest.MonkeyPatch, device: str, count: int, cores: int, workers: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert workers_beside(Devices(torch.device(device), count)) == workers


@pytest.mark.parametrize(("bfloat16", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_precision_of_a_gpu(monkeypatch: pytest.MonkeyPatch, bfloat16: bool, precision: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bfloat16)
    assert Devices(torch.device("cuda:1")).precision == precision
    assert Devices(torch.device("cpu")).precision == "32-true"


@pytest.mark.parametrize(("strategy", "start"), [("ddp", "popen"), ("ddp_spawn", "spawn"), ("ddp_notebook", "fork")])
def test_processes_that_share_a_batch(strategy: str, start: str) -> None:
    shared = fabric_of(Devices(torch.device("cpu"), 2, strategy)).strategy
    assert (shared.num_processes, shared._start_method) == (2, start)
    assert shared._ddp_kwargs == {"find_unused_parameters": True}


def test_mixed_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, as far as a CPU can: forward in bfloat16, loss, weights and score in single precision."""
    single = fit_mice(TRIALS, validation=VALIDATION)
    monkeypatch.setattr(Devices, "precision", "bf16-mixed")
    mixed = fit_mice(TRIALS, validation=VALIDATION)
    assert losses(mixed) != losses(single) and losses(mixed) == pytest.approx(losses(single), rel=0.01)
    assert all(parameter.dtype == torch.float32 for parameter in mixed.parameters())


# --- distillation ---


def test_distillation_from_an_ensemble(tmp_path: Path) -> None:
    teachers = [fit_mice(TRIALS, seed=seed) for seed in (1, 2)]
    before = [{name: value.clone() for name, value in teacher.state_dict().items()} for teacher in teachers]
    student = fit_mice(TRIALS, teachers=teachers, folder=tmp_path)
    assert not equal(student, fit_mice(TRIALS))
    assert all(student.of_readout(name).training_split.holds(each[0]) for name, each in TRIALS.items())
    for teacher, was in zip(teachers, before, strict=True):
        assert all(torch.equal(value, was[name]) for name, value in teacher.state_dict().items())
    with pytest.raises(nr.InputError, match=r"holds another training.*teachers is"):
        fit_mice(TRIALS, teachers=teachers[:1], folder=tmp_path)


# --- bad input, before any training ---


def other_rate(trials: list[nr.Trial]) -> list[nr.Trial]:
    return [trial.replace(frame_rate_hz=20.0) for trial in trials]


@pytest.mark.parametrize(
    ("trials", "changes", "message"),
    [
        (
            TRIALS,
            {"kind": "core_readout", "architecture": {}, "recipe": {}},
            r"has one recording, but 2 were given \(mouse 0",
        ),
        ({}, {}, "training trials: there are none; give at least one recording"),
        ({"a": []}, {}, "training trials of a: there are none"),
        ({"": TRIALS["mouse 0"]}, {}, "a recording is named ''"),
        (TRIALS, {"validation": VALIDATION["mouse 0"]}, "must both be lists .* or both be dictionaries"),
        (TRIALS["mouse 0"], {"validation": VALIDATION}, "must both be lists .* or both be dictionaries"),
        (TRIALS, {"validation": {"mouse 0": VALIDATION["mouse 0"]}}, "validation names the recordings mouse 0, the"),
        (
            TRIALS,
            {"validation": {**VALIDATION, "mouse 1": VALIDATION["mouse 0"]}},
            "the validation trials of mouse 1 have 5 neurons instead of 7 in the training trials",
        ),
        (
            {**TRIALS, "mouse 1": other_rate(TRIALS["mouse 1"])},
            {},
            "recording mouse 1 has 20 frames per second instead of 30 in mouse 0",
        ),
        (
            {**TRIALS, "mouse 1": [trial.replace(behavior=None) for trial in TRIALS["mouse 1"]]},
            {},
            "recording mouse 1 has 0 behavior channels instead of 2 in mouse 0",
        ),
        ({**TRIALS, "mouse 1": [made_up_trial("m", neurons=2, seed=0, frames=20)]}, {}, "has 20 frames, fewer than"),
        (TRIALS, {"recipe": {**RECIPE, "accumulate": 3}}, r"batch_size is 4.*3 pass\(es\); make it a multiple of 3"),
        (TRIALS, {"recipe": {**RECIPE, "accumulate": 0}}, "accumulate is 0; it must be a whole number, at least 1"),
        (TRIALS, {"recipe": {**RECIPE, "cutmix_probability": 2}}, "cutmix_probability is 2; it must be at most 1"),
        (TRIALS, {"recipe": {**RECIPE, "cutmix_alpha": 0}}, "cutmix_alpha is 0; it must be above 0"),
        (TRIALS, {"recipe": {**RECIPE, "distillation": -0.1}}, "distillation is -0.1"),
        (TRIALS, {"devices": 3, "device": "cpu"}, "make it a multiple of 3"),
        (TRIALS, {"devices": 0}, "devices is 0"),
        (TRIALS, {"devices": 2, "device": "cuda:1"}, "'cuda:1'"),
        (TRIALS, {"strategy": "fsdp"}, "strategy is 'fsdp'; it must be one of auto, ddp"),
        (TRIALS, {"devices": 2, "device": "cpu", "strategy": "ddp"}, "need a common folder"),
        (TRIALS["mouse 0"], {"teachers": "of one"}, "there are none here"),
        (
            TRIALS["mouse 0"],
            {"kind": "core_readout", "recipe": {"cutmix_probability": 0.5}},
            "cutmix_probability is for kind=",
        ),
        (TRIALS, {"teachers": "of one"}, "teacher 0 is not a DwiseNeuro of the same recordings"),
    ],
)
def test_bad_input(trials: Any, changes: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if changes.get("teachers") == "of one":
        one = {"recipe": {**RECIPE, "epochs": 1, "batches_per_epoch": 1}}
        changes = {"teachers": [fit_mice(TRIALS["mouse 0"], **one)]}

    def trained(*_: object, **__: object) -> None:
        raise AssertionError("the training began")

    monkeypatch.setattr("neuroreel.encoding.training.loop.train", trained)
    with pytest.raises(nr.NeuroreelError, match=message):
        fit_mice(trials, **changes)
