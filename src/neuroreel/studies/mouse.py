"""Everything that is fitted to one recording before its movies are reconstructed, each part kept in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from neuroreel.errors import InputError
from neuroreel.files import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neuroreel.decoding.ridge_decoder import RidgeDecoder
    from neuroreel.encoding.interface import EncodingModel
    from neuroreel.posterior.posterior import Posterior
    from neuroreel.recordings.recording import Recording, Trials

Kept = TypeVar("Kept")
TEST_FOLD, VALIDATION_FOLD = "fold_0", "fold_1"
TRAINING_FOLDS = tuple(f"fold_{number}" for number in range(2, 7))


@dataclass(frozen=True, kw_only=True)
class SimulatedMouse:
    """Sizes of a simulated recording."""

    trials: int
    seconds: float
    neurons: int
    height: int = 36
    width: int = 64
    signal_to_noise: float = 0.4


@dataclass(frozen=True, kw_only=True)
class Training:
    """How encoding models are trained: how many, for how long."""

    models: int
    epochs: int
    batches_per_epoch: int


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedMouse:
    """A recording split by folds, and what was fitted to its training trials."""

    folder: Path
    train: Trials
    validation: Trials
    test: Trials
    decoder: RidgeDecoder
    models: tuple[EncodingModel, ...]
    posterior: Posterior
    mask: NDArray[np.float32]


def kept(file: Path, load: Callable[[Path], Kept], make: Callable[[Path], object]) -> Kept:
    """What an earlier call left in the file, or made now; ``make`` writes to a temporary name first."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        make(file)
    return load(file)


def fit_mouse(
    recording: Recording,
    folder: Path,
    training: Training,
    *,
    seed: int = 0,
    say: Callable[[str], object] = lambda _: None,
) -> FittedMouse:
    """Fit ridge decoder, encoding models, posterior and mask to folds 2 to 6, with fold 1 to validate.

    Parameters
    ----------
    recording
        With the folds of a recording in the Sensorium layout, 0 to 6.
    folder
        Keeps each part; a second call finds what is finished.
    seed
        Random seed; that of the first encoding model, the next ones count up.
    say
        Called with a line of text before each step.
    """
    import neuroreel as nr

    train, validation = recording.select(*TRAINING_FOLDS), recording.select(VALIDATION_FOLD)
    say("Fit the linear decoder")
    decoder = kept(folder / "decoder.safetensors", nr.RidgeDecoder.load, lambda file: nr.fit_decoder(train).save(file))
    models = []
    for number in range(training.models):
        say(f"Train encoding model {number + 1} of {training.models}")
        models.append(encoder(folder, train, validation, training, seed=seed + number))
    say(f"  response correlation on unseen movies: {nr.encoder_correlation(models, validation):.3f}")
    say("Fit the posterior: what movies are like, and what the models leave unexplained")
    posterior = kept(
        folder / "posterior",
        nr.load_posterior,
        lambda file: nr.fit_posterior(models, train, validation=validation, seed=seed).save(file),
    )
    say(f"  {posterior}")
    say("Learn the mask: which pixels responses tell of")
    mask = kept(
        folder / "mask.npy",
        nr.load_mask,
        lambda file: nr.save_mask(file, nr.posterior_mask(posterior, train, seed=seed)),
    )
    return FittedMouse(
        folder=folder,
        train=train,
        validation=validation,
        test=recording.select(TEST_FOLD),
        decoder=decoder,
        models=tuple(models),
        posterior=posterior,
        mask=mask,
    )


def encoder(folder: Path, train: Trials, validation: Trials, training: Training, *, seed: int) -> EncodingModel:
    """The encoding model of a seed."""
    import neuroreel as nr

    def fit(file: Path) -> None:
        recipe = {"epochs": training.epochs, "batches_per_epoch": training.batches_per_epoch}
        nr.save_encoder(nr.fit_encoder(train, validation=validation, seed=seed, recipe=recipe), file)

    return kept(folder / f"encoder_{seed}.safetensors", nr.load_encoder, fit)


def simulated_mouse(folder: Path, mouse: SimulatedMouse, *, seed: int) -> Recording:
    """The recording that an earlier call left behind, or simulated now."""
    import neuroreel as nr

    return kept(folder, nr.open_recording, partial(nr.simulate, **asdict(mouse), seed=seed))


def check_same_run(folder: Path, wanted: str, *, what: str) -> None:
    """A folder holds one run of a kind, which ``wanted`` describes: refuse to mix it with another.

    Raises
    ------
    InputError
        The folder holds other files, or a run with other settings.
    """
    stamp = folder / f"{what}.txt"
    if folder.exists() and any(folder.iterdir()) and not stamp.exists():
        raise InputError(f"{folder} holds other files; choose a new or empty folder with --out")
    if not stamp.exists():
        with atomic_path(stamp) as partial:
            partial.write_text(wanted)
    if stamp.read_text() != wanted:
        raise InputError(
            f"{folder} holds a {what} with {stamp.read_text().strip()}, this one has {wanted.strip()}; "
            "choose another folder with --out, or delete it"
        )
