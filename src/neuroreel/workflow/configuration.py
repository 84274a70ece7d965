"""The file that says what a workflow does: recordings, encoders, masks, experiments, resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from neuroreel.commands.experiment import Experiment
from neuroreel.commands.models import Mask
from neuroreel.commands.movies import Report
from neuroreel.commands.options import EXPERIMENTS
from neuroreel.commands.recordings import Download, Simulate
from neuroreel.commands.studies import Figures
from neuroreel.commands.train import Train
from neuroreel.errors import InputError
from neuroreel.extras import needs
from neuroreel.files import user_path
from neuroreel.workflow.paths import NamedFile, file_versions, make_absolute, named_files, read_settings
from neuroreel.workflow.schema import BLOCK, Block, Options, check, refuse_unknown_keys

READY = Path(__file__).parent / "configs"
STEPS = ("download", "simulate", "decoder", "train", "mask", "experiment", "report", "figures", "table")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# options of commands that the file may contain
SimulateOptions = Annotated[dict[str, Any], Options(Simulate, own={"folder"})]
DownloadOptions = Annotated[dict[str, Any], Options(Download, own={"to", "yes", "show", "check"})]
TrainOptions = Annotated[
    dict[str, Any],
    Options(Train, own={"recordings", "seeds", "decoder"}, settings=("recipe", "architecture")),
]
MaskOptions = Annotated[dict[str, Any], Options(Mask, own={"recording", "encoder", "posterior", "session"})]
ExperimentOptions = Annotated[
    dict[str, Any],
    Options(
        Experiment,
        own={"name", "recordings", "encoders", "sessions", "masks", "show", "as_json", "part", "jobs"},
        more={"parts": Annotated[int, Field(ge=1)]},
        settings=("settings", "grid", "scoring"),
    ),
]
ReportOptions = Annotated[dict[str, Any], Options(Report, own={"results", "decoder"})]
FiguresOptions = Annotated[dict[str, Any], Options(Figures, own={"experiment", "results", "published"})]


class RecordingSource(Block):
    """Where a recording comes from: ``simulate`` has that command's options, ``folder`` is a path."""

    simulate: SimulateOptions | None = None
    folder: str | None = None
    session: int | str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> RecordingSource:
        if (self.simulate is None) == (self.folder is None):
            raise ValueError("must have either simulate or folder")
        return self


class Encoders(Block):
    """Models to train (options of ``neuroreel train``, one model per seed), or files of finished ones."""

    train: TrainOptions | None = None
    seeds: list[int] = Field(default=[0, 1])
    files: list[str] = Field(default=[])

    @field_validator("train", mode="before")
    @classmethod
    def _kept_name(cls, train: Any) -> Any:
        """Accept the small model's old name in existing configurations."""
        old = isinstance(train, Mapping) and train.get("kind") == "readout"
        return {**train, "kind": "core_readout"} if old else train

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError(f"is {seeds}; it must be different whole numbers, one per model")
        return seeds

    @model_validator(mode="after")
    def _one_source(self) -> Encoders:
        if (self.train is None) == (not self.files):
            raise ValueError("must have either train (options of neuroreel train) or files")
        return self


class Masks(Block):
    """Masks to learn (options of ``neuroreel mask``), or files of finished ones by recording."""

    learn: MaskOptions | None = None
    files: dict[str, str] = Field(default={})

    @model_validator(mode="after")
    def _one_source(self) -> Masks:
        if (self.learn is None) == (not self.files):
            raise ValueError("must have either learn (options of neuroreel mask) or files (one per recording)")
        return self


class Resources(Block):
    """Resources of one job of a step.

    ``hours`` and ``disk_gb`` are expected, ``limit_hours`` ends the job. ``processes`` share a part of an experiment,
    to keep a GPU busy that small reconstructions one at a time would leave half idle.
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
        """When Slurm ends a job, which then resumes in another one: by default twice the expected time."""
        hours = 2 * self.hours if self.limit_hours is None else self.limit_hours
        return max(1, round(60 * hours))


class Configuration(Block):
    """Everything that the file may contain; the workflow itself writes ``file_versions``, for all its processes."""

    recordings: dict[str, RecordingSource] = Field(default={}, validate_default=True)
    downloads: DownloadOptions | None = None
    encoders: Encoders = Field(default={}, validate_default=True)
    decoders: bool = False
    masks: Masks | None = None
    experiments: dict[str, ExperimentOptions] = Field(default={}, validate_default=True)
    report: ReportOptions | None = None
    figures: FiguresOptions | None = None
    resources: dict[str, Resources] = Field(default={}, validate_default=True)
    container: str | None = None
    snakemake: list[str] = Field(default=[])
    file_versions: dict[str, list[int]] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _empty_blocks(cls, values: Any) -> Any:
        """A block that is named but empty is used with all defaults."""
        blocks = ("downloads", "report", "figures", "resources", "experiments", "recordings", "encoders")
        if not isinstance(values, Mapping):
            return values
        return {key: {} if value is None and key in blocks else value for key, value in values.items()}

    @field_validator("recordings")
    @classmethod
    def _names_of_recordings(cls, recordings: dict[str, RecordingSource]) -> dict[str, RecordingSource]:
        if not recordings:
            raise ValueError("names none; a workflow needs at least one")
        for name, source in recordings.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"has the name {name!r}; use letters, digits, dots, dashes and underscores")
            if source.folder is not None and (folder := Path(source.folder).name) != name:
                raise ValueError(f": {name} is in {source.folder}; give it the name of its folder, {folder}")
        return recordings

    @field_validator("downloads")
    @classmethod
    def _something_to_download(cls, downloads: dict[str, Any] | None) -> dict[str, Any] | None:
        """What `neuroreel download` fetches, with options; paths in it start with downloads/."""
        if downloads is not None and not downloads.get("names"):
            raise ValueError("has no names; it must be a list of names from `neuroreel download --list`")
        return downloads

    @field_validator("masks")
    @classmethod
    def _one_mask_each(cls, masks: Masks | None, info: ValidationInfo) -> Masks | None:
        recordings = info.data.get("recordings", {})
        if masks is not None and masks.files:
            try:
                refuse_unknown_keys(masks.files, recordings)
            except ValueError as error:
                raise ValueError(f": files {error}") from error
            if missing := sorted(set(recordings) - set(masks.files)):
                raise ValueError(f": files has none for {', '.join(missing)}")
        return masks

    @field_validator("experiments")
    @classmethod
    def _with_options_of_every(cls, given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Options by experiment, including those of ``every``, and the number of parts of each."""
        refuse_unknown_keys(given, [*EXPERIMENTS, "every"])
        every = given.pop("every", {})
        if not given:
            raise ValueError(f"names none; there are {', '.join(EXPERIMENTS)}")
        return {name: {"parts": 1, **every, **own, **_both_settings(every, own)} for name, own in given.items()}

    @field_validator("resources", mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        refuse_unknown_keys(given, ["default", *STEPS, *EXPERIMENTS])
        default = given.get("default") or {}
        return {key: {**default, **(own or {})} for key, own in {"default": {}, **given}.items()}

    @property
    def files(self) -> list[NamedFile]:
        """The paths in the configuration."""
        return list(named_files(self.model_dump()))


def _both_settings(every: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the settings of all experiments with those of one."""
    first, second = every.get("settings"), own.get("settings")
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return {}
    return {"settings": {key: {**first.get(key, {}), **second.get(key, {})} for key in {**first, **second}}}


def read_configuration(file: str | Path) -> dict[str, Any]:
    """The content of a YAML file, or of a ready configuration by name.

    Paths in it are made absolute, and files of settings are read.

    Raises
    ------
    InputError
        There is no such file, or it is not YAML.
    """
    path = configuration_file(file)
    yaml = needs("yaml", extra="workflow")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path} is {raw!r}; it must be {BLOCK}")
    make_absolute(raw, path.resolve().parent)
    read_settings(raw)
    return {**raw, "file_versions": file_versions(raw)}


def configuration_file(name: str | Path) -> Path:
    """The file of a configuration; InputError if there is none."""
    path = READY / f"{name}.yaml" if str(name) in ready_names() else user_path(name)
    if not path.is_file():
        raise InputError(f"there is no configuration {name}; give a YAML file, or one of {', '.join(ready_names())}")
    return path


def ready_names() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in READY.glob("*.yaml"))


def check_configuration(raw: Mapping[str, Any], *, where: str = "the configuration") -> Configuration:
    """The configuration with every name and value checked, without looking at the disk.

    Raises
    ------
    InputError
        An unknown name (close matches are given), a value of the wrong type, or a missing part.
    """
    return check(Configuration, raw, where=where)
