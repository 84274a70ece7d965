"""NWB files as labs write them, of made-up numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynwb", reason="pynwb comes with the nwb extra")

from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.behavior import BehavioralTimeSeries, EyeTracking, PupilTracking, SpatialSeries
from pynwb.image import ImageSeries
from pynwb.ophys import DfOverF, ImageSegmentation, OpticalChannel


def empty_file() -> NWBFile:
    return NWBFile(
        session_description="made up", identifier="made up", session_start_time=datetime(2026, 1, 1, tzinfo=UTC)
    )


def regions(nwb: NWBFile, neurons: int, *, name: str = "plane", masks: bool = True) -> Any:
    """A region a neuron: neuron i covers the pixels (i, 2 i) and (i, 2 i + 2), a micrometer apart."""
    device = nwb.devices["microscope"] if nwb.devices else nwb.create_device(name="microscope")
    channel = OpticalChannel(name="green", description="green", emission_lambda=520.0)
    plane = nwb.create_imaging_plane(
        name=f"imaging_{name}",
        optical_channel=channel,
        description="V1",
        device=device,
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="V1",
        grid_spacing=[2.0, 2.0],
        grid_spacing_unit="micrometers",
    )
    module = ophys(nwb)
    segmentation = part_of(module, ImageSegmentation)
    table = segmentation.create_plane_segmentation(name=name, description="cells", imaging_plane=plane)
    for neuron in range(neurons):
        mask = {"pixel_mask": [(neuron, 2 * neuron, 1.0), (neuron, 2 * neuron + 2, 1.0)]}
        if not masks:
            image = np.zeros((neurons + 1, 2 * neurons + 3))
            image[neuron, [2 * neuron, 2 * neuron + 2]] = 0.5
            mask = {"image_mask": image}
        table.add_roi(id=100 + neuron, **mask)
    return table.create_roi_table_region(region=list(range(neurons)), description="all")


def ophys(nwb: NWBFile) -> Any:
    there = "ophys" in nwb.processing
    return nwb.processing["ophys"] if there else nwb.create_processing_module("ophys", "imaging")


def part_of(module: Any, kind: type) -> Any:
    """The module's container of a kind, made where there is none."""
    if kind.__name__ not in module.data_interfaces:
        module.add(kind())
    return module[kind.__name__]


def add_responses(nwb: NWBFile, data: Any, *, name: str = "dff", masks: bool = True, **clock: Any) -> None:
    """A series (samples, neurons) in a DfOverF container, with its own plane."""
    container = part_of(ophys(nwb), DfOverF)
    rois = regions(nwb, data.shape[1], name=f"plane_{name}", masks=masks)
    container.create_roi_response_series(name=name, data=data, rois=rois, unit="n.a.", **(clock or {"rate": 30.0}))


def add_movie(nwb: NWBFile, data: Any, *, name: str = "movie", **clock: Any) -> None:
    nwb.add_stimulus(ImageSeries(name=name, data=data, unit="n.a.", **(clock or {"rate": 30.0})))


def add_behavior(nwb: NWBFile, *, pupil: Any = None, running: Any = None, center: Any = None, **clock: Any) -> None:
    clock = clock or {"rate": 30.0}
    module = nwb.create_processing_module("behavior", "eye and wheel")
    if pupil is not None:
        series = TimeSeries(name="pupil_dilation", data=pupil, unit="pixels", **clock)
        module.add(PupilTracking(time_series=series))
    if running is not None:
        series = TimeSeries(name="running_speed", data=running, unit="m/s", **clock)
        module.add(BehavioralTimeSeries(time_series=series))
    if center is not None:
        series = SpatialSeries(name="pupil_center", data=center, unit="pixels", reference_frame="camera", **clock)
        module.add(EyeTracking(spatial_series=series))


def write(nwb: NWBFile, file: Path) -> Path:
    with NWBHDF5IO(str(file), "w") as writer:
        writer.write(nwb)
    return file
