"""Published noise movies: mean, contrast, padding."""

from __future__ import annotations

import numpy as np
import pytest

from neuroreel.errors import InputError
from neuroreel.stimuli.noise import published_noise


def test_movies_have_the_published_shape_mean_and_contrast() -> None:
    stimuli = np.random.default_rng(0).normal(3, 2, size=(36, 36, 10, 2, 3, 4))
    movies = published_noise(stimuli)
    assert movies.shape == (2, 3, 4, 10, 36, 64) and movies.dtype == np.float32
    assert movies.min() >= 0 and movies.max() <= 255
    np.testing.assert_allclose(movies.mean(axis=(-3, -2, -1)), 127.5, atol=0.5)  # clipping moves it a little
    np.testing.assert_allclose(movies.std(axis=(-3, -2, -1)), 51, atol=4)  # and takes some contrast


def test_a_movie_by_the_formula_and_its_padding() -> None:
    stimuli = np.random.default_rng(1).normal(size=(4, 36, 5, 2))
    scaled = (stimuli - stimuli.mean()) / stimuli.std() * 51 + 127.5
    padded = np.full((5, 4, 64), 125.0)
    padded[:, :, 11:47] = scaled[..., 1].transpose(2, 0, 1)
    expected = ((padded - padded.mean()) / padded.std() * 51 + 127.5).clip(0, 255)
    np.testing.assert_allclose(published_noise(stimuli)[1], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("stimuli", "words"),
    [
        (np.zeros((36, 36, 5)), "contrast"),
        (np.zeros((36, 36)), "must be"),
        (np.full((36, 36, 5), np.nan), "finite"),
        (np.zeros((36, 36, 0)), "must be"),
    ],
)
def test_bad_stimuli(stimuli: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        published_noise(stimuli)
