"""What a population sees: the mean of its receptive fields, and how well it agrees with the transparency mask."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neuroreel.errors import InputError
from neuroreel.masks import check_mask_values, mask_on_video


def population_map(fields: xr.Dataset) -> xr.DataArray:
    """What part of the screen a population sees: mean over neurons of on^2 + off^2, each scaled to a sum of 1.

    Every neuron has the same weight, however strongly it responds; one that responds equally everywhere adds a
    constant. Neurons that respond nowhere are left out: those whose energy is below 1e-8 of the neurons' upper
    quartile, which is rounding.

    Parameters
    ----------
    fields
        As returned by ``receptive_fields``.

    Returns
    -------
    xarray.DataArray
        (row, column), scaled to a maximum of 1.

    Raises
    ------
    InputError
        Not a dataset of receptive fields, or no neuron responds to any spot.
    """
    if not {"on", "off"} <= set(fields):
        raise InputError("the dataset has no receptive fields, `on` and `off`; pass the result of nr.receptive_fields")
    energy = fields["on"].astype(np.float64) ** 2 + fields["off"].astype(np.float64) ** 2
    total = energy.sum(("row", "column"))
    if not (total > 0).any():
        raise InputError("no neuron responds to any spot; map larger spots (size_px=), or load or train other models")
    responds = total > 1e-8 * float(total.quantile(0.75))
    mean = (energy / total).where(responds, drop=True).mean("neuron")
    described = {"long_name": "population receptive field", "units": "1"}
    return (mean / mean.max()).rename("population").assign_attrs(described | _geometry(fields))


def mask_agreement(
    fields: xr.Dataset | xr.DataArray, mask: ArrayLike, *, mask_threshold: float = 1.0
) -> dict[str, float]:
    """How well a transparency mask and a population's receptive fields agree on what the population sees.

    Parameters
    ----------
    fields
        As returned by ``receptive_fields``, or their ``population_map``.
    mask
        (height, width) of the movie, or of the models' canvas around it; it is averaged over each spot.
    mask_threshold
        Pixels of the mask of at least this count as seen, for the overlap.

    Returns
    -------
    dict
        ``correlation``: of the mask and the map over all spots. ``overlap``: the intersection of mask and map divided
        by their union (Jaccard index); the map's area is its highest spots, as many as are in the mask.
        ``overlap_chance``: the overlap of areas of this size at random places. ``area``: fraction of the spots in the
        mask.

    Raises
    ------
    InputError
        A mask of another size, with NaN, or with all spots on one side of the threshold; a map without contrast.
    """
    population = population_map(fields) if isinstance(fields, xr.Dataset) else fields
    values = population.values
    seen = _mask_at_spots(check_mask_values(mask, what="the mask"), population)
    inside = seen >= mask_threshold
    if inside.all() or not inside.any():
        raise InputError(
            f"the mask is {'everywhere' if inside.all() else 'nowhere'} at least {mask_threshold:g} (it ranges from "
            f"{seen.min():.2g} to {seen.max():.2g}); choose another mask_threshold"
        )
    highest = np.zeros(inside.size, bool)
    highest[np.argsort(values, axis=None, kind="stable")[-inside.sum() :]] = True
    if values.min() == values.max():
        raise InputError("the population responds alike to all spots: its map agrees with no mask; load other models")
    both = int((highest & inside.ravel()).sum())
    area = float(inside.mean())
    return {
        "correlation": float(np.corrcoef(seen.ravel(), values.ravel())[0, 1]),
        "overlap": both / (2 * int(inside.sum()) - both),
        "overlap_chance": area / (2 - area),
        "area": area,
    }


def _geometry(fields: xr.Dataset | xr.DataArray) -> dict[str, int]:
    names = ("video_height", "video_width", "spot_px")
    if not set(names) <= set(fields.attrs):
        raise InputError(f"the receptive fields do not say {', '.join(names)}; pass the result of nr.receptive_fields")
    return {name: int(fields.attrs[name]) for name in names}


def _mask_at_spots(mask: NDArray[np.float32], population: xr.DataArray) -> NDArray[np.float64]:
    """The mask's mean over each spot (row, column); a canvas is cropped as for scores."""
    geometry = _geometry(population)
    size, side = (geometry["video_height"], geometry["video_width"]), geometry["spot_px"]
    tops, lefts = (np.rint(population[axis].values - (side - 1) / 2).astype(int) for axis in ("row", "column"))
    within = np.arange(side)
    rows, columns = (tops[:, None] + within)[:, None, :, None], (lefts[:, None] + within)[None, :, None, :]
    patches = mask_on_video(mask, size)[rows, columns]
    return np.asarray(patches.mean(axis=(2, 3), dtype=np.float64))
