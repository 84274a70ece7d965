"""``neuroreel export``: the file extension decides the format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from neuroreel.errors import InputError
from neuroreel.files import refuse_existing
from neuroreel.recordings.disk import read_json
from neuroreel.results.nwb import write_nwb
from neuroreel.results.reconstruction import Reconstruction

PLACE = "{}"


def export_results(
    results: Mapping[str, Reconstruction],
    to: str,
    *,
    metadata: Path | None = None,
    with_truth: bool = False,
    exact: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write named reconstructions in the format of ``to``'s extension; ``{}`` in it stands for the name.

    Raises
    ------
    InputError
        A wrong extension, one name for several movies, a file that already exists, or an option of another format.
    """
    ending = Path(to).suffix.lower()
    if ending not in (".nwb", ".tif", ".tiff", ".mp4", ".gif"):
        raise InputError(f"to is {to}; its name must end in .nwb, .tif, .mp4 or .gif")
    wrong = {
        "metadata=": metadata is not None and ending != ".nwb",
        "exact=": exact and ending != ".mp4",
        "with_truth=": with_truth and ending == ".nwb",
    }
    if given := [option for option, fault in wrong.items() if fault]:
        raise InputError(f"{', '.join(given)} cannot be used for files that end in {ending}; leave it out")
    if PLACE not in to and len(results) > 1 and ending != ".nwb":
        raise InputError(f"to is {to}, one name for {len(results)} movies; put {{}} where each result's name goes")
    fields = None if metadata is None else read_json(metadata)
    files = {name: Path(to.replace(PLACE, name)) for name in results}
    for file in files.values():  # before the first one is written
        refuse_existing(file, overwrite=overwrite)
    if ending == ".nwb" and PLACE not in to:
        return [write_nwb(to, results, metadata=fields, overwrite=overwrite)]
    written = []
    for name, result in results.items():
        file = files[name]
        if ending == ".nwb":
            written.append(write_nwb(file, {name: result}, metadata=fields, overwrite=overwrite))
        elif ending == ".mp4":
            written.append(result.to_mp4(file, with_truth=with_truth, exact=exact, overwrite=overwrite))
        elif ending == ".gif":
            written.append(result.to_gif(file, with_truth=with_truth, overwrite=overwrite))
        else:
            written.append(result.to_tiff(file, with_truth=with_truth, overwrite=overwrite))
    return written
