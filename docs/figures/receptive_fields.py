"""Draw the receptive fields of docs/stimuli.md: writes docs/figures/receptive_fields.png.

    python docs/figures/receptive_fields.py WORK

simulates a mouse, trains two encoding models and learns a mask (some minutes on two CPU cores), keeps them in WORK, and
maps receptive fields of the models beside those that the simulated neurons really have.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import neuroreel as nr
from neuroreel.ranges import range_with_zero
from neuroreel.recordings.simulate import load_truth
from neuroreel.recordings.simulate.receptive_fields import ReceptiveFields

HERE = Path(__file__).parent
KINDS = ("on", "off", "simple", "complex")
SIMULATED = "simulated mouse, not a real one"


def learn(folder: Path) -> tuple[nr.Recording, list[nr.EncodingModel], np.ndarray]:
    """The recording, an ensemble, and its first model's mask; from the folder, where they are there already."""
    made = {"trials": 42, "seconds": 10, "neurons": 60, "height": 18, "width": 32, "progress": False}
    mouse, mask = folder / "mouse", folder / "mask.npy"
    recording = nr.open_recording(mouse) if mouse.exists() else nr.simulate(mouse, **made)
    train = recording.select(*(f"fold_{number}" for number in range(1, 7)))
    for seed in (0, 1):
        if not (file := folder / f"model_{seed}.safetensors").exists():
            nr.save_encoder(nr.fit_encoder(train, seed=seed, progress=False), file)
    models = [nr.load_encoder(folder / f"model_{seed}.safetensors") for seed in (0, 1)]
    if not mask.exists():
        nr.save_mask(mask, nr.learn_mask(models[0], train, steps=300, progress=False))
    return recording, models, nr.load_mask(mask)


def best_predicted(recording: nr.Recording, models: list[nr.EncodingModel], kinds: np.ndarray) -> list[int]:
    """Of each kind the neuron whose responses to movies of fold 0 the models predict best."""
    trials = recording.select("fold_0")
    predicted = np.concatenate([nr.predict(models, trial) for trial in trials], axis=1)
    recorded = np.concatenate([trial.responses for trial in trials], axis=1)
    alike = np.array([np.corrcoef(pair)[0, 1] for pair in zip(predicted, recorded, strict=True)])
    return [int(np.argmax(np.where(kinds == kind, alike, -np.inf))) for kind in KINDS]


def show(
    axes: Axes, image: np.ndarray, *, like: list[np.ndarray], title: str = "", label: str = "", signed: bool = True
) -> None:
    """One image, on a color scale for all that it is like."""
    _, most = range_with_zero(*map(np.abs, like))
    axes.imshow(image, cmap="RdBu_r" if signed else "viridis", vmin=-most if signed else 0, vmax=most)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)
    axes.set_ylabel(label, fontsize=9)


def show_neuron(column: np.ndarray, neuron: int, shape: ReceptiveFields, fields: xr.Dataset, *, first: bool) -> None:
    """True filter, ON map and OFF map, both maps on one scale."""
    phase = shape.phase[neuron] if shape.kind[neuron] != "complex" else 0.0
    gabor = np.cos(phase) * shape.even[neuron] + np.sin(phase) * shape.odd[neuron]
    title, labels = f"{shape.kind[neuron]} neuron", ("true filter", "ON spots", "OFF spots") if first else ("", "", "")
    show(column[0], gabor, like=[gabor], title=title, label=labels[0])
    maps = [fields[polarity].values[neuron] for polarity in ("on", "off")]
    for axes, each, label in zip(column[1:], maps, labels[1:], strict=True):
        show(axes, each, like=maps, label=label)


def draw(folder: Path) -> Figure:
    """Four neurons: the true filter and what spots find of it; and the population, in three ways."""
    recording, models, mask = learn(folder)
    shape = load_truth(recording.folder).receptive_fields
    fields = nr.receptive_fields(models, recording, size_px=2, progress=False)
    looked_at = shape.envelopes.mean(axis=0)
    figure = Figure(figsize=(9.4, 5.2), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[3, 1.3])
    neurons = best_predicted(recording, models, shape.kind)
    for number, (column, neuron) in enumerate(zip(above.subplots(3, 4).T, neurons, strict=True)):
        show_neuron(column, neuron, shape, fields, first=number == 0)
    pictures = {
        "population, by spots": nr.population_map(fields).values,
        "transparency mask": np.clip(mask, 0, None),
        "where the neurons look": looked_at,
    }
    for axes, (title, picture) in zip(below.subplots(1, 3), pictures.items(), strict=True):
        show(axes, picture, like=[picture], title=title, signed=False)
    threshold = float(np.quantile(mask, 0.6))
    print(nr.mask_agreement(fields, mask, mask_threshold=threshold))
    print(nr.mask_agreement(fields, looked_at, mask_threshold=float(np.quantile(looked_at, 0.6))))
    figure.suptitle(SIMULATED, fontsize=9)
    return figure


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        sys.exit("give a folder to work in")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    file = HERE / "receptive_fields.png"
    draw(folder).savefig(file, dpi=150)
    print(f"wrote {file}")


if __name__ == "__main__":
    main(sys.argv[1:])
