"""The contents of an NWB file that can become a recording, and the choice among them."""

from __future__ import annotations

import fnmatch
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from neuroreel.errors import InputError
from neuroreel.extras import needs
from neuroreel.files import user_path
from neuroreel.recordings.disk import check_fetched

AUTO, NONE = "auto", "none"
_NEEDED = ("responses", "stimulus")  # of a recording; others may be left out

_RUNNING = ("run", "speed", "veloc", "treadmill", "locomot", "wheel")
_EYE = ("pupil", "eye", "gaze")


@dataclass(frozen=True)
class Unreadable:
    """Stands for a part of the file that pynwb cannot read, for instance because of impossible timestamps.

    Parameters
    ----------
    path
        Its path in the file.
    kind
        Its pynwb class.
    data
        The data in the file, or None.
    reason
        The reason, in pynwb's words.
    """

    path: str
    kind: type
    data: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.path} ({self.kind.__name__}) cannot be read: {self.reason}"


@dataclass(frozen=True)
class Found:
    """One series of the file, and its path."""

    path: str
    series: Any

    @property
    def kind(self) -> type:
        """Its class in pynwb."""
        return self.series.kind if isinstance(self.series, Unreadable) else type(self.series)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its data; empty if they are in another file."""
        return tuple(getattr(self.series.data, "shape", ()))

    def __str__(self) -> str:
        if isinstance(self.series, Unreadable):
            return str(self.series)
        size = " x ".join(map(str, self.shape)) or "no data"
        external = getattr(self.series, "external_file", None)
        size = f"{len(external)} external file(s)" if external is not None and len(external) else size
        rate = f"{self.series.rate:g} Hz" if self.series.rate is not None else "with timestamps"
        return f"{self.path} ({self.kind.__name__}, {size}, {rate})"


@dataclass(frozen=True)
class Contents:
    """The candidates in an NWB file for each part of a recording."""

    responses: list[Found]
    stimulus: list[Found]
    pupil: list[Found]
    running: list[Found]
    pupil_center: list[Found]
    intervals: dict[str, Any]
    unreadable: list[Unreadable]

    def lines(self) -> list[str]:
        """The candidates in words, one per line, grouped by the option that chooses among them."""
        said = []
        for option in ("responses", "stimulus", "pupil", "running", "pupil_center"):
            said.append(f"--{option.replace('_', '-')}")
            said += [f"  {found}" for found in getattr(self, option)] or ["  nothing that looks like it"]
        said.append("--trials")
        for name, table in self.intervals.items():
            if not isinstance(table, Unreadable):
                said.append(f"  {name} ({len(table)} rows; columns {', '.join(table.colnames)})")
        said += [] if self.intervals else ["  no table of intervals"]
        return [*said, *map(str, self.unreadable)]


@contextmanager
def open_nwb(file: str | os.PathLike[str]) -> Iterator[tuple[Any, list[Unreadable]]]:
    """The pynwb.NWBFile of a file, whose arrays are read on access, and the parts that cannot be read.

    InputError if the file is not an NWB file, or cannot be read at all.
    """
    pynwb = needs("pynwb", extra="nwb")
    file = user_path(file)
    check_fetched(file)
    if not file.is_file():
        raise InputError(f"there is no file {file}; give the path of an NWB file")
    with _opened(pynwb, file) as reader:
        yield _read(reader, file)


def _opened(pynwb: Any, file: str | os.PathLike[str]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other versions of the schema, odd but readable values
        try:
            return pynwb.NWBHDF5IO(str(file), "r", load_namespaces=True)
        except Exception as error:  # for damaged files, h5py and hdmf raise nearly anything
            raise InputError(f"{file} cannot be opened as NWB ({error}); it may be damaged: copy it again") from error


def _read(reader: Any, file: str | os.PathLike[str]) -> tuple[Any, list[Unreadable]]:
    """The readable parts: those that pynwb refuses are removed from the file's tree one by one."""
    from hdmf.build import ConstructError

    unreadable: list[Unreadable] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while True:
            try:
                return reader.read(), unreadable
            except ConstructError as error:
                builder, said = error.args
                reason = str(said).rpartition("due to: ")[2]
                path = builder.path.removeprefix("root/").replace("stimulus/presentation/", "stimulus/")
                siblings = builder.parent.groups if builder.parent is not None else {}
                if siblings.pop(builder.name, None) is None:  # the file itself, or a link's target
                    raise InputError(f"{file} cannot be read as NWB: {path}: {reason}") from error
                data = builder.get("data")
                kind = reader.manager.get_cls(builder)
                unreadable.append(Unreadable(path, kind, getattr(data, "data", None), reason))
            except Exception as error:
                raise InputError(f"{file} cannot be read as NWB ({error}); it may be damaged") from error


def read_contents(nwb: Any, unreadable: Sequence[Unreadable] = ()) -> Contents:
    """Find everything that a recording can be made of; only names and shapes are read."""
    from pynwb import TimeSeries
    from pynwb.image import ImageSeries, IndexSeries
    from pynwb.ophys import RoiResponseSeries

    broken = [Found(part.path, part) for part in unreadable if issubclass(part.kind, TimeSeries)]
    shown = [Found(f"stimulus/{name}", series) for name, series in nwb.stimulus.items()]
    shown += [found for found in broken if found.path.startswith("stimulus/")]
    others = [
        found
        for place, parts in (("processing", nwb.processing), ("acquisition", nwb.acquisition))
        for name, part in parts.items()
        for found in _series_of(part, f"{place}/{name}")
    ]
    others += [found for found in broken if found.path.startswith(("processing/", "acquisition/"))]
    others = [found for found in others if not issubclass(found.kind, (ImageSeries, IndexSeries))]
    rois = [found for found in others if issubclass(found.kind, RoiResponseSeries)]
    plain = [found for found in others if not issubclass(found.kind, RoiResponseSeries)]
    single = [found for found in plain if len(found.shape) == 1 or (len(found.shape) == 2 and 1 in found.shape)]
    of_eye = [found for found in plain if _speaks_of(found, _EYE)]
    matrices = [found for found in plain if len(found.shape) == 2 and found.shape[1] > 2 and found not in of_eye]
    tables = {part.path.removeprefix("intervals/"): part for part in unreadable if part.path.startswith("intervals/")}
    intervals = dict(nwb.intervals or {}) | tables
    intervals.pop("invalid_times", None)
    return Contents(
        responses=rois or matrices,
        stimulus=[found for found in shown if issubclass(found.kind, (ImageSeries, IndexSeries))],
        pupil=[found for found in single if found in of_eye],
        running=[found for found in single if found not in of_eye and _speaks_of(found, _RUNNING)],
        pupil_center=[found for found in of_eye if len(found.shape) == 2 and 2 in found.shape],
        intervals=dict(sorted(intervals.items(), key=lambda item: item[0] != "trials")),
        unreadable=list(unreadable),
    )


def choose(found: Sequence[Found], names: Sequence[str], *, option: str) -> list[Found]:
    """The chosen series: the only one, or those named; a name may be a pattern or the end of a path.

    Raises
    ------
    InputError
        Several series but none named; a name without a match, or with several matches although it is not a pattern; a
        series that cannot be read.
    """
    listing = "".join(f"\n  {each}" for each in found) or " nothing"
    if not names:
        if len(found) == 1:
            return _readable(found, option=option)
        problem = f"the file has {len(found)} series that could be its {option.replace('_', ' ')}"
        none = "" if option in _NEEDED else ", or leave it out with none"
        raise InputError(f"{problem}; name one with {option}='NAME'{none}:{listing}")
    chosen: list[Found] = []
    for name in names:
        matching = [each for each in found if _is_called(each.path, name)]
        if not matching or (len(matching) > 1 and not set("*?[") & set(name)):
            problem = "is called" if not matching else "alone is called"
            raise InputError(
                f"{option}={name!r}: nothing {problem} {name!r}; give more of the path of one of:{listing}"
            )
        chosen += [each for each in matching if each not in chosen]
    return _readable(chosen, option=option)


def _readable(chosen: Sequence[Found], *, option: str) -> list[Found]:
    for each in chosen:
        if isinstance(each.series, Unreadable):
            none = "" if option in _NEEDED else " (none leaves it out)"
            raise InputError(f"{each}; please correct the file, or choose another with {option}={none}")
    return list(chosen)


def choose_optional(found: Sequence[Found], name: str, *, option: str) -> Found | None:
    """Like :func:`choose`, for an optional series: "none" leaves it out, "auto" takes the only one if there is one."""
    if name == NONE or (name == AUTO and not found):
        return None
    chosen = choose(found, () if name == AUTO else (name,), option=option)
    if len(chosen) > 1:
        raise InputError(f"{option}={name!r} fits {', '.join(each.path for each in chosen)}; name one of them")
    return chosen[0]


def _is_called(path: str, name: str) -> bool:
    return path == name or path.endswith(f"/{name}") or fnmatch.fnmatchcase(path, f"*/{name}")


def _speaks_of(found: Found, words: Sequence[str]) -> bool:
    return any(word in found.path.lower() for word in words)


def _series_of(part: Any, path: str) -> Iterator[Found]:
    """All time series in a part of the file, at any depth."""
    from pynwb import TimeSeries

    if isinstance(part, TimeSeries):
        yield Found(path, part)
        return
    if hasattr(part, "colnames"):  # a table: its columns are not series
        return
    for child in part.children:
        yield from _series_of(child, f"{path}/{child.name}")
