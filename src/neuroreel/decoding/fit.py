"""``nr.fit_decoder``: decoders of either kind."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Literal, overload

import torch

from neuroreel.arguments import whole_number
from neuroreel.decoding.convolutional import ConvolutionalDecoder
from neuroreel.decoding.convolutional_fit import train_convolutional
from neuroreel.decoding.decoder import Decoder
from neuroreel.decoding.ridge import HELD_OUT_FRAMES, PENALTIES, fit_ridge
from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.devices import choose_device
from neuroreel.encoding.checks import as_ensemble, check_responses_fit
from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.recordings.checks import check_responses, check_trials
from neuroreel.recordings.trial import Trial

STEPS = 350
HELD_OUT_SHARE = 0.15  # of the trials, if no validation trials are given


@overload
def fit_decoder(
    trials: Sequence[Trial],
    *,
    kind: Literal["ridge"] = ...,
    lags_s: Sequence[float] | None = ...,
    penalties: Sequence[float] | float = ...,
    components: int | None = ...,
    groups: Sequence[Hashable] | None = ...,
    held_out_frames: int = ...,
    seed: int = ...,
    progress: bool = ...,
) -> RidgeDecoder: ...
@overload
def fit_decoder(
    trials: Sequence[Trial],
    *,
    kind: Literal["convolutional"],
    lags_s: Sequence[float] | None = ...,
    penalties: Sequence[float] | float = ...,
    components: int | None = ...,
    groups: Sequence[Hashable] | None = ...,
    held_out_frames: int = ...,
    validation: Sequence[Trial] = ...,
    simulated: Sequence[Trial] = ...,
    encoders: EncodingModel | Sequence[EncodingModel] = ...,
    steps: int = ...,
    seed: int = ...,
    device: str = ...,
    checkpoint: str | Path | None = ...,
    progress: bool = ...,
) -> ConvolutionalDecoder: ...
def fit_decoder(
    trials: Sequence[Trial],
    *,
    kind: str = "ridge",
    lags_s: Sequence[float] | None = None,
    penalties: Sequence[float] | float = PENALTIES,
    components: int | None = None,
    groups: Sequence[Hashable] | None = None,
    held_out_frames: int = HELD_OUT_FRAMES,
    validation: Sequence[Trial] = (),
    simulated: Sequence[Trial] = (),
    encoders: EncodingModel | Sequence[EncodingModel] = (),
    steps: int | None = None,
    seed: int = 0,
    device: str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> Decoder:
    """Fit a map from responses straight to movies, without an encoding model.

    ``kind="ridge"`` is linear regression from the responses around each frame to its pixels:

    1. Responses are clipped at 0, square-rooted and z-scored over the training frames.
    2. If there are too many neurons, they are reduced to their leading principal components.
    3. Moments of features and pixels are summed trial by trial and diagonalized, in dual form if there are fewer frames
       than features.
    4. Groups of trials with the same movie are held out in turn, and the penalty with the smallest squared error is
       chosen.
    5. The residual on the held-out trials is kept: its covariance over pixels and its autocorrelation over time.

    ``kind="convolutional"`` starts from it, and trains a space-time network to correct its movie: neurons are placed on
    the image at their receptive fields, and a few convolutions mix them with the ridge movie. Each training trial's
    ridge movie is decoded by a regression that did not see the trial. Neurons are silenced and noise is added at
    random;
    validation trials decide when training ends and which weights are kept (the ridge movie counts as the first).

    Parameters
    ----------
    trials
        With videos and responses; a lazy sequence is read three times (the third time in part), a few trials at a time.
    lags_s
        Times of the responses that decode a frame, in seconds after it, rounded to frames. Default: every
        frame from 1/30 s before to 9/30 s after, which covers the delay and smear of calcium responses.
    penalties
        Penalties to choose from, relative to the features' summed variance (neurons x lags if all are z-scored and
        kept):
        penalty x summed variance x the sum of squared weights is added to the summed squared error. They are tried from
        the middle outward while the error falls; in simulations the best were 3 to 30. A single number is used as is.
    components
        Principal components of the neurons to keep. Default: every neuron while neurons x lags is at most 6000, else as
        many components as fit that limit: 545 for 8,000 neurons at 11 lags.
    groups
        One label per trial; trials with the same label are held out together. Default: trials with the same movie.
    held_out_frames
        Random groups (at least two) are held out until they have this many frames. The first 3000 of these frames, in
        whole groups, choose the penalty; all of them give the residual's statistics.
    validation
        Convolutional only: trials that decide when to stop. Default: some of ``trials``, about one in seven.
    simulated
        Convolutional only: more training trials with simulated responses; ``nr.simulate_responses`` makes them from
        movies of any kind.
    encoders
        Convolutional only: encoding models of these neurons, to look up receptive fields. Default: where a neuron's
        ridge weights are largest.
    steps
        Convolutional only: most training steps.
    seed
        Random seed for the groups, the search for components of more than 4096 neurons, the network's initial weights
        and the training clips.
    device
        Convolutional only: where the network is trained, "auto", "cpu", "cuda", "cuda:1", "mps".
    checkpoint
        Convolutional only: a file for the training's progress. After a kill the same call resumes from it; it is
        deleted at the end.
    progress
        Show progress bars.

    Returns
    -------
    RidgeDecoder or ConvolutionalDecoder

    Raises
    ------
    InputError
        Trials that do not belong together or lack video or responses; arguments out of range; several penalties but
        only one movie, so that none can be held out.

    Notes
    -----
    The memory of ridge regression does not grow with the number of trials; the convolutional decoder also keeps the
    ridge
    movie of each training trial. With N neurons, P pixels, f = components x lags features, h held-out frames, and
    b = 1200 frames or the length of the longest trial or group, at most this many 4-byte numbers are held at once:
    during
    the search for components (only if fewer than N) 3 N^2 + 2 b N; then 3 f^2 (5 f^2 in dual form)
    + 3 f P + 3 P^2 + 4 b (f + P) + h (f + 2 P). For 8,000 neurons, 11 lags and 36 x 64 pixels that is 1.1 GB. Up to
    1024 features are summed in double precision, twice the size.

    The means, deviations and components of steps 1 and 2 come from all training trials, including held-out ones.
    """
    if kind not in ("ridge", "convolutional"):
        raise InputError(f"kind is {kind!r}; it must be 'ridge' or 'convolutional'")
    of_network = {
        "validation": validation,
        "simulated": simulated,
        "encoders": encoders,
        "steps": steps,
        "device": device,
        "checkpoint": checkpoint,
    }
    given = [name for name, value in of_network.items() if value is not None and value != ()]
    if kind == "ridge" and given:
        raise InputError(f"{' and '.join(given)} are for training a network; pass kind='convolutional' with them")
    networks = as_ensemble(encoders) if encoders != () else []
    whole_number(steps := STEPS if steps is None else steps, name="steps")
    chosen = choose_device("auto" if device is None else device)
    spec = check_trials(trials, what="training trials", needs=("video", "responses"))
    for what, more in (("validation trials", validation), ("simulated trials", simulated)):
        if len(more):
            check_responses(more, check_trials(more, what=what, needs=("video", "responses")), what=what)
            check_trials([trials[0], more[0]], what=f"training and {what}")
    for model in networks:
        check_responses_fit(model, trials[0])
    ridge = fit_ridge(
        trials,
        spec,
        lags_s=lags_s,
        penalties=penalties,
        components=components,
        groups=groups,
        held_out_frames=held_out_frames,
        seed=seed,
        progress=progress,
    )
    if kind == "ridge":
        return ridge.decoder
    centers = [found for model in networks if (found := model.receptive_field_centers()) is not None]
    return train_convolutional(
        ridge,
        trials,
        held_out=[] if len(validation) else _held_out(ridge.groups, len(trials)),
        validation=validation,
        simulated=simulated,
        centers=torch.stack(centers).mean(dim=0) if centers else None,
        steps=steps,
        seed=seed,
        device=chosen,
        checkpoint=None if checkpoint is None else user_path(checkpoint),
        progress=progress,
    )


def _held_out(groups: Sequence[Sequence[int]], trials: int) -> list[int]:
    """Trials of the first groups, until they are about one in seven."""
    if len(groups) < 2:
        raise InputError(
            "there is only one movie (or one group), so none can be held out for early stopping; give trials "
            "of several movies, or validation trials"
        )
    held_out: list[int] = []
    for group in groups[:-1]:
        if held_out and len(held_out) >= HELD_OUT_SHARE * trials:
            break
        held_out += group
    return held_out
