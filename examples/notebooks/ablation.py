# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fewer neurons
#
# How many neurons does one need? Bauer, Margrie and Clopath (eLife 2026, Figure 5) reconstructed the same movies from
# a half, a quarter and an eighth of each mouse's 8000 neurons. The video correlation fell from 0.569 to 0.512, 0.427
# and 0.344: half of the neurons were nearly as good as all, and a thousand still told much.
#
# This notebook does the same on two simulated mice of 300 neurons each.

# %%
from pathlib import Path

from matplotlib import pyplot as plt

from neuroreel.figures.conditions import fractions, panel_fractions
from neuroreel.figures.curves import panel_neurons
from neuroreel.figures.from_experiment import read_experiment
from neuroreel.figures.movies import one_trial, panel_strips, side_by_side
from neuroreel.studies import QUICK, run_experiment
from neuroreel.studies.quick import simulated_animals
from neuroreel.style import style

folder = Path("neuroreel-notebooks")  # the five notebooks share what is made here
animals = simulated_animals(folder / "simulated", seed=0, say=print)
simulated = "simulated mice, not real ones"  # said in every picture

# %% [markdown]
# ## Leaving neurons out
#
# Which neurons are kept is drawn anew for each movie, by the rule of the paper: a seed from the numbers of trial and
# mouse. A dropped neuron leaves responses and noise of the posterior, as if nobody had recorded it. (The published
# code sets its responses to zero and keeps it in the loss, so that the movie is driven to silence it.
# `docs/differences.md`, number 1, measures what that does.)

# %%
table = run_experiment("ablation", animals, out=folder, grid=QUICK)
table.pivot_table(index=["recording", "trial"], columns="fraction", values="video_correlation").round(2)

# %% [markdown]
# ## The figure
#
# Left, a dot is a movie, a marker an animal, the bar their mean. Right, the same over the number of neurons, with a
# logarithmic axis.
#
# What it means: neurons are redundant, but not by much, and twice as many always help. **The simulated mice show the
# paper's result**, though an eighth is 40 neurons here and 1000 in the paper. The reconstruction leans on its prior:
# from few neurons it still gets the coarse and slow part of the movie, which is most of a natural movie's variance.

# %%
with style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", dpi=150)
    drawn = panel_fractions(table, left)
    panel_neurons(table, right)
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# What the figure says of itself, and the numbers behind its bars:

# %%
print(drawn.caption)
drawn.numbers.query("level == 'mean over animals'")[["fraction", "video_correlation", "standard_error", "animals"]]

# %% [markdown]
# ## What is lost first
#
# One movie, the one in the middle of the scores, from fewer and fewer neurons. Detail goes first; with an eighth,
# light and dark are still on their sides of the screen most of the time.

# %%
material = read_experiment(folder / "ablation")
rows = one_trial(material.table, condition="fraction", order=list(fractions(material.table)))
with style():
    figure = plt.figure(figsize=(7, 3.2), layout="constrained", dpi=150)
    example = side_by_side(material, rows, [f"{100 * kept:g}%" for kept in rows["fraction"]])
    panel_strips([example], figure, columns=6, what="A movie in the middle of the scores")
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# ## The neurons that were left out
#
# They are a test that costs nothing: the search never saw their responses. Does the reconstruction predict them as
# well as the true movie does? Where it falls behind, it is the movie that is wrong, not the neurons that are noisy.

# %%
names = {
    "response_correlation_truth_ablated": "true movie",
    "response_correlation_ablated": "reconstruction",
}
left_out = table[table["fraction"] < 1].rename(columns=names)
left_out.groupby("fraction")[list(names.values())].mean().round(3)

# %% [markdown]
# The more neurons the search sees, the better it predicts those that it does not see. It stays behind the true movie,
# which has the detail that they respond to.
