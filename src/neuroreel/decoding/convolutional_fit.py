"""Training of the convolutional decoder, on clips with ridge movies that were decoded without seeing their trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from neuroreel.decoding.convolutional import (
    CONTRAST,
    ConvolutionalConfig,
    ConvolutionalDecoder,
    ConvolutionalNetwork,
    corrected,
    to_contrast,
)
from neuroreel.decoding.features import ResponseFeatures
from neuroreel.decoding.heldout import residual_statistics
from neuroreel.decoding.ridge import RidgeFit
from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.encoding.training.recipe import stalled
from neuroreel.errors import InputError
from neuroreel.progress import bar_of
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array, hash_model
from neuroreel.snapshot import Snapshot, fingerprint

CLIPS, CLIP_FRAMES = 6, 48  # per step
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 0.02
WARM_UP = 0.05  # fraction of the steps
AVERAGE = 0.97  # decay of the weights' moving average over steps
SILENCED = 0.15  # fraction of the neurons in each clip, so that no single neuron is relied upon
JITTER = 0.3  # standard deviation of noise added to z-scored responses
VALIDATE_EVERY = 25  # steps
PATIENCE = 6  # validations without a better one


def train_convolutional(
    ridge: RidgeFit,
    trials: Sequence[Trial],
    *,
    held_out: Sequence[int],
    validation: Sequence[Trial],
    simulated: Sequence[Trial],
    centers: Tensor | None,
    steps: int,
    seed: int,
    device: torch.device,
    checkpoint: Path | None,
    progress: bool,
) -> ConvolutionalDecoder:
    """Train the network; ``nr.fit_decoder`` explains the parameters.

    Parameters
    ----------
    held_out
        Which of ``trials`` validate if there are no ``validation`` trials.
    centers
        (neurons, 2): row and column of each neuron's receptive field, 0..1; None: where its ridge weights are largest.
    """
    decoder, features = ridge.decoder, ridge.decoder.features
    movies = ridge.cross_fitted(trials, progress=progress)
    seen, more = [i for i in range(len(trials)) if i not in set(held_out)], [decoder.movie(each) for each in simulated]
    training = _Material([*(trials[i] for i in seen), *simulated], [*(movies[i] for i in seen), *more], features)
    if len(validation):
        judging = _Material(validation, [decoder.movie(each) for each in validation], features)
    else:
        judging = _Material([trials[i] for i in held_out], [movies[i] for i in held_out], features)

    network = _network(decoder, centers, seed=seed).to(device)
    decided_by = fingerprint(
        ridge=hash_array(decoder.weights),
        network=hash_model(network),  # before training: where neurons look decides it too
        movies=[hash_array(movie) for movie in (*training.movies, *judging.movies)],
        steps=steps,
        seed=seed,
    )
    snapshot = Snapshot(checkpoint, fingerprint=decided_by)
    log = _descend(network, training, judging, steps=steps, seed=seed, snapshot=snapshot, progress=progress)
    network = network.cpu().eval()
    statistics = residual_statistics(
        (torch.from_numpy(error).flatten(1) for error in judging.errors(network)),
        pixels=decoder.video_height * decoder.video_width,
        frame_rate_hz=decoder.frame_rate_hz,
    )
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return ConvolutionalDecoder(
        frame_rate_hz=decoder.frame_rate_hz,
        ridge=decoder,
        network=network,
        log=tuple(log),
        residual_covariance=statistics.covariance,
        residual_autocorrelation=statistics.autocorrelation,
    )


def _descend(
    network: ConvolutionalNetwork,
    training: _Material,
    judging: _Material,
    *,
    steps: int,
    seed: int,
    snapshot: Snapshot,
    progress: bool,
) -> list[dict[str, float]]:
    """The training loop; leaves the weights with the smallest validation error, and returns the log."""
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=WARM_UP)
    parts: dict[str, Any] = {"network": network, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
    state: dict[str, Any] = {"step": 0, "losses": [], "log": [], "best": None}
    if (resumed := snapshot.load(device=network.weight.device)) is not None:
        state = resumed
        for name, part in parts.items():
            part.load_state_dict(resumed["parts"][name])

    with bar_of(steps, description="convolutional decoder", done=state["step"], enabled=progress) as advance:
        while True:
            if state["step"] % VALIDATE_EVERY == 0 or state["step"] == steps:
                _validate(averaged.module, judging, state)
                if state["step"] == steps or stalled(
                    (-row["validation_error"] for row in state["log"]), patience=PATIENCE
                ):
                    break
            state["losses"].append(_step(network, training, state["step"], seed=seed))
            optimizer.step()
            schedule.step()
            averaged.update_parameters(network)
            state["step"] += 1
            advance()
            if snapshot.due:
                snapshot.save(state | {"parts": {name: part.state_dict() for name, part in parts.items()}})
    network.load_state_dict(state["best"])
    return list(state["log"])


@dataclass(frozen=True)
class _Material:
    """Trials, each with the movie of a ridge regression that did not see it."""

    trials: Sequence[Trial]
    movies: Sequence[NDArray[np.float32]]
    features: ResponseFeatures

    def clips(self, step: int, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Random clips, set by step and seed: responses (clips, neurons, frames), ridge movies, true movies.

        Movies are (clips, frames, height, width), in the network's units.
        """
        rng = np.random.default_rng([seed, step])
        frames = min(CLIP_FRAMES, *(len(movie) for movie in self.movies))
        drawn: list[tuple[Tensor, Tensor, Tensor]] = []
        for index in rng.integers(len(self.trials), size=CLIPS):
            trial, movie = self.trials[index], self.movies[index]
            start = int(rng.integers(len(movie) - frames + 1))
            here = slice(start, start + frames)
            responses = self.features.standardized(trial)[here].T
            silenced = torch.from_numpy(rng.random(len(responses)) < SILENCED)
            noise = torch.from_numpy(rng.standard_normal(responses.shape, dtype=np.float32))
            responses = (responses + JITTER * noise).masked_fill(silenced[:, None], 0)
            shown = torch.from_numpy(trial.needs_video()[here])
            drawn.append((responses, to_contrast(torch.from_numpy(movie[here])), to_contrast(shown)))
        responses, movies, shown = (torch.stack(each) for each in zip(*drawn, strict=True))
        return responses, movies, shown

    def errors(self, network: ConvolutionalNetwork) -> Iterator[NDArray[np.float32]]:
        """Truth - decoded (frames, height, width) of each trial, in gray levels."""
        for trial, movie in zip(self.trials, self.movies, strict=True):
            yield trial.needs_video() - corrected(network, self.features.standardized(trial), movie)


def _step(network: ConvolutionalNetwork, training: _Material, step: int, *, seed: int) -> float:
    """Set the gradients of a step; returns its mean squared error."""
    device = network.weight.device
    responses, ridge, shown = (each.to(device) for each in training.clips(step, seed=seed))
    network.train()
    network.zero_grad()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed + 1_000_003 * step)  # for dropout: a resumed run draws the same
        loss = (network(responses, ridge) - shown).square().mean()
    if not torch.isfinite(loss):
        raise InputError("the training of the convolutional decoder diverged; check responses and movies for outliers")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    return float(loss.detach())


def _validate(network: Any, judging: _Material, state: dict[str, Any]) -> None:
    """Add a row to the log, and keep the weights if they are the best so far."""
    network.eval()
    error = float(np.mean([np.square(each).mean() for each in judging.errors(network)])) ** 0.5
    if error < min((row["validation_error"] for row in state["log"]), default=float("inf")):
        state["best"] = {name: weight.detach().cpu().clone() for name, weight in network.state_dict().items()}
    row = {"step": state["step"], "validation_error": error}
    if state["losses"]:
        row["training_error"] = float(np.mean(state["losses"])) ** 0.5 * CONTRAST
    state["log"].append(row)
    state["losses"] = []


def _network(ridge: RidgeDecoder, centers: Tensor | None, *, seed: int) -> ConvolutionalNetwork:
    config = ConvolutionalConfig(
        neurons=ridge.neurons,
        video_height=ridge.video_height,
        video_width=ridge.video_width,
        lags=(min(0, ridge.features.lags[0]), max(0, ridge.features.lags[-1])),
    )
    places = _ridge_centers(ridge) if centers is None else centers.cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvolutionalNetwork(config, places * torch.tensor(config.grid) - 0.5)


def _ridge_centers(ridge: RidgeDecoder) -> Tensor:
    """(neurons, 2): row and column, 0..1, of each neuron's largest squared weights, summed over lags."""
    weights = torch.from_numpy(ridge.weights).view(len(ridge.features.lags), ridge.features.components, -1)
    axes = None if ridge.features.axes is None else torch.from_numpy(ridge.features.axes)
    energy = torch.zeros(ridge.neurons, weights.shape[2])
    for each in weights:
        energy += (each if axes is None else axes @ each).square()
    images = energy.view(-1, 1, ridge.video_height, ridge.video_width)
    smooth = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False).flatten(1)
    largest = smooth.argmax(dim=1)
    rows, columns = largest // ridge.video_width, largest % ridge.video_width
    return torch.stack([(rows + 0.5) / ridge.video_height, (columns + 0.5) / ridge.video_width], dim=1)
