"""The workflow before anything runs: its configuration, its plan, what it costs, its steps one by one."""

from __future__ import annotations

import functools
import json
import operator
import os
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

import neuroreel.cli
from neuroreel.errors import InputError, ResourceError
from neuroreel.workflow import configuration, cost, run, setup, step
from neuroreel.workflow.configuration import check_configuration, read_configuration, ready_names
from neuroreel.workflow.paths import NAMED
from neuroreel.workflow.plan import Plan, flags
from workflows import TINY, changed, workflow, written


def plan_of(raw: dict[str, Any]) -> Plan:
    return Plan(check_configuration(raw))


# the configuration


def test_names_of_experiments_are_those_there_are() -> None:
    from neuroreel.studies import EXPERIMENTS

    assert set(configuration.EXPERIMENTS) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", ready_names())
def test_ready_configurations_are_valid(name: str) -> None:
    plan = plan_of(read_configuration(name))
    assert plan.steps()["experiment"]
    assert all(row.jobs for row in cost.costs(plan, Path("nowhere")))


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        ("experimants", {}, "unknown key 'experimants'; did you mean experiments?"),
        ("experiments/nois", {}, "experiments has the unknown key 'nois'; did you mean noise?"),
        (
            "experiments/natural/pases",
            3,
            "experiments: natural has the unknown key 'pases'; did you mean passes",
        ),
        ("experiments/natural/movies", "ten", "experiments: natural: movies is 'ten'; it must be a whole number"),
        ("experiments/natural/parts", 0, "parts is 0; it must be greater than or equal to 1"),
        (
            "experiments/natural/settings",
            {"grit": {}},
            "settings has the unknown key 'grit'; did you mean grid",
        ),
        ("experiments", {}, "experiments names none"),
        ("recordings/mouse/simulate/neuron", 3, "recordings: mouse: simulate has the unknown key 'neuron'"),
        ("recordings/mouse/folder", "/data/mouse", "must have either simulate or folder"),
        ("recordings/mouse/simulate", None, "must have either simulate or folder"),
        ("recordings/a mouse", {"folder": "a mouse"}, "use letters, digits"),
        ("recordings", {}, "recordings names none; a workflow needs at least one"),
        ("recordings/cat", {"folder": "/data/dog"}, "give it the name of its folder, dog"),
        ("encoders/train/kind", "dwise", "kind is 'dwise'; it must be 'core_readout' or 'dwiseneuro'"),
        ("encoders/train/settings/recip", {}, "unknown key 'recip'; did you mean recipe"),
        ("encoders/train", None, "either train (options of neuroreel train) or files"),
        ("encoders/seeds", [0, 0], "different whole numbers"),
        ("encoders/seeds", "0 1", "seeds is '0 1'; it must be a list"),
        ("masks/files", {"mouse": "m.npy"}, "either learn (options of neuroreel mask) or files"),
        ("masks", {"files": {"mouze": "m.npy"}}, "unknown key 'mouze'; did you mean mouse"),
        ("masks/learn/steps", True, "steps is True; it must be a whole number"),
        ("decoders", "yes", "decoders is 'yes'; it must be true or false"),
        ("resources/trian", {}, "unknown key 'trian'; did you mean train"),
        ("resources/train", {"memory": 4}, "unknown key 'memory'; did you mean memory_gb"),
        ("resources/train", {"memory_gb": "4 GB"}, "memory_gb is '4 GB'; it must be a number"),
        (
            "downloads",
            {"names": "new"},
            "downloads: names is 'new'; it must be a list",
        ),
        ("snakemake", "--keep-going", "snakemake is '--keep-going'; it must be a list"),
        ("container", 3, "container is 3; it must be a word"),
    ],
)
def test_bad_configuration(way: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        check_configuration(changed(way, value))


def test_a_kept_configuration_may_use_the_old_name_of_the_small_model() -> None:
    train = check_configuration(changed("encoders/train/kind", "readout")).encoders.train
    assert train is not None and train["kind"] == "core_readout"


def test_numbers_that_yaml_takes_for_words(tmp_path: Path) -> None:
    raw = changed("resources/default/disk_gb", "SMALL")
    raw["encoders"]["train"]["settings"]["recipe"]["peak_learning_rate"] = "RATE"
    file = written(raw, tmp_path)
    file.write_text(file.read_text().replace('"SMALL"', "1e-5").replace('"RATE"', "3.E-4"))
    read = check_configuration(read_configuration(file))
    assert read.resources["default"].disk_gb == 1e-5
    assert read.encoders.train is not None
    assert read.encoders.train["settings"]["recipe"]["peak_learning_rate"] == 3e-4


@pytest.mark.parametrize("text", ["recordings: [", "\x00", "- a\n- b", "3"])
def test_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"mine\.yaml"):
        read_configuration(file)


def test_missing_configuration_names_the_ready_ones() -> None:
    with pytest.raises(InputError, match="paper, quick"):
        read_configuration("quik")


def test_paths_are_meant_from_the_file_on(tmp_path: Path) -> None:
    raw = changed("recordings", {"mouse": {"folder": "data/mouse"}})
    raw["encoders"] = {"files": ["models/*.pth", "downloads/w/*.pth"]}
    read = read_configuration(written(raw, tmp_path))
    assert read["recordings"]["mouse"]["folder"] == str(tmp_path / "data/mouse")
    assert read["encoders"]["files"] == [str(tmp_path / "models/*.pth"), "downloads/w/*.pth"]


def test_home_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    raw = changed("recordings", {"mouse": {"folder": "~/mouse"}})
    raw["encoders"] = {"files": ["~/models/*.pth"]}
    home.mkdir()
    written(raw, home, "mine.yaml")
    read = read_configuration("~/mine.yaml")
    assert read["recordings"]["mouse"]["folder"] == str(home / "mouse")
    assert read["encoders"]["files"] == [str(home / "models/*.pth")]


SECTIONS = {
    "recordings/*/simulate": configuration.SimulateOptions,
    "downloads": configuration.DownloadOptions,
    "encoders/train": configuration.TrainOptions,
    "masks/learn": configuration.MaskOptions,
    "experiments/*": configuration.ExperimentOptions,
    "report": configuration.ReportOptions,
    "figures": configuration.FiguresOptions,
}


def test_every_option_that_is_a_file_is_looked_for() -> None:
    """A path that is an option of a command and not in the list of named files would be meant from elsewhere."""
    found = {"recordings/*/folder", "encoders/files/*", "masks/files/*"}  # the configuration's own
    for section, kind in SECTIONS.items():
        (options,) = kind.__metadata__
        hints = typing.get_type_hints(options.command)
        for option in options.names:
            if "Path" in str(hints[option]):
                found.add(f"{section}/{option}" + ("/*" if "tuple" in str(hints[option]) else ""))
    assert found == set(NAMED)


# the plan


def test_flags_are_the_command_lines_own() -> None:
    assert flags({"out_file": "a b", "seeds": [0, 1], "quick": True, "decoder": False, "none": []}) == (
        "--out-file 'a b' --seeds 0 1 --quick --no-decoder --none"
    )


def test_settings_of_every_experiment_and_of_one_are_put_together() -> None:
    raw = changed("experiments/natural/settings", {"grid": {"movies": 1}, "scoring": {"skip": 5}})
    options = check_configuration(raw).experiments["natural"]
    assert options["settings"] == {"grid": {"movies": 1}, "scoring": {"evaluation_threshold": 0.5, "skip": 5}}
    assert "settings/natural.json" in plan_of(raw).settings_files()


def test_several_mice_share_a_dwiseneuro_and_have_a_readout_model_each() -> None:
    mice = {f"mouse_{k}": {"simulate": {"seed": k}} for k in range(2)}
    raw = changed("recordings", mice)
    assert plan_of(raw).groups == {"mouse_0": ["mouse_0"], "mouse_1": ["mouse_1"]}
    assert plan_of(raw).encoders("mouse_1") == [f"models/mouse_1/encoder_{k}.safetensors" for k in (0, 1)]
    raw["encoders"]["train"]["kind"] = "dwiseneuro"
    together = plan_of(raw)
    assert together.groups == {"all": ["mouse_0", "mouse_1"]}
    assert together.session("mouse_1") == "mouse_1"
    assert together.training_done("all") == ["steps/simulate/mouse_0.done", "steps/simulate/mouse_1.done"]


def test_other_options_of_an_experiment_are_other_jobs() -> None:
    before, after = plan_of(TINY), plan_of(changed("experiments/natural/passes", 7))
    assert set(before.parts_done("natural")).isdisjoint(after.parts_done("natural"))
    assert before.parts_done("ablation") == after.parts_done("ablation")


@pytest.mark.parametrize(
    ("way", "value", "steps"),
    [
        ("downloads/names", ["masks", "old"], {"download"}),
        ("downloads/only", ["m1"], {"download"}),
        ("report/title", "Movies", {"report"}),
        ("figures", {}, {"figures"}),
        ("experiments/ablation/fractions", [1.0], {"experiment", "table"}),
        ("experiments/natural/passes", 7, {"experiment", "report", "table"}),
        ("experiments/noise", {}, {"experiment", "table"}),
        ("encoders/seeds", [0, 1, 2], {"train", "experiment", "report", "table"}),
        ("resources/default/hours", 9, set()),
    ],
)
def test_what_decided_a_step_is_in_its_name(way: str, value: object, steps: set[str]) -> None:
    """Options that change, and what is added later, are not taken for done."""
    raw = changed("downloads", {"names": ["masks"]})
    before = plan_of(raw).steps()
    *inner, last = way.split("/")
    functools.reduce(operator.getitem, inner, raw)[last] = value
    after = plan_of(raw).steps()
    assert {step for step in before | after if before.get(step) != after.get(step)} == steps


def test_other_files_of_the_same_names_are_other_jobs(tmp_path: Path) -> None:
    mask, settings = tmp_path / "mask.npy", tmp_path / "settings.json"
    mask.write_bytes(b"one")
    settings.write_text('{"grid": {"movies": 1}}')
    raw = changed("masks", {"files": {"mouse": "mask.npy"}})
    raw["experiments"]["natural"] = {"settings": "settings.json"}
    config = written(raw, tmp_path)

    def parts(name: str) -> list[str]:
        return plan_of(read_configuration(config)).parts_done(name)

    before = {name: parts(name) for name in ("natural", "ablation")}
    assert before == {name: parts(name) for name in before}
    settings.write_text('{"grid": {"movies": 2}}')
    assert parts("natural") != before["natural"] and parts("ablation") == before["ablation"]
    here = read_configuration(config)
    mask.write_bytes(b"another")
    assert parts("ablation") != before["ablation"]
    assert plan_of(here).parts_done("ablation") == before["ablation"]  # in the processes of a run that has begun


def test_other_settings_of_a_training_in_the_same_file_are_refused(tmp_path: Path) -> None:
    config = written(changed("encoders/train/settings", "recipe.json"), tmp_path)
    for epochs in (2, 2, 3):
        (tmp_path / "recipe.json").write_text(json.dumps({"recipe": {"epochs": epochs}}))
        if epochs == 2:
            setup.claim(tmp_path / "out", read_configuration(config))
    with pytest.raises(InputError, match=r"made with encoders: train: settings: recipe: epochs: 2, .* now has 3"):
        setup.claim(tmp_path / "out", read_configuration(config))


def test_table_of_costs_counts_added_downloads(tmp_path: Path) -> None:
    first, more = (plan_of(changed("downloads", {"names": names})) for names in (["masks"], ["masks", "old"]))
    (done,) = first.steps()["download"]
    (tmp_path / done).parent.mkdir(parents=True)
    (tmp_path / done).touch()
    left = [{row.name: row.left for row in cost.costs(plan, tmp_path)}["download"] for plan in (first, more)]
    assert left == [0, 1]


# what it costs


def test_cost_counts_what_is_left(tmp_path: Path) -> None:
    raw = changed("resources/train", {"gpus": 2, "hours": 3.0, "cpus": 4, "disk_gb": 0.5})
    rows = {row.name: row for row in cost.costs(plan_of(raw), tmp_path)}
    assert (rows["train"].left, rows["train"].gpu_hours, rows["train"].cpu_hours, rows["train"].disk_gb) == (
        2,
        12,
        24,
        1,
    )
    (tmp_path / "steps/train/mouse").mkdir(parents=True)
    (tmp_path / "steps/train/mouse/1.done").touch()
    assert {row.name: row for row in cost.costs(plan_of(raw), tmp_path)}["train"].gpu_hours == 6
    assert rows["ablation"].jobs == 2
    assert "in all" in cost.cost_table(rows.values())


def test_disk_that_is_too_small(tmp_path: Path) -> None:
    rows = cost.costs(plan_of(changed("resources/train", {"disk_gb": 1e6})), tmp_path)
    shortage = cost.disk_shortage(rows, tmp_path / "not" / "there")
    assert shortage and re.search(r"will write about 2000000\.\d GB .* free some", shortage)


def test_dry_run_counts_the_jobs_that_snakemake_counts(tmp_path: Path) -> None:
    done = workflow(written(TINY, tmp_path), "--out", tmp_path / "out", "--dry-run")
    ours = re.search(r"^in all +(\d+)", done.stdout, re.MULTILINE)
    theirs = re.search(r"^total +(\d+)", done.stdout, re.MULTILINE)
    assert ours and theirs and int(ours[1]) == int(theirs[1]) - 1 == 10  # theirs has the rule "all" too
    assert not (tmp_path / "out").exists()


# the folder


def test_folder_made_with_other_settings_is_refused(tmp_path: Path) -> None:
    setup.claim(tmp_path, TINY)
    setup.claim(tmp_path, changed("experiments/natural/passes", 7))
    setup.claim(tmp_path, changed("encoders/seeds", [0, 1, 2]))
    with pytest.raises(InputError, match="made with masks: learn: steps: 120, but the configuration now has 7"):
        setup.claim(tmp_path, changed("masks/learn/steps", 7))


def test_leftovers_of_killed_processes_are_swept_and_nothing_else(tmp_path: Path) -> None:
    kept = [tmp_path / "models/packed/.mouse-0123456789abcdef.partial", tmp_path / "recordings/a.partial"]
    swept = [tmp_path / "masks/.mouse.npy.ab_12xyz.partial", tmp_path / "recordings/.mouse.abcdefgh.partial"]
    swept += [swept[1] / "mouse" / ".inner.abcdefgh.partial"]
    for folder in kept + swept:
        folder.mkdir(parents=True)
    setup.sweep(tmp_path)
    assert all(folder.exists() for folder in kept) and not any(folder.exists() for folder in swept)


@pytest.mark.parametrize("damage", ["missing", "half"])
def test_recording_that_is_not_all_there(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "mouse"
    if damage == "half":
        import neuroreel as nr

        nr.simulate(folder, trials=7, seconds=2.0, neurons=5, progress=False)
        (folder / "data/responses/3.npy").unlink()
    raw = changed("recordings", {"mouse": {"folder": str(folder)}})
    with pytest.raises(InputError, match=r"recordings: mouse: .*(is not a folder|missing 3\.npy.*copy)"):
        setup.check_files(plan_of(raw))


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        ("encoders", {"files": ["HERE/fold_*/*.pth"]}, "encoders: files: HERE/fold_*/*.pth does not exist"),
        ("encoders/train/settings", "HERE/recipe.json", "encoders: train: settings: HERE/recipe.json does not exist"),
        (
            "downloads",
            {"names": ["new"], "catalogue": "HERE/mirror.toml"},
            "downloads: catalogue: HERE/mirror.toml does not exist",
        ),
        ("masks", {"files": {"mouse": "HERE/mask.npy"}}, "masks: files: mouse: HERE/mask.npy does not exist"),
        (
            "experiments/noise",
            {"stimuli": "HERE/noise.npz"},
            "experiments: noise: stimuli: HERE/noise.npz does not exist",
        ),
    ],
)
def test_file_that_is_named_and_not_there(tmp_path: Path, way: str, value: Any, message: str) -> None:
    """Before anything starts: a mask may be needed days later."""
    here = str(tmp_path)
    raw = changed(way, json.loads(json.dumps(value).replace("HERE", here)))
    with pytest.raises(InputError, match=re.escape(message.replace("HERE", here))):
        setup.check_files(plan_of(raw))
    setup.check_files(plan_of(changed(way, json.loads(json.dumps(value).replace("HERE", "downloads")))))


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    from neuroreel.locks import folder_lock

    config = written(TINY, tmp_path)
    with folder_lock(tmp_path / "out", what="workflow"):
        done = workflow(config, "--out", tmp_path / "out", check=False)
    assert done.returncode == 2
    assert re.search(rf"another run of neuroreel works in .*out \(workflow, process {os.getpid()} on ", done.stderr)
    assert "Traceback" not in done.stderr


def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    done = workflow(written(TINY, tmp_path), "--out", "/proc/neuroreel", check=False)
    assert done.returncode == 2
    assert "/proc/neuroreel" in done.stderr and "Traceback" not in done.stderr


def test_plain_snakemake_takes_the_same_lock(tmp_path: Path) -> None:
    from neuroreel.locks import folder_lock

    snakefile = str(run.SNAKEFILE)
    command = ["snakemake", "-s", snakefile, "--configfile", str(written(TINY, tmp_path)), "--directory", str(tmp_path)]
    with folder_lock(tmp_path, what="workflow"):
        done = subprocess.run(
            [sys.executable, "-m", *command, "--cores", "1"], capture_output=True, text=True, check=False
        )
    assert done.returncode != 0 and "another run of neuroreel works in" in done.stdout + done.stderr
    assert not (tmp_path / "steps").exists()


# steps


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that steps ran; each writes "made" to the file named last."""
    ran: list[list[str]] = []

    def main(arguments: list[str]) -> None:
        ran.append(arguments)
        Path(arguments[-1]).write_text("made")

    monkeypatch.setattr(neuroreel.cli, "main", main)
    return ran


def test_step_is_done_once(tmp_path: Path, commands: list[list[str]]) -> None:
    done, result = tmp_path / "steps/mask/mouse.done", tmp_path / "mask"
    for _ in range(2):
        step.main(["--done", str(done), "--makes", str(result), "--", "mask", str(result)])
    assert commands == [["mask", str(result)]]
    assert '"seconds"' in done.read_text()


def test_step_killed_before_its_mark_keeps_the_result(tmp_path: Path, commands: list[list[str]]) -> None:
    done, result = tmp_path / "mouse.done", tmp_path / "mask"
    result.write_text("made before")
    step.main(["--done", str(done), "--makes", str(result), "--", "mask", str(result)])
    assert not commands and done.exists() and result.read_text() == "made before"


def test_step_with_other_options_is_done_again(tmp_path: Path, commands: list[list[str]]) -> None:
    """Also with the first options once more: what they made is gone by then."""
    page, other = tmp_path / "report.html", tmp_path / "steps/train/1.done"
    other.parent.mkdir(parents=True)
    other.touch()
    for stamp in ("aaaaaaaa", "aaaaaaaa", "bbbbbbbb", "aaaaaaaa"):
        done = tmp_path / f"steps/report/{stamp}.done"
        step.main(["--done", str(done), "--stamp", stamp, "--", "report", str(page)])
        assert [file.name for file in done.parent.glob("*.done")] == [done.name]
    assert len(commands) == 3 and other.exists()


def test_failed_step_keeps_what_was_made_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    page.write_text("the old one")
    command = ["report", str(tmp_path / "nowhere.nc"), "--out", str(page), "--overwrite"]
    with pytest.raises(SystemExit, match="2"):
        step.main(["--done", str(tmp_path / "report.done"), "--", *command])
    assert "nowhere.nc" in capsys.readouterr().err and page.read_text() == "the old one"


def test_failed_step_leaves_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def main(arguments: list[str]) -> None:
        raise SystemExit(2)

    monkeypatch.setattr(neuroreel.cli, "main", main)
    with pytest.raises(SystemExit, match="2"):
        step.main(["--done", str(tmp_path / "a.done"), "--", "mask"])
    assert not (tmp_path / "a.done").exists()


def test_processes_share_a_step_and_end_with_it(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    helpers: list[subprocess.Popen[bytes]] = []

    def helper(command: list[str]) -> subprocess.Popen[bytes]:
        assert command[1:4] == ["-m", "neuroreel", "experiment"]
        helpers.append(real(["sleep", "60"]))
        return helpers[-1]

    real = subprocess.Popen
    monkeypatch.setattr(step.subprocess, "Popen", helper)
    arguments = ["--done", str(tmp_path / "a.done"), "--processes", "3", "--", "experiment", str(tmp_path / "result")]
    step.main(arguments)
    assert len(helpers) == 2 and len(commands) == 1
    assert all(each.returncode is not None for each in helpers)


def test_mask_of_ones_own_is_linked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "masks" / "mouse.npy"
    source = tmp_path / "mine.npy"
    arguments = ["--done", str(tmp_path / "a.done"), "--makes", str(target), "--link", str(source), "--", "mask"]
    with pytest.raises(SystemExit, match="2"):
        step.main(arguments)
    assert "mine.npy is missing" in capsys.readouterr().err
    source.write_text("mask")
    step.main(arguments)
    assert target.read_text() == "mask"


def test_step_waits_for_the_process_that_is_at_it(tmp_path: Path) -> None:
    done = tmp_path / "steps" / "mouse.done"
    with step.alone(done):
        assert step.busy(tmp_path) == [done]
        code = f"from neuroreel.workflow import step; step.main(['--done', {str(done)!r}, '--', 'nothing'])"
        waiting = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        assert "another process is running this step" in said and f"process {os.getpid()} on " in said
        done.write_text("done")
    assert waiting.wait(timeout=20) == 0 and done.read_text() == "done"
    waiting.stderr.close()
    assert step.busy(tmp_path) == []


# Slurm, as far as it can be asked without one


def put(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text("#!/bin/sh\n" + script)
    file.chmod(0o755)


def test_partition_that_slurm_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    put(tmp_path, "sinfo", "echo gpu; echo long")
    put(tmp_path, "sbatch", "")
    put(tmp_path, "sacct", "exit 1")
    assert run.slurm_options(plan_of(TINY)) == ["--slurm-no-account", "--slurm-status-command", "squeue"]
    with pytest.raises(InputError, match="train: partition is 'gpus'; this Slurm has gpu, long"):
        run.slurm_options(plan_of(changed("resources/train", {"partition": "gpus"})))
    put(tmp_path, "sinfo", "echo Unable to contact slurm controller >&2; exit 1")
    with pytest.raises(ResourceError, match="sinfo says Unable to contact slurm controller"):
        run.slurm_options(plan_of(TINY))


@pytest.mark.slow
def test_job_that_slurm_rejects(tmp_path: Path) -> None:
    """As test_workflow_slurm.py has it from a real Slurm."""
    (tmp_path / "bin").mkdir()
    refusal = "sbatch: error: Memory specification can not be satisfied"
    for name, script in {
        "sinfo": "echo main",
        "sbatch": f"echo {refusal} >&2; exit 1",
        "sacct": "exit 1",
        "squeue": "",
        "scontrol": "exit 1",
    }.items():
        put(tmp_path / "bin", name, script)
    hurried = ["--retries", "0", "--slurm-init-seconds-before-status-checks", "1"]
    config = written({**TINY, "snakemake": hurried}, tmp_path)
    path = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = workflow(config, "--out", tmp_path / "out", "--profile", "slurm", check=False, env=path)
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert f"SLURM sbatch failed. The error message was '{refusal}'" in said
    assert "neuroreel: a step has failed; its messages are above" in said


def test_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourceError, match="there is no sbatch here"):
        run.slurm_options(plan_of(TINY))


def test_jobs_of_an_earlier_run_are_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no others: neither what the user runs in the folder, nor the job in which the workflow itself runs."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    ours = "neuroreel_4d2bf8e0-74c5-4f0a-9d57-6c6f6c1c6a10"
    jobs = {
        7: (ours, tmp_path),
        8: (ours, "/elsewhere"),
        9: ("analysis", tmp_path),
        10: ("neuroreel", tmp_path),
        11: (ours, tmp_path),
    }
    lines = [f"echo '{number}|{name}|{folder}'" for number, (name, folder) in jobs.items()]
    put(tmp_path, "squeue", "; ".join(lines))
    put(tmp_path, "scancel", f'echo "$@" > {tmp_path}/cancelled')
    said: list[str] = []
    run.cancel_orphans(tmp_path, say=said.append)
    assert (tmp_path / "cancelled").read_text().split() == ["7"] and "7" in said[0]


def test_jobs_have_the_name_by_which_they_are_known() -> None:
    import uuid

    import yaml

    prefix = yaml.safe_load((run.PROFILES["slurm"] / "config.yaml").read_text())["slurm-jobname-prefix"]
    assert run.JOB_NAME.fullmatch(f"{prefix}_{uuid.uuid4()}")


# the last table


def test_table_of_our_numbers_beside_the_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    from neuroreel.workflow import comparison

    noise = pd.DataFrame(
        [
            {
                "spatial_px": px,
                "temporal_frames": frames,
                "video_correlation": score,
                "recording": name,
                "models": 7,
                "smoothing": 0.5,
            }
            for name, shift in (("a", 0.0), ("b", 0.1))
            for px, frames, score in ((8, 4, 0.8 + shift), (0, 0, 0.1 + shift), (0, 32, 0.2 + shift))
        ]
    )
    noise["simulated"] = False
    noise["recording"] = noise["recording"].map({"a": "dynamic29515-10-12-Video-9b4f", "b": "29623-4-9"})
    masks = pd.DataFrame(
        {"mask": ["none", "strict", "none"], "video_correlation": [0.4, 0.5, 0.6], "recording": "a", "simulated": True}
    ).assign(models=[2, 2, 3], smoothing=0.0)
    found = {"noise": noise, "masks": masks}
    for name in found:
        (tmp_path / "experiments" / name).mkdir(parents=True)
    monkeypatch.setattr(comparison, "experiment_table", lambda folder: found[folder.name])
    monkeypatch.setattr(comparison, "experiment_status", lambda folder: {"asked": 6, "done": len(found[folder.name])})
    lines = comparison.write_comparison(tmp_path).splitlines()
    assert "| masks | no mask | - | 0.500 | 2 | 1 | 2 to 3 | simulated; not smoothed; 3 of 6 results |" in lines
    assert "| masks | strict mask | - | 0.500 | 1 | 1 | 2 | simulated; not smoothed; 3 of 6 results |" in lines
    assert "| noise | Gaussian noise, best length constants | 0.91 | 0.850 | 6 | 2 | 7 | - |" in lines
    assert "| noise | Gaussian noise, 8 pixels and 4 frames | 0.91 | 0.850 | 2 | 2 | 7 | - |" in lines
    assert (
        "| noise | white in space, over temporal constants | 0.08 to 0.21 | 0.150 to 0.250 | 4 | 2 | 7 | - |" in lines
    )
    assert len(lines) == 2 + 5 and (tmp_path / "table.md").read_text().splitlines() == lines
    assert (tmp_path / "table.csv").read_text().startswith("experiment,what,published,ours,")
    del found["noise"]
    (tmp_path / "experiments" / "noise").rmdir()
    alone = comparison.write_comparison(tmp_path).splitlines()
    assert alone[0] == "| experiment | what | ours | results | recordings | models | note |", (
        "nothing to be held against"
    )


def test_table_of_nothing(tmp_path: Path) -> None:
    from neuroreel.workflow.comparison import write_comparison

    with pytest.raises(InputError, match="holds no finished experiment"):
        write_comparison(tmp_path)
