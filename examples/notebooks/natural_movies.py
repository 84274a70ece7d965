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
# # Natural movies: what an ensemble adds, and how good it can get
#
# An encoding model predicts the responses of neurons to a movie. Turned around, and together with a prior of what
# movies are like, it says which movie it most probably was. Bauer, Margrie and Clopath (eLife 2026, Figures 1 to 3)
# did so, without a prior, with seven models of each mouse and 50 movies of 10 s that no model was trained on. Averaged
# over the seven, reconstructions had a video correlation of 0.569 with the true movies; those of single models about
# 0.44.
#
# This notebook does the same on two simulated mice, with three models each and two movies. It ends with the question
# that a high correlation leaves open: how much of what is missing is the neurons' noise?

# %% [markdown]
# ## Two simulated mice
#
# Each has 300 neurons, which are equations (see `docs/simulated_mouse.md`), and movies of 32 x 18 pixels. From its
# responses three encoding models and a transparency mask are fitted. The first notebook that you run does this; the
# others find it done.

# %%
from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

from neuroreel.figures.conditions import panel_ensembles, panel_targets
from neuroreel.figures.curves import panel_movies
from neuroreel.figures.from_experiment import read_experiment
from neuroreel.figures.movies import at_percentiles, example_of, panel_strips
from neuroreel.figures.quality import panel_bands, panel_identification
from neuroreel.studies import QUICK, Method, run_experiment
from neuroreel.studies.quick import simulated_animals
from neuroreel.style import style

folder = Path("neuroreel-notebooks")  # the five notebooks share what is made here
animals = simulated_animals(folder / "simulated", seed=0, say=print)
simulated = "simulated mice, not real ones"  # said in every picture

# %% [markdown]
# ## The reconstructions
#
# An experiment is a list of jobs, each a reconstruction. Finished ones are kept and never done twice. Here each movie
# is reconstructed from one model and from three, each time with a posterior fitted to that ensemble. (The experiment
# lists averaged videos and averaged gradients apart, as the paper does. The posterior averages predictions, so both
# are one result.)

# %%
table = run_experiment("gradient_ensembling", animals, out=folder, grid=QUICK)
table[["recording", "trial", "ensemble", "models", "video_correlation"]]

# %% [markdown]
# Frames of the two movies in the middle of the scores. The blue line is the transparency mask: outside it hardly any
# neuron looks, nothing can be known, and nothing is scored. Reconstructions are shown at the true movie's brightness
# and contrast, on which a correlation does not depend.
#
# What to look for: the large bright and dark areas are where they belong and move as they should. Fine detail is
# missing: the neurons are few and noisy, and what they do not tell is left at the most probable value, which is a
# blur. Towards the last frames it fades to the mean movie: responses to them would have come after the end.

# %%
material = read_experiment(folder / "gradient_ensembling")
averaged = table[table["ensemble"] == "videos"]
with style():
    figure = plt.figure(figsize=(7, 2.4), layout="constrained", dpi=150)
    examples = [example_of(material, row) for row in at_percentiles(averaged, (67, 33)).to_dict("records")]
    panel_strips(examples, figure, columns=6, what="Movies in the middle of the scores")
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# ## One model or several
#
# Every model has errors of its own, and a reconstruction fits them. Averaged over models, errors that they do not
# share cancel. In the paper this was the largest single gain: from about 0.44 to 0.533 with seven videos, and to
# 0.552 if gradients are averaged instead (0.569 is the seven videos after a little smoothing).
#
# Left every movie, right one model and three. **The simulated mice show it**: three models, whose predictions are
# averaged, do better than one in every movie, 0.73 against 0.68 in the mean.

# %%
with style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", dpi=150)
    panel_movies(averaged, left)
    panel_ensembles(table, right)
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# The paper's rule starts from grey, has no prior, and makes 1000 passes. Here are 20 of them, on one movie of each
# mouse, to save time: averaged gradients beat a single model, and averaged videos beat both. (The correlations are
# lower than those above: that is the prior. `docs/differences.md`, number 16, tells what more passes do.)

# %%
rule = Method(method="bauer_2026", settings={"iterations": 20, "record": "pass"})
published = run_experiment(
    "gradient_ensembling", animals, out=folder / "published_rule", grid=replace(QUICK, movies=1), method=rule
)
with style():
    figure, ax = plt.subplots(figsize=(3.3, 2.6), layout="constrained", dpi=150)
    panel_ensembles(published, ax)
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# There are no stars and brackets over the conditions: tests count animals, as in the paper, and two animals are too
# few for one.
#
# ## How good could it get?
#
# Now the responses are those that the ensemble itself predicts for the true movie: no noise, and no neuron that the
# models misunderstand. What is still missing after this is what the models cannot see or what the search does not
# find. In the paper the correlation went from 0.569 to 0.766 (Figure 3). The simulated mice show it too: 0.73 from the
# recorded responses, 0.85 from the predicted ones. The posterior is told nothing of it: it still takes the responses
# to be as noisy as recorded ones.

# %%
bound = run_experiment("predicted_activity", animals, out=folder, grid=QUICK)
with style():
    figure, ax = plt.subplots(figsize=(3.3, 2.6), layout="constrained", dpi=150)
    panel_targets(bound, ax)
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# ## Is it the right movie, and which part of it?
#
# A correlation is hard to picture. Two other questions are easier. Left: shown one reconstructed frame, would
# one pick the true one among two, or among all frames of all movies (taken every second)? Dashed is chance. Right:
# which spatial and temporal frequencies are in it? Coarse and slow ones are; fine and fast ones are not, because
# natural movies have little contrast there, and calcium is slow.

# %%
movies = [material.movies(row) for row in averaged.to_dict("records")]
with style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", dpi=150)
    panel_identification(movies, left)
    panel_bands(movies, right)
    figure.suptitle(simulated, fontsize=6, x=0.99, ha="right")
    plt.show()

# %% [markdown]
# ## Does it fit the neurons' noise?
#
# Shown the reconstruction instead of the true movie, an encoding model should predict the recorded responses no
# better than for the true movie. If it does, then the reconstruction holds what the neurons did by chance. The
# published reconstructions do: 0.442, against 0.379 for the true movies. So does the most probable movie here, with
# 0.38 against 0.27, for it is chosen to explain these responses. Neurons that were left out tell what of it is real:
# see the notebook on fewer neurons.

# %%
pd.DataFrame(
    {
        "true movie": averaged["response_correlation_truth"],
        "reconstruction": averaged["response_correlation"],
    }
).describe().loc[["mean", "min", "max"]].round(3)
