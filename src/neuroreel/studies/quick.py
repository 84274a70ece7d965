"""``neuroreel experiment NAME --quick``: simulated mice, to try every experiment without data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neuroreel.locks import file_lock
from neuroreel.studies.animals import Animal, ModelFile
from neuroreel.studies.mouse import Mouse, SimulatedMouse, Training, check_same_run, simulated_mouse
from neuroreel.studies.run import Runner
from neuroreel.studies.store import Store

MICE = ("mouse_a", "mouse_b")
SIZE = SimulatedMouse(trials=42, seconds=6.0, neurons=300, height=18, width=32)  # a quarter of the usual pixels
TRAINING = Training(models=3, epochs=2, batches_per_epoch=20)


def simulated_animals(folder: Path, *, seed: int, say: Callable[[str], None]) -> list[Animal]:
    """Simulated mice with an ensemble and a mask each; what an earlier call left in the folder is taken as it is."""
    wanted = f"{SIZE} {TRAINING} seed={seed}\n"
    lock = folder.parent / ".locks" / "simulated"
    with file_lock(lock, what="simulated mice", say=say):  # parts may start at the same time, and need the same mice
        check_same_run(folder, wanted, what="demo")
    runner = Runner(Store(folder), say=say)
    return [_simulated_animal(runner, number, seed=seed) for number in range(len(MICE))]


def _simulated_animal(runner: Runner, number: int, *, seed: int) -> Animal:
    name, own = MICE[number], seed + 100 * number
    runner.say(f"{name}: a simulated mouse, not a real one, with {SIZE.neurons} neurons")
    recording = runner.get(simulated_mouse(runner.store, f"recordings/{name}", SIZE, seed=own))
    mouse = Mouse(recording=recording, training=TRAINING, home=f"models/{name}", seed=own)
    for task in (*mouse.encoders.values(), mouse.mask):
        runner.get(task)
    files = [ModelFile(file=runner.store.file(task.place)) for task in mouse.encoders.values()]
    return Animal(recording, files, mask=runner.store.file(mouse.mask.place))
