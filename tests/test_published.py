"""The authors' files open on any machine, and nothing in them runs."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import neuroreel as nr
from published_files import result_fields, write_pickled


def summaries(golden: Path) -> list[Path]:
    return sorted(golden.glob("published_files/*/reconstruction_summary_*.npy"))


def test_results_open_without_a_gpu(golden: Path) -> None:
    """Two of the three hold CUDA tensors."""
    assert len(summaries(golden)) == 3
    for file in summaries(golden):
        result = nr.read_published(file)
        frames = result.attrs["video_length"]
        assert result["video_pred"].sizes == {"frame": frames, "height": 36, "width": 64}
        assert result["video_gt"].shape == result["video_pred"].shape
        assert result["mask"].shape == (64, 64)
        assert result["responses_predicted_full"].sizes["neuron"] == 33
        assert result["video_itter"].values.tolist() == [0, 10, 20, 24]
        assert np.isnan(result["video_corr"][0]) and 0 < abs(float(result["video_corr"][-1])) < 1


def test_values_are_those_of_the_plain_copies(golden: Path) -> None:
    (file,) = golden.glob("published_files/*popreduc/*.npy")
    plain = np.load(golden / "reconstructions" / "half_population_t0.npz")
    result = nr.read_published(file)
    for name in ("video_pred", "responses", "response_loss_full", "mask"):
        np.testing.assert_allclose(result[name].values, plain[name], rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(result["population_mask"].values, plain["population_mask"][:, 0])


def test_masks_and_stimuli(golden: Path) -> None:
    mask = nr.read_published(golden / "masks" / "mask_m1.npy")["mask"]
    np.testing.assert_array_equal(mask.values, nr.load_mask(golden / "masks" / "mask_m1.npy"))
    noise = nr.read_published(golden / "published_files" / "gaussian_noise_movies.npz")["video"]
    assert noise.dims == ("height", "width", "frame", "repeat", "spatial", "temporal")
    gratings = nr.read_published(golden / "published_files" / "grating_movies.npz")["video"]
    assert gratings.sizes["frame"] == 60 and gratings.sizes["temporal"] == 2


def test_every_published_file_survives_netcdf(golden: Path, tmp_path: Path) -> None:
    files = [*summaries(golden), *golden.glob("published_files/*.npz"), golden / "masks" / "mask_m1.npy"]
    for file in files:
        dataset = nr.read_published(file)
        dataset.to_netcdf(tmp_path / "again.nc", engine="h5netcdf")
        with xr.open_dataset(tmp_path / "again.nc", engine="h5netcdf") as again:
            xr.testing.assert_equal(again.load(), dataset)
            assert set(again.attrs) == set(dataset.attrs)


@pytest.mark.parametrize("protocol", [3, 4])  # what NumPy writes, before 2.0 and since
def test_every_kind_of_field(tmp_path: Path, protocol: int) -> None:
    """Against the fields themselves, which plain NumPy and PyTorch made."""
    fields = result_fields()
    tensors = {
        f"tensor_{dtype}".replace(".", "_"): (torch.arange(200).reshape(10, 20) % 2).to(dtype).T[1:, ::2]
        for dtype in (torch.float64, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
    }
    arrays = {
        "fortran": np.asfortranarray(np.random.default_rng(0).random((10, 12))),
        "big_endian": np.arange(100, dtype=">i4").reshape(10, 10),
        "nothing": np.zeros((0, 3)),
        "truth": torch.arange(100) % 3 == 0,
        "objects": np.array(["a", 1, None], dtype=object),
    }
    file = write_pickled(tmp_path / "reconstruction_summary_m0_t0.npy", fields | tensors | arrays, protocol=protocol)
    result = nr.read_published(file)
    for name in ("video_gt", "video_pred", "mask", "behavior", "responses_predicted_full", "motion_energy_recon"):
        np.testing.assert_array_equal(result[name].values, fields[name])
        assert result[name].dtype == fields[name].dtype and result[name].values.flags.writeable
    np.testing.assert_array_equal(result["responses"].values, fields["responses"].numpy())
    np.testing.assert_array_equal(result["video_corr"].values, fields["video_corr"])
    np.testing.assert_array_equal(result["population_mask"].values, fields["population_mask"][:, 0])
    for name, value in (tensors | {key: arrays[key] for key in ("fortran", "big_endian", "truth")}).items():
        np.testing.assert_array_equal(result[name].values, np.asarray(value))
    expected = {
        **{"epochs": 25, "strides": 8, "lr": 1000, "use_adam": 1, "device": "cuda:0", "response_loss_gt": -0.5},
        **{"model_paths": ["data/experiments/true_batch_002/fold_0/model-017-0.29.pth"], "nothing": "[]"},
        **{"objects": '["a", 1, "None"]', "response_corr_gt": float(fields["response_corr_gt"])},
    }
    assert {name: result.attrs[name] for name in expected} == expected
    np.testing.assert_allclose(result["time"], np.arange(20) / 30)
    assert result["video_RMSE"].sel(iteration=20).item() == fields["video_RMSE"][2]


def gratings(**changes: Any) -> dict[str, Any]:
    """Of the published size but for the frames. Each movie holds its direction, temporal and spatial index."""
    index = np.indices((4, 7, 4)).transpose(1, 2, 3, 0) @ [100, 10, 1]
    video = np.broadcast_to(index[..., None, None, None], (4, 7, 4, 1, 36, 64))
    frequencies = {
        "drifting_sf_in_pix": np.arange(1, 5.0),
        "drifting_sf_in_deg": np.array([0.143, 0.071, 0.036, 0.018]),
    }
    times = np.array([15, 7.5, 3.75, 1.875, 0.9375, 0.46875, 0])
    directions = np.array([[0.0], [90], [180], [270]])
    return {
        **{"video": video, "drifting_directions": directions, "drifting_temporal_frequencies": times},
        **(frequencies | changes),
    }


def test_gratings_are_chosen_by_frequency(tmp_path: Path) -> None:
    """Axes 1 and 2 of the file are temporal and spatial (PROTOCOL section 7)."""
    np.savez(tmp_path / "grating_movies.npz", **gratings())
    video = nr.read_published(tmp_path / "grating_movies.npz")["video"]
    assert video.dims == ("direction", "temporal", "spatial", "frame", "height", "width")
    chosen = video.sel(direction_deg=180, temporal_frequency_hz=1.875).sel(spatial_frequency_cpd=0.07, method="nearest")
    assert np.unique(chosen).tolist() == [231]
    assert (video["spatial_frequency_cpd"].units, video["temporal_frequency_hz"].units) == ("cycles/degree", "Hz")


@pytest.mark.parametrize("sizes", [(7, 7), (1, 2)])
def test_noise_is_chosen_by_length_constant(tmp_path: Path, sizes: tuple[int, int]) -> None:
    index = np.arange(sizes[0])[:, None] * 10 + np.arange(sizes[1])
    np.savez(tmp_path / "gaussian_noise_movies.npz", video=np.broadcast_to(index, (36, 36, 2, 5, *sizes)))
    video = nr.read_published(tmp_path / "gaussian_noise_movies.npz")["video"]
    assert video.dims == ("height", "width", "frame", "repeat", "spatial", "temporal")
    if sizes == (7, 7):
        assert np.unique(video.sel(spatial_length_px=8, temporal_length_frames=2)).tolist() == [42]
    else:  # fewer stimuli: nobody knows which
        assert not video.coords


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": np.zeros((4, 7, 4, 1, 36, 60))}, r"shape \(4, 7, 4, 1, 36, 60\)"),
        ({"video": np.zeros((4, 7, 36, 64))}, "6 axes"),
        ({"video": np.zeros((4, 4, 7, 1, 36, 64))}, "7 values, the video has 4 along temporal|4 values, .* 7 along"),
        ({"drifting_directions": np.zeros(3)}, "drifting_directions has 3 values, the video has 4 along direction"),
        ({"video": np.full((4, 7, 4, 1, 36, 64), np.nan)}, "NaN"),
        ({"extra": np.array([{}], dtype=object)}, "pickled objects"),
        ({"video": np.array(["a"])}, "str"),
        ({"video": np.zeros(3, complex)}, "complex128"),
    ],
)
def test_stimuli_of_another_version(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "grating_movies.npz", **gratings(**change))
    with pytest.raises(nr.InputError, match=message):
        nr.read_published(tmp_path / "grating_movies.npz")


def test_stimuli_that_unpack_to_more_than_memory(tmp_path: Path) -> None:
    """A small archive of very many zeros: refused by what it says it unpacks to."""
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("video.npy", bytes(1000))
    content = (tmp_path / "bomb.npz").read_bytes()
    directory = content.index(b"PK\1\2")
    (tmp_path / "bomb.npz").write_bytes(
        content[: directory + 24] + struct.pack("<I", 2**32 - 2) + content[directory + 28 :]
    )
    with pytest.raises(nr.InputError, match=r"unpacks to 4\.3 GB"):
        nr.read_published(tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video_pred": None}, "another version: it has no video_pred"),
        ({"video_gt": None, "video_pred": None}, "no video_gt, no video_pred"),
        ({"video_pred": np.zeros((20, 36))}, r"video_pred is an array of shape \(20, 36\)"),
        ({"video_pred": np.zeros((19, 36, 64))}, "conflicting sizes"),
        ({"video_pred": np.full((20, 36, 64), np.nan)}, "video_pred holds NaN"),
        ({"mask": np.full((64, 64), np.inf)}, "mask holds NaN or infinite"),
        ({"video_gt": "a movie"}, "video_gt is an array of shape .* type str"),
        ({"video_corr": [[1.0], [1.0, 2.0]]}, "video_corr is not an array"),
        ({"video_corr": [0.1, 0.2]}, "conflicting sizes"),
        ({"a/b": 1}, "'a/b'"),
    ],
)
def test_results_of_another_version(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = write_pickled(tmp_path / "reconstruction_summary_m0_t0.npy", result_fields() | change)
    with pytest.raises(nr.InputError, match=message) as caught:
        nr.read_published(file)
    assert file.name in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.full((64, 64), np.nan, np.float32), "NaN or infinite"),
        (np.zeros((32, 64, 64), np.float32), r"shape \(32, 64, 64\)"),
        (np.array([["a"]]), "str"),
    ],
)
def test_masks_that_are_none(tmp_path: Path, mask: Any, message: str) -> None:
    np.save(tmp_path / "mask_m0.npy", mask)
    with pytest.raises(nr.InputError, match=message):
        nr.read_published(tmp_path / "mask_m0.npy")
    with pytest.raises(nr.InputError, match=r"mask_m0\.npy"):
        nr.load_mask(tmp_path / "mask_m0.npy")


def test_damaged_and_foreign_files(golden: Path, tmp_path: Path) -> None:
    whole = summaries(golden)[0].read_bytes()
    for length in (4, 60, 200, len(whole) // 2, len(whole) - 10):
        file = tmp_path / "reconstruction_summary_m1_t0.npy"
        file.write_bytes(whole[:length])
        with pytest.raises(nr.InputError, match=r"damaged|truncated|kind"):
            nr.read_published(file)
    with pytest.raises(nr.InputError, match="no video_pred"):
        nr.read_published(write_pickled(tmp_path / "other.npy", {"a": 1}))
    with pytest.raises(nr.InputError, match="no video_pred"):
        nr.read_published(write_pickled(tmp_path / "other.npy", 3))
    with pytest.raises(nr.InputError, match="read_published_folder"):
        nr.read_published(tmp_path)
    with pytest.raises(nr.InputError, match="there is no file"):
        nr.read_published(tmp_path / "absent.npy")
    with pytest.raises(nr.InputError, match="load_encoder"):
        nr.read_published(next(golden.glob("checkpoints/*/*.pth")))
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(nr.InputError, match="damaged"):
        nr.read_published(tmp_path / "bad.npz")
