"""``neuroreel demo``: the whole chain on a simulated mouse, from nothing to a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from neuroreel.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neuroreel.decoding.ridge_decoder import RidgeDecoder
    from neuroreel.posterior.posterior import Posterior
    from neuroreel.recordings.recording import Recording

Kept = TypeVar("Kept")
TEST_FOLD, VALIDATION_FOLD = "fold_0", "fold_1"
TRAINING_FOLDS = tuple(f"fold_{number}" for number in range(2, 7))


@dataclass(frozen=True, kw_only=True)
class DemoSize:
    """How much the demo does."""

    trials: int
    seconds: float
    neurons: int
    models: int
    epochs: int
    batches_per_epoch: int
    movies: int
    samples: int
    expected: str
    height: int = 36
    width: int = 64


FULL = DemoSize(
    trials=60,
    seconds=10.0,
    neurons=400,
    models=3,
    epochs=4,
    batches_per_epoch=30,
    movies=4,
    samples=4,
    expected="about 3 minutes on two cores, 3 GiB of memory",
)
QUICK = DemoSize(
    trials=28,
    seconds=6.0,
    neurons=150,
    models=2,
    epochs=1,
    batches_per_epoch=12,
    movies=2,
    samples=0,
    expected="less than a minute on two cores, a good 1 GiB of memory",
)


def run_demo(folder: Path, *, quick: bool = False, seed: int = 0, say: Callable[[str], None] = lambda _: None) -> Path:
    """Simulate a mouse, fit decoder, encoding models, posterior and mask, reconstruct, score, report.

    Parameters
    ----------
    folder
        Gets the recording, the models, the results and the report; a second call finds finished steps and goes on.
    quick
        A smaller mouse and less training: shows that everything works, not how well.
    seed
        Random seed.
    say
        Called with a line of text before each step.

    Returns
    -------
    Path
        The report.
    """
    import neuroreel as nr
    from neuroreel.evaluation.table import format_table, score_table

    size = QUICK if quick else FULL
    check_same_run(folder, f"quick={quick} seed={seed}\n")
    began = time.perf_counter()
    say(f"A simulated mouse, not a real one: {size.neurons} neurons, {size.trials} movies of {size.seconds:g} s.")
    say(f"This takes {size.expected}; everything goes to {folder}.\n")

    say("1. Simulate")
    recording = simulated_mouse(folder / "recording", size, seed)
    held_out = recording.select(TEST_FOLD)[: size.movies]
    posterior, decoder, mask = fit_mouse(recording, folder, size, seed=seed, say=say)

    say(f"6. Reconstruct {len(held_out)} movies that no model was trained on")
    results = nr.reconstruct(list(held_out), posterior, mask=mask, samples=size.samples, seed=seed)
    for number, result in enumerate(results):
        result.save(folder / f"reconstruction_{number}.nc", overwrite=True)

    table = score_table(results, decoder=decoder, seed=seed)
    say("\nScores inside the mask (of a simulated mouse, not a real one):\n" + format_table(table))
    report = nr.write_report(
        folder / "report.html",
        results,
        title="neuroreel demo: a simulated mouse",
        scores=table,
        movies={"ridge": [nr.decode(decoder, trial) for trial in held_out]},
        overwrite=True,
    )
    say(f"\nDone in {time.perf_counter() - began:.0f} s. Open the report in a browser:\n{report.resolve()}")
    return report


def fit_mouse(
    recording: Recording, folder: Path, size: DemoSize, *, seed: int, say: Callable[[str], None]
) -> tuple[Posterior, RidgeDecoder, NDArray[np.float32]]:
    """Steps 2 to 5: linear decoder, encoding models, posterior and mask, each kept in the folder."""
    import neuroreel as nr

    train, validation = recording.select(*TRAINING_FOLDS), recording.select(VALIDATION_FOLD)
    say("2. Fit the linear decoder")
    decoder = _kept(folder / "decoder.safetensors", nr.RidgeDecoder.load, lambda file: nr.fit_decoder(train).save(file))
    ensemble = []
    for number in range(size.models):
        say(f"3. Train encoding model {number + 1} of {size.models}")

        def fit(file: Path, number: int = number) -> None:
            recipe = {"epochs": size.epochs, "batches_per_epoch": size.batches_per_epoch}
            model = nr.fit_encoder(train, validation=validation, seed=seed + number, recipe=recipe)
            nr.save_encoder(model, file)

        ensemble.append(_kept(folder / f"encoder_{number}.safetensors", nr.load_encoder, fit))
    say(f"   response correlation on unseen movies: {nr.encoder_correlation(ensemble, validation):.3f}")

    say("4. Fit the posterior: what movies are like, and what the models leave unexplained")
    posterior = _kept(
        folder / "posterior",
        nr.load_posterior,
        lambda file: nr.fit_posterior(ensemble, train, validation=validation, seed=seed).save(file),
    )
    say(f"   {posterior}")

    say("5. Learn the mask: which pixels responses tell of")
    mask = _kept(
        folder / "mask.npy",
        nr.load_mask,
        lambda file: nr.save_mask(file, nr.posterior_mask(posterior, train, seed=seed)),
    )
    return posterior, decoder, mask


def simulated_mouse(folder: Path, size: DemoSize, seed: int) -> Recording:
    """The recording that an earlier call left behind, or simulated now."""
    import neuroreel as nr

    if folder.exists():
        return nr.open_recording(folder)
    return nr.simulate(
        folder,
        trials=size.trials,
        seconds=size.seconds,
        neurons=size.neurons,
        height=size.height,
        width=size.width,
        seed=seed,
    )


def _kept(file: Path, load: Callable[[Path], Kept], make: Callable[[Path], object]) -> Kept:
    """What an earlier call left behind, or made now."""
    if not file.exists():
        make(file)
    return load(file)


def check_same_run(folder: Path, wanted: str) -> None:
    """A folder holds one demo, which ``wanted`` describes: refuse to go on with one of another size or seed."""
    from neuroreel.files import atomic_path

    stamp = folder / "demo.txt"
    if folder.exists() and any(folder.iterdir()) and not stamp.exists():
        raise InputError(f"{folder} holds other files; choose a new or empty folder with --out")
    if not stamp.exists():
        with atomic_path(stamp) as partial:
            partial.write_text(wanted)
    if stamp.read_text() != wanted:
        raise InputError(
            f"{folder} holds a demo with {stamp.read_text().strip()}, this one has {wanted.strip()}; "
            "choose another folder with --out, or delete it"
        )
