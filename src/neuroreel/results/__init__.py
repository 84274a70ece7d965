"""Reconstructions in memory and on disk: labeled arrays with their provenance."""

from __future__ import annotations

from neuroreel.results.provenance import collect_provenance, hash_array, hash_file, hash_model
from neuroreel.results.reconstruction import Reconstruction

__all__ = ["Reconstruction", "collect_provenance", "hash_array", "hash_file", "hash_model"]
