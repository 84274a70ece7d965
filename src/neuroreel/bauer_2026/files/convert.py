"""``nr.convert_published``: the authors' files in neuroreel's own formats."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from neuroreel import __version__
from neuroreel.bauer_2026.files.find import find_results
from neuroreel.bauer_2026.files.folder import read_published_folder
from neuroreel.bauer_2026.files.results import read_published
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, refuse_existing, user_path
from neuroreel.recordings.disk import absolute, check_fetched
from neuroreel.results.datasets import netcdf_bytes
from neuroreel.results.provenance import hash_file

_TELLING_FOLDERS = ("fold_", "modelfold")  # a file's name alone does not say which model it is


def convert_published(file: str | Path, out: str | Path, *, run: str = "*", overwrite: bool = False) -> Path:
    """Convert a file from the authors (Bauer et al. 2026): weights to safetensors, results and stimuli to NetCDF.

    Masks (``mask_m….npy``) need no conversion: :func:`load_mask` opens them directly.

    Parameters
    ----------
    file
        An encoding model (``.pth``), a result (``.npy``), stimuli (``.npz``), or a folder of results of one run, which
        becomes one dataset without the responses, as read by :func:`read_published_folder`.
    out
        What to write: for an encoding model a name ending in ``.safetensors`` (the side-car ``.json`` is written beside
        it), for everything else a name ending in ``.nc``.
    run
        Which run, where a folder has several: see :func:`read_published_folder`.
    overwrite
        Replace existing files.

    Returns
    -------
    pathlib.Path
        ``out``. The encoding model opens with :func:`load_encoder`, has all readouts, and gives bit-identical
        predictions to
        the published file. The published file's name and SHA-256 are kept in the side-car or the attributes.

    Raises
    ------
    RefusedError
        The file could be made to run code; nothing in it was run.
    InputError
        No such file, a damaged file, a mask, a wrong extension, or ``out`` already exists.
    """
    file, out = user_path(file), user_path(out)
    weights = file.suffix == ".pth"
    ending = ".safetensors" if weights else ".nc"
    if out.suffix != ending:
        raise InputError(f"{out} ends in {out.suffix!r}; what {file.name} is converted to must end in {ending}")
    refuse_existing(out, overwrite=overwrite)
    if weights:
        _convert_weights(file, out, overwrite=overwrite)
    else:
        _convert_arrays(file, out, run=run, overwrite=overwrite)
    return out


def converted_names(files: Iterable[Path], *, run: str = "*") -> dict[Path, str]:
    """Names for converted published files, for instance ``fold_0_model-017-0.292118.safetensors``.

    A folder of results becomes a file named after its run.

    Raises
    ------
    InputError
        No files, a missing file, two files that would get the same name, or a folder with several runs.
    """
    names: dict[Path, str] = {}
    for file in files:
        check_fetched(file)
        if not file.exists():
            raise InputError(f"there is no file {file}")
        name = f"{_stem(absolute(file), run)}{'.safetensors' if file.suffix == '.pth' else '.nc'}"
        if name in names.values():
            other = next(each for each in names if names[each] == name)
            raise InputError(f"{other} and {file} would both become {name}; convert them into two folders")
        names[file] = name
    if not names:
        raise InputError("no files to convert; give published .pth, .npy or .npz files, or folders of results")
    return names


def _stem(file: Path, run: str) -> str:
    if file.is_dir():
        of_one_model = file.name.startswith(_TELLING_FOLDERS)
        return file.name if of_one_model else find_results(file, run)[0].run or file.name
    folder = file.parent.name
    return f"{folder}_{file.stem}" if folder.startswith(_TELLING_FOLDERS) else file.stem


def _convert_weights(file: Path, out: Path, *, overwrite: bool) -> None:
    from neuroreel.encoding.files import load_encoder, save_encoder

    side_car = out.with_suffix(".json")
    refuse_existing(side_car, overwrite=overwrite)
    model = load_encoder(file)
    with (
        atomic_path(out, overwrite=overwrite) as weights_partial,
        atomic_path(side_car, overwrite=overwrite) as partial,
    ):
        save_encoder(model, weights_partial)
        description = json.loads(weights_partial.with_suffix(".json").read_text())
        partial.write_text(json.dumps(description | {"converted_from": _source(file)}, indent=1))


def _convert_arrays(file: Path, out: Path, *, run: str, overwrite: bool) -> None:
    dataset = read_published_folder(file, run=run) if file.is_dir() else read_published(file)
    if set(dataset) == {"mask"}:
        raise InputError(f"{file} is a mask and needs no conversion: nr.load_mask opens it as it is")
    source = {"name": absolute(file).name} if file.is_dir() else _source(file)
    origin = {"converted_from": json.dumps(source), "converted_by": f"neuroreel {__version__}"}
    # in memory first: the HDF5 library crashes when the disk is full
    content = netcdf_bytes(dataset.assign_attrs(dataset.attrs | origin))
    with atomic_path(out, overwrite=overwrite) as partial:
        partial.write_bytes(content)


def _source(file: Path) -> dict[str, str]:
    return {"name": f"{absolute(file).parent.name}/{file.name}", "sha256": hash_file(file)}
