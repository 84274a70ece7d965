"""``nr.check_encoder`` tells each fault of a model in its own words; and the interface that it looks at."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neuroreel as nr
from neuroreel.budget import LiveTensors
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.posterior.prediction import ensemble_responses, window_starts
from toy_encoder import ToyEncoder, toy_trials


class Filters(nr.EncodingModel):
    """Causal space-time filters and a soft threshold; sound in every way."""

    any_length = True

    def __init__(self, *, neurons: int = 4, lags: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.filters = nn.Parameter(torch.randn(neurons, 1, lags, 5, 6) / 4)
        self.canvas = nr.Canvas.plain(5, 6)
        self.neurons, self.frame_rate_hz, self.clip_frames, self.warmup_frames = neurons, 30.0, 20, lags - 1

    def forward(self, clips: Tensor) -> Tensor:
        return nn.functional.softplus(self.drive(clips))

    def drive(self, clips: Tensor) -> Tensor:
        padded = nn.functional.pad(clips[:, :1] / 127.5 - 1, (0, 0, 0, 0, self.warmup_frames, 0))
        return nn.functional.conv3d(padded, self.filters)[..., 0, 0]


def trial(frames: int = 60, *, size: tuple[int, int] = (5, 6), rate: float = 30.0, channels: int = 0) -> nr.Trial:
    rng = np.random.default_rng(0)
    behavior = rng.normal(size=(channels, frames)) if channels else None
    return nr.Trial(video=rng.uniform(0, 255, (frames, *size)), frame_rate_hz=rate, behavior=behavior, name="a trial")


def test_a_sound_model() -> None:
    report = nr.check_encoder(Filters(), trial())
    assert report.wrong == report.notes == ()
    assert str(report).splitlines()[0] == "Filters on a trial"
    assert "a later frame changes no earlier response" in report.fine


@pytest.mark.parametrize("any_length", [True, False])
def test_models_of_clips_are_tried_on_a_clip(any_length: bool) -> None:
    model = ToyEncoder(any_length=any_length, covariates=2)
    assert nr.check_encoder(model, trial(size=(6, 8), channels=2)).wrong == ()


def test_dwiseneuro_looks_ahead_within_its_clip() -> None:
    torch.manual_seed(0)
    config = DwiseNeuroConfig(
        readout_neurons=(3,), in_channels=1, core_features=(8,), spatial_strides=(2,), cortex_features=(16,)
    )
    model = DwiseNeuro(DwiseNeuroNetwork(config), readout=0, video_size=(6, 8))
    (wrong,) = nr.check_encoder(model, trial(size=(6, 8))).wrong
    assert "frames before it: the model looks ahead" in wrong


class Fails(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        raise RuntimeError("no such readout\nand more")


class Pair(Filters):
    def forward(self, clips: Tensor) -> Any:
        return super().forward(clips), clips


class Turned(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(clips).mT


class Flat(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(clips).flatten()


class Valid(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(clips)[:, :, 7:]


class Undefined(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        return super().drive(clips).sqrt()


class Half(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(clips).bfloat16()


class Dead(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        return torch.ones(len(clips), 4, clips.shape[2])


class Random(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(clips), 0.3, training=True)


class Remembers(Filters):
    state = 0.0

    def forward(self, clips: Tensor) -> Tensor:
        found = super().forward(clips) + self.state
        self.state = 0.1 * float(found.detach().mean()) + 0.9 * self.state
        return found


class BatchNorm(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        drive = self.drive(clips)
        return nn.functional.softplus(nn.functional.batch_norm(drive, None, None, training=True))


class LooksAhead(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(clips.roll(-3, dims=2))


class NoGradient(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(clips)


class CutOff(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(clips).detach() + 0 * clips.sum()


class Rounded(Filters):
    """Straight through: what it says of its slope is not what it does."""

    def forward(self, clips: Tensor) -> Tensor:
        coarse = (clips / 127.5).round() * 127.5
        return super().forward(clips + (coarse - clips).detach()) + super().forward(clips).detach()


class OneLength(Filters):
    def forward(self, clips: Tensor) -> Tensor:
        if clips.shape[2] % 7:
            raise ValueError("20 frames")
        return super().forward(clips)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Fails, r"forward raises RuntimeError: no such readout, given \(batch, 1, frames, 5, 6\)"),
        (Pair, "returns a tuple of 2; return the one tensor of responses"),
        (Turned, "its axes seem to have another order than output_axes"),
        (Flat, r"the shape \(\d+,\), and output_axes is 'batch neurons frames'"),
        (Valid, "leaves out the first 7 frames, but warmup_frames is 2: set warmup_frames to at least 7"),
        (Undefined, "responses are NaN or infinite"),
        (Half, r"responses are torch.bfloat16: switch off autocast"),
        (Dead, "all responses are the same number"),
        (Random, "responses are random: dropout"),
        (Remembers, "depend on what the model saw before: reset its state"),
        (BatchNorm, "depend on the other movies in the batch: batch norm"),
        (LooksAhead, "changes responses up to 3 frames before it: the model looks ahead"),
        (NoGradient, "carry no gradient: no_grad"),
        (CutOff, "the gradient of every pixel is 0"),
        (Rounded, "gradients are not the slope of the responses"),
        (OneLength, "any_length is True, but 34 frames raise ValueError"),
    ],
)
def test_each_fault_is_told(model: type[Filters], message: str) -> None:
    wrong = nr.check_encoder(model(), trial(42)).wrong
    assert any(re.search(message, each) for each in wrong), wrong


def test_notes() -> None:
    class Blind(Filters):
        covariates = 1

        def forward(self, clips: Tensor) -> Tensor:
            return self.drive(clips * (torch.arange(6) > 2))  # half of the screen, and below 0

    model = Blind()
    model.warmup_frames = 2
    report = nr.check_encoder(model, trial(channels=1))
    assert report.wrong == ()
    text = " ".join(report.notes)
    assert "50% of the pixels never change a response" in text
    assert "values below 0 are set to 0" in text
    assert "behavior changes no response" in text


def test_a_memory_longer_than_the_warm_up() -> None:
    class Leaky(Filters):
        def forward(self, clips: Tensor) -> Tensor:
            return super().forward(clips).cumsum(dim=2) / 10

    (note,) = nr.check_encoder(Leaky(), trial()).notes
    assert "longer than its warm-up of 2" in note


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: (nn.Linear(2, 2), trial()), "the model is a Linear; it must be one EncodingModel"),
        (lambda: (Filters(), trial(size=(6, 5))), "the video is 5x6 pixels"),
        (lambda: (Filters(), trial(rate=10.0)), "runs at 10 Hz, the model at 30 Hz"),
    ],
)
def test_bad_input(given: Any, message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        nr.check_encoder(*given())


def test_an_attribute_that_is_missing() -> None:
    model = Filters()
    del model.canvas
    with pytest.raises(nr.InputError, match="Filters has no canvas; set it in __init__"):
        nr.check_encoder(model, trial())


# --- the interface ---


class Awkward(Filters):
    """The same model: frames before neurons, the first ones left out, behavior as vectors, all standardized."""

    behavior_as = "vectors"
    output_axes = "frames batch neurons"
    covariates = 2

    def __init__(self) -> None:
        super().__init__()
        self.standardize_video = nr.Standardization(mean=100, std=50)
        self.standardize_behavior = nr.Standardization(mean=[1, 2], std=[3, 4])
        self.standardize_responses = nr.Standardization(mean=[0, 1, 2, 3], std=[1, 2, 3, 4])

    def forward(self, clips: Tensor, behavior: Tensor) -> Tensor:
        assert clips.shape[1] == 1 and behavior.ndim == 3
        found = super().drive(127.5 * (clips + 1)) + behavior.sum(dim=1, keepdim=True)
        return found[:, :, self.warmup_frames :].permute(2, 0, 1)


def test_what_a_model_says_of_itself_is_applied() -> None:
    model, shown = Awkward(), trial(channels=2)
    assert nr.check_encoder(model, shown).wrong == ()
    video = 127.5 * ((shown.needs_video() - 100) / 50 + 1)
    drive = Filters().drive(torch.from_numpy(video)[None, None]).detach()[0]
    behavior = (shown.covariates - [[1], [2]]) / [[3], [4]]
    expected = (drive.numpy() + behavior.sum(axis=0)) * np.arange(1, 5)[:, None] + np.arange(4)[:, None]
    predicted = nr.predict(model, shown)
    np.testing.assert_allclose(predicted[:, 2:], expected[:, 2:], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(predicted[:, :2], predicted[:, [2, 2]])  # no answer: they do not count


def test_standardization_and_its_inverse() -> None:
    values = torch.randn(2, 3, 5, 4, 4)
    both = nr.Standardization(mean=[1, 2, 3], std=[4, 5, 6])
    torch.testing.assert_close(both.inverse(both(values)), values)
    torch.testing.assert_close(both(values)[:, 1], (values[:, 1] - 2) / 5)
    assert both(values[:, :1]).shape == values.shape  # a grey picture in each color
    for bad in ({"std": 0}, {"mean": [[1]]}, {"mean": float("nan")}, {"std": [1, -1]}):
        with pytest.raises(nr.InputError, match="must be"):
            nr.Standardization(**bad)


class Clipped(Filters):
    any_length = False

    def __init__(self) -> None:
        super().__init__(lags=4)
        self.clip_frames = 9

    def forward(self, clips: Tensor) -> Tensor:
        assert clips.shape[2] == 9
        return super().forward(clips)[:, :, self.warmup_frames :]


@pytest.mark.parametrize("frames", [9, 10, 15, 31])
def test_windows_of_a_clip_model_overlap_by_its_warm_up(frames: int) -> None:
    shown = trial(frames)
    whole = nr.predict(Filters(lags=4), shown)
    video, nothing = torch.from_numpy(shown.needs_video()), torch.zeros(0, frames)
    for found in (nr.predict(Clipped(), shown), ensemble_responses([Clipped()], video, nothing).detach().numpy()):
        np.testing.assert_allclose(found[:, 3:], whole[:, 3:], rtol=1e-4, atol=1e-5)


def test_window_starts() -> None:
    assert window_starts(40, 16) == [0, 16, 24]
    assert window_starts(40, 16, warmup=4) == [0, 12, 24]
    assert window_starts(40, 40, warmup=4) == [0]


# --- recurrent models ---


class Cell(nr.RecurrentModel):
    def __init__(self, *, units: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(5 * 6 + 2, units)
        self.canvas, self.covariates = nr.Canvas.plain(5, 6), 2
        self.neurons, self.frame_rate_hz, self.clip_frames, self.warmup_frames = units, 30.0, 20, 4
        self.standardize_video = nr.Standardization(mean=127.5, std=60)

    def step(self, frame: Tensor, behavior: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        state = self.cell(torch.cat([frame.flatten(1), behavior], dim=1), state)
        return state.exp(), state


def gradients(model: nr.RecurrentModel, video: Tensor, behavior: Tensor) -> Tensor:
    inputs = model.assemble(video, behavior).requires_grad_()
    return torch.autograd.grad(model.responses(inputs).square().sum(), inputs)[0]


def test_recurrent_gradients_are_those_of_the_whole_graph() -> None:
    model, shown = Cell().requires_grad_(False), trial(50, channels=2)
    assert nr.check_encoder(model, shown).wrong == ()
    video, behavior = torch.from_numpy(shown.needs_video())[None], torch.from_numpy(shown.covariates)[None]
    inputs = model.assemble(video, behavior).requires_grad_()
    standard, state, found = model.standardize_video(inputs[:, :1]), None, []
    for number in range(50):
        responses, state = model.step(standard[:, 0, number], inputs[:, 1:, number, 0, 0], state)
        found.append(responses)
    whole = torch.stack(found, dim=2)
    torch.testing.assert_close(model.responses(inputs), whole)
    torch.testing.assert_close(
        gradients(model, video, behavior), torch.autograd.grad(whole.square().sum(), inputs)[0], rtol=1e-4, atol=1e-6
    )


def test_recurrent_memory_grows_with_the_root_of_the_length() -> None:
    model = Cell(units=300).requires_grad_(False)

    def peak(frames: int) -> int:
        video, behavior = torch.rand(1, frames, 5, 6), torch.zeros(1, 2, frames)
        inputs = model.assemble(video, behavior).requires_grad_()
        with LiveTensors() as live:
            torch.autograd.grad(model.forward(inputs[:, :1], behavior)[:, :, -1].sum(), inputs)
        return live.peak - 4 * frames * 300 * 3  # less the responses themselves, their pieces and their gradient

    assert peak(400) < 3 * peak(100)


# --- the training split ---


def test_a_movie_of_the_training_set_is_refused_and_marked() -> None:
    model = ToyEncoder(any_length=True)
    trials = toy_trials(model, 5, frames=60)
    posterior = nr.fit_posterior(model, trials[1:], compute=nr.Compute(progress=False))
    quiet: dict[str, Any] = {"compute": nr.Compute(progress=False)}
    model.training_split = nr.TrainingSplit.of(trials[1:3], description="two trials")
    model.license = "CC BY 4.0"
    unseen = nr.reconstruct(trials[0], posterior, passes=1, **quiet)
    assert not unseen.trained_on and unseen.settings["trained_on"] is False
    assert unseen.settings["license"] == "CC BY 4.0" and unseen.settings["training_split"] == "two trials"
    again = trials[2].replace(name="the same movie in another trial")
    for seen in (trials[1], trials[1].replace(video=None), again):
        with pytest.raises(
            nr.InputError, match=r"was trained on the movie of .* \(two trials\).*allow_trained_on=True"
        ):
            nr.reconstruct(seen, posterior, **quiet)
        with pytest.raises(nr.InputError, match="was trained on the movie"):
            nr.bauer_2026.reconstruct(seen, model, iterations=1, **quiet)
    marked = nr.reconstruct(again, posterior, passes=1, allow_trained_on=True, **quiet)
    assert marked.trained_on and "a movie that the encoding model was trained on" in repr(marked)
    published = nr.bauer_2026.reconstruct(again, model, iterations=1, allow_trained_on=True, **quiet)
    assert published.trained_on


def test_whole_recordings_can_be_declared() -> None:
    split = nr.TrainingSplit(description="all mice", recordings=("dynamic1-",))
    assert split.holds(trial().replace(recording="dynamic1-2"))
    assert not split.holds(trial().replace(recording="dynamic2-2"))
    assert not split.holds(trial())
