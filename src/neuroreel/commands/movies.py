"""Commands that make, score, show and export reconstructions, and convert the authors' files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from neuroreel.arguments import whole_number
from neuroreel.bauer_2026.settings import Settings
from neuroreel.commands.files import (
    load_encoders,
    load_posterior,
    load_results,
    result_files,
    say,
    say_if_simulated,
    to_make,
    trial_numbers,
)
from neuroreel.commands.options import (
    Decoder,
    Device,
    Fold,
    Method,
    Overwrite,
    Recording,
    Results,
    ScoredMask,
    Seed,
    Session,
    TrialNumbers,
    Trust,
)
from neuroreel.defaults import SCORED_MASK
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, refuse_existing

if TYPE_CHECKING:
    import neuroreel as nr


@dataclass(frozen=True, kw_only=True)
class Reconstruct:
    """Reconstruct movies from responses.

    Finished movies are kept; an interrupted run resumes from its last snapshot.

    Args:
        out: Folder for one .nc file per trial.
        posterior: Folder that `neuroreel fit` wrote.
        encoders: With bauer_2026: one or more encoding models of the recording's neurons. With a posterior: those that
            it was fitted to, where they are another lab's.
        mask: Transparency mask, a .npy file: the pixels that are scored (with bauer_2026 also those that may move).
        samples: Draws from the posterior beside the most likely movie, which show how sure it is.
        passes: How often the movie passes through the models at most; 25 by default, 1000 with bauer_2026.
        mask_threshold: With bauer_2026: pixels may move where the mask is at least this.
        allow_trained_on: Also reconstruct movies that an encoding model was trained on; results say so.
        max_memory: Memory to use at most, for instance 8GB; all that is free by default.
    """

    recording: Recording
    out: Path
    posterior: Path | None = None
    method: Method = "posterior"
    encoders: tuple[Path, ...] = ()
    mask: Path | None = None
    samples: int = 0
    passes: int | None = None
    fold: Fold = "fold_0"
    trials: TrialNumbers = ()
    session: Session = 0
    trust: Trust = False
    mask_threshold: float = Settings.mask_threshold
    allow_trained_on: bool = False
    seed: Seed = 0
    device: Device = "auto"
    max_memory: Annotated[str | None, arg(metavar="SIZE")] = None
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Reconstruct the trials that are missing."""
        import neuroreel as nr
        from neuroreel.encoding.checks import check_responses_fit

        if self.passes is not None:
            whole_number(self.passes, name="passes")
        opened = nr.open_recording(self.recording)
        numbers = trial_numbers(opened, self.trials, self.fold)
        model, make = self._as_published() if self.method == "bauer_2026" else self._from_posterior()
        for number in numbers:  # a damaged trial is found before hours of work on the others
            check_responses_fit(model, opened.trials[number])
        for number in numbers:
            file = self.out / f"trial_{number:03d}.nc"
            with to_make(file, what="reconstruction", overwrite=self.overwrite) as missing:
                if not missing:
                    say(f"{file} already exists")
                    continue
                compute = nr.Compute(device=self.device, max_memory=self.max_memory, checkpoint=file.with_suffix(".pt"))
                made = make(opened.trials[number], compute=compute)
                say(f"wrote {made.save(file, overwrite=self.overwrite)}")

    def _as_published(self) -> tuple[nr.EncodingModel, Callable[..., nr.Reconstruction]]:
        """One of the models, and the published method with the options given."""
        import neuroreel as nr

        if not self.encoders or self.posterior is not None or self.samples:
            raise InputError("--method bauer_2026 takes --encoders, and neither --posterior nor --samples")
        models = load_encoders(self.encoders, session=self.session, trust=self.trust)
        asked: dict[str, Any] = {} if self.passes is None else {"iterations": self.passes}
        asked |= {"mask": self._mask, "mask_threshold": self.mask_threshold, "seed": self.seed}
        asked["allow_trained_on"] = self.allow_trained_on
        return models[0], partial(nr.bauer_2026.reconstruct, models=models, **asked)

    def _from_posterior(self) -> tuple[nr.EncodingModel, Callable[..., nr.Reconstruction]]:
        """One of the models, and the posterior search with the options given."""
        import neuroreel as nr

        if self.posterior is None:
            raise InputError("give --posterior, a folder that `neuroreel fit` wrote; it has the encoding models in it")
        models = load_encoders(self.encoders, session=self.session, trust=self.trust)
        posterior = load_posterior(self.posterior, models)
        asked: dict[str, Any] = {} if self.passes is None else {"passes": self.passes}
        asked |= {"mask": self._mask, "samples": self.samples, "seed": self.seed}
        asked["allow_trained_on"] = self.allow_trained_on
        return posterior.models[0], partial(nr.reconstruct, posterior=posterior, **asked)

    @property
    def _mask(self) -> Any:
        import neuroreel as nr

        return None if self.mask is None else nr.load_mask(self.mask)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Score reconstructions and baselines.

    The baselines need the linear decoder that `neuroreel train` fitted. With several movies the table also says how
    often a frame or a clip is identified among the others (nr.identify).

    Args:
        smooth: Also score the movie blurred with this sigma in all axes (0.5 in the paper).
        out: Also write the scores of every trial to this JSON file.
    """

    results: Results
    decoder: Decoder = None
    smooth: float | None = None
    mask_threshold: ScoredMask = SCORED_MASK
    out: Path | None = None
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Print the table, and write it if requested."""
        import neuroreel as nr
        from neuroreel.evaluation.table import format_identification, format_table, score_table, table_json

        if self.out is not None:
            refuse_existing(self.out, overwrite=self.overwrite)
        loaded = load_results(self.results)
        ridge = None if self.decoder is None else nr.RidgeDecoder.load(self.decoder)
        table = score_table(loaded, decoder=ridge, smooth=self.smooth, mask_threshold=self.mask_threshold)
        say(format_table(table))
        if identified := format_identification(loaded, mask_threshold=self.mask_threshold):
            say(f"Of the reconstructions:\n{identified}")
        say_if_simulated(*loaded)
        if self.out is not None:
            with atomic_path(self.out, overwrite=self.overwrite) as partial_file:
                partial_file.write_text(table_json(table))


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write a page with the movies side by side and their scores.

    One HTML file that plays the movies offline, with settings and provenance.

    Args:
        out: The page; its name ends in .html.
        title: Heading of the page.
    """

    results: Results
    out: Path
    decoder: Decoder = None
    mask_threshold: ScoredMask = SCORED_MASK
    title: str | None = None
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Write the page."""
        import neuroreel as nr
        from neuroreel.evaluation.table import score_table

        if self.out.suffix not in (".html", ".htm"):
            raise InputError(f"--out is {self.out}; the page's name must end in .html")
        refuse_existing(self.out, overwrite=self.overwrite)
        loaded = load_results(self.results)
        ridge = None if self.decoder is None else nr.RidgeDecoder.load(self.decoder)
        known = all(result.truth is not None for result in loaded)
        table = score_table(loaded, decoder=ridge, mask_threshold=self.mask_threshold) if known else None
        page = nr.write_report(self.out, loaded, title=self.title, scores=table, overwrite=self.overwrite)
        say(f"wrote {page}")


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write reconstructions as NWB, TIFF (ImageJ), MP4 or GIF.

    Args:
        to: A name ending in .nwb (all results in one file), .tif, .mp4 or .gif; {} in it stands for each result's name.
        metadata: JSON file of NWB fields, such as {"lab": "...", "subject": {"subject_id": "..."}}.
        with_truth: Put the true movie next to the reconstruction (TIFF, MP4 and GIF; NWB always has it).
        exact: Write a lossless MP4, which some players do not show.
    """

    results: Results
    to: Annotated[str, arg(metavar="NAME")]
    metadata: Path | None = None
    with_truth: bool = False
    exact: bool = False
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Write the files."""
        from neuroreel.results.exporting import export_results

        files = result_files(self.results)
        if len({file.stem for file in files}) < len(files):
            raise InputError(f"{', '.join(map(str, files))}: some have the same name; export them one after the other")
        loaded = {file.stem: result for file, result in zip(files, load_results(self.results), strict=True)}
        written = export_results(
            loaded,
            self.to,
            metadata=self.metadata,
            with_truth=self.with_truth,
            exact=self.exact,
            overwrite=self.overwrite,
        )
        for file in written:
            say(f"wrote {file}")


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert the files of the paper's authors to open formats.

    Weights become .safetensors, results and stimuli .nc; nothing in them is executed. Masks (mask_m0.npy) need no
    conversion: --mask opens them as they are. Existing files are kept.

    Args:
        files: Encoding models (.pth), results (.npy), stimuli (.npz), or folders of results, each of which becomes one
            file.
        out: Folder for what they are converted to.
        run: Which run, if a folder of results has several, for instance "*_pop50_*".
    """

    files: Annotated[tuple[Path, ...], Positional, arg(metavar="FILE ...")]
    out: Path
    run: str = "*"
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Convert what is missing."""
        import neuroreel as nr
        from neuroreel.bauer_2026.files.convert import converted_names

        for file, name in converted_names(self.files, run=self.run).items():
            target = self.out / name
            if target.exists() and not self.overwrite:
                say(f"{target} already exists")
                continue
            say(f"wrote {nr.convert_published(file, target, run=self.run, overwrite=self.overwrite)}")
