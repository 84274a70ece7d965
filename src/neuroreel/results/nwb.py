"""Reconstructions as NWB files, readable by other labs' programs and the DANDI archive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroreel.errors import InputError
from neuroreel.extras import needs
from neuroreel.files import atomic_path, refuse_existing, user_path

if TYPE_CHECKING:
    from neuroreel.results.reconstruction import Reconstruction

MODULE = "neuroreel"
PROVENANCE = "provenance"
FIELDS = (
    *(
        "session_description",
        "identifier",
        "session_start_time",
        "session_id",
        "experimenter",
        "experiment_description",
    ),
    *("institution", "lab", "keywords", "notes", "related_publications", "subject"),
)
SUBJECT_FIELDS = ("subject_id", "age", "sex", "species", "genotype", "strain", "weight", "date_of_birth", "description")

_MOVIES = ("video", "start")
_NAMES = {"video": "reconstruction", "start": "start", "model_video": "reconstruction_of_model"}
_ACTIVITY = ("responses", "predicted", "predicted_truth")


def write_nwb(
    path: str | Path,
    results: Mapping[str, Reconstruction],
    *,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write reconstructions into one NWB file, whole or not at all.

    Each becomes a processing module, "neuroreel" if it is the only one, else "neuroreel_NAME": the reconstruction as
    ImageSeries (frames, height, width), the mask, responses recorded and predicted as TimeSeries (frames, neurons), the
    history of the optimization as a table. The true movie is a stimulus. Settings and provenance are text in scratch.
    Time starts at 0 with the trial.

    Parameters
    ----------
    path
        Ends in ``.nwb``.
    results
        By name; a name is needed only if there are several.
    metadata
        Facts about the session: fields of the NWB file, and ``subject`` with fields of its subject; see ``FIELDS`` and
        ``SUBJECT_FIELDS``. Nothing is made up: without metadata the file says that it holds a reconstruction, with the
        date of that reconstruction.
    overwrite
        Replace an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        A wrong extension, a file that already exists, or fields that NWB does not know or accept.
    ResourceError
        pynwb is not installed, or the disk is full.
    """
    pynwb = needs("pynwb", extra="nwb")
    path = user_path(path)
    if path.suffix.lower() != ".nwb":
        raise InputError(f"{path} ends in {path.suffix!r}; the name must end in .nwb")
    refuse_existing(path, overwrite=overwrite)
    if not results:
        raise InputError("there are no reconstructions to write; give at least one")
    nwb = _file(results, dict(metadata or {}))
    for name, result in results.items():
        _add(nwb, result, suffix=f"_{name}" if len(results) > 1 else "")
    with atomic_path(path, overwrite=overwrite) as partial, pynwb.NWBHDF5IO(str(partial), "w") as writer:
        writer.write(nwb)
    return path


def _file(results: Mapping[str, Reconstruction], metadata: dict[str, Any]) -> Any:
    """An NWB file with only the facts about the session."""
    from pynwb import NWBFile
    from pynwb.file import Subject

    subject = metadata.pop("subject", None)
    _check_fields(metadata, FIELDS, what="metadata")
    names = ", ".join(result.name for result in results.values())
    simulated = any(result.simulated for result in results.values())
    fields = {
        "session_description": f"{'Simulated, no animal was recorded. ' if simulated else ''}"
        f"Movies reconstructed from responses by neuroreel: {names}. The date is that of the reconstruction.",
        "identifier": _fingerprint(results),
        "session_start_time": min(result.provenance["date"] for result in results.values()),
        **metadata,
    }
    fields["session_start_time"] = _time(fields["session_start_time"], what="session_start_time")
    if subject is not None:
        if not isinstance(subject, Mapping):
            raise InputError(f"metadata: subject is {subject!r}; it must be fields such as {{'subject_id': 'M1'}}")
        subject = dict(subject)
        _check_fields(subject, SUBJECT_FIELDS, what="metadata: subject")
        if "date_of_birth" in subject:
            subject["date_of_birth"] = _time(subject["date_of_birth"], what="date_of_birth")
    try:
        return NWBFile(**fields, subject=None if subject is None else Subject(**subject))
    except (TypeError, ValueError) as error:
        raise InputError(f"metadata cannot be written to NWB: {error}") from error


def _check_fields(given: Mapping[str, Any], known: Sequence[str], *, what: str) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise InputError(f"{what} has unknown fields {', '.join(unknown)}; there are {', '.join(known)}")


def _time(value: Any, *, what: str) -> datetime:
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise InputError(f"metadata: {what} is {value!r}; write it like 2026-01-31T14:00:00+01:00") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _fingerprint(results: Mapping[str, Reconstruction]) -> str:
    """An identifier that is the same for the same results."""
    digest = hashlib.sha256()
    for name, result in sorted(results.items()):
        digest.update(f"{name} {result.dataset.attrs['provenance']}".encode())
        digest.update(result.video.tobytes())
    return f"neuroreel-{digest.hexdigest()[:32]}"


def _add(nwb: Any, result: Reconstruction, *, suffix: str) -> None:
    """Add one reconstruction, as a module, a stimulus and text."""
    from pynwb import TimeSeries
    from pynwb.image import GrayscaleImage, Images, ImageSeries

    dataset, clock = result.dataset, {"rate": result.frame_rate_hz, "starting_time": 0.0}
    module = nwb.create_processing_module(f"{MODULE}{suffix}", f"Reconstruction of {result.name}")

    def movie(name: str, values: Any, what: str) -> Any:
        about = {"description": f"{what}; (frames, height, width)", "unit": "grey level 0..255", "format": "raw"}
        height, width = values.shape[1:]
        return ImageSeries(name=name, data=_packed(values), dimension=[width, height], **about, **clock)

    for name in _MOVIES:
        if name in dataset:
            module.add(movie(_NAMES[name], dataset[name].values, dataset[name].attrs["long_name"]))
    for number, values in enumerate(dataset["model_video"].values if "model_video" in dataset else ()):
        module.add(movie(f"{_NAMES['model_video']}_{number}", values, f"reconstruction from model {number} alone"))
    if result.truth is not None:
        nwb.add_stimulus(movie(f"true_movie{suffix}", result.truth, "true movie"))
    if result.mask is not None:
        what = "how much the population sees of each pixel"
        picture = GrayscaleImage(name="transparency_mask", data=result.mask, description=what)
        module.add(Images(name="mask", images=[picture], description="transparency mask (height, width)"))
    for name in _ACTIVITY:
        if name in dataset:
            what = f"{dataset[name].attrs['long_name']}; (frames, neurons)"
            module.add(
                TimeSeries(name=name, data=_packed(dataset[name].values.T), unit="a.u.", description=what, **clock)
            )
    if table := _history(result):
        module.add(table)
    about = {"description": f"where {module.name} comes from, as JSON"}
    nwb.add_scratch(_attributes(result), name=f"{PROVENANCE}{suffix}", **about)


def _packed(values: Any) -> Any:
    """The values, compressed."""
    from pynwb import H5DataIO

    return H5DataIO(np.ascontiguousarray(values, np.float32), compression="gzip", shuffle=True)


def _attributes(result: Reconstruction) -> str:
    """Provenance and attributes that are not in the file's arrays, as JSON."""
    attributes = {key: value for key, value in result.dataset.attrs.items() if key != "provenance"}
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in attributes.items()}
    ids = result.dataset["neuron"].values.tolist() if "neuron" in result.dataset.coords else None
    return json.dumps({**plain, "neuron_ids": ids, "provenance": result.provenance}, ensure_ascii=False)


def _history(result: Reconstruction) -> Any:
    """The recorded history as a table, one row per iteration; None if there is none."""
    from pynwb.core import DynamicTable, VectorData

    names = [name for name in result.dataset.variables if result.dataset[name].dims == ("iteration",)]
    if not names:
        return None
    columns = [
        VectorData(name=str(name), description=f"{name} per iteration", data=result.dataset[name].values)
        for name in names
    ]
    return DynamicTable(name="history", description="recorded during the optimization", columns=columns)
