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
# # Masks and receptive fields: what the population sees
#
# A reconstruction can only be right where neurons look. The transparency mask says where that is: it is learned by
# mixing two movies, one inside the mask and one outside, so that the model's responses to the mixture stay those to
# the first (Bauer, Margrie and Clopath, eLife 2026). In the paper pixels of at least 0.5 are reconstructed, those of
# at least 1 are scored.
#
# Two questions. Is the mask what it seems, the receptive field of the population? And is the movie better where the
# mask is higher?

# %%
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from neuroreel.figures.conditions import MASKS, panel_variants, variants
from neuroreel.figures.curves import panel_thresholds
from neuroreel.figures.fields import panel_maps, panel_overlap
from neuroreel.figures.from_experiment import read_experiment
from neuroreel.figures.movies import one_trial, panel_strips
from neuroreel.pictures import Strip
from neuroreel.recordings.simulate import load_truth
from neuroreel.studies import QUICK, run_experiment
from neuroreel.studies.quick import simulated_animals
from neuroreel.style import style

folder = Path("neuroreel-notebooks")  # the five notebooks share what is made here
animals = simulated_animals(folder / "simulated", seed=0, say=print)
simulated = "simulated mice, not real ones"  # said in every picture

# %% [markdown]
# ## Receptive fields, as one would map them in an experiment
#
# A light spot (ON) or a dark one (OFF) appears on a grey screen for half a second, at one place after another. The
# ensemble predicts each neuron's response; the change against grey, by place, is the neuron's receptive field. The
# mean over neurons of the squared maps is the population's. (The published code keeps the last model's map in place
# of the ensemble's: `docs/differences.md`, number 3.)

# %%
table = run_experiment("receptive_fields", animals, out=folder, grid=QUICK)
material = read_experiment(folder / "receptive_fields")
fields = [material.fields(row) for row in table.to_dict("records")]
fields[0]

# %% [markdown]
# ## Where the neurons really look
#
# Only a simulation knows. Above, what was learned from the encoding models; below, how many of the true receptive
# fields cover each pixel. The mask is high where many neurons look. It is flatter than the coverage: where enough
# neurons look, more of them change nothing.

# %%
with style():
    figure, axes = plt.subplots(2, 2, figsize=(5, 3.2), layout="constrained", dpi=150)
    for (above, below), animal in zip(axes.T, animals, strict=True):
        coverage = 100 * load_truth(animal.recording.folder).coverage()
        agreement = np.corrcoef(animal.mask.ravel(), coverage.ravel())[0, 1]
        figure.colorbar(above.imshow(animal.mask, cmap="gray", vmin=0), ax=above, label="mask", shrink=0.7)
        figure.colorbar(below.imshow(coverage, cmap="gray", vmin=0), ax=below, label="coverage (%)", shrink=0.7)
        above.set_title(f"{animal.name}, r = {agreement:.2f}")
        below.set(xlabel="column (pixels)")
    axes[0, 0].set_ylabel("row (pixels)")
    axes[1, 0].set_ylabel("row (pixels)")
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# ## The figure: maps beside the mask
#
# A column an animal. ON and OFF maps are means over neurons. They are much alike, and nowhere below 0: many neurons
# respond to any change, light or dark. The third row squares each neuron's maps before the mean, so that no two can
# cancel. The last is the mask. The blue line, in all of them, is the mask at 1.
#
# What it means: mask and population receptive field are learned in unrelated ways, and show one place. So the mask is
# no artifact of its training. They need not be equal: a mask grows where *enough* neurons look, and stops there.

# %%
with style():
    figure = plt.figure(figsize=(7, 5.4), layout="constrained", dpi=150)
    drawn = panel_maps(fields, figure)
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# How much of the area they share, against chance (dashed), and the correlation of the two maps. **The simulated mice
# show the paper's result.**

# %%
with style():
    figure, ax = plt.subplots(figsize=(2.6, 2.4), layout="constrained", dpi=150)
    panel_overlap(table, ax)
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# ## Which pixels count
#
# A posterior needs no mask: its prior says what a pixel is like that no neuron sees. So each movie is made once, and
# scored over the whole frame (no mask), inside the mask, and inside the pixels of each threshold between. (In the
# paper the mask decides which pixels may *move*, because a rule without a prior moves all it may: with no mask 0.510,
# with the usual one 0.569, with a strict one 0.551.)

# %%
movies = run_experiment("masks", animals, out=folder, grid=replace(QUICK, mask_thresholds=(0.25, 0.5, 0.75, 1.0)))
movies.groupby("mask")["video_correlation"].mean().round(3)

# %%
with style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", dpi=150)
    panel_variants(movies, left)
    panel_thresholds(movies, right)
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# Over the whole frame the score is lower, 0.49 against 0.73: it counts pixels that no neuron sees, of which only the
# neighbors tell anything. The trained mask and the strict one are the same pixels here, those of at least 1.

# %%
material = read_experiment(folder / "masks")
rows = one_trial(variants(material.table), condition="mask", order=list(MASKS))
made = {MASKS[row["mask"]]: material.movies(row) for row in rows.to_dict("records")}
trained = made[MASKS["trained"]]
example = Strip(
    name="a movie in the middle of the scores",
    rows={"true": trained.truth, **{name: movies.video for name, movies in made.items()}},
    frame_rate_hz=trained.frame_rate_hz,
    mask=trained.mask,
)
with style():
    figure = plt.figure(figsize=(7, 2.8), layout="constrained", dpi=150)
    panel_strips([example], figure, columns=6, what="As reconstructed")
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# Here reconstructions are shown as they are: three times the same movie, for the mask decides only what is scored.
# Outside the line it is what the prior makes of its neighbors. It has less contrast than the true movie: what the
# responses do not tell stays at the mean.
