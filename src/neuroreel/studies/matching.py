"""Which encoding models and mask belong to which recording."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.recordings.disk import check_fetched, read_json
from neuroreel.recordings.recording import Recording, open_recordings
from neuroreel.studies.animals import Animal, ModelFile


def open_animals(
    *,
    recordings: Sequence[str | Path],
    encoders: Sequence[str | Path],
    masks: Sequence[str | Path] = (),
    sessions: Sequence[int | str] = (),
) -> list[Animal]:
    """Open recordings, and find each one's models and mask.

    With one recording, all files belong to it. With several, a file belongs to the recording whose name is in the
    file's name, or else in the name of the nearest parent folder that has one (``mask_mouse_a.npy``,
    ``models/mouse_a/encoder_0.safetensors``); an encoding model without any of the names belongs to all recordings, and
    must have a session for each.

    Parameters
    ----------
    recordings
        Folders in the Sensorium layout.
    encoders
        Files of encoding models, at least one for each recording.
    masks
        At most one for each recording.
    sessions
        One for each recording, if the models' sessions have no names (published ``.pth`` files).

    Raises
    ------
    InputError
        Recordings with the same name, a missing file, a file with the names of several recordings, a recording without
        a model, or several masks for one.
    """
    opened = open_recordings(recordings)
    names = [recording.name for recording in opened]
    if sessions and len(sessions) != len(opened):
        raise InputError(f"there are {len(sessions)} sessions for {len(opened)} recordings; give one for each")
    models = _by_name([user_path(file) for file in encoders], names)
    found_masks = _by_name([user_path(file) for file in masks], names)
    return [
        Animal(
            recording,
            _models(recording, models, alone=len(opened) == 1, session=sessions[i] if sessions else None),
            mask=_own_mask(recording, found_masks, alone=len(opened) == 1),
        )
        for i, recording in enumerate(opened)
    ]


def _by_name(files: Sequence[Path], names: Sequence[str]) -> dict[str, list[Path]]:
    """Files by the recording whose name is in their path; those without a name under the empty one."""
    found: dict[str, list[Path]] = {name: [] for name in ("", *names)}
    for file in files:
        check_fetched(file)
        if not file.is_file():
            raise InputError(f"there is no file {file}; give the path of an encoding model or a mask")
        found[_name_in(file, names)].append(file)
    return found


def _name_in(file: Path, names: Sequence[str]) -> str:
    """The recording that a path names: in the file's name, else in the nearest parent folder; "" if none."""
    for part in reversed(file.parts):
        inside = [name for name in names if re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", part)]
        whole = [name for name in inside if not any(name in other for other in inside if other != name)]
        if len(whole) > 1:
            raise InputError(f"{file} has the names of several recordings, {' and '.join(whole)}; name it after one")
        if whole:
            return whole[0]
    return ""


def _models(
    recording: Recording, files: dict[str, list[Path]], *, alone: bool, session: int | str | None
) -> list[ModelFile]:
    own = files[recording.name]
    mine = [*own, *files[""]]
    if not mine:
        raise InputError(
            f"no encoding model was given for {recording.name}; give one whose path has the recording's name in it, or "
            "one that has a session for each recording (encoders=)"
        )
    return [
        ModelFile(file=file, session=_session(file, recording, session, sure=alone or file in own)) for file in mine
    ]


def _session(file: Path, recording: Recording, asked: int | str | None, *, sure: bool) -> int | str:
    """The requested session, else the one with the recording's name, or the only one in the recording's own file."""
    if asked is not None:
        return asked
    names = _session_names(file)
    if recording.name in names:
        return recording.name
    if not sure:
        raise InputError(
            f"{file} has no session called {recording.name!r} (it has {', '.join(names) or 'no names'}), nor has its "
            "path any recording's name; put it into a folder of that name, or say which session with sessions="
        )
    if len(names) > 1:
        raise InputError(
            f"{file} has the sessions {', '.join(names)}; say which is for {recording.name} with sessions="
        )
    return 0


def _session_names(file: Path) -> list[str]:
    """The recordings that a model in our own format has sessions for; empty if it does not say."""
    side_car = file.with_suffix(".json")
    return list(read_json(side_car).get("readout_names", ())) if side_car.is_file() else []


def _own_mask(recording: Recording, files: dict[str, list[Path]], *, alone: bool) -> Path | None:
    mine = files[recording.name] or (files[""] if alone else [])
    if len(mine) > 1:
        raise InputError(f"{recording.name} has {len(mine)} masks: {', '.join(map(str, mine))}; give one")
    if not mine and (files[""] or any(files.values())):
        raise InputError(
            f"none of the masks has the name {recording.name} in its path; call it mask_{recording.name}, or put "
            "it into a folder of that name"
        )
    return mine[0] if mine else None
