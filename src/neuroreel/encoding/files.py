"""Encoding models on disk: safetensors for the weights, a JSON side-car for everything else."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from neuroreel.arguments import refuse_unknown
from neuroreel.encoding.adapters import ENDINGS, KINDS
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.published import load_weights, read_published_checkpoint
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.encoding.training_split import TrainingSplit
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, refuse_existing, user_path
from neuroreel.recordings.disk import check_fetched

FORMAT = "neuroreel encoder"
FORMAT_VERSION = 1


def load_encoder(
    file: str | Path, *, session: int | str = 0, kind: str | None = None, trust: bool = False, **options: Any
) -> EncodingModel:
    """Load an encoding model: one that :func:`save_encoder` wrote, a published ``.pth`` checkpoint, another lab's.

    Nothing in the file is executed. Kinds that need to run code are refused unless you pass ``trust=True``.

    Parameters
    ----------
    file
        ``….safetensors`` (with its side-car ``….json`` in the same folder) or ``….pth``.
    session
        Which mouse's neurons in a model of several mice: a number from 0, or the name of the recording.
    kind
        Of another lab's model: "open_retina", "viv1t", "fnn", "sensorium_2023", "exported"; see "Bring your own model".
        By default the file's ending tells: ``.pt2`` and ``.ts`` are exported.
    trust
        Open also a file that can run code: a program, or the checkpoint of a library that names the classes to build.
    **options
        What that kind needs to know, such as ``recording=`` or ``model=``.

    Returns
    -------
    EncodingModel
        On the CPU, in evaluation mode.

    Raises
    ------
    InputError
        No such file, a damaged file, weights of another architecture, or no such session.
    RefusedError
        A file that can run code, without ``trust=True``.
    ResourceError
        The other lab's library is not installed.
    """
    if kind is not None:
        refuse_unknown([kind], KINDS, what="kind of encoding model")
    kind = kind or ENDINGS.get(Path(file).suffix)
    if kind is not None:
        return _load_adapted(kind, file, session=session, **({"trust": True} if trust else {}), **options)
    if options:
        raise InputError(f"{', '.join(options)} are options of other labs' models; say which with kind=")
    file = user_path(file)
    check_fetched(file)
    if not file.is_file():
        raise InputError(f"there is no file {file}; give the path of a .safetensors or .pth encoding model")
    if file.suffix == ".pth":
        return DwiseNeuro(read_published_checkpoint(file), readout=session).eval()
    if file.suffix != ".safetensors":
        raise InputError(
            f"{file} ends in {file.suffix!r}; an encoding model ends in .safetensors (ours) or .pth (published), in "
            ".pt2 or .ts (exported), or has a kind="
        )
    side_car = file.with_suffix(".json")
    model = _build_described(description := _read_side_car(side_car), session, side_car)
    load_weights(model, _read_weights(file), source=file)
    model.training_log = description.get("training_log", ())
    if split := description.get("training_split"):
        movies = frozenset(split["movies"])
        model.training_split = TrainingSplit(description=split["description"], movies=movies, refused=False)
    return model.eval()


def _load_adapted(kind: str, file: str | Path, **options: Any) -> EncodingModel:
    """Load with the adapter of this kind, in evaluation mode."""
    try:
        model: EncodingModel = importlib.import_module(KINDS[kind]).load(file, **options)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise InputError(f"options of kind={kind!r}: {str(error).removeprefix('load() ')}") from error
    return model.eval()


def save_encoder(model: EncodingModel, file: str | Path, *, overwrite: bool = False) -> Path:
    """Write weights to ``file`` (ending in .safetensors) and a description next to it (.json).

    Raises
    ------
    InputError
        A wrong extension, an existing file, or a model that is not one of ours.
    """
    from safetensors.torch import save

    file = user_path(file)
    if file.suffix != ".safetensors":
        raise InputError(f"{file} ends in {file.suffix!r}; an encoding model's name must end in .safetensors")
    description = _describe(model)
    side_car = file.with_suffix(".json")
    for target in (file, side_car):
        refuse_existing(target, overwrite=overwrite)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    # Both files are complete before either is renamed: weights and side-car are useless without each other. The bytes
    # are
    # written here because the library's errors do not say that the disk is full.
    with (
        atomic_path(file, overwrite=overwrite) as weights_partial,
        atomic_path(side_car, overwrite=overwrite) as partial,
    ):
        partial.write_text(json.dumps(description, indent=1))
        weights_partial.write_bytes(save(weights, metadata={"format": FORMAT}))
    return file


def has_file_format(model: EncodingModel) -> bool:
    """Whether :func:`save_encoder` takes the model."""
    return isinstance(model, ReadoutModel | DwiseNeuro)


def _describe(model: EncodingModel) -> dict[str, Any]:
    described: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION}
    described["training_log"] = [dict(row) for row in model.training_log]
    if (split := model.training_split) is not None:
        described["training_split"] = {"description": split.description, "movies": sorted(split.movies)}
    if isinstance(model, ReadoutModel):
        return described | {"kind": "core_readout", "config": model.config.as_dict()}
    if isinstance(model, DwiseNeuro):
        return described | {
            "kind": "dwiseneuro",
            "config": model.network.config.as_dict(),
            "readout_names": list(model.readout_names),
            "video_size": list(model.canvas.video_size),
            "frame_rate_hz": model.frame_rate_hz,
        }
    raise InputError(
        f"{type(model).__name__} is a model of your own; save its weights with torch.save and load them yourself"
    )


def _build_described(description: dict[str, Any], readout: int | str, side_car: Path) -> EncodingModel:
    try:
        return _build(description, readout)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError, IndexError) as error:
        raise InputError(
            f"{side_car} is damaged: no model can be built from it ({type(error).__name__}: {error})"
        ) from error


def _build(description: dict[str, Any], readout: int | str) -> EncodingModel:
    config: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in description["config"].items()}
    if description["kind"] == "dwiseneuro":
        network = DwiseNeuroNetwork(DwiseNeuroConfig(**config))
        height, width = description["video_size"]
        return DwiseNeuro(
            network,
            readout=readout,
            video_size=(height, width),
            frame_rate_hz=description["frame_rate_hz"],
            readout_names=description.get("readout_names", ()),  # files from 0.1.0.dev had none
        )
    if readout != 0:
        raise InputError(f"there is no readout {readout!r}; this model has one readout, number 0")
    return ReadoutModel(ReadoutConfig(**config))


def _read_side_car(file: Path) -> dict[str, Any]:
    check_fetched(file)
    if not file.is_file():
        raise InputError(f"{file} is missing: it describes the weights next to it; copy both files")
    try:
        description: dict[str, Any] = json.loads(file.read_text())
        ours, version = description["format"] == FORMAT, int(description["format_version"])
        kind = description["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged or does not describe an encoding model ({error})") from error
    if ours and version > FORMAT_VERSION:  # before the kind, which may not exist in this version
        raise InputError(
            f"{file} was written by a newer neuroreel (format {version}, this one reads up to {FORMAT_VERSION}): "
            "update neuroreel"
        )
    if not ours or kind not in ("core_readout", "dwiseneuro"):
        raise InputError(f"{file} does not describe a neuroreel encoding model")
    return description


def _read_weights(file: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} is damaged or not a safetensors file ({error}); copy or train it again") from error
