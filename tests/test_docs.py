"""Every code block in the README and in docs/ works: Python runs, commands exist and have the options shown."""

from __future__ import annotations

import os
import pkgutil
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest

import neuroreel as nr
from neuroreel.encoding.training.recipe import RECIPES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PYTHON, SHELL, TEXT = {"python", "{code-cell}"}, {"bash"}, {"", "text", "bibtex"}
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\s`]*)[^\n`]*\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int  # of the page, where the code starts


def blocks(page: Path, languages: set[str] | None = None) -> list[Block]:
    """The fenced blocks of a page, code cells of notebooks among them; directives of Sphinx are no code."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        code = dedent(fence["code"])
        if fence["language"] == "{code-cell}":
            code = re.sub(r"^:.*$", "", code, flags=re.MULTILINE)  # the cell's options, like :tags: [hide-input]
        found.append(Block(fence["language"], code, text.count("\n", 0, fence.start("code"))))
    return [block for block in found if languages is None or block.language in languages]


LONG_PAGES = {
    "assumptions": pytest.mark.slow,
    "tutorial": pytest.mark.slow,
    "differences": pytest.mark.nightly,
    "judging": pytest.mark.nightly,
}


def pages_with(languages: set[str]) -> list[object]:
    def marks(page: Path) -> list[pytest.MarkDecorator]:
        return [LONG_PAGES[page.stem]] if languages == PYTHON and page.stem in LONG_PAGES else []

    return [pytest.param(page, id=page.stem, marks=marks(page)) for page in PAGES if blocks(page, languages)]


@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in PAGES])
def test_no_block_escapes_by_its_language(page: Path) -> None:
    known = PYTHON | SHELL | TEXT
    strange = [f"line {b.line}: {b.language}" for b in blocks(page) if b.language not in known and b.language[0] != "{"]
    assert not strange, f"{page.name} has blocks that no test looks at: {strange}"


@pytest.mark.parametrize("page", pages_with(PYTHON))
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first to the last, in one namespace and an empty folder, as a reader would paste them.

    Only training is cut short here: what comes out is no good, but everything is called as the page calls it.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    few = replace(RECIPES["core_readout"], epochs=2, batches_per_epoch=20, batch_size=2)
    monkeypatch.setitem(RECIPES, "core_readout", few)
    if "my_mouse" in page.read_text(encoding="utf-8"):  # the page has it simulated by the command line
        nr.simulate("my_mouse", trials=14, seconds=3, neurons=20, height=12, width=16, progress=False)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, PYTHON):
        source = "\n" * block.line + block.code  # so that a traceback shows the line of the page
        exec(compile(source, str(page), "exec"), namespace)


def commands(page: Path) -> list[tuple[int, list[str]]]:
    found = []
    for block in blocks(page, SHELL):
        joined = block.code.replace("\\\n", "  ")
        for offset, line in enumerate(joined.splitlines()):
            if words := shlex.split(line, comments=True):
                found.append((block.line + offset + 1, words))
    return found


@pytest.mark.parametrize("page", pages_with(SHELL))
def test_commands_exist(page: Path) -> None:
    wrong = [f"line {line}: {problem}" for line, words in commands(page) if (problem := problem_of(words))]
    assert not wrong, f"{page.name}: {wrong}"


def problem_of(words: list[str]) -> str | None:
    """What is wrong with a command; None if nothing is."""
    program, *arguments = words
    if program == "neuroreel":
        return problem_of_neuroreel(arguments)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        asked = [word for word in arguments if "=" not in word]
        return next((f"make has no target {target}" for target in asked if target not in targets), None)
    if program in ("python", "bash"):
        return None if (ROOT / arguments[0]).is_file() else f"there is no file {arguments[0]}"
    known = (["pip", "install"], ["git", "clone"])
    return None if words[:2] in known or program == "cd" else f"{program} is not a command that this test knows"


def problem_of_neuroreel(arguments: list[str]) -> str | None:
    subcommand = arguments[:1] if arguments and not arguments[0].startswith("-") else []
    options = {word.split("=")[0] for word in arguments if re.match(r"--?[a-z]", word)} - {"--help", "--version"}
    status, text = help_of(*subcommand)
    if status != 0:
        return f"`neuroreel {' '.join([*subcommand, '--help'])}` fails: {text}"
    missing = [option for option in sorted(options) if not re.search(rf"(?<![\w-]){option}(?![\w-])", text)]
    return f"neuroreel {' '.join(subcommand)} has no option {', '.join(missing)}" if missing else None


@cache
def help_of(*subcommand: str) -> tuple[int, str]:
    program = [sys.executable, "-c", "from neuroreel.cli import main; main()", *subcommand, "--help"]
    wide = {**os.environ, "COLUMNS": "200"}
    answer = subprocess.run(program, capture_output=True, text=True, env=wide, check=False)
    return answer.returncode, answer.stdout + answer.stderr


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in link and not (page.parent / link).exists():
                broken.append(f"{page.name}: {link}")
    assert not broken


def test_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    public, parts = page.split("## Settings and parts")
    documented = re.findall(r"^   ([\w.]+)$", public, re.MULTILINE)
    assert {name.split(".")[0] for name in documented} == set(nr.__all__) - {"__version__"}
    published = {name for name in documented if name.startswith("bauer_2026.")}
    assert published == {f"bauer_2026.{name}" for name in nr.bauer_2026.__all__}
    for name in re.findall(r"^   ([\w.]+)$", parts, re.MULTILINE):
        pkgutil.resolve_name(f"neuroreel.{name}")
