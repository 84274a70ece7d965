"""The package as it is installed: its version, what importing it costs, and what it ships."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import neuroreel as nr

ROOT = Path(__file__).parents[1]
HEAVY = ("lightning", "matplotlib", "skimage", "sklearn", "imagehash", "tifffile", "imageio", "imageio_ffmpeg", "zarr")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_version_is_that_of_the_installed_package() -> None:
    assert nr.__version__ == importlib.metadata.version("neuroreel")


def test_changelog_tells_of_this_version() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert re.search(rf"^## {re.escape(declared)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_importing_neuroreel_loads_no_heavy_library() -> None:
    loaded = json.loads(run_python("import neuroreel, sys, json; print(json.dumps(sorted(sys.modules)))"))
    assert not set(HEAVY) & set(loaded)


def test_every_public_name_is_there_and_documented() -> None:
    """Names are imported when they are first used, so a wrong one would only show then."""
    undocumented = [name for name in nr.__all__ if name != "__version__" and not getattr(nr, name).__doc__]
    assert not undocumented
    assert set(nr.__all__) <= set(dir(nr))


def test_an_unknown_name_is_refused_in_the_usual_way() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        nr.no_such_thing  # noqa: B018


def test_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    """The marker for type checkers and the report's templates among them."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; it comes with the dev extra")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("neuroreel/")}
    files = [file for file in (ROOT / "src").rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    wanted = {file.relative_to(ROOT / "src").as_posix() for file in files}
    assert packed == wanted
    assert "neuroreel/py.typed" in packed
    assert any(name.endswith(".html") for name in packed), "the report has lost its template"


def imports_of(tree: ast.AST) -> Iterator[str]:
    """The modules that code imports, at its head or inside functions; not those that only type checkers need."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
        yield from imports_of(node)


def test_every_import_is_a_declared_dependency() -> None:
    """A library that comes along with another one today may not tomorrow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tools = ("dev", "docs")
    extras = (lines for name, lines in project["optional-dependencies"].items() if name not in tools)
    wanted = [*project["dependencies"], *(line for lines in extras for line in lines)]
    declared = {re.split(r"[<>=\[; ]", line)[0].lower() for line in wanted}
    provided_by = {
        module: {name.lower() for name in names}
        for module, names in importlib.metadata.packages_distributions().items()
    }
    files = (ROOT / "src").rglob("*.py")
    imported = {name for file in files for name in imports_of(ast.parse(file.read_text(encoding="utf-8")))}
    modules = imported - set(sys.stdlib_module_names) - {"neuroreel"}
    undeclared = {name for name in modules if not provided_by.get(name, {name}) & declared}
    assert not undeclared


def test_constraints_pin_every_dependency_to_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", pin) for pin in pins), "a pin is no plain name==version"
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {re.split(r"[<>=\[; ]", line)[0].lower().replace("_", "-") for line in ranges} - {"neuroreel"}
    assert names <= pinned
