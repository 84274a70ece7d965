"""A simulated mouse and what was learned from it, for benchmarks that compare methods of reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import neuroreel as nr
from neuroreel.recordings.recording import Trials


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """A mouse's trials by their use, and what its training trials taught.

    Models train on folds 2 to 6, and fold 1 says when they have trained enough. Movies of fold 0 are seen by nobody
    before they are reconstructed.
    """

    train: Trials
    validation: Trials
    held_out: Trials
    models: list[nr.EncodingModel]
    decoder: nr.RidgeDecoder
    mask: Any  # (height, width)


def prepared(
    folder: Path,
    *,
    seed: int,
    size: dict[str, Any],
    models: int = 2,
    epochs: int = 3,
    architecture: dict[str, Any] | None = None,
    progress: bool = True,
) -> Laboratory:
    """Simulate a mouse in the folder, train encoding models, fit the decoder, learn the mask; or find them there."""
    mouse = folder / "mouse"
    quiet = {"progress": progress}
    recording = nr.open_recording(mouse) if mouse.exists() else nr.simulate(mouse, seed=seed, **size, **quiet)
    train = recording.select(*(f"fold_{number}" for number in range(2, 7)))
    validation = recording.select("fold_1")
    trained = [
        nr.fit_encoder(
            train,
            validation=validation,
            seed=seed + number,
            folder=folder / f"encoder_{number}",
            recipe={"epochs": epochs},
            architecture=architecture,
            **quiet,
        )
        for number in range(models)
    ]
    decoder_file, mask_file = folder / "decoder.safetensors", folder / "mask.npy"
    if not decoder_file.exists():
        nr.fit_decoder(train, **quiet).save(decoder_file)
    if not mask_file.exists():
        nr.save_mask(mask_file, nr.learn_mask(trained[0], train, steps=200, seed=seed, **quiet))
    return Laboratory(
        train=train,
        validation=validation,
        held_out=recording.select("fold_0"),
        models=trained,
        decoder=nr.RidgeDecoder.load(decoder_file),
        mask=nr.load_mask(mask_file),
    )
