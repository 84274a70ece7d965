"""The noise model of the responses: shared factors, a private part for each neuron, and their spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neuroreel.posterior.spectra import cosine_basis, mean_power, resampled

MOST_GAIN = 3.0
LEAST_RATE = 1e-4  # below it the square root is too steep for gradients
LEAST_DEVIATION = 1e-6  # of a neuron that varies
LEAST_VARIANCE = 1e-8  # of root responses: less is rounding
LEAST_SHARE = 0.05  # of a neuron's noise that is private, at least


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseModel:
    """Square roots of responses are gain x root of the prediction + offset + Gaussian noise.

    The noise of all neurons is ``loadings`` @ factors + a private part. Factors and private parts are independent of
    each other, and each has a spectrum over time (cosine coefficients, slowest first).

    Parameters
    ----------
    gain, offset
        (neurons,).
    loadings
        (neurons, factors), in roots of the responses' unit.
    factor_power
        (factors, bins): mean 1.
    private_power
        (neurons, bins): variances.
    explained
        (neurons,): share of the variance of root responses that the models explain.
    held_out
        True if gains, variances and that share come from trials that the models were not trained on.
    """

    gain: Tensor
    offset: Tensor
    loadings: Tensor
    factor_power: Tensor
    private_power: Tensor
    explained: Tensor
    held_out: bool = False

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return len(self.gain)

    def expected(self, predicted: Tensor) -> Tensor:
        """Expected root responses (neurons, frames), given predicted responses."""
        return self.gain[:, None] * predicted.clamp_min(LEAST_RATE).sqrt() + self.offset[:, None]

    @property
    def deviation(self) -> Tensor:
        """(neurons,): standard deviation of the noise; 0 for neurons that never vary."""
        return (self.private_power.mean(dim=1) + self.loadings.square().sum(dim=1)).sqrt()

    def rescaled(self, recorded: Sequence[Tensor], predicted: Sequence[Tensor], *, warmup: int) -> NoiseModel:
        """A copy with all gains and all variances rescaled, each by one factor, to fit these trials.

        The arguments are as for ``fit_noise``, from trials that the models were not trained on, which are too few to
        fit a gain and a variance for each neuron.
        """
        y, m = (torch.cat([each[:, warmup:] for each in roots], dim=1) for roots in (recorded, predicted))
        varies = self.deviation > 0
        scale = self.deviation[varies, None]
        y, signal = y[varies] / scale, self.gain[varies, None] * m[varies] / scale
        y, signal = y - y.mean(dim=1, keepdim=True), signal - signal.mean(dim=1, keepdim=True)
        slope = float(((y * signal).sum() / signal.square().sum().clamp_min(1e-12)).clamp(0, MOST_GAIN))
        left = (y - slope * signal).square()
        ratio = float(left.mean())
        explained = torch.zeros_like(self.explained)
        explained[varies] = _share_explained(left.sum(dim=1), y.square().sum(dim=1), frames=y.shape[1])
        return replace(
            self,
            gain=slope * self.gain,
            offset=self.offset + (1 - slope) * self.gain * m.mean(dim=1),
            loadings=ratio**0.5 * self.loadings,
            private_power=ratio * self.private_power,
            explained=explained,
            held_out=True,
        )

    def select(self, neurons: Tensor) -> NoiseModel:
        """The noise of some neurons, by indices or a boolean mask; the others are dropped."""
        chosen = {name: getattr(self, name)[neurons] for name in _PER_NEURON}
        return replace(self, **chosen)

    def to(self, device: torch.device) -> NoiseModel:
        """The same on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in (*_PER_NEURON, "factor_power")})


_PER_NEURON = ("gain", "offset", "loadings", "private_power", "explained")


class NoisePrecision:
    """The inverse noise covariance of a trial, for one number of frames.

    No (neurons, neurons) or (frames, frames) matrix is ever formed: cosine coefficients of different frequencies are
    independent, and for each, Woodbury's identity needs only (factors, factors).
    """

    def __init__(self, noise: NoiseModel, frames: int) -> None:
        self.basis = cosine_basis(frames, device=noise.gain.device)
        self.loadings = noise.loadings
        self.private = resampled(noise.private_power, frames)
        self.shared = resampled(noise.factor_power, frames).clamp_min(1e-6)
        inner = torch.einsum("nk,nf,nl->fkl", self.loadings, 1 / self.private, self.loadings)
        inner = inner + torch.diag_embed(1 / self.shared.T)
        self.inner = torch.linalg.inv(inner.double()).to(self.private.dtype)  # (frames, factors, factors)

    def apply(self, residual: Tensor) -> Tensor:
        """Precision times residual, both (neurons, frames)."""
        weighted = (residual @ self.basis.T) / self.private
        factors = torch.einsum("fkl,lf->kf", self.inner, self.loadings.T @ weighted)
        return (weighted - (self.loadings @ factors) / self.private) @ self.basis

    def sample(self, generator: torch.Generator) -> Tensor:
        """Noise (neurons, frames) drawn from the model."""

        def normal(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator).to(like.device)

        factors = self.shared.sqrt() * normal(self.shared)
        return (self.loadings @ factors + self.private.sqrt() * normal(self.private)) @ self.basis


def fit_noise(
    recorded: Sequence[Tensor], predicted: Sequence[Tensor], *, factors: int, warmup: int, seed: int
) -> NoiseModel:
    """Fit the noise model to recorded and predicted root responses (neurons, frames) of trials.

    Parameters
    ----------
    recorded, predicted
        Square roots of recorded and predicted responses, one (neurons, frames) per trial.
    factors
        How many factors neurons share.
    warmup
        Frames at the start of a trial that do not count.
    seed
        Random seed for the search for factors.
    """
    gain, offset, explained = _regression([y[:, warmup:] for y in recorded], [m[:, warmup:] for m in predicted])
    residuals = []
    for y, m in zip(recorded, predicted, strict=True):
        residual = y - gain[:, None] * m - offset[:, None]
        residual[:, :warmup] = 0
        residuals.append(residual)
    every = torch.cat([residual[:, warmup:] for residual in residuals], dim=1)
    deviation = every.square().mean(dim=1).sqrt()
    varies = deviation > LEAST_DEVIATION
    standardized = torch.where(varies[:, None], every / deviation.clamp_min(LEAST_DEVIATION)[:, None], 0)
    loadings = _factor_loadings(standardized, factors=factors, seed=seed) * (deviation * varies)[:, None]
    private = torch.where(varies, deviation.square() - loadings.square().sum(dim=1), 1)
    private = private.maximum(LEAST_SHARE * deviation.square())

    inner = torch.linalg.inv(loadings.T @ (loadings / private[:, None]) + torch.eye(loadings.shape[1]))
    reader = inner @ (loadings / private[:, None]).T  # (factors, neurons): regression of the factors on the noise
    bins = max(residual.shape[1] for residual in residuals)
    factor_power = mean_power((reader @ residual for residual in residuals), bins=bins)
    factor_power = factor_power / factor_power.mean(dim=1, keepdim=True).clamp_min(1e-12)
    own = mean_power((residual - loadings @ (reader @ residual) for residual in residuals), bins=bins)
    own = own / own.mean(dim=1, keepdim=True).clamp_min(1e-12)
    shape = 0.5 * own + 0.5 * own[varies].mean(dim=0)
    return NoiseModel(
        gain=gain,
        offset=offset,
        loadings=loadings,
        factor_power=factor_power,
        private_power=torch.where(varies[:, None], private[:, None] * shape, 0),
        explained=explained,
    )


def _regression(recorded: Sequence[Tensor], predicted: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Gain, offset and explained share of each neuron: recorded roots regressed on predicted ones."""
    frames = sum(y.shape[1] for y in recorded)
    y_mean, m_mean = (
        torch.stack([each.sum(dim=1, dtype=torch.float64) for each in roots]).sum(dim=0) / frames
        for roots in (recorded, predicted)
    )
    moments = [torch.zeros_like(y_mean) for _ in range(3)]
    for y, m in zip(recorded, predicted, strict=True):
        y_gap, m_gap = y - y_mean[:, None], m - m_mean[:, None]
        for moment, product in zip(moments, (y_gap * m_gap, m_gap.square(), y_gap.square()), strict=True):
            moment += product.sum(dim=1)
    both, m_square, y_square = moments
    gain = (both / m_square.clamp_min(1e-12)).clamp(0, MOST_GAIN)
    explained = _share_explained(y_square - 2 * gain * both + gain.square() * m_square, y_square, frames=frames)
    return gain.float(), (y_mean - gain * m_mean).float(), explained.float()


def _share_explained(left: Tensor, whole: Tensor, *, frames: int) -> Tensor:
    """Share of sums of squares ``whole`` (neurons,) that is not ``left``; 0 where a neuron is silent."""
    return torch.where(whole > LEAST_VARIANCE * frames, 1 - left / whole.clamp_min(LEAST_VARIANCE), 0)


def _factor_loadings(standardized: Tensor, *, factors: int, seed: int) -> Tensor:
    """Loadings (neurons, factors) of standardized noise (neurons, frames), by iterated principal factors.

    Alternates between approximating the correlation matrix minus the private variances by its leading eigenvectors, and
    setting the private variances to the remainder (Harman 1976). The matrix itself is never formed.
    """
    neurons, frames = standardized.shape
    factors = min(factors, neurons - 1)
    if factors < 1:
        return torch.zeros(neurons, 0)
    start = torch.randn(neurons, factors + 4, generator=torch.Generator().manual_seed(seed))
    basis = torch.linalg.qr(start).Q
    private = torch.ones(neurons)
    for _ in range(20):
        basis = torch.linalg.qr(standardized @ (standardized.T @ basis) / frames - private[:, None] * basis).Q
        image = standardized @ (standardized.T @ basis) / frames - private[:, None] * basis
        values, vectors = torch.linalg.eigh(basis.T @ image)
        leading = vectors[:, -factors:]
        loadings = basis @ leading * values[-factors:].clamp_min(0).sqrt()
        private = (1 - loadings.square().sum(dim=1)).clamp_min(LEAST_SHARE)
    return loadings.flip(1)
