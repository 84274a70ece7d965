"""``neuroreel demo``: the whole chain on a simulated mouse, from nothing to a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neuroreel.studies.mouse import Mouse, SimulatedMouse, Training, check_same_run, simulated_mouse
from neuroreel.studies.run import Runner
from neuroreel.studies.store import Store


@dataclass(frozen=True, kw_only=True)
class DemoSize:
    """How much the demo does."""

    mouse: SimulatedMouse
    training: Training
    movies: int
    samples: int
    expected: str


FULL = DemoSize(
    mouse=SimulatedMouse(trials=60, seconds=10.0, neurons=400),
    training=Training(models=2, epochs=4, batches_per_epoch=30),
    movies=3,
    samples=4,
    expected="about 4 minutes on two cores, 3 GiB of memory",
)
QUICK = DemoSize(
    mouse=SimulatedMouse(trials=28, seconds=6.0, neurons=150),
    training=Training(models=2, epochs=1, batches_per_epoch=12),
    movies=2,
    samples=0,
    expected="less than a minute on two cores, a good 1 GiB of memory",
)


def run_demo(folder: Path, *, quick: bool = False, seed: int = 0, say: Callable[[str], None] = lambda _: None) -> Path:
    """Simulate a mouse, fit decoder, encoding models, posterior and mask, reconstruct, score; the report's file.

    Everything lies in the folder, where a second call resumes. A quick demo shows that all works, not how well.
    """
    import neuroreel as nr
    from neuroreel.evaluation.table import format_table, score_table

    size = QUICK if quick else FULL
    check_same_run(folder, f"quick={quick} seed={seed}\n", what="demo")
    began = time.perf_counter()
    say(
        f"A simulated mouse, not a real one: {size.mouse.neurons} neurons, {size.mouse.trials} movies of "
        f"{size.mouse.seconds:g} s."
    )
    say(f"This takes {size.expected}; everything goes to {folder}.\n")

    runner = Runner(Store(folder), say=say)
    recording = runner.get(simulated_mouse(runner.store, "recording", size.mouse, seed=seed, title="Simulate"))
    mouse = Mouse(recording=recording, training=size.training, seed=seed)
    decoder = runner.get(mouse.decoder)
    models = [runner.get(task) for task in mouse.encoders.values()]
    say(f"  response correlation on unseen movies: {nr.encoder_correlation(models, mouse.validation):.3f}")
    say(f"  {runner.get(mouse.posterior)}")
    held_out = mouse.test[: size.movies]
    say(f"Reconstruct {len(held_out)} movies that no model was trained on")
    results = [runner.get(mouse.reconstruction(number, samples=size.samples)) for number in range(len(held_out))]

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
