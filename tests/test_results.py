"""Results: what goes in comes out, on disk too, and what is no result is refused with a reason."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import neuroreel as nr
from neuroreel.errors import InputError, ResourceError
from neuroreel.recordings.trial import Trial
from neuroreel.results import Reconstruction, collect_provenance, hash_array, hash_file, hash_model
from neuroreel.results.provenance import FORMAT_VERSION, plain, to_json

RATE = 30.0


def build(**changes: Any) -> Reconstruction:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 255, (20, 6, 8)).astype(np.float32)
    responses = rng.gamma(1.0, size=(5, 20)).astype(np.float32)
    arguments: dict[str, Any] = {
        "video": np.clip(truth + rng.normal(0, 10, truth.shape), 0, 255),
        "frame_rate_hz": RATE,
        "trial": Trial(video=truth, responses=responses, frame_rate_hz=RATE, name="trial 7"),
        "recording": "test mouse",
        "start": np.full(truth.shape, 127.5),
        "mask": rng.uniform(0, 1.4, (6, 8)),
        "predicted": responses * 0.5,
        "predicted_truth": responses * 0.6,
        "model_video": np.stack([truth, truth]),
        "history": {"iteration": [0, 10, 20], "loss": [3.0, 2.0, 1.5], "video_correlation": [np.nan, 0.2, 0.3]},
        "neuron_ids": [11, 12, 15, 20, 21],
        "settings": {"method": "posterior", "passes": 20},
        "hashes": {"responses": hash_array(responses)},
        "seed": 3,
        "device": torch.device("cpu"),
    }
    return Reconstruction.build(**{**arguments, **changes})


def test_a_result_holds_its_arrays_on_labelled_axes() -> None:
    result = build(pixels_per_degree=3.4)
    dataset = result.dataset
    assert result.video.dtype == np.float32 and result.video.shape == (20, 6, 8)
    assert dict(dataset["model_video"].sizes) == {"model": 2, "frame": 20, "height": 6, "width": 8}
    assert dataset["predicted"].dims == ("neuron", "frame")
    np.testing.assert_allclose(dataset["time"], np.arange(20) / RATE)
    np.testing.assert_array_equal(dataset["neuron"], [11, 12, 15, 20, 21])
    np.testing.assert_array_equal(dataset["iteration"], [0, 10, 20])
    assert float(dataset["loss"].sel(iteration=10)) == 2.0
    np.testing.assert_allclose(dataset["azimuth"].diff("width"), 1 / 3.4)
    np.testing.assert_allclose(dataset["elevation"].mean(), 0, atol=1e-12)
    assert dataset["elevation"][0] > dataset["elevation"][-1]  # row 0 is the top of the screen
    assert result.name == "trial 7 of test mouse" and not result.simulated


def test_settings_and_provenance_are_kept() -> None:
    result = build()
    assert result.settings == {"method": "posterior", "passes": 20}
    provenance = result.provenance
    assert provenance["seed"] == 3 and provenance["device"] == "cpu"
    assert provenance["versions"]["torch"] == torch.__version__
    assert provenance["hashes"]["responses"] == hash_array(result.dataset["responses"].values)
    assert provenance["date"].endswith("+00:00")
    json.dumps(provenance, allow_nan=False)


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_saving_and_loading_changes_nothing(tmp_path: Path, ending: str) -> None:
    result = build(pixels_per_degree=2.0, simulated=True)
    path = result.save(tmp_path / "folder" / f"result.{ending}")
    loaded = Reconstruction.load(path)
    xr.testing.assert_identical(loaded.dataset, result.dataset)
    assert loaded.simulated and loaded.provenance == result.provenance
    assert [item.name for item in path.parent.iterdir()] == [path.name]  # no temporary file left


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_text_ids_and_minimal_results_are_kept(tmp_path: Path, ending: str) -> None:
    named = build(neuron_ids=["a", "b", "c", "d", "eé"])
    loaded = Reconstruction.load(named.save(tmp_path / f"named.{ending}"))
    assert list(loaded.dataset["neuron"].values) == ["a", "b", "c", "d", "eé"]
    bare = Reconstruction.build(video=np.zeros((3, 2, 2)), frame_rate_hz=7.5, settings={}, hashes={})
    loaded = Reconstruction.load(bare.save(tmp_path / f"bare.{ending}"))
    assert loaded.truth is None and loaded.mask is None and loaded.frame_rate_hz == 7.5


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_nothing_is_overwritten_in_silence(tmp_path: Path, ending: str) -> None:
    path = build().save(tmp_path / f"result.{ending}")
    other = build(video=np.zeros((20, 6, 8)))
    with pytest.raises(InputError, match="already exists"):
        other.save(path)
    assert Reconstruction.load(path).video.max() > 0
    other.save(path, overwrite=True)
    assert Reconstruction.load(path).video.max() == 0


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, data: bytes) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build().save(tmp_path / "result.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["result.nc", "result.zarr", "result.tif", "result.mp4"])
def test_a_full_disk_is_named_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    """On a real disk of 64 KiB: libraries meet a full one in their own ways, HDF5 with a crash."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk (root)")
    noise = np.random.default_rng(0).uniform(0, 255, (60, 36, 64))
    result = Reconstruction.build(video=noise, frame_rate_hz=RATE, settings={}, hashes={})
    writers: dict[str, Callable[[Path], Path]] = {".tif": result.to_tiff, ".mp4": result.to_mp4}
    try:
        with pytest.raises(ResourceError, match="no space left on the disk"):
            writers.get(Path(name).suffix, result.save)(disk / name)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_loading_what_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no"):
        Reconstruction.load(tmp_path / "missing.nc")
    with pytest.raises(InputError, match=r"must end in \.nc"):
        Reconstruction.load(tmp_path / "result.npy")
    (tmp_path / "text.nc").write_text("not a NetCDF file")
    with pytest.raises(InputError, match="cannot be read"):
        Reconstruction.load(tmp_path / "text.nc")
    xr.Dataset({"video": (("frame",), np.zeros(3))}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="is not a neuroreel reconstruction"):
        Reconstruction.load(tmp_path / "other.nc")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        Reconstruction.load(tmp_path / "empty.zarr")


def test_a_file_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    result = build()
    result.dataset.attrs["format_version"] = FORMAT_VERSION + 1
    path = result.save(tmp_path / "newer.nc")
    with pytest.raises(InputError, match=f"format version {FORMAT_VERSION + 1}.*install a newer neuroreel"):
        Reconstruction.load(path)


def test_truncated_netcdf_is_refused(tmp_path: Path) -> None:
    path = build().save(tmp_path / "result.nc")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="damaged"):
        Reconstruction.load(path)


def test_a_lost_zarr_chunk_is_noticed(tmp_path: Path) -> None:
    path = build().save(tmp_path / "result.zarr")
    shutil.rmtree(path / "video" / "c")  # Zarr would read zeros
    with pytest.raises(InputError, match="damaged"):
        Reconstruction.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": np.zeros((20, 6))}, "video has shape"),
        ({"video": np.full((20, 6, 8), 300.0)}, "0..255"),
        ({"video": np.full((20, 6, 8), np.nan)}, "NaN"),
        ({"video": np.zeros((19, 6, 8))}, "video has 19|has 20 on its axis 'frame'"),
        ({"mask": np.ones((64, 64))}, "mask has 64 on its axis 'height'"),
        ({"predicted": np.ones((4, 20))}, "predicted has 4 on its axis 'neuron'"),
        ({"history": {"loss": [1.0], "video_correlation": [1.0, 2.0]}}, "different lengths"),
        ({"history": {"video": [1.0]}}, "may not use"),
        ({"neuron_ids": [1, 2]}, "neuron_ids"),
        ({"frame_rate_hz": 0.0}, "frame_rate_hz"),
        ({"pixels_per_degree": -1.0}, "pixels_per_degree"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(**change)


def test_a_dataset_with_turned_axes_is_refused() -> None:
    with pytest.raises(InputError, match="use dataset"):
        Reconstruction(build().dataset.transpose("width", ...))


def test_smoothing_matches_an_explicit_convolution() -> None:
    """Against the definition: normalised Gaussian weights to 4 sigma, edges reflected, one axis after the other."""
    result, sigma = build(), 0.5
    offsets = np.arange(-2, 3)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    expected = result.video.astype(np.float64)
    for axis in range(3):
        padded = np.pad(expected, [(2, 2) if i == axis else (0, 0) for i in range(3)], mode="symmetric")
        shifted = [np.take(padded, np.arange(expected.shape[axis]) + 2 + o, axis=axis) for o in offsets]
        expected = sum(weight * part for weight, part in zip(weights, shifted, strict=True))
    smooth = result.smooth(sigma)
    np.testing.assert_allclose(smooth.video, expected, atol=1e-3)
    assert smooth.settings["smoothed"] == [0.5] and "smoothed" not in result.settings
    assert smooth.smooth(1).settings["smoothed"] == [0.5, 1.0]
    assert "before smoothing" in smooth.dataset["predicted"].attrs["of"]
    np.testing.assert_array_equal(smooth.truth, result.truth)


@pytest.mark.parametrize("sigma", [-1.0, np.nan])
def test_impossible_smoothing_is_refused(sigma: float) -> None:
    with pytest.raises(InputError, match="sigma"):
        build().smooth(sigma)


def test_faces_show_name_frames_and_whether_it_is_simulated() -> None:
    result = build(simulated=True, recording="<mouse>")
    share = float((result.mask >= 1).mean())
    assert repr(result) == (
        "Reconstruction(trial 7 of <mouse>, 20 frames at 30 Hz, 8x6 pixels, simulated, "
        f"video correlation {result.score(skip=10):.3f} inside {share:.0%} of the screen)"
    )
    page = result._repr_html_()
    assert "<mouse>" not in page and "&lt;mouse&gt;" in page
    assert re.findall(r"flex:1'>([^<]*)<", page) == ["true movie", "reconstruction"]
    assert "Reconstruction at the true movie&#x27;s brightness and contrast, inside the mask." in page
    movie = Image.open(io.BytesIO(base64.b64decode(re.search(r"gif;base64,([^']+)'", page)[1])))
    assert movie.n_frames == 10 and movie.size == (8 + 8 + 2, 6)
    assert page.count("<path ") == 4 and "viewBox='0 0 18 6'" in page, "an outline over each movie, in two colors"
    alone = Reconstruction(result.dataset.drop_vars("truth"))
    assert "true movie" not in alone._repr_html_() and "correlation" not in repr(alone)
    unseen = Reconstruction(result.dataset.assign(mask=0 * result.dataset["mask"]))
    assert "nan inside 0% of the screen" in repr(unseen) and "<path " not in unseen._repr_html_()


def test_frames_of_all_movies_that_there_are() -> None:
    samples = np.clip(build().video + np.random.default_rng(1).normal(0, 5, (4, 20, 6, 8)), 0, 255)
    result = build(simulated=True, samples=samples, deviation=np.full((20, 6, 8), 12.0))
    (axes,) = result.plot(columns=4).axes
    names = [each.get_text() for each in axes.get_yticklabels()]
    assert names == ["true movie", "reconstruction", "uncertainty\n(white: 20 grey levels)"]
    assert [each.get_text() for each in axes.texts if each.get_text()] == ["0.07 s", "0.23 s", "0.40 s", "0.57 s"]
    images = [np.asarray(each.get_array()) for each in axes.images]
    np.testing.assert_array_equal(images[1], result.truth[7])
    inside = result.mask >= 1
    matched = nr.match_contrast(result.truth, result.video, mask=result.mask)
    np.testing.assert_array_equal(images[5], matched[7])
    assert (images[5][~inside] == 127.5).all() and (images[9] == 12.0 * 255 / 20).all()
    title = axes.get_title("left")
    assert "inside 17% of the screen" in title and "brightness and contrast" in title
    assert axes.figure.get_suptitle() == "simulated mouse, not a real one"
    (alone,) = Reconstruction(result.dataset.drop_vars(["truth", "deviation"])).plot().axes
    assert [each.get_text() for each in alone.get_yticklabels()] == ["reconstruction"] and len(alone.images) == 6


def test_a_mask_that_scores_nothing_does_not_stop_the_pictures() -> None:
    result = build(mask=np.full((6, 8), 0.2))
    (axes,) = result.plot().axes
    assert not axes.lines and "nan inside 0% of the screen" in axes.get_title("left")


def test_history_responses_and_map_are_drawn_as_they_are() -> None:
    result = build()
    loss, correlation = result.plot_history().axes
    assert loss.lines[0].get_xydata().tolist() == [[0, 3.0], [10, 2.0], [20, 1.5]] and loss.get_ylabel() == "loss"
    assert correlation.lines[0].get_xydata().tolist() == [[10, 0.2], [20, 0.3]], "the undefined first one is left out"
    assert list(result.history.columns) == ["loss", "video_correlation"] and result.history.loc[20, "loss"] == 1.5
    rasters = result.plot_responses().axes[:3]
    assert [ax.get_title("left") for ax in rasters] == [
        "recorded",
        "predicted from the true movie (r = 1.00)",
        "predicted from the reconstruction (r = 1.00)",
    ]
    shown = [np.asarray(ax.images[0].get_array()) for ax in rasters]
    np.testing.assert_allclose(shown[2], 0.5 * shown[0], rtol=1e-5)
    assert len({ax.images[0].get_clim() for ax in rasters}) == 1 and rasters[0].images[0].get_extent()[1] == 20 / RATE
    axes = result.plot_map(skip=5).axes[0]
    expected = nr.pixel_correlation(result.truth, result.video, skip=5)
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), expected)
    assert "17% of the screen is scored" in axes.get_title("left")
    bare = build(history=None)
    with pytest.raises(InputError, match="no history was recorded"):
        bare.plot_history()
    with pytest.raises(InputError, match="no responses were saved"):
        Reconstruction(bare.dataset.drop_vars("responses")).plot_responses()


def test_the_screen_has_coordinates_and_stands_the_right_way_up(tmp_path: Path) -> None:
    result = build()
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    result.dataset["video"].isel(frame=3).plot(ax=axes, add_colorbar=False)
    low, high = axes.get_ylim()
    assert low < high and result.dataset["height"].values.tolist() == [5, 4, 3, 2, 1, 0]
    old = Reconstruction.load(result.save(tmp_path / "a.nc"))
    bare = Reconstruction(old.dataset.drop_vars(["height", "width"]))  # as files of earlier versions have it
    assert bare.dataset["height"].values.tolist() == [5, 4, 3, 2, 1, 0]


def test_what_a_result_shows_inline_is_the_page_of_the_report() -> None:
    player = build().show()
    html = player._repr_html_()
    assert html.startswith('<iframe srcdoc="&lt;!doctype html&gt;') and "<script" not in html
    assert "write_report" in repr(player)


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_movies_side_by_side_are_matched_and_say_so(tmp_path: Path, name: str) -> None:
    result = build()
    write = result.to_gif if name.endswith("gif") else result.to_mp4
    if name.endswith("mp4"):
        pytest.importorskip("imageio_ffmpeg")
    said = b"reconstruction, at the true movie's brightness and contrast, inside the mask"
    assert said in write(tmp_path / name, with_truth=True).read_bytes()
    assert said not in write(tmp_path / f"raw_{name}", with_truth=True, match_contrast=False).read_bytes()


@given(hnp.arrays(st.sampled_from([np.float32, np.int16, np.uint8]), hnp.array_shapes(max_dims=3)))
@settings(max_examples=50, deadline=None)
def test_a_hash_sees_values_shape_and_type_but_not_the_layout(array: np.ndarray) -> None:
    assert hash_array(array) == hash_array(np.asfortranarray(array)) == hash_array(array.copy())
    assert hash_array(array) == hash_array(array.astype(array.dtype.newbyteorder(">")))
    assert hash_array(array) != hash_array(array[None])
    assert hash_array(array) != hash_array(array.astype(np.float64))
    changed = array.copy()
    changed.flat[-1] = 0 if changed.flat[-1] else 1
    assert hash_array(array) != hash_array(changed)


def test_the_hash_is_that_of_the_bytes() -> None:
    array = np.arange(6, dtype="<i4").reshape(2, 3)
    assert hash_array(array) == hashlib.sha256(b"<i4(2, 3)" + array.tobytes()).hexdigest()


def test_model_hashes_follow_the_weights() -> None:
    def model(seed: int) -> torch.nn.Module:
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))

    assert hash_model(model(0)) == hash_model(model(0).eval()) != hash_model(model(1))
    changed = model(0)
    changed[1].running_mean += 1  # buffers count: they change what the model predicts
    assert hash_model(changed) != hash_model(model(0))
    assert hash_model(model(0).to(torch.bfloat16)) != hash_model(model(0))


def test_file_hash(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert hash_file(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match="is not a file"):
        hash_file(tmp_path)


def test_any_setting_becomes_plain_json() -> None:
    settings = {
        "path": Path("a/b"),
        "rate": np.float32(0.5),
        "limit": float("inf"),
        "shape": np.array([36, 64]),
        "keep": np.arange(100) < 40,
        "tensor": torch.tensor([1.0, 2.0]),
        "rule": np.mean,
        "trial": {"nested": (1, None)},
    }
    found = json.loads(to_json(settings))
    assert found["path"] == "a/b" and found["rate"] == 0.5 and found["limit"] == "inf"
    assert found["shape"] == [36, 64] and found["tensor"] == [1.0, 2.0] and found["trial"] == {"nested": [1, None]}
    assert found["keep"] == {"shape": [100], "type": "bool", "sha256": hash_array(settings["keep"]), "true": 40}
    assert found["rule"] == "numpy.mean"


def test_the_command_line_is_kept_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "command" not in collect_provenance(settings={}, hashes={})
    monkeypatch.setattr("sys.argv", ["/usr/bin/neuroreel", "demo", "--name", "two words"])
    assert collect_provenance(settings={}, hashes={})["command"] == "neuroreel demo --name 'two words'"


def test_dataclasses_say_what_they_are() -> None:
    trial = Trial(responses=np.zeros((1, 2)), frame_rate_hz=30.0)
    assert plain(trial)["kind"] == "Trial" and plain(trial)["frame_rate_hz"] == 30.0


def test_a_result_scores_itself() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 255, (40, 6, 8)).astype(np.float32)
    video = np.clip(truth + rng.normal(0, 30, truth.shape), 0, 255).astype(np.float32)
    mask = np.zeros((6, 8), np.float32)
    mask[1:4] = 1.2
    result = Reconstruction.build(video=video, truth=truth, mask=mask, frame_rate_hz=30, settings={}, hashes={})
    assert result.score() == nr.video_correlation(truth, video, mask=mask, skip=30)
    assert result.scores(skip=5) == nr.scores(truth, video, mask=mask, skip=5)
    with pytest.raises(InputError, match="true movie"):
        Reconstruction.build(video=video, frame_rate_hz=30, settings={}, hashes={}).score()


def test_a_figure_is_drawn_in_a_notebook_that_never_imported_pyplot() -> None:
    """In a process of its own: other tests import pyplot."""
    code = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import numpy as np, neuroreel as nr
video = np.random.default_rng(0).uniform(0, 255, (12, 6, 8)).astype("float32")
result = nr.Reconstruction.build(video=video, frame_rate_hz=30, settings={}, hashes={})
assert "matplotlib.pyplot" not in sys.modules
figure = result.plot()
data, _ = shell.display_formatter.format(figure)
print(sorted(data), data["image/png"][:4])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "image/png" in done.stdout and "iVBO" in done.stdout, done.stderr  # PNG, in base 64
