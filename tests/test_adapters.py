"""Other labs' models as encoding models: by stand-ins, and by the library itself where it is installed."""

from __future__ import annotations

import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neuroreel as nr
from neuroreel.cli import main
from neuroreel.encoding.adapters.exported import Exported
from neuroreel.encoding.adapters.fnn import Fnn
from neuroreel.encoding.adapters.open_retina import OpenRetina
from neuroreel.encoding.adapters.sensorium_2023 import Sensorium2023
from neuroreel.encoding.adapters.viv1t import ViV1T
from stand_ins import StandInFnn, StandInOpenRetina, StandInSensorium, StandInViV1T

HEIGHT, WIDTH, NEURONS = 12, 16, 20
MOUSE_F = "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20"
GREY = {"video_statistics": (120.0, 60.0)}
QUIET = nr.Compute(progress=False)


@pytest.fixture(scope="module")
def mouse(tmp_path_factory: pytest.TempPathFactory) -> nr.Recording:
    """A simulated mouse that is called like one that ViV1T knows."""
    folder = tmp_path_factory.mktemp("mice") / MOUSE_F
    nr.simulate(folder, trials=14, seconds=3, neurons=NEURONS, height=HEIGHT, width=WIDTH, progress=False)
    return nr.open_recording(folder)


def shown(size: tuple[int, int], *, frames: int = 70, channels: int = 0, seed: int = 0) -> nr.Trial:
    movie = nr.gaussian_noise(spatial_px=2, temporal_frames=3, frames=frames, height=size[0], width=size[1], seed=seed)
    behavior = np.random.default_rng(seed).normal(size=(channels, frames)) if channels else None
    return nr.Trial(video=movie, frame_rate_hz=30, behavior=behavior, name=f"movie {seed}")


def grey_by_grey(trial: nr.Trial) -> Tensor:
    return torch.from_numpy(trial.needs_video())


def reconstructs(model: nr.EncodingModel, *, channels: int = 0) -> None:
    """The five lines: trials, a posterior, a movie."""
    random, trials = np.random.default_rng(0), []
    for seed in range(4):
        trial = shown(model.canvas.video_size, channels=channels, seed=seed)
        predicted = nr.predict(model, trial)  # random weights respond little: noise is a part of what they do
        noise = 0.1 * predicted.std(axis=1, keepdims=True) * random.normal(size=predicted.shape)
        trials.append(trial.replace(responses=np.maximum(predicted + noise, 0)))
    posterior = nr.fit_posterior(model, trials[1:], compute=QUIET)
    result = nr.reconstruct(trials[0], posterior, passes=8, compute=QUIET)
    assert result.video.shape == trials[0].needs_video().shape and result.video.std() > 0
    assert result.settings["license"] == model.license
    loss = result.dataset["loss"].values
    assert loss[-1] < loss[0]


# --- open-retina ---


def test_open_retina() -> None:
    model = OpenRetina(StandInOpenRetina(), session="second")
    assert (model.neurons, model.warmup_frames, model.canvas.size) == (6, 5, (8, 10))
    trial = shown((8, 10))
    assert nr.check_encoder(model, trial).wrong == ()
    both = ((grey_by_grey(trial) - 100) / 50).expand(1, 2, -1, -1, -1)
    expected = StandInOpenRetina()(both, data_key="second")[0].T.detach()
    np.testing.assert_allclose(nr.predict(model, trial)[:, 5:], expected, rtol=1e-4, atol=1e-5)
    reconstructs(model)


def test_open_retina_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(nr.InputError, match="there is no session 'third' in this model; it has first, second"):
        OpenRetina(StandInOpenRetina(), session="third")
    with pytest.raises(nr.InputError, match="no data_info"):
        OpenRetina(nn.Linear(2, 2))
    turned = StandInOpenRetina()
    turned.data_info["input_shape"] = (2, 9, 8)
    with pytest.raises(nr.InputError, match="fails on a grey movie of 240 frames of 8x9 pixels"):
        OpenRetina(turned)
    with pytest.raises(nr.RefusedError, match=r"a pickle .* pass trust=True"):
        nr.load_encoder("hoefling_2024_low_res", kind="open_retina")
    monkeypatch.setitem(sys.modules, "openretina", None)
    with pytest.raises(nr.ResourceError, match=r"openretina cannot be imported .*; run pip install 'openretina>=1.1'"):
        nr.load_encoder("hoefling_2024_low_res", kind="open_retina", trust=True)


def test_open_retina_by_load_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.ModuleType("openretina.models.core_readout")
    library.load_core_readout_model = lambda file, device: StandInOpenRetina()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openretina.models.core_readout", library)
    model = nr.load_encoder("some_model", kind="open_retina", session=1, trust=True, frame_rate_hz=60)
    assert isinstance(model, OpenRetina)
    assert (model.session, model.frame_rate_hz, model.training) == ("second", 60, False)


@pytest.mark.filterwarnings("ignore")  # its own
def test_open_retina_itself() -> None:
    """The library of the package index, with random weights."""
    library = pytest.importorskip("openretina.models.core_readout", reason="open-retina is not installed")
    torch.manual_seed(0)
    core_readout = library.ExampleCoreReadout(
        in_shape=(2, 60, 18, 16),
        hidden_channels=(4, 4),
        temporal_kernel_sizes=(11, 5),
        spatial_kernel_sizes=(5, 3),
        core_input_padding=True,
        n_neurons_dict={"first": 5, "second": 7},
        data_info={
            "n_neurons_dict": {"first": 5, "second": 7},
            "input_shape": (2, 18, 16),
            "stim_mean": 110.0,
            "stim_std": 40.0,
        },
    )
    model = OpenRetina(core_readout, session="second", frame_rate_hz=30)
    assert (model.neurons, model.warmup_frames) == (7, 30)
    trial = shown((18, 16))
    both = ((grey_by_grey(trial) - 110) / 40).expand(1, 2, -1, -1, -1)
    expected = core_readout.eval()(both, data_key="second")[0].T.detach()
    np.testing.assert_allclose(nr.predict(model, trial)[:, 30:], expected, rtol=1e-4, atol=1e-5)
    (wrong,) = nr.check_encoder(model, trial).wrong  # "same" padding in time
    assert "the model looks ahead" in wrong


# --- ViV1T ---


def stand_in(**more: Any) -> StandInViV1T:
    return StandInViV1T(neurons=NEURONS, height=HEIGHT, width=WIDTH, **more)


def test_viv1t(mouse: nr.Recording) -> None:
    model = ViV1T(stand_in(), recording=mouse, **GREY)
    assert (model.mouse, model.neurons, model.warmup_frames) == ("F", NEURONS, 2)
    trial = mouse.trials[0]
    assert nr.check_encoder(model, trial).wrong == ()
    statistics = mouse.statistics
    behavior = trial.behavior / statistics["behavior"].std[:, None]
    pupil = (trial.pupil_center - statistics["pupil_center"].mean[:, None]) / statistics["pupil_center"].std[:, None]
    responses, _ = stand_in()(
        inputs=(grey_by_grey(trial)[None, None] - 120) / 60,
        mouse_id="F",
        behaviors=torch.tensor(behavior, dtype=torch.float32)[None],
        pupil_centers=torch.tensor(pupil, dtype=torch.float32)[None],
    )
    recorded = responses[0].detach().numpy() * statistics["responses"].std[:, None]
    np.testing.assert_allclose(nr.predict(model, trial)[:, 2:], recorded, rtol=1e-3, atol=1e-5)


def test_viv1t_is_not_computed_in_bfloat16(mouse: nr.Recording) -> None:
    model = ViV1T(stand_in(), recording=mouse, **GREY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = nr.predict(model, mouse.trials[0])
    np.testing.assert_array_equal(inside, nr.predict(model, mouse.trials[0]))


def test_viv1t_declares_its_training_set(mouse: nr.Recording) -> None:
    model = ViV1T(stand_in(), recording=mouse, **GREY)
    compute = {"compute": QUIET}
    posterior = nr.fit_posterior(model, mouse.select("train"), **compute)
    with pytest.raises(nr.InputError, match=r"ViV1T was trained on the movie of .* all ten mice of Sensorium 2023"):
        nr.reconstruct(mouse.select("train")[0], posterior, **compute)
    oracle = mouse.select("oracle")[0] if "oracle" in mouse.tiers else shown((HEIGHT, WIDTH), channels=4)
    assert model.training_split is not None and not model.training_split.holds(oracle)
    assert model.training_split.holds(oracle.replace(recording="dynamic29156-11-10-Video-8744"))


def test_viv1t_bad_input(mouse: nr.Recording, tmp_path: Path) -> None:
    with pytest.raises(nr.InputError, match="there is no mouse 'F' in this model; it has A, B"):
        ViV1T(stand_in(mice="AB"), recording=mouse, **GREY)
    with pytest.raises(nr.InputError, match=f"mouse F of the model has 7 neurons, {MOUSE_F} has 20"):
        ViV1T(StandInViV1T(neurons=7, height=HEIGHT, width=WIDTH), recording=mouse, **GREY)
    with pytest.raises(nr.InputError, match="stores no mean and std of its videos; pass video_statistics"):
        ViV1T(stand_in(), recording=mouse)
    other = nr.open_recording(mouse.folder.rename(mouse.folder.with_name("my_mouse")))
    with pytest.raises(nr.InputError, match="my_mouse is not one of the Sensorium 2023 mice; pass mouse="):
        ViV1T(stand_in(), recording=other, **GREY)
    other.folder.rename(mouse.folder)


def test_viv1t_by_load_encoder(mouse: nr.Recording, tmp_path: Path) -> None:
    trained = stand_in()
    nn.init.zeros_(trained.readouts["F"].weight)
    torch.save({"model": trained.state_dict()}, tmp_path / "model_state.pt")
    options: dict[str, Any] = {"kind": "viv1t", "recording": mouse, **GREY}
    model = nr.load_encoder(tmp_path / "model_state.pt", model=stand_in(), **options)
    assert isinstance(model, ViV1T) and not model.model.readouts["F"].weight.any()
    with pytest.raises(nr.InputError, match="weights of another architecture"):
        nr.load_encoder(tmp_path / "model_state.pt", model=stand_in(cut=3), **options)
    with pytest.raises(nr.InputError, match=r"there is no mouse 'Q'"):
        nr.load_encoder(tmp_path / "model_state.pt", model=stand_in(), session="Q", **options)
    with pytest.raises(nr.InputError, match=r"options of kind='viv1t': .*missing .*'model'"):
        nr.load_encoder(tmp_path / "model_state.pt", **options)


# --- fnn ---


def test_fnn() -> None:
    model = Fnn(StandInFnn(), video_size=(9, 16))
    assert (model.neurons, model.covariates) == (5, 0)
    trial = shown((9, 16))
    assert nr.check_encoder(model, trial).wrong == ()
    own, still = StandInFnn().reset(), torch.zeros(1, 2)
    frames = nn.functional.interpolate(grey_by_grey(trial)[:, None] / 255, size=(144, 256), mode="bilinear")
    expected = torch.cat([own(frame[None], still, still) for frame in frames]).T.detach()
    np.testing.assert_allclose(nr.predict(model, trial), expected, rtol=1e-4, atol=1e-5)
    assert not model.model.recurrent.past
    reconstructs(model)


def test_fnn_with_behavior_and_gradients_through_its_state() -> None:
    statistics = [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]
    model = Fnn(StandInFnn(), video_size=(9, 16), behavior=True, behavior_statistics=statistics).requires_grad_(False)
    trial = shown((9, 16), frames=20, channels=4)
    video = grey_by_grey(trial)[None].requires_grad_()
    behavior = torch.from_numpy(trial.covariates)[None]
    found = model.responses(model.assemble(video, behavior))
    (gradient,) = torch.autograd.grad(found[..., -1].sum(), video)
    own, standard = StandInFnn().requires_grad_(False), model.standardize_behavior(behavior)
    again, said = video.detach().clone().requires_grad_(), []
    for number in range(20):
        frame = nn.functional.interpolate(again[:, number, None] / 255, size=(144, 256), mode="bilinear")
        said.append(own(frame, standard[:, 2:, number], standard[:, :2, number]))
    torch.testing.assert_close(found, torch.stack(said, dim=2))
    torch.testing.assert_close(gradient, torch.autograd.grad(said[-1].sum(), again)[0], rtol=1e-4, atol=1e-9)
    assert gradient[:, 0].any()  # from the last frame to the first


def test_fnn_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(nr.InputError, match="behavior_statistics"):
        Fnn(StandInFnn(), behavior=True)
    with pytest.raises(nr.InputError, match="two numbers: session='8-5'"):
        nr.load_encoder("folder", kind="fnn")
    monkeypatch.setitem(sys.modules, "fnn", None)
    with pytest.raises(nr.ResourceError, match=r"fnn cannot be imported .* install it from its repository, cajal/fnn"):
        nr.load_encoder("folder", kind="fnn", session="8-5")
    microns = types.ModuleType("fnn.microns")

    def scan(session: int, scan_idx: int, *, cuda: bool, directory: str) -> Any:
        if (session, scan_idx) != (8, 5):
            raise ValueError(f"Scan {session}-{scan_idx} not found.")
        return StandInFnn(), None

    microns.scan = scan  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fnn", types.ModuleType("fnn"))
    monkeypatch.setitem(sys.modules, "fnn.microns", microns)
    assert isinstance(nr.load_encoder("folder", kind="fnn", session="8-5"), Fnn)
    with pytest.raises(nr.InputError, match=r"fnn cannot open scan 1-1 in folder \(Scan 1-1 not found"):
        nr.load_encoder("folder", kind="fnn", session="1-1")


# --- the Sensorium 2023 baselines ---


def baseline(mouse: nr.Recording, **more: Any) -> StandInSensorium:
    return StandInSensorium(**({"neurons": NEURONS, "name": mouse.name, "height": HEIGHT, "width": WIDTH} | more))


def test_sensorium_2023(mouse: nr.Recording) -> None:
    model = Sensorium2023(baseline(mouse), recording=mouse, **GREY)
    assert (model.neurons, model.warmup_frames, model.covariates) == (NEURONS, 4, 4)
    trial = mouse.trials[0]
    assert nr.check_encoder(model, trial).wrong == ()
    statistics = mouse.statistics
    behavior = trial.behavior / statistics["behavior"].std[:, None]
    pupil = (trial.pupil_center - statistics["pupil_center"].mean[:, None]) / statistics["pupil_center"].std[:, None]
    planes = np.broadcast_to(behavior[:, :, None, None], (2, trial.frames, HEIGHT, WIDTH))
    inputs = np.concatenate([(trial.needs_video()[None] - 120) / 60, planes])[None]
    said = baseline(mouse)(
        torch.tensor(inputs, dtype=torch.float32),
        data_key=mouse.name,
        pupil_center=torch.tensor(pupil, dtype=torch.float32)[None],
    )
    recorded = said[0].T.detach().numpy() * statistics["responses"].std[:, None]
    np.testing.assert_allclose(nr.predict(model, trial)[:, 4:], recorded, rtol=1e-3, atol=1e-5)
    assert model.training_split is not None
    assert model.training_split.holds(mouse.select("train")[0])


def test_sensorium_2023_bad_input(mouse: nr.Recording, tmp_path: Path) -> None:
    with pytest.raises(nr.InputError, match=f"there is no mouse {MOUSE_F!r} in this model; it has another"):
        Sensorium2023(baseline(mouse, name="another"), recording=mouse, **GREY)
    with pytest.raises(nr.InputError, match=f"the readout has 3 neurons, {MOUSE_F} has 20"):
        Sensorium2023(baseline(mouse, neurons=3), recording=mouse, **GREY)
    with pytest.raises(nr.InputError, match=r"with 4 behavior channels .*expected input.* to have 3 channels"):
        Sensorium2023(baseline(mouse), recording=mouse, planes=4, **GREY)
    torch.save(baseline(mouse).state_dict(), tmp_path / "weights.pth")
    options: dict[str, Any] = {"kind": "sensorium_2023", "recording": mouse, **GREY}
    assert nr.load_encoder(tmp_path / "weights.pth", model=baseline(mouse), **options).neurons == NEURONS
    with pytest.raises(nr.InputError, match="weights of another architecture"):
        nr.load_encoder(tmp_path / "weights.pth", model=baseline(mouse, cut=3), **options)
    torch.save(baseline(mouse), tmp_path / "whole.pth")
    with pytest.raises(nr.InputError, match="is not a plain file of weights"):
        nr.load_encoder(tmp_path / "whole.pth", model=baseline(mouse), **options)


# --- exported programs ---


class Program(nn.Module):
    """Frames before channels, and responses with neurons last, of standardized movies; the second of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv3d(1, 4, (4, 8, 10))
        self.behavior = nn.Linear(2, 4)

    def forward(self, video: Tensor, behavior: Tensor) -> tuple[Tensor, Tensor]:
        drive = self.conv(video.movedim(0, 1)[None])[0, :, :, 0, 0].T + self.behavior(behavior)[3:]
        return drive, torch.nn.functional.softplus(drive)[None]


SIDE_CAR: dict[str, Any] = {
    "format": "neuroreel exported encoder",
    "video": {"axes": "frames channels height width", "size": [8, 10], "mean": 127.5, "std": 60},
    "behavior": {"axes": "frames channels", "channels": 2, "mean": [0, 1], "std": [1, 2]},
    "responses": {"axes": "batch frames neurons", "std": [1, 2, 3, 4], "output": 1},
    "neurons": 4,
    "frame_rate_hz": 30,
    "clip_frames": 20,
    "license": "CC0",
    "trained_on": ["movie 3"],
}


def export(folder: Path, kind: str, **changes: Any) -> Path:
    file = folder / f"model.{kind}"
    inputs = torch.rand(20, 1, 8, 10), torch.rand(20, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "pt2":
            torch.export.save(torch.export.export(Program().eval(), inputs), file)
        else:
            torch.jit.save(torch.jit.trace(Program().eval(), inputs), file)
    described = {name: value for name, value in (SIDE_CAR | changes).items() if value is not None}
    file.with_suffix(".json").write_text(json.dumps(described))
    return file


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["pt2", "ts"])
def test_exported(tmp_path: Path, kind: str) -> None:
    model = nr.load_encoder(export(tmp_path, kind), trust=True)
    assert isinstance(model, Exported)
    assert (model.neurons, model.warmup_frames, model.clip_frames, model.license) == (4, 3, 20, "CC0")
    trial = shown((8, 10), frames=20, channels=2)
    video, behavior = (grey_by_grey(trial)[:, None] - 127.5) / 60, torch.from_numpy(trial.covariates).T
    said = Program()(video, (behavior - torch.tensor([0, 1])) / torch.tensor([1, 2]))[1][0].T.detach().numpy()
    np.testing.assert_allclose(nr.predict(model, trial)[:, 3:], said * [[1], [2], [3], [4]], rtol=1e-4, atol=1e-5)
    assert model.training_split is not None
    assert model.training_split.holds(shown((8, 10), seed=3)) and not model.training_split.holds(trial)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["pt2", "ts"])
@pytest.mark.parametrize("output", [{"axes": "frames neurons"}, {"axes": "batch frames neurons", "output": 1}])
def test_exported_without_a_batch(tmp_path: Path, kind: str, output: dict[str, Any]) -> None:
    """The program takes one movie a call, and a batch of one or none comes out: more are shown one by one."""
    model = nr.load_encoder(export(tmp_path, kind, responses=output, trained_on=None), trust=True)
    assert nr.check_encoder(model, shown((8, 10), channels=2)).wrong == ()
    if "output" in output:
        reconstructs(model, channels=2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "another"}, "its format must be 'neuroreel exported encoder'"),
        ({"axis": "t"}, "no entry of a side-car 'axis'"),
        ({"video": {"axes": "time height width", "size": [8, 10]}}, r"axes are 'time height width'; they must be"),
        ({"responses": {"axes": "batch neurons"}}, r"must be batch \(if there is one\), neurons, frames"),
        ({"neurons": 5}, "the program predicts 4 neurons, not 5"),
        ({"clip_frames": None}, "is damaged"),
        ({"clip_frames": 2}, "fails on a grey movie of 2 frames of 10x8 pixels"),
    ],
)
def test_side_cars_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        nr.load_encoder(export(tmp_path, "pt2", **changes), trust=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_exported_bad_input(tmp_path: Path) -> None:
    file = export(tmp_path, "pt2")
    with pytest.raises(nr.RefusedError, match=r"holds a program, .* pass trust=True"):
        nr.load_encoder(file)
    with pytest.raises(nr.InputError, match="no kind of encoding model 'onnx'"):
        nr.load_encoder(file, kind="onnx")
    with pytest.raises(nr.InputError, match="options of other labs' models"):
        nr.load_encoder(tmp_path / "model.safetensors", model=None)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(nr.InputError, match="is damaged"):
        nr.load_encoder(file, trust=True)
    file.with_suffix(".json").unlink()
    with pytest.raises(nr.InputError, match=r"there is no file .*model\.json"):
        nr.load_encoder(file, trust=True)


def test_adapters_are_files_of_at_most_150_lines_that_import_no_library() -> None:
    folder = Path(nr.__file__).parent / "encoding" / "adapters"
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 150, file.name
        assert not any(f"import {name}" in text for name in ("openretina", "viv1t", "neuralpredictors", "sensorium\n"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_an_exported_model_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = export(tmp_path, "pt2", trained_on=None)
    model, random = nr.load_encoder(file, trust=True), np.random.default_rng(0)
    movies = [shown((8, 10), channels=2, seed=seed) for seed in range(9)]
    recorded = [each.replace(responses=random.poisson(nr.predict(model, each))) for each in movies]
    nr.write_recording(mouse := tmp_path / "mouse", recorded, folds=[f"fold_{number % 3}" for number in range(9)])

    def type_in(command: str, *arguments: Any) -> None:
        main([command, str(mouse), *map(str, arguments), "--trust"])

    posterior, mask, movies_made = (tmp_path / name for name in ("posterior", "mask.npy", "movies"))
    type_in("fit", "--encoders", file, "--out", posterior)
    type_in("mask", "--posterior", posterior, "--encoder", file, "--out", mask)
    type_in(
        "reconstruct", "--posterior", posterior, "--encoders", file, "--mask", mask, "--out", movies_made, "--passes", 2
    )
    assert [nr.Reconstruction.load(each).settings["license"] for each in movies_made.glob("*.nc")] == ["CC0"] * 3
    with pytest.raises(SystemExit):
        main(["predict", str(mouse), "--encoders", str(file), "--out", str(tmp_path / "predicted")])
    assert "pass --trust" in capsys.readouterr().err
