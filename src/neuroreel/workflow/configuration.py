"""The one file that says what a workflow does: recordings, encoders, masks, experiments, resources."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from neuroreel.errors import InputError
from neuroreel.extras import needs
from neuroreel.files import user_path
from neuroreel.workflow.paths import NamedFile, file_versions, make_absolute, named_files, read_settings
from neuroreel.workflow.schema import block, build, check_keys, check_values, matches, with_numbers

READY = Path(__file__).parent / "configs"
VERSIONS = "file_versions"  # written by the workflow itself, once for all its processes
SECTIONS = (
    "recordings",
    "downloads",
    "encoders",
    "decoders",
    "masks",
    "experiments",
    "report",
    "figures",
    "resources",
    "container",
    "snakemake",
    VERSIONS,
)
STEPS = ("download", "simulate", "decoder", "train", "mask", "experiment", "report", "figures", "table")
EXPERIMENTS = (  # of neuroreel.studies, whose import takes seconds: each job of Snakemake reads the configuration
    "natural",
    "gradient_ensembling",
    "predicted_activity",
    "masks",
    "ablation",
    "noise",
    "gratings",
    "receptive_fields",
    "responses",
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
OWN = {  # what the workflow itself gives to a command
    "simulate": {"folder"},
    "train": {"recordings", "out", "seeds", "decoder"},
    "mask": {"recording", "encoder", "posterior", "out", "session"},
    "download": {"names", "to", "yes", "show", "check"},
    "report": {"results", "out", "decoder", "overwrite"},
    "figures": {"experiment", "results", "published", "out", "overwrite"},
    "experiment": {
        "name",
        "recordings",
        "encoders",
        "sessions",
        "masks",
        "out",
        "list",
        "json",
        "part",
        "jobs",
    },
}


@dataclass(frozen=True, kw_only=True)
class RecordingSource:
    """Where a recording comes from: ``simulate`` has options of that command, ``folder`` a path."""

    simulate: dict[str, Any] | None = None
    folder: str | None = None
    session: int | str | None = None


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Models to train (options of ``neuroreel train``, one model a seed), or files of finished ones."""

    train: dict[str, Any] | None = None
    seeds: list[int] = field(default_factory=lambda: [0, 1])
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Masks to learn (options of ``neuroreel mask``), or files of finished ones by recording."""

    learn: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one job of a step takes.

    ``hours`` and ``disk_gb`` are expected, ``limit_hours`` ends the job. ``processes`` share a part of an experiment,
    and so fill a GPU that one small reconstruction after the other would leave half idle.
    """

    cpus: int = 2
    gpus: int = 0
    memory_gb: float = 4
    hours: float = 1
    limit_hours: float | None = None
    disk_gb: float = 0.1
    partition: str | None = None
    account: str | None = None
    slurm_extra: str | None = None
    processes: int = 1

    @property
    def limit_minutes(self) -> int:
        """When Slurm ends a job, which then goes on in another one: twice what is expected unless told otherwise."""
        hours = 2 * self.hours if self.limit_hours is None else self.limit_hours
        return max(1, round(60 * hours))


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A configuration that has been checked."""

    recordings: dict[str, RecordingSource]
    downloads: dict[str, Any] | None
    encoders: Encoders
    decoders: bool
    masks: Masks | None
    experiments: dict[str, dict[str, Any]]
    report: dict[str, Any] | None
    figures: dict[str, Any] | None
    resources: dict[str, Resources]
    container: str | None
    snakemake: list[str]
    files: list[NamedFile]
    file_versions: dict[str, list[int]]

    def resources_of(self, step: str, name: str | None = None) -> Resources:
        """Of an experiment by its name, else of the step, else the default."""
        return next(self.resources[key] for key in (name, step, "default") if key in self.resources)


def read_configuration(file: str | Path) -> dict[str, Any]:
    """What is in a YAML file, or in one of the ready configurations by name.

    Paths in it are made absolute, and files of settings are read.

    Raises
    ------
    InputError
        There is no such file, or it is no YAML.
    """
    path = configuration_file(file)
    yaml = needs("yaml", extra="workflow")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    raw = block(raw, where=str(path))
    make_absolute(raw, path.resolve().parent)
    read_settings(raw)
    raw[VERSIONS] = file_versions(raw)
    return raw


def configuration_file(name: str | Path) -> Path:
    """Where a configuration is; InputError if nowhere."""
    path = READY / f"{name}.yaml" if str(name) in ready_names() else user_path(name)
    if not path.is_file():
        raise InputError(f"there is no configuration {name}; give a YAML file, or one of {', '.join(ready_names())}")
    return path


def ready_names() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in READY.glob("*.yaml"))


def check_configuration(raw: Mapping[str, Any], *, where: str = "the configuration") -> Configuration:
    """The configuration with every key and value checked; nothing on the disk is looked at.

    Raises
    ------
    InputError
        An unknown key (close matches are named), a value of a wrong type, a part that is missing.
    """
    check_keys(raw, SECTIONS, where=where)
    raw = with_numbers(raw)
    recordings = {
        _name(name, where="recordings"): _recording(values, where=f"recordings: {name}")
        for name, values in block(raw.get("recordings"), where="recordings").items()
    }
    if not recordings:
        raise InputError(f"{where} names no recordings")
    return Configuration(
        recordings=recordings,
        downloads=_downloads(raw),
        encoders=_encoders(raw.get("encoders")),
        decoders=_flag(raw, "decoders"),
        masks=_masks(raw.get("masks"), recordings),
        experiments=_experiments(raw.get("experiments")),
        report=_page(raw, "report"),
        figures=_page(raw, "figures"),
        resources=_resources(raw.get("resources")),
        container=_container(raw.get("container")),
        snakemake=_snakemake(raw.get("snakemake", [])),
        files=list(named_files(raw)),
        file_versions=dict(raw.get(VERSIONS, {})),
    )


def _recording(values: object, *, where: str) -> RecordingSource:
    source = build(RecordingSource, values, where=where)
    if (source.simulate is None) == (source.folder is None):
        raise InputError(f"{where} must have either simulate or folder")
    if source.simulate is not None:
        _options("simulate", source.simulate, where=f"{where}: simulate")
    elif source.folder is not None and Path(source.folder).name != where.rpartition(" ")[2]:
        raise InputError(f"{where} lies in {source.folder}; name it as its folder, {Path(source.folder).name}")
    return source


def _downloads(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `neuroreel download` fetches ("names") and its options; paths that need it start with downloads/."""
    if "downloads" not in raw:
        return None
    options = block(raw["downloads"], where="downloads")
    names = options.pop("names", [])
    if not matches(names, list[str]) or not names:
        raise InputError(f"downloads: names is {names!r}; it must be a list of what `neuroreel download --list` names")
    return {"names": names, **_options("download", options, where="downloads")}


def _encoders(values: object) -> Encoders:
    encoders = build(Encoders, values, where="encoders")
    if (encoders.train is None) == (not encoders.files):
        raise InputError("encoders must have either train (options of neuroreel train) or files")
    if encoders.train is not None:
        if encoders.train.get("kind") == "readout":  # its name in configurations that people have kept
            encoders.train["kind"] = "core_readout"
        _options("train", encoders.train, where="encoders: train", settings=("recipe", "architecture"))
        if not encoders.seeds or len(set(encoders.seeds)) < len(encoders.seeds):
            raise InputError(f"encoders: seeds is {encoders.seeds}; it must be different whole numbers, one a model")
    return encoders


def _masks(values: object, recordings: Mapping[str, RecordingSource]) -> Masks | None:
    if values is None:
        return None
    masks = build(Masks, values, where="masks")
    if (masks.learn is None) == (not masks.files):
        raise InputError("masks must have either learn (options of neuroreel mask) or files (one a recording)")
    if masks.learn is not None:
        _options("mask", masks.learn, where="masks: learn")
    else:
        check_values(masks.files, dict.fromkeys(recordings, str), where="masks: files")
        if missing := sorted(set(recordings) - set(masks.files)):
            raise InputError(f"masks: files has none for {', '.join(missing)}")
    return masks


def _experiments(values: object) -> dict[str, dict[str, Any]]:
    """Options by experiment, those of ``every`` among them, and in how many parts each is done."""
    given = block(values, where="experiments")
    check_keys(given, [*EXPERIMENTS, "every"], where="experiments")
    blocks = ("settings", "grid", "scoring")
    every = _options("experiment", given.pop("every", None), where="experiments: every", settings=blocks)
    options = {}
    for name, values_of_one in given.items():
        where = f"experiments: {name}"
        own = block(values_of_one, where=where)
        parts = own.pop("parts", 1)
        if not isinstance(parts, int) or isinstance(parts, bool) or parts < 1:
            raise InputError(f"{where}: parts is {parts!r}; it must be a whole number of at least 1")
        own = _options("experiment", own, where=where, settings=blocks)
        options[name] = {**every, **own, **_both_settings(every, own), "parts": parts}
    if not options:
        raise InputError(f"experiments names none; there are {', '.join(EXPERIMENTS)}")
    return options


def _both_settings(every: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Blocks of settings of all experiments and of one of them, put together."""
    first, second = every.get("settings"), own.get("settings")
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return {}
    return {"settings": {key: {**first.get(key, {}), **second.get(key, {})} for key in {**first, **second}}}


def _resources(values: object) -> dict[str, Resources]:
    given = block(values, where="resources")
    check_keys(given, ["default", *STEPS, *EXPERIMENTS], where="resources")
    default = block(given.get("default"), where="resources: default")
    return {
        key: build(Resources, default | block(values_of_one, where=f"resources: {key}"), where=f"resources: {key}")
        for key, values_of_one in {"default": {}, **given}.items()
    }


def _options(command: str, values: object, *, where: str, settings: tuple[str, ...] = ()) -> dict[str, Any]:
    """Options of a command of ours, named and typed as that command's are.

    ``settings`` are the keys of the block that may stand for the file of --settings.
    """
    from neuroreel.cli import COMMANDS

    given = block(values, where=where)
    if command not in COMMANDS:
        raise InputError(f"{where} needs the command `neuroreel {command}`, which this version does not have")
    function = COMMANDS[command]
    hints = typing.get_type_hints(function, include_extras=True)
    known = {name: hints[name] for name in inspect.signature(function).parameters if name not in OWN[command]}
    check_keys(given, known, where=where)
    blocks = {"settings"} if isinstance(given.get("settings"), Mapping) else set()
    if blocks:
        check_keys(given["settings"], settings, where=f"{where}: settings")
    check_values({key: value for key, value in given.items() if key not in blocks}, known, where=where)
    return given


def _name(name: str, *, where: str) -> str:
    if not NAME.fullmatch(name):
        raise InputError(f"{where} has the name {name!r}; use letters, digits, dots, dashes and underscores")
    return name


def _flag(raw: Mapping[str, Any], key: str) -> bool:
    value = raw.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"{key} is {value!r}; it must be true or false")
    return value


def _page(raw: Mapping[str, Any], command: str) -> dict[str, Any] | None:
    """Options of a command that ends the workflow; None where the configuration does not name it."""
    return _options(command, raw[command], where=command) if command in raw else None


def _container(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InputError(f"container is {value!r}; it must be an image that Apptainer knows, such as neuroreel.sif")
    return value


def _snakemake(value: object) -> list[str]:
    """Options of Snakemake, one word an item; what is not one of them, Snakemake refuses by itself."""
    if not matches(value, list[str]):
        raise InputError(f"snakemake is {value!r}; it must be a list of words, such as [--slurm-no-account]")
    return list(cast(list[str], value))
