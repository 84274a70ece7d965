"""From a configuration to steps: the output, inputs and command of each.

All paths are relative to the workflow's folder, in which Snakemake runs::

    recordings/NAME/                 simulated recordings (others stay where they are)
    downloads/                       what ``neuroreel download`` fetched
    models/GROUP/encoder_SEED.safetensors   GROUP: the recording, or "all" if one model serves all of them
    decoders/NAME/decoder.safetensors
    masks/NAME.npy
    experiments/EXPERIMENT/jobs/     one result per reconstruction
    figures/  report.html  table.csv  table.md
    steps/STEP/….done                one per finished step: command, seconds, machine; delete one to check it again
                                     (a hash in its name depends on the options: with others it is not done)
    logs/STEP/….log
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuroreel.workflow.configuration import Configuration, Resources
from neuroreel.workflow.paths import is_downloaded

Done = list[str]


@dataclass(frozen=True)
class Plan:
    """Everything that the rules ask for."""

    configuration: Configuration

    @property
    def names(self) -> list[str]:
        """Names of the recordings, in the configuration's order."""
        return list(self.configuration.recordings)

    @property
    def groups(self) -> dict[str, list[str]]:
        """Recordings whose encoding models are trained together: DwiseNeuro has a session for each."""
        train = self.configuration.encoders.train
        if train is None:
            return {}
        together = train.get("kind") == "dwiseneuro" and len(self.names) > 1
        return {"all": self.names} if together else {name: [name] for name in self.names}

    @property
    def seeds(self) -> list[int]:
        """Random seeds, one for each encoding model."""
        return self.configuration.encoders.seeds

    def steps(self) -> dict[str, Done]:
        """The files that mark jobs as done, by step, in the order in which steps can run."""
        configuration = self.configuration
        simulated = [name for name, source in configuration.recordings.items() if source.simulate is not None]
        steps = {
            "download": self._download_done(),
            "simulate": [_done("simulate", name) for name in simulated],
            "decoder": self.decoders_done(),
            "train": [_done("train", group, str(seed)) for group in self.groups for seed in self.seeds],
            "mask": [_done("mask", name) for name in self.names if configuration.masks],
            "experiment": self.experiments_done(),
            "report": [_done("report", _stamp(self.report_options(), self.shown_done()))],
            "figures": [_done("figures", _stamp(self.figures_options(), self.experiments_done()))],
            "table": [_done("table", _stamp(self.experiments_done()))],
        }
        left_out = [step for step in ("report", "figures") if getattr(configuration, step) is None]
        return {step: done for step, done in steps.items() if done and step not in left_out}

    def goals(self) -> Done:
        """The final outputs of the workflow."""
        steps = self.steps()
        return [done for step in ("experiment", "report", "figures", "table") for done in steps.get(step, [])]

    # recordings

    def recording(self, name: str) -> str:
        """The folder of a recording."""
        folder = self.configuration.recordings[name].folder
        return f"recordings/{name}" if folder is None else folder

    def recording_done(self, name: str) -> Done:
        """What must be done before the recording exists."""
        source = self.configuration.recordings[name]
        return [_done("simulate", name)] if source.simulate is not None else self._downloaded(str(source.folder))

    def _downloaded(self, path: str) -> Done:
        """The download, for a path in its folder."""
        return self._download_done() if is_downloaded(path) else []

    def _download_done(self) -> Done:
        return [_done("download", _stamp(self.download_arguments()))] if self.configuration.downloads else []

    # encoding models, decoders, masks

    def training_done(self, group: str) -> Done:
        """What a training run waits for."""
        return [done for name in self.groups[group] for done in self.recording_done(name)]

    def encoders(self, name: str) -> list[str]:
        """Files of a recording's encoding models; may be patterns, which the shell expands."""
        for group, names in self.groups.items():
            if name in names:
                return [f"models/{group}/encoder_{seed}.safetensors" for seed in self.seeds]
        return self.configuration.encoders.files

    def encoders_done(self, name: str, *, first: bool = False) -> Done:
        """What must be done before a recording's encoding models, or the first of them, exist."""
        seeds = self.seeds[:1] if first else self.seeds
        trained = [
            _done("train", group, str(seed)) for group, names in self.groups.items() for seed in seeds if name in names
        ]
        return trained or [done for file in self.configuration.encoders.files for done in self._downloaded(file)]

    def session(self, name: str) -> int | str:
        """The recording's session in a model of several mice."""
        session = self.configuration.recordings[name].session
        if session is not None:
            return session
        return name if "all" in self.groups else 0

    def mask_link(self, name: str) -> str:
        """The option that links a finished mask instead of learning one."""
        source = self.mask_source(name)
        return "" if source is None else f"--link {source}"

    def mask_source(self, name: str) -> str | None:
        """The file of a finished mask; None if masks are learned."""
        masks = self.configuration.masks
        return masks.files.get(name) if masks is not None else None

    def mask_done(self, name: str) -> Done:
        """What learning a mask waits for, or the file of a finished one."""
        source = self.mask_source(name)
        waits = self.encoders_done(name, first=True) if source is None else self._downloaded(source)
        return self.recording_done(name) + waits

    # experiments

    def parts_done(self, experiment: str) -> Done:
        """One file per part, also named after options and files, so that changing these makes another job."""
        options = self.configuration.experiments[experiment]
        stamp = _stamp(options, self.experiment_arguments(experiment), self.configuration.file_versions)
        parts = options["parts"]
        return [_done("experiment", experiment, f"{i}-of-{parts}-{stamp}") for i in range(1, parts + 1)]

    def experiments_done(self) -> Done:
        """All parts of all experiments."""
        return [done for name in self.configuration.experiments for done in self.parts_done(name)]

    def shown_done(self) -> Done:
        """What the report waits for: its reconstructions, and the decoders for its baselines."""
        shown = self.parts_done("natural") if "natural" in self.configuration.experiments else []
        return shown + self.decoders_done()

    def decoders_done(self) -> Done:
        """The linear decoders."""
        return [_done("decoder", name) for name in self.names if self.configuration.decoders]

    def materials_done(self) -> Done:
        """What experiments wait for: recordings, models and masks of all animals."""
        steps = self.steps()
        waits = [done for name in self.names for done in self.recording_done(name) + self.encoders_done(name)]
        return list(dict.fromkeys(waits + steps.get("mask", [])))

    def experiment_arguments(self, experiment: str) -> str:
        """The arguments of every part of an experiment, except the part; patterns are left to the shell."""
        configuration = self.configuration
        encoders = dict.fromkeys(file for name in self.names for file in self.encoders(name))
        words = ["--recordings", *(shlex.quote(self.recording(name)) for name in self.names), "--encoders", *encoders]
        if any(source.session is not None for source in configuration.recordings.values()):
            words += ["--sessions", *(str(self.session(name)) for name in self.names)]
        if configuration.masks is not None:
            words += ["--masks", *(f"masks/{name}.npy" for name in self.names)]
        options = {key: value for key, value in configuration.experiments[experiment].items() if key != "parts"}
        return " ".join([*words, flags(_with_file(options, experiment))])

    # options of commands

    def simulate_options(self, name: str) -> str:
        """Options of ``neuroreel simulate``."""
        return flags(self.configuration.recordings[name].simulate or {})

    def train_options(self) -> str:
        """Options of ``neuroreel train``; settings given as a block go to a file that the workflow writes."""
        return flags(_with_file(self.configuration.encoders.train or {}, "train"))

    def decoder_options(self) -> str:
        """Options of ``neuroreel train`` when it only fits decoders: which folds."""
        folds = {
            key: value for key, value in (self.configuration.encoders.train or {}).items() if key.endswith("_fold")
        }
        return flags(folds)

    def mask_options(self) -> str:
        """Options of ``neuroreel mask``."""
        return flags((self.configuration.masks.learn if self.configuration.masks else None) or {})

    def report_options(self) -> str:
        """Options of ``neuroreel report``; a decoder's baselines need a single recording."""
        options = dict(self.configuration.report or {})
        if self.configuration.decoders and len(self.names) == 1:
            options["decoder"] = f"decoders/{self.names[0]}/decoder.safetensors"
        return flags(options)

    def figures_options(self) -> str:
        """Options of ``neuroreel figures``."""
        return flags(self.configuration.figures or {})

    def download_arguments(self) -> str:
        """Arguments of ``neuroreel download``: names, then options."""
        options = dict(self.configuration.downloads or {})
        names = options.pop("names", [])
        return " ".join([*map(shlex.quote, names), flags(options)])

    def settings_files(self) -> dict[str, str]:
        """Files that commands read, {name: text}, from blocks of the configuration."""
        asked = {**self.configuration.experiments, "train": self.configuration.encoders.train or {}}
        blocks = {name: options["settings"] for name, options in asked.items() if _has_block(options)}
        return {_settings_file(name): json.dumps(block, indent=1) + "\n" for name, block in blocks.items()}

    # resources

    def resources(self, step: str, name: str | None = None) -> Resources:
        """What one job takes: of an experiment by its name, else of the step, else the default."""
        given = self.configuration.resources
        return next(given[key] for key in (name, step, "default") if key in given)


def flags(options: Mapping[str, Any]) -> str:
    """Options as the command line spells them, quoted for the shell."""
    words: list[str] = []
    for key, value in options.items():
        flag = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            items = value if isinstance(value, list | tuple) else [value]
            words += [flag, *(shlex.quote(str(item)) for item in items)]
    return " ".join(words)


def _with_file(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Options of a command, with the workflow's file instead of a block of settings."""
    return {**options, "settings": _settings_file(name)} if _has_block(options) else dict(options)


def _has_block(options: Mapping[str, Any]) -> bool:
    return isinstance(options.get("settings"), Mapping)


def _settings_file(name: str) -> str:
    return f"settings/{name}.json"


def _done(*parts: str) -> str:
    return "/".join(["steps", *parts]) + ".done"


def _stamp(*decides: object) -> str:
    """Eight letters that change if any of these values changes."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:8]
