"""Symmetric matrices: sums of products in half the multiplications, and leading eigenvectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BLOCK_ROWS = 10
EXACT_UP_TO = 4096  # rows; above, the leading eigenvectors come from subspace iteration


def add_products(total: Tensor, rows: Tensor) -> None:
    """Add rows' x rows to the lower triangle of ``total`` (columns, columns), in place; ``filled`` adds the upper one.

    Computed block row by block row up to the diagonal, which saves nearly half of the products.
    """
    step = -(-len(total) // BLOCK_ROWS)
    for first in range(0, len(total), step):
        last = min(first + step, len(total))
        total[first:last, :last].addmm_(rows[:, first:last].T, rows[:, :last])


def filled(lower: Tensor) -> Tensor:
    """Fill in the upper triangle of a symmetric matrix from the lower one, in place."""
    step = -(-len(lower) // BLOCK_ROWS)
    for first in range(0, len(lower), step):
        block = slice(first, min(first + step, len(lower)))
        corner = lower[block, block].tril()
        lower[block, block] = corner + corner.tril(-1).T
        lower[:first, block] = lower[block, :first].T
    return lower


def leading_eigenvectors(matrix: Tensor, count: int, *, seed: int) -> Tensor:
    """The eigenvectors (size, count) of the largest eigenvalues of a symmetric matrix, largest first.

    Exact up to ``EXACT_UP_TO`` rows; above, randomized subspace iteration (Halko, Martinsson & Tropp, SIAM Review 2011,
    algorithm 4.4, ten rounds), whose time grows with size^2 x count instead of size^3.
    """
    size = len(matrix)
    if size <= EXACT_UP_TO:
        return torch.linalg.eigh(matrix).eigenvectors[:, -count:].flip(1).contiguous()
    start = np.random.default_rng(seed).standard_normal((size, min(size, count + 20)))
    basis = torch.from_numpy(start).to(matrix.dtype)
    for _ in range(10):
        basis = torch.linalg.qr(matrix @ basis).Q
    inner = torch.linalg.eigh(basis.T @ matrix @ basis).eigenvectors
    return (basis @ inner[:, -count:].flip(1)).contiguous()
