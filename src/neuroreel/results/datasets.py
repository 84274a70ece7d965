"""Labeled arrays as files: written whole or not at all, and checked when read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroreel.errors import InputError
from neuroreel.extras import needs
from neuroreel.files import atomic_path, refuse_existing, user_path
from neuroreel.recordings.axes import with_screen
from neuroreel.recordings.disk import check_fetched
from neuroreel.results.provenance import check_format, hash_array


def write_dataset(dataset: xr.Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a NetCDF file (``.nc``) or a Zarr folder (``.zarr``), with a fingerprint of what it holds.

    Raises
    ------
    InputError
        A wrong extension, or the file exists and ``overwrite`` is False.
    ResourceError
        The disk is full, the folder is not writable, or zarr is not installed.
    """
    path = user_path(path)
    _check_ending(path)
    refuse_existing(path, overwrite=overwrite)
    dataset = dataset.assign_attrs(content_sha256=_content_hash(dataset))
    # In memory first: on a full disk HDF5 crashes the whole process, and Zarr's threads keep writing while their files
    # are being deleted.
    files = _zarr_files(dataset) if path.suffix == ".zarr" else {"": netcdf_bytes(dataset)}
    with atomic_path(path, overwrite=overwrite) as partial:
        for name, content in files.items():
            file = partial / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return path


def read_dataset(path: str | Path, *, kind: str) -> xr.Dataset:
    """Read what :func:`write_dataset` wrote, into memory.

    Parameters
    ----------
    path
        A ``.nc`` file or a ``.zarr`` folder.
    kind
        Kind of result, one of ``KINDS``.

    Raises
    ------
    InputError
        The file does not exist, is damaged, is of another kind, or was written by a newer neuroreel.
    """
    path = user_path(path)
    _check_ending(path)
    check_fetched(path)
    if not path.exists():
        raise InputError(f"there is no {path}; give the path of a {kind} that was saved")
    engine = "zarr" if path.suffix == ".zarr" else "h5netcdf"
    options: dict[str, Any] = {"consolidated": False} if engine == "zarr" else {}
    try:
        dataset = xr.load_dataset(path, engine=engine, decode_times=False, **options)
    # for damaged files, h5py and zarr raise OSError, KeyError, RuntimeError, ValueError, and zlib.error among others
    except Exception as error:
        raise InputError(f"{path} cannot be read ({error}); it is damaged or of another kind") from error
    check_format(dataset.attrs, where=path, kind=kind)
    if dataset.attrs.pop("content_sha256", None) != _content_hash(dataset):
        raise InputError(f"{path} does not hold what was written to it; it is damaged: make or copy it again")
    return with_screen(dataset)


def _check_ending(path: Path) -> None:
    if path.suffix not in (".nc", ".zarr"):
        raise InputError(f"{path} ends in {path.suffix!r}; the name must end in .nc (NetCDF) or .zarr (Zarr)")
    if path.suffix == ".zarr":
        needs("zarr")


def netcdf_bytes(dataset: xr.Dataset) -> memoryview:
    """A NetCDF file in memory; arrays of numbers are compressed."""
    packed = {"zlib": True, "complevel": 4, "shuffle": True}
    arrays = [str(name) for name, each in dataset.items() if each.ndim and each.dtype.kind in "fiub"]
    return dataset.to_netcdf(engine="h5netcdf", encoding=dict.fromkeys(arrays, packed))


def _zarr_files(dataset: xr.Dataset) -> dict[str, bytes]:
    """The contents of a Zarr folder's files, by name."""
    from zarr.storage import MemoryStore

    files: dict[str, Any] = {}
    dataset.to_zarr(MemoryStore(files), mode="w", consolidated=False)
    return {name: content.to_bytes() for name, content in files.items()}


def _content_hash(dataset: xr.Dataset) -> str:
    """One hash of all values: Zarr silently reads a lost chunk as zeros."""
    hashes = "".join(f"{name} {hash_array(dataset[name].values)}\n" for name in sorted(map(str, dataset)))
    return hash_array(np.frombuffer(hashes.encode(), np.uint8))
