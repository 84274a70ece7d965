"""Clips a second: how fast training data are read, and how fast a model learns from them.

    python benchmarks/clips.py [--out clips.json] [--quick] [--full] [--device auto]

Three ways to read the same random clips (CutMix included) of one recording: from packed files that are mapped, from
memory, and by loading each clip's whole trial from its four .npy files with np.load, as the published code does. Beside
them, clips a second of training steps on the same batches: a small DwiseNeuro, and with --full one of the published
size. All are measured in turns, the median of the repeats counts. The files are in the system's cache in all cases:
from a disk, reading whole trials is slower still.

The recording is simulated (7 trials of 300 frames, 4,000 neurons, 36 x 64 pixels); a real one has twice the neurons and
a hundred times the trials. Speeds do not depend on what the numbers in it are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device

import neuroreel as nr
from _machine import described
from neuroreel.devices import choose_device
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.training.batches import Place, RandomClips, Share
from neuroreel.encoding.training.losses import ClipLoss
from neuroreel.encoding.training.recipe import Recipe, resolve_recipe
from neuroreel.encoding.training.store import TimeFirst, TrialStore, pack
from neuroreel.recordings.checks import check_trials

SMALL = {"core_features": (16, 16, 32), "spatial_strides": (2, 2, 2), "cortex_features": (128,), "expansion_ratio": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/clips.json"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto", help="of the training steps")
    parser.add_argument("--full", action="store_true", help="also steps of the published size (minutes on a CPU)")
    parser.add_argument("--full-batch", type=int, default=2, help="clips in a step of the published size")
    parser.add_argument("--quick", action="store_true", help="a small recording: shows that it runs, not how fast")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options)
    report = described() | {"quick": options.quick, "repeats": options.repeats, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{'':58} {'clips/s':>9} {'(least':>9} {'most)':>9}")
    for row in rows:
        print(f"{row['what']:58} {row['clips_per_s']:9.4g} {row['least']:9.4g} {row['most']:9.4g}")


@dataclass
class Contender:
    """Something that works through batches; ``work(n)`` does the n-th."""

    what: str
    batch: int
    batches: int  # a repeat
    work: Callable[[int], object]

    def clips_per_s(self, repeat: int) -> float:
        began = time.perf_counter()
        for number in range(repeat * self.batches, (repeat + 1) * self.batches):
            self.work(number)
        return self.batch * self.batches / (time.perf_counter() - began)


class LoadedClips(RandomClips):
    """The same clips, each cut out of its trial's four files, which are loaded whole."""

    def __init__(self, folder: Path, trials: Sequence[int], **settings: Any) -> None:
        super().__init__(**settings)
        self.folder, self.trials = folder, trials

    def _read(self, recording: int, place: Place) -> TimeFirst:
        kinds = ("videos", "responses", "behavior", "pupil_center")
        whole = [np.load(self.folder / "data" / kind / f"{self.trials[place.trial]}.npy") for kind in kinds]
        frames = slice(place.start, place.start + self.span, self.step)
        video, responses, *covariates = (array[..., frames] for array in whole)
        return TimeFirst(
            np.moveaxis(video, -1, 0),
            np.concatenate(covariates).T.astype(np.float32),
            np.maximum(responses, 0).T.astype(np.float32),
        )


def measure(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    size = {"seconds": 2, "neurons": 30, "height": 12, "width": 16} if options.quick else {"neurons": 4000}
    recording = nr.simulate(folder / "mouse", trials=7, seed=0, **size)
    trials = recording.trials
    recipe = resolve_recipe("dwiseneuro", {})
    model = dwiseneuro(recording, SMALL)
    stores = {
        "packed files, mapped": pack(
            trials, folder / "packed", spec=check_trials(trials), name="mouse", show_progress=False
        ),
        "memory": TrialStore(trials, show_progress=False),
    }
    settings = {"model": model, "recipe": recipe, "seed": 0}
    clips = {name: RandomClips([store], **settings) for name, store in stores.items()}
    clips["np.load of whole trials"] = LoadedClips(
        recording.folder, trials.indices, stores=[stores["memory"]], **settings
    )
    check_same(list(clips.values()))
    contenders = [
        Contender(f"read: {name}", recipe.batch_size, 2 if name.startswith("np") else 40, reader(each))
        for name, each in clips.items()
    ]
    packed = clips["packed files, mapped"]
    contenders.append(step("train: small DwiseNeuro", model, packed, recipe, options.device))
    if options.full:
        each = {"batch_size": options.full_batch}
        recipe = resolve_recipe("dwiseneuro", each)
        model = dwiseneuro(recording, {})
        batches = RandomClips([stores["packed files, mapped"]], model=model, recipe=recipe, seed=0)
        contenders.append(step("train: DwiseNeuro of the published size", model, batches, recipe, options.device))
    for contender in contenders:
        contender.work(0)  # once before it counts
    speeds: dict[str, list[float]] = {contender.what: [] for contender in contenders}
    for repeat in range(options.repeats):
        for contender in contenders:
            speeds[contender.what].append(contender.clips_per_s(repeat))
    return [
        {"what": what, "clips_per_s": statistics.median(each), "least": min(each), "most": max(each), "all": each}
        for what, each in speeds.items()
    ]


def reader(clips: RandomClips) -> Callable[[int], object]:
    return lambda number: clips[Share(number)]


def check_same(readers: Sequence[RandomClips]) -> None:
    """All read the same numbers, or comparing their speed means nothing."""
    first, *others = (each[Share(0)] for each in readers)
    for other in others:
        assert torch.equal(first.video.float(), other.video.float())
        assert torch.equal(first.responses[0], other.responses[0])
        torch.testing.assert_close(first.covariates, other.covariates)


def dwiseneuro(recording: nr.Recording, sizes: dict[str, Any]) -> DwiseNeuro:
    torch.manual_seed(0)
    network = DwiseNeuroNetwork(DwiseNeuroConfig(readout_neurons=(recording.neurons,), **sizes))
    return DwiseNeuro(network, readout=0, video_size=recording.video_size, frame_rate_hz=recording.frame_rate_hz)


def step(what: str, model: DwiseNeuro, clips: RandomClips, recipe: Recipe, device: str) -> Contender:
    """Forward, backward and optimizer on batches that are read before: what the model alone can take in."""
    where = choose_device(device)
    loss_of = ClipLoss(model).to(where).train()
    optimizer = torch.optim.AdamW(loss_of.parameters(), lr=1e-4, weight_decay=recipe.weight_decay)
    batch = move_data_to_device(clips[Share(0)], where)

    def work(_number: int) -> None:
        with torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda"):
            loss = loss_of(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if where.type == "cuda":
            torch.cuda.synchronize()

    return Contender(f"{what}, batch {recipe.batch_size}, {where.type}", recipe.batch_size, 1, work)


if __name__ == "__main__":
    main()
