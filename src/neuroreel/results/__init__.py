"""Reconstructions as they lie in memory and on disk: labelled arrays that say how they were made."""

from __future__ import annotations

from neuroreel.results.provenance import collect_provenance, hash_array, hash_file, hash_model
from neuroreel.results.reconstruction import Reconstruction

__all__ = ["Reconstruction", "collect_provenance", "hash_array", "hash_file", "hash_model"]
