"""Which experiment has which figures."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from neuroreel.errors import InputError
from neuroreel.figures.material import Material
from neuroreel.figures.sheet import Sheet

FIGURES: dict[str, tuple[str, ...]] = {  # experiment: its figures, each a module of this folder
    "natural": ("natural", "convergence", "quality"),
    "gradient_ensembling": ("gradient_ensembling",),
    "predicted_activity": ("predicted_activity",),
    "masks": ("masks",),
    "ablation": ("ablation",),
    "noise": ("noise",),
    "gratings": ("gratings",),
    "receptive_fields": ("receptive_fields",),
    "responses": ("responses",),
}


def figure_function(name: str) -> Callable[[Material], Sheet]:
    """The function that draws a figure."""
    function: Callable[[Material], Sheet] = import_module(f"neuroreel.figures.{name}").draw
    return function


def check_experiment(name: str) -> None:
    """InputError unless there are figures of this experiment."""
    if name not in FIGURES:
        raise InputError(f"there is no experiment {name!r}; figures are drawn of {', '.join(FIGURES)}, or all")
