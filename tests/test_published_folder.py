"""A folder of the authors' results as one dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neuroreel as nr
from neuroreel.bauer_2026.files import folder as module
from published_files import result_fields, write_result

RUN = "datafold_0_pop50_hpc_round11_popreduc"
FRAMES = {(0, 0): 20, (0, 3): 25, (1, 0): 18}  # of mouse and trial
NEURONS = {0: 3, 1: 5}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two mice, three movies, three models; one result is missing."""
    root = tmp_path_factory.mktemp("reconstructions")
    for model in range(3):
        for (mouse, trial), frames in FRAMES.items():
            sizes = {"frames": frames, "neurons": NEURONS[mouse], "mouse": mouse, "trial": trial, "model": model}
            if (model, mouse, trial) != (2, 0, 3):
                write_result(root / f"modelfold[{model}]_{RUN}", f"m{mouse}_t{trial}", **sizes)
        (root / f"modelfold[{model}]_{RUN}" / "reconstruction_summary_m0_t0.png").write_bytes(b"a picture")
    (root / "masks").mkdir()
    return root


def test_every_number_is_where_it_belongs(written: Path) -> None:
    """Against the files, one by one."""
    dataset = nr.read_published_folder(written, variables="all", progress=False)
    assert dict(dataset.sizes) | {"mouse": 2, "trial": 2, "model": 3, "frame": 25, "neuron": 5} == dict(dataset.sizes)
    for file in sorted(written.glob("*/*.npy")):
        single = nr.read_published(file)
        mouse, trial = single.attrs["mouse_index"], single.attrs["trial"]
        here = dataset.sel(mouse=mouse, trial=trial, model=single.attrs["model_list"])
        kept = {"frame": here.frames.item(), "neuron": here.neurons.item(), "frame_step": single.sizes["frame_step"]}
        here = here.isel({axis: slice(length) for axis, length in kept.items()})
        assert here.sizes["frame"] == FRAMES[mouse, trial] and here.sizes["neuron"] == NEURONS[mouse]
        for name, values in single.items():
            if name == "video_itter":
                continue
            values = values.isel(model=0) if "model" in values.dims else values
            assert here[name].dims == values.dims
            np.testing.assert_array_equal(here[name].values, values.values, err_msg=str(name))
        assert here["response_corr_gt"].item() == single.attrs["response_corr_gt"]
        assert here["file"].item() == f"{file.parent.name}/{file.name}"


def test_axes_and_padding(written: Path) -> None:
    dataset = nr.read_published_folder(written, progress=False)
    assert dataset["video_pred"].dims == ("mouse", "trial", "model", "frame", "height", "width")
    assert dataset["video_gt"].dims == ("mouse", "trial", "frame", "height", "width")
    assert dataset["mask"].dims == ("mouse", "canvas_height", "canvas_width")
    assert dataset["population_mask"].dims == ("mouse", "trial", "neuron")
    assert dataset["video_corr"].dims == ("mouse", "trial", "model", "iteration")
    assert dataset["video_pred"].dtype == np.float32
    assert not {"responses", "responses_predicted_gt", "responses_predicted_full"} & set(dataset)
    assert dataset["trial"].values.tolist() == [0, 3] and dataset["iteration"].values.tolist() == [0, 10, 20, 24]
    assert dataset["frames"].sel(mouse=0, trial=3).item() == 25 and dataset["neurons"].values.tolist() == [3, 5]
    assert dataset["frames"].sel(mouse=1, trial=3).item() == 0
    np.testing.assert_array_equal(
        np.isnan(dataset["video_pred"]).all(("height", "width")).sel(mouse=0, trial=0, model=1), np.arange(25) >= 20
    )
    assert dataset.attrs["missing"] == ["mouse 0 trial 3 model 2", "mouse 1 trial 3"]
    for absent in ({"mouse": 0, "trial": 3, "model": 2}, {"mouse": 1, "trial": 3}):
        assert np.isnan(dataset["video_corr"].sel(absent)).all() and np.isnan(dataset["video_pred"].sel(absent)).all()
    assert dataset["population"].item() == 0.5 and dataset.attrs["run"] == RUN and dataset.attrs["use_adam"] == 1
    assert not {"mouse_index", "trial", "model_list", "renamed"} & set(dataset.attrs)


def test_one_models_folder_and_chosen_variables(written: Path, tmp_path: Path) -> None:
    dataset = nr.read_published_folder(
        written / f"modelfold[1]_{RUN}", variables=("video_corr", "video_RMSE"), progress=False
    )
    assert set(dataset.data_vars) - {"file", "response_corr_gt"} == {"video_corr", "video_RMSE"}
    assert dataset["model"].values.tolist() == [1] and dataset.attrs["missing"] == ["mouse 1 trial 3"]
    dataset.to_netcdf(tmp_path / "one.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "one.nc", engine="h5netcdf") as again:
        xr.testing.assert_equal(again.load(), dataset)


def test_runs_are_told_apart(written: Path, tmp_path: Path) -> None:
    root = tmp_path / "all"
    shutil.copytree(written, root)
    noise = root / "modelfold0_round4_Gausnoise"
    for temporal in (0, 3):
        write_result(noise, f"m1_r2s4t{temporal}")
        write_result(root / "modelfold0_round5_Gausnoise_PhaseInverted", f"m1_r2s4t{temporal}")
        write_result(root / "modelfold[0 1 2]_Drifting_gratings", f"m1_d2s4t{temporal}")
    with pytest.raises(nr.InputError, match=rf"several runs; .*'{RUN}' \(8 results\).*Gausnoise' \(2 results\)"):
        nr.read_published_folder(root, progress=False)
    with pytest.raises(nr.InputError, match="no run 'other'"):
        nr.read_published_folder(root, run="other", progress=False)
    assert nr.read_published_folder(root, run="*pop50*", progress=False).sizes["model"] == 3
    dataset = nr.read_published_folder(root, run="round4*", progress=False)
    assert dataset["video_pred"].dims[:5] == ("mouse", "repeat", "spatial", "temporal", "model")
    assert dataset["video_pred"].sel(spatial_length_px=8, temporal_length_frames=4, repeat=2).sizes["frame"] == 20
    assert len(dataset.attrs["renamed"]) == 2 and "contains mouse 0" in dataset.attrs["renamed"][0]
    gratings = nr.read_published_folder(root, run="Drifting*", progress=False)
    assert gratings["video_pred"].dims[:5] == ("mouse", "direction", "spatial", "temporal", "model")
    assert gratings["model"].values.tolist() == ["0 1 2"]


def test_gratings_take_their_frequencies_from_the_stimuli(tmp_path: Path) -> None:
    """As the documentation says: axes have the same names in both."""
    folder = tmp_path / "modelfold0_Drifting_gratings"
    for temporal in range(2):
        write_result(folder, f"m0_d0s0t{temporal}", model=temporal)
    np.savez(
        tmp_path / "grating_movies.npz",
        video=np.zeros((1, 2, 1, 3, 36, 64)),
        drifting_temporal_frequencies=np.array([15.0, 7.5]),
        drifting_sf_in_deg=np.array([0.143]),
    )
    results = nr.read_published_folder(folder, progress=False)
    stimuli = nr.read_published(tmp_path / "grating_movies.npz")
    chosen = results.assign_coords(stimuli.drop_vars("video").coords).sel(temporal_frequency_hz=7.5)
    np.testing.assert_array_equal(chosen["video_corr"].squeeze(), results["video_corr"].isel(temporal=1).squeeze())


def test_renamed_folders_are_models(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_result(tmp_path / name, "m0_t0", model=len(name))
    dataset = nr.read_published_folder(tmp_path, progress=False)
    assert dataset["model"].values.tolist() == ["first", "second"]


def test_ensembles_keep_the_predictions_of_their_models(tmp_path: Path) -> None:
    fields = result_fields() | {"responses_predicted_gt": np.random.default_rng(0).random((3, 20, 2))}
    folder = tmp_path / "modelfold[0 1]_x"
    folder.mkdir()
    np.save(folder / "reconstruction_summary_m0_t0.npy", np.array(fields, dtype=object), allow_pickle=True)
    predicted = nr.read_published_folder(folder, variables="responses_predicted_gt", progress=False)
    assert predicted["responses_predicted_gt"].dims[-3:] == ("neuron", "frame", "ensemble_model")
    np.testing.assert_array_equal(predicted["responses_predicted_gt"].squeeze(), fields["responses_predicted_gt"])


def test_different_logs_have_no_common_iterations(tmp_path: Path) -> None:
    for model, iterations in ((0, [0, 10, 20, 24]), (1, [0, 10, 20, 30])):
        folder = tmp_path / f"modelfold{model}_x"
        folder.mkdir()
        fields = result_fields(model=model) | {"video_itter": iterations}
        np.save(folder / "reconstruction_summary_m0_t0.npy", np.array(fields, dtype=object), allow_pickle=True)
    dataset = nr.read_published_folder(tmp_path, progress=False)
    assert "iteration" not in dataset.coords
    assert dataset["video_itter"].sel(model=1).values.ravel().tolist() == [0, 10, 20, 30]


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_nothing_there(tmp_path: Path) -> None:
    for folder, message in ((tmp_path, "hold no reconstruction_summary_"), (tmp_path / "gone", "there is no folder")):
        with pytest.raises(nr.InputError, match=message):
            nr.read_published_folder(folder)


@pytest.mark.parametrize(
    ("first", "second"), [("modelfold[0]_x/m0_t0", "modelfold0_x/m0_t0"), ("modelfold0_x/m0_t0", "modelfold0_x/m0_t00")]
)
def test_two_files_of_one_result(tmp_path: Path, first: str, second: str) -> None:
    for each in (first, second):
        folder, _, name = each.partition("/")
        write_result(tmp_path / folder, name)
    with pytest.raises(nr.InputError, match="are both mouse 0 trial 0 model 0; keep one"):
        nr.read_published_folder(tmp_path)


def test_names_that_are_not_understood(tmp_path: Path) -> None:
    write_result(tmp_path, "m0_t0 (1)")
    with pytest.raises(nr.InputError, match=r"m0_t0 \(1\)\.npy is not understood; results are named"):
        nr.read_published_folder(tmp_path)


def test_two_experiments_in_one_folder(tmp_path: Path) -> None:
    for name in ("m0_t0", "m0_r0s0t0"):
        write_result(tmp_path, name)
    with pytest.raises(nr.InputError, match="different experiments"):
        nr.read_published_folder(tmp_path)


def test_models_that_saw_different_movies(tmp_path: Path) -> None:
    for model in (0, 1):
        write_result(tmp_path / f"modelfold{model}_x", "m0_t0", seed=model)
    with pytest.raises(nr.InputError, match=r"differs between .*modelfold0_x.* and .*modelfold1_x"):
        nr.read_published_folder(tmp_path, progress=False)


def test_unknown_variables(written: Path) -> None:
    with pytest.raises(nr.InputError, match=r"no variable video_guess; it has .*video_pred"):
        nr.read_published_folder(written, variables=("video_guess",))


def test_a_damaged_file_is_named(written: Path, tmp_path: Path) -> None:
    root = tmp_path / "all"
    shutil.copytree(written, root)
    file = root / f"modelfold[2]_{RUN}" / "reconstruction_summary_m1_t0.npy"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(nr.InputError, match=r"modelfold\[2\]_.*m1_t0.npy is truncated"):
        nr.read_published_folder(root, progress=False)


def test_too_little_memory_is_said_before_reading(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = nr.read_published_folder(written, progress=False)
    first = nr.read_published(min(written.glob("*/*.npy")))
    videos = first["video_pred"].nbytes * 12 + first["video_gt"].nbytes * 4
    assert videos < module._bytes_needed(first, list(first.data_vars), module.find_results(written, "*")) < videos * 1.2
    assert whole.nbytes < videos * 1.5  # movies longer than the first one
    monkeypatch.setattr(module, "free_bytes", lambda: 1_000_000)
    with pytest.raises(nr.ResourceError, match=r"the 8 results in .* take 3\.7 MB of memory, 1\.0 MB are free; choose"):
        nr.read_published_folder(written)
    nr.read_published_folder(written, variables=("video_corr",), progress=False)
