"""The authors' files open on any machine, and nothing in them runs."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import neuroreel as nr


def summaries(golden: Path) -> list[Path]:
    return sorted(golden.glob("published_files/*/reconstruction_summary_*.npy"))


def write_pickled(file: Path, thing: object) -> Path:
    """As ``numpy.save`` writes a dictionary."""
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(thing, stream, protocol=4)
    return file


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call  # type: ignore[return-value]


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


def test_results_survive_netcdf(golden: Path, tmp_path: Path) -> None:
    result = nr.read_published(summaries(golden)[0])
    attributes = {name: str(value) for name, value in result.attrs.items()}
    result.assign_attrs(attributes).to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    assert (tmp_path / "result.nc").stat().st_size > 0


@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, io.open], ids=lambda f: f.__name__)
def test_hostile_files_are_refused_and_nothing_runs(tmp_path: Path, function: object) -> None:
    trace = tmp_path / "ran"
    arguments = {"system": f"touch {trace}", "open": str(trace)}.get(function.__name__, f"open({str(trace)!r}, 'w')")  # type: ignore[attr-defined]
    more = ("w",) if function is io.open else ("x",) if function is getattr else ()
    hostile = {"video_pred": Payload(function, arguments, *more), "video_gt": 1}
    file = write_pickled(tmp_path / "reconstruction_summary_m0_t0.npy", hostile)
    with pytest.raises(nr.InputError, match="Nothing was run"):
        nr.read_published(file)
    assert not trace.exists()


def test_hostile_tensor_storage_is_refused(tmp_path: Path) -> None:
    """A payload hidden in the bytes of a tensor: those are a pickle of their own."""
    import torch

    trace = tmp_path / "ran"
    inner = pickle.dumps(Payload(os.system, f"touch {trace}"))
    hostile = {"video_pred": Payload(torch.storage._load_from_bytes, inner), "video_gt": 1}
    file = write_pickled(tmp_path / "reconstruction_summary_m0_t0.npy", hostile)
    with pytest.raises(nr.InputError):
        nr.read_published(file)
    assert not trace.exists()


def test_damaged_and_foreign_files(golden: Path, tmp_path: Path) -> None:
    whole = summaries(golden)[0].read_bytes()
    for length in (4, 60, 200, len(whole) // 2, len(whole) - 10):
        file = tmp_path / "reconstruction_summary_m1_t0.npy"
        file.write_bytes(whole[:length])
        with pytest.raises(nr.InputError, match=r"damaged|truncated|kind"):
            nr.read_published(file)
    with pytest.raises(nr.InputError, match="no video_pred"):
        nr.read_published(write_pickled(tmp_path / "other.npy", {"a": 1}))
    with pytest.raises(nr.InputError, match="there is no file"):
        nr.read_published(tmp_path / "absent.npy")
    with pytest.raises(nr.InputError, match="load_encoder"):
        nr.read_published(next(golden.glob("checkpoints/*/*.pth")))
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(nr.InputError, match="damaged"):
        nr.read_published(tmp_path / "bad.npz")
