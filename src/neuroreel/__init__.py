"""neuroreel: reconstruct the movie an animal watched from the activity of its neurons."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroreel import bauer_2026 as bauer_2026
    from neuroreel.bauer_2026.files.convert import convert_published as convert_published
    from neuroreel.bauer_2026.files.folder import read_published_folder as read_published_folder
    from neuroreel.bauer_2026.files.results import read_published as read_published
    from neuroreel.bauer_2026.mask import learn_mask as learn_mask
    from neuroreel.compute import Compute as Compute
    from neuroreel.decoding.decoder import RidgeDecoder as RidgeDecoder
    from neuroreel.decoding.decoder import decode as decode
    from neuroreel.decoding.ridge import fit_decoder as fit_decoder
    from neuroreel.encoding.correlation import encoder_correlation as encoder_correlation
    from neuroreel.encoding.files import load_encoder as load_encoder
    from neuroreel.encoding.files import save_encoder as save_encoder
    from neuroreel.encoding.interface import Canvas as Canvas
    from neuroreel.encoding.interface import EncodingModel as EncodingModel
    from neuroreel.encoding.predict import predict as predict
    from neuroreel.encoding.training.fit import fit_encoder as fit_encoder
    from neuroreel.errors import InputError as InputError
    from neuroreel.errors import NeuroreelError as NeuroreelError
    from neuroreel.errors import RefusedError as RefusedError
    from neuroreel.errors import ResourceError as ResourceError
    from neuroreel.evaluation.baselines import baselines as baselines
    from neuroreel.evaluation.baselines import shuffle_neurons as shuffle_neurons
    from neuroreel.evaluation.calibration import calibration_figure as calibration_figure
    from neuroreel.evaluation.calibration import coverage as coverage
    from neuroreel.evaluation.calibration import rank_histogram as rank_histogram
    from neuroreel.evaluation.frequency_bands import BandCorrelation as BandCorrelation
    from neuroreel.evaluation.frequency_bands import band_correlation as band_correlation
    from neuroreel.evaluation.identification import Identification as Identification
    from neuroreel.evaluation.identification import identify as identify
    from neuroreel.evaluation.mixed_model import MixedModel as MixedModel
    from neuroreel.evaluation.mixed_model import mixed_model as mixed_model
    from neuroreel.evaluation.overfit import OverfitGauge as OverfitGauge
    from neuroreel.evaluation.overfit import leave_out_neurons as leave_out_neurons
    from neuroreel.evaluation.overfit import overfit_gauge as overfit_gauge
    from neuroreel.evaluation.population import mask_agreement as mask_agreement
    from neuroreel.evaluation.population import population_map as population_map
    from neuroreel.evaluation.receptive_fields import receptive_fields as receptive_fields
    from neuroreel.evaluation.scores import pixel_correlation as pixel_correlation
    from neuroreel.evaluation.scores import scores as scores
    from neuroreel.evaluation.scores import video_correlation as video_correlation
    from neuroreel.evaluation.ssim import published_ssim as published_ssim
    from neuroreel.evaluation.ssim import ssim as ssim
    from neuroreel.evaluation.statistics import StatisticalTest as StatisticalTest
    from neuroreel.evaluation.statistics import paired_tests as paired_tests
    from neuroreel.evaluation.statistics import repeated_measures_anova as repeated_measures_anova
    from neuroreel.evaluation.uncertainty import Uncertainty as Uncertainty
    from neuroreel.evaluation.uncertainty import ensemble_uncertainty as ensemble_uncertainty
    from neuroreel.masks import load_mask as load_mask
    from neuroreel.masks import save_mask as save_mask
    from neuroreel.posterior.fit import fit_posterior as fit_posterior
    from neuroreel.posterior.movie_prior import MoviePrior as MoviePrior
    from neuroreel.posterior.posterior import Posterior as Posterior
    from neuroreel.posterior.posterior import load_posterior as load_posterior
    from neuroreel.posterior.reconstruct import reconstruct as reconstruct
    from neuroreel.posterior.reconstruct import reconstruct_each as reconstruct_each
    from neuroreel.posterior.sensitivity import posterior_mask as posterior_mask
    from neuroreel.recordings.download.run import download as download
    from neuroreel.recordings.nwb.importing import import_nwb as import_nwb
    from neuroreel.recordings.recording import Recording as Recording
    from neuroreel.recordings.recording import open_recording as open_recording
    from neuroreel.recordings.simulate import simulate_recording

    simulate = simulate_recording
    from neuroreel.recordings.table import import_table as import_table
    from neuroreel.recordings.trial import Trial as Trial
    from neuroreel.recordings.writing import write_recording as write_recording
    from neuroreel.report import write_report as write_report
    from neuroreel.results.reconstruction import Reconstruction as Reconstruction
    from neuroreel.stimuli.gratings import drifting_grating as drifting_grating
    from neuroreel.stimuli.gratings import temporal_frequency as temporal_frequency
    from neuroreel.stimuli.noise import gaussian_noise as gaussian_noise
    from neuroreel.stimuli.noise import published_noise as published_noise
    from neuroreel.stimuli.screen import Screen as Screen
    from neuroreel.stimuli.sets import grating_stimuli as grating_stimuli
    from neuroreel.stimuli.sets import noise_stimuli as noise_stimuli
    from neuroreel.stimuli.sparse import SparsePixels as SparsePixels

# Where each public name lives. They are imported at first use: PyTorch and its company take seconds to load, and
# `neuroreel --help` should not wait for them.
_HOMES = {
    "bauer_2026": "bauer_2026",
    "BandCorrelation": "evaluation.frequency_bands",
    "Canvas": "encoding.interface",
    "Compute": "compute",
    "EncodingModel": "encoding.interface",
    "Identification": "evaluation.identification",
    "InputError": "errors",
    "MixedModel": "evaluation.mixed_model",
    "MoviePrior": "posterior.movie_prior",
    "NeuroreelError": "errors",
    "OverfitGauge": "evaluation.overfit",
    "Posterior": "posterior.posterior",
    "Reconstruction": "results.reconstruction",
    "Recording": "recordings.recording",
    "RefusedError": "errors",
    "ResourceError": "errors",
    "RidgeDecoder": "decoding.decoder",
    "Screen": "stimuli.screen",
    "SparsePixels": "stimuli.sparse",
    "StatisticalTest": "evaluation.statistics",
    "Trial": "recordings.trial",
    "Uncertainty": "evaluation.uncertainty",
    "band_correlation": "evaluation.frequency_bands",
    "baselines": "evaluation.baselines",
    "calibration_figure": "evaluation.calibration",
    "convert_published": "bauer_2026.files.convert",
    "coverage": "evaluation.calibration",
    "decode": "decoding.decoder",
    "download": "recordings.download.run",
    "drifting_grating": "stimuli.gratings",
    "encoder_correlation": "encoding.correlation",
    "ensemble_uncertainty": "evaluation.uncertainty",
    "fit_decoder": "decoding.ridge",
    "fit_encoder": "encoding.training.fit",
    "fit_posterior": "posterior.fit",
    "gaussian_noise": "stimuli.noise",
    "grating_stimuli": "stimuli.sets",
    "identify": "evaluation.identification",
    "import_nwb": "recordings.nwb.importing",
    "import_table": "recordings.table",
    "learn_mask": "bauer_2026.mask",
    "leave_out_neurons": "evaluation.overfit",
    "load_encoder": "encoding.files",
    "load_posterior": "posterior.posterior",
    "load_mask": "masks",
    "mask_agreement": "evaluation.population",
    "noise_stimuli": "stimuli.sets",
    "mixed_model": "evaluation.mixed_model",
    "open_recording": "recordings.recording",
    "population_map": "evaluation.population",
    "overfit_gauge": "evaluation.overfit",
    "paired_tests": "evaluation.statistics",
    "pixel_correlation": "evaluation.scores",
    "posterior_mask": "posterior.sensitivity",
    "predict": "encoding.predict",
    "published_noise": "stimuli.noise",
    "published_ssim": "evaluation.ssim",
    "rank_histogram": "evaluation.calibration",
    "read_published": "bauer_2026.files.results",
    "read_published_folder": "bauer_2026.files.folder",
    "receptive_fields": "evaluation.receptive_fields",
    "reconstruct": "posterior.reconstruct",
    "reconstruct_each": "posterior.reconstruct",
    "repeated_measures_anova": "evaluation.statistics",
    "save_encoder": "encoding.files",
    "save_mask": "masks",
    "scores": "evaluation.scores",
    "shuffle_neurons": "evaluation.baselines",
    "simulate": "recordings.simulate",
    "ssim": "evaluation.ssim",
    "temporal_frequency": "stimuli.gratings",
    "video_correlation": "evaluation.scores",
    "write_recording": "recordings.writing",
    "write_report": "report",
}
_NAMES_THERE = {"simulate": "simulate_recording"}

__all__ = ["__version__", *_HOMES]

try:
    __version__ = version("neuroreel")
except PackageNotFoundError:  # run from its source tree
    __version__ = "0+source"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'neuroreel' has no attribute {name!r}")
    home = importlib.import_module(f"neuroreel.{_HOMES[name]}")
    value = home if name == _HOMES[name] else getattr(home, _NAMES_THERE.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
