"""``neuroreel export``: what the ending of the name decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neuroreel.errors import InputError
from neuroreel.files import refuse_existing
from neuroreel.recordings.disk import read_json
from neuroreel.results.nwb import write_nwb
from neuroreel.results.reconstruction import Reconstruction

NWB, TIFF, MP4, GIF = (".nwb",), (".tif", ".tiff"), (".mp4",), (".gif",)
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
    """Write reconstructions, by their names, as the ending of ``to`` says; ``{}`` in it stands for the name.

    Raises
    ------
    InputError
        Another ending, one name for several movies, a file that exists already, an option that the kind does not have.
    """
    ending = Path(to).suffix.lower()
    if ending not in (*NWB, *TIFF, *MP4, *GIF):
        raise InputError(f"to is {to}; its name must end in .nwb, .tif, .mp4 or .gif")
    wrong = {"metadata=": metadata is not None and ending not in NWB, "exact=": exact and ending not in MP4}
    wrong["with_truth="] = with_truth and ending in NWB
    if given := [option for option, fault in wrong.items() if fault]:
        raise InputError(f"{', '.join(given)}: not for files that end in {ending}; leave it out")
    if PLACE not in to and len(results) > 1 and ending not in NWB:
        raise InputError(f"to is {to}, one name for {len(results)} movies; put {{}} where each result's name goes")
    fields = None if metadata is None else read_json(metadata)
    files = {name: Path(to.replace(PLACE, name)) for name in results}
    for file in files.values():  # before the first one is written
        refuse_existing(file, overwrite=overwrite)
    if ending in NWB and PLACE not in to:
        return [write_nwb(to, results, metadata=fields, overwrite=overwrite)]
    movie: dict[str, Any] = {"with_truth": with_truth, "overwrite": overwrite}
    write: dict[str, Callable[[Path, str, Reconstruction], Path]] = {
        **dict.fromkeys(MP4, lambda file, _, result: result.to_mp4(file, exact=exact, **movie)),
        **dict.fromkeys(TIFF, lambda file, _, result: result.to_tiff(file, **movie)),
        **dict.fromkeys(GIF, lambda file, _, result: result.to_gif(file, **movie)),
        **dict.fromkeys(
            NWB, lambda file, name, result: write_nwb(file, {name: result}, metadata=fields, overwrite=overwrite)
        ),
    }
    return [write[ending](files[name], name, result) for name, result in results.items()]
