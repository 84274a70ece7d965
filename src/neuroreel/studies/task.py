"""A task: something that a study makes once and keeps."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from neuroreel.compute import Compute

RESULTS_VERSION = 5
"""Raised with every change of the package that changes results: what was made before is then made again."""

Given = Mapping[str, Any]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Task(ABC):
    """Something that is made once and kept: what determines it, its inputs, and how it is made, read and written.

    Attributes
    ----------
    place
        Its file or folder, below the folder of the study: "ablation/jobs/mouse_a_t001.nc".
    title
        Its name in progress messages; empty for none.
    in_place
        Whether ``make`` writes the result itself.
    """

    place: str
    title: str = ""
    in_place: bool = False

    @property
    @abstractmethod
    def decided_by(self) -> Mapping[str, Any]:
        """Everything that determines the result, as JSON, but not its location or how it is scored."""

    @cached_property
    def hash(self) -> str:
        """The fingerprint: SHA-256 of what determines the result."""
        return hashlib.sha256(json.dumps(self.decided_by, sort_keys=True).encode()).hexdigest()

    @property
    def needs(self) -> Mapping[str, Task]:
        """Tasks whose results ``make`` needs, by name."""
        return _NOTHING

    @property
    def needs_to_score(self) -> Mapping[str, Task]:
        """Tasks whose results ``scores`` needs, by name."""
        return _NOTHING

    @abstractmethod
    def make(self, given: Mapping[str, Any], compute: Compute) -> Any:
        """Make the result from those of ``needs``; ``compute.checkpoint`` is for resuming after a kill."""

    @abstractmethod
    def write(self, result: Any, file: Path) -> None:
        """Write the result, whole or not at all."""

    @abstractmethod
    def read(self, file: Path) -> Any:
        """Read what ``write`` wrote."""

    @property
    def scoring(self) -> Mapping[str, Any]:
        """What determines the scores of an existing result."""
        return _NOTHING

    def scores(self, result: Any, given: Mapping[str, Any], compute: Compute) -> dict[str, float]:
        """Scores by name, for the record."""
        return {}

    def described(self) -> dict[str, Any]:
        """Further content of the record."""
        return {}


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit(Task):
    """A task made of parts: what determines it besides its inputs, and functions that make, save and load it."""

    place: str
    title: str = ""
    decides: Mapping[str, Any]
    inputs: Mapping[str, Task] = field(default_factory=dict)
    fit: Callable[[Given, Compute], Any]
    save: Callable[[Any, Path], object]
    load: Callable[[Path], Any]
    in_place: bool = False

    @property
    def needs(self) -> Mapping[str, Task]:
        """Its inputs."""
        return self.inputs

    @property
    def decided_by(self) -> Mapping[str, Any]:
        """The given values, and the fingerprints of its inputs."""
        inputs = {name: task.hash for name, task in self.inputs.items()}
        return {"results_version": RESULTS_VERSION, **self.decides, "inputs": inputs}

    def make(self, given: Given, compute: Compute) -> Any:
        """Call ``fit``."""
        return self.fit(given, compute)

    def write(self, result: Any, file: Path) -> None:
        """Save it."""
        self.save(result, file)

    def read(self, file: Path) -> Any:
        """Load it."""
        return self.load(file)
