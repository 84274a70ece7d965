"""The container recipes: building them takes a registry, but what they install can be compared with what was tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parents[1]
DOCKER = (HERE / "containers" / "Dockerfile").read_text()
APPTAINER = (HERE / "containers" / "apptainer.def").read_text()
INSTALL = re.compile(r'pip install --no-cache-dir -c \S+/constraints\.txt "(\S+)\[([a-z,]+)\]"')


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_both_make_the_same_environment() -> None:
    base = re.search(r"^FROM (\S+)$", DOCKER, re.MULTILINE)
    assert base and re.search(r"^From: (\S+)$", APPTAINER, re.MULTILINE)[1] == base[1]  # type: ignore[index]
    assert INSTALL.findall(DOCKER) == INSTALL.findall(APPTAINER) and len(INSTALL.findall(DOCKER)) == 1


def test_they_have_every_extra_that_a_command_needs() -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    ((_, extras),) = INSTALL.findall(DOCKER)
    assert set(extras.split(",")) == set(project["optional-dependencies"]) - {"notebooks", "docs", "dev"}


def test_python_is_one_that_is_tested_and_pinned_to_the_patch() -> None:
    version = re.search(r"python:(\d+\.\d+)\.\d+-slim-", DOCKER)
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    assert version and f"Programming Language :: Python :: {version[1]}" in project["classifiers"]


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    ((_, extras),) = INSTALL.findall(DOCKER)
    wanted = list(project["dependencies"])
    for extra in extras.split(","):
        wanted += project["optional-dependencies"][extra]
    lines = (HERE / "constraints.txt").read_text().splitlines()
    pinned = {canonical(line.partition("==")[0]) for line in lines if "==" in line}
    names = {canonical(re.split(r"[<>=!\[ ]", line, maxsplit=1)[0]) for line in wanted}
    assert names <= pinned, names - pinned


def test_every_file_that_is_copied_is_there() -> None:
    copied = [line.split()[1:-1] for line in DOCKER.splitlines() if line.startswith("COPY")]
    files = {name for line in copied for name in line}
    block = APPTAINER.partition("%files")[2].partition("%post")[0]
    assert files == {line.split()[0] for line in block.strip().splitlines()}
    assert all((HERE / name).exists() for name in files)
