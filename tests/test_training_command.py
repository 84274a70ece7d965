"""`neuroreel train` with several recordings and seeds: one command, which a killed one goes on with."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import neuroreel as nr
from mice import SIZES
from neuroreel.cli import main
from neuroreel.commands.train import Train
from neuroreel.locks import file_lock, lock_of
from test_training import KilledError, equal, kill_at

SETTINGS = {"recipe": {"batches_per_epoch": 2, "batch_size": 4, "warmup_epochs": 1}, "architecture": SIZES}
SEEDS = range(7)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two simulated mice and the settings of a tiny model."""
    home = tmp_path_factory.mktemp("mice")
    for number, name in enumerate(("first", "second")):
        size: dict[str, Any] = {"neurons": 6 + number, "height": 12, "width": 16}
        nr.simulate(home / name, trials=14, seconds=2, seed=number, progress=False, **size)
    (home / "settings.json").write_text(json.dumps(SETTINGS))
    return [home / "first", home / "second"]


def train(folders: list[Path], out: Path, *more: object) -> None:
    settings = folders[0].parent / "settings.json"
    common = ["--kind", "dwiseneuro", "--epochs", 2, "--settings", settings, "--device", "cpu"]
    folds = ["--test-fold", "fold_0", "--validation-fold", "fold_1"]
    main(["train", *map(str, [*folders, *common, *folds, "--out", out, *more])])


def test_seven_seeds_are_one_command(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuroreel.encoding.training.data.MEMORY_BYTES", 0)  # packed once, for all seeds
    seeds = ["--seeds", *SEEDS]
    begin = Train._fit

    def kill_third(self: Train, seed: int) -> nr.EncodingModel:
        with monkeypatch.context() as patch:
            if seed == 2:
                kill_at(patch, 3)
            return begin(self, seed)

    with monkeypatch.context() as patch:
        patch.setattr(Train, "_fit", kill_third)
        with pytest.raises(KilledError):
            train(folders, tmp_path, *seeds)
    said = capsys.readouterr().out
    assert "7 models to train, each in at most 2 epochs of 2 batches of 4 clips: 16 clips per model, 28 batches" in said
    assert len(list((tmp_path / "packed").glob("[!.]*"))) == 2

    train(folders, tmp_path, *seeds)
    said = capsys.readouterr().out
    assert said.count("already exists") == 2 and "5 models to train" in said
    assert said.count("validation correlation") == 5
    decoders = {"decoder_first.safetensors", "decoder_second.safetensors"}
    models = {f"encoder_{seed}.{ending}" for seed in SEEDS for ending in ("safetensors", "json")}
    assert {file.name for file in tmp_path.iterdir()} == models | decoders

    model = nr.load_encoder(tmp_path / "encoder_6.safetensors", session="second")
    assert model.neurons == 7 and len(model.training_log) == 2
    undisturbed = tmp_path / "undisturbed"
    train(folders, undisturbed, "--seeds", 2)
    assert equal(*(nr.load_encoder(out / "encoder_2.safetensors") for out in (tmp_path, undisturbed)))

    train(folders, tmp_path, *seeds)
    said = capsys.readouterr().out
    assert said.count("already exists") == 7 and "to train" not in said.rpartition("already exists")[2]


def test_two_commands_at_once(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one folder: with the same seed the second is refused, with another one both get what they need."""
    monkeypatch.setattr("neuroreel.encoding.training.data.MEMORY_BYTES", 0)
    begin, packed = Train._fit, tmp_path / "packed"

    def others_come(self: Train, seed: int) -> nr.EncodingModel:
        monkeypatch.setattr(Train, "_fit", begin)
        with pytest.raises(SystemExit) as refused:
            train(folders, tmp_path, "--seeds", 0, "--no-decoder")
        assert refused.value.code == 2
        assert f"encoder_0.safetensors (training, process {os.getpid()} on" in capsys.readouterr().err
        train(folders, tmp_path, "--seeds", 1, "--no-decoder")
        assert packed.is_dir()  # which the first still needs
        return begin(self, seed)

    def removed(folder: Path, **options: bool) -> None:
        if folder == packed:
            with file_lock(lock_of(packed), wait=False) as free:
                assert not free  # nobody begins to use it now
        delete(folder, **options)

    delete = shutil.rmtree
    monkeypatch.setattr(Train, "_fit", others_come)
    monkeypatch.setattr("neuroreel.commands.train.shutil.rmtree", removed)
    train(folders, tmp_path, "--seeds", 0, "--no-decoder")
    models = {f"encoder_{seed}.{ending}" for seed in (0, 1) for ending in ("safetensors", "json")}
    assert {file.name for file in tmp_path.iterdir()} == models


def test_a_model_that_another_command_has_made_meanwhile(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Train._fit

    def second_is_made(self: Train, seed: int) -> nr.EncodingModel:
        monkeypatch.setattr(Train, "_fit", begin)
        train(folders, tmp_path, "--seeds", 1, "--no-decoder")
        capsys.readouterr()
        return begin(self, seed)

    monkeypatch.setattr(Train, "_fit", second_is_made)
    train(folders, tmp_path, "--seeds", 0, 1, "--no-decoder")
    said = capsys.readouterr().out
    assert "encoder_1.safetensors already exists" in said and "Training" not in said


def test_a_second_stage(folders: list[Path], tmp_path: Path) -> None:
    train(folders, tmp_path / "first", "--seeds", 0)
    train(folders, tmp_path / "plain", "--seeds", 1)
    train(folders, tmp_path / "taught", "--seeds", 1, "--teachers", tmp_path / "first" / "encoder_0.safetensors")
    plain, taught = (nr.load_encoder(tmp_path / name / "encoder_1.safetensors") for name in ("plain", "taught"))
    assert not equal(plain, taught)


def test_a_readout_is_chosen_by_name(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(folders, tmp_path, "--seeds", 0)
    learn = ["mask", str(folders[1]), "--encoder", str(tmp_path / "encoder_0.safetensors"), "--steps", "1"]
    main([*learn, "--session", "second", "--out", str(tmp_path / "by_name.npy")])
    main([*learn, "--session", "1", "--out", str(tmp_path / "by_number.npy")])
    assert (tmp_path / "by_name.npy").read_bytes() == (tmp_path / "by_number.npy").read_bytes()
    with pytest.raises(SystemExit):
        main([*learn, "--session", "third", "--out", str(tmp_path / "no.npy")])
    assert "readouts 0..1, one per mouse (first, second)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--kind", "core_readout"], "has one recording, but 2 were given"),
        (["--epochs", "0"], "--epochs is 0"),
        (["--test-fold", "fold_9"], "has no trials of 'fold_9'"),
        (["--settings", "nowhere.json"], "nowhere.json cannot be read"),
        (["--devices", "9", "--device", "cuda"], "not available"),
        (["--teachers", "nowhere.safetensors"], "there is no file nowhere.safetensors"),
    ],
)
def test_bad_input(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    settings = folders[0].parent / "settings.json"
    settings = settings.with_name("none.json") if "readout" in more else settings
    settings.write_text("{}" if "readout" in more else json.dumps(SETTINGS))
    with pytest.raises(SystemExit) as stopped:
        train(folders, tmp_path, *(["--settings", settings] if "--settings" not in more else []), *more)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.safetensors"))


def test_recordings_of_one_name(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train([folders[0], folders[0]], tmp_path)
    assert "must have different names" in capsys.readouterr().err


def test_settings_that_do_not_exist(folders: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"speed": 3}')
    with pytest.raises(nr.InputError, match=r"\['speed'\]; it may have 'recipe' and 'architecture'"):
        _ = Train(recordings=(), out=tmp_path, settings=file).options
