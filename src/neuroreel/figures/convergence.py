"""How loss and correlations move while a movie is optimised (Figure 1)."""

from __future__ import annotations

from neuroreel.figures.curves import panel_convergence
from neuroreel.figures.material import Material
from neuroreel.figures.sheet import Sheet
from neuroreel.style import PAGE

_QUANTITIES = {
    "loss": ("loss (Poisson)", "Loss between recorded and predicted responses, mean over neurons and frames"),
    "video_correlation": ("video correlation (r)", "Correlation of the movie with the true one"),
    "response_correlation": ("response correlation (r)", "Correlation of predicted with recorded responses"),
}


def draw(material: Material) -> Sheet:
    """The whole figure: a panel for each quantity that was logged."""
    history = material.history(material.table)
    there = [name for name in _QUANTITIES if name in history and history[name].notna().any()]
    sheet = Sheet(PAGE, 55, "Convergence of the reconstructions.")
    for name, ax in zip(there, sheet.figure.subplots(1, max(len(there), 1), squeeze=False)[0], strict=False):
        label, what = _QUANTITIES[name]
        sheet.add(name, panel_convergence, history, ax, quantity=name, label=label, what=what)
    return sheet
