"""Settings of the documentation; `make docs` builds it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from importlib.metadata import version as installed_version
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx.writers.html5 import HTML5Translator

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "neuroreel"
author = "neuroreel developers"
copyright = "neuroreel developers"
release = version = installed_version("neuroreel")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "jupyter_execute", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]

# Pages
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}  # the first is that of generated pages

# The notebooks are pages of the gallery.
(HERE / "notebooks").mkdir(exist_ok=True)
for notebook in (ROOT / "examples" / "notebooks").glob("*.ipynb"):
    page = HERE / "notebooks" / notebook.name
    if not page.exists() or page.read_bytes() != notebook.read_bytes():
        shutil.copyfile(notebook, page)

# Pages run while the docs are built. What they printed is kept until the package changes: a second build runs nothing
# again. A page that fails is a warning (an error with -W), and all others are written. Cells take less than a minute on
# a quiet machine; the limit is there to end a build that hangs.
sources = b"".join(file.read_bytes() for file in sorted((ROOT / "src").rglob("*.py")))
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "executed" / hashlib.sha256(sources).hexdigest()[:12])
nb_execution_timeout = 1800
nb_execution_in_temp = True
nb_merge_streams = True
suppress_warnings = ["myst-nb.lexer"]  # cells that are not executed do not say which language they are in
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

# The reference: a page for each name, generated into api/
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"ArrayLike": "numpy.typing.ArrayLike"}
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False
add_module_names = False
maximum_signature_line_length = 100

# A reference that leads nowhere is an error. Other libraries' names are links where their sites can be reached, and
# plain text elsewhere.
nitpicky = True
LIBRARIES = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "torch": "https://pytorch.org/docs/stable/",
    "xarray": "https://docs.xarray.dev/en/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "matplotlib": "https://matplotlib.org/stable/",
}
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|np|torch|xarray|xr|pandas|pd|matplotlib|collections|os|pathlib|typing)\..*"),
    ("py:class", r"(.*\.)?(Figure|DataFrame|ArrayLike|PathLike|Path|tuple\[int)"),
    # in signatures, of things that nobody makes by hand
    (
        "py:class",
        r"(.*\.)?(Behavior|Catalogue|ConvolutionalNetwork|Declaration|Player|Population|ReceptiveFields|ResponseFeatures|Retry"
        r"|Statistics|TrialSpec|Trials)",
    ),
]


def inventories() -> dict[str, tuple[str, str | None]]:
    """The indices of other libraries' documentation that can be reached."""
    reachable = {}
    for name, site in LIBRARIES.items():
        try:
            urllib.request.urlopen(f"{site}objects.inv", timeout=5).close()
        except OSError:
            continue
        reachable[name] = (site, None)
    return reachable


intersphinx_mapping = inventories()

html_theme = "pydata_sphinx_theme"
html_title = "neuroreel"
html_static_path = ["_static"]
html_css_files = ["neuroreel.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"**": ["all-pages"]}
html_math_renderer = "mathml"
html_theme_options = {
    "logo": {"text": "neuroreel"},
    "show_toc_level": 2,
    "navbar_center": [],  # the bar at the left names all pages
    "navbar_persistent": ["search-button"],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# The project's address stands in pyproject.toml alone; pages say REPOSITORY.
urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]


def pages_that_use() -> dict[str, list[str]]:
    """The pages whose code has a public name in it, by the name."""
    pages: dict[str, list[str]] = {}
    for page in sorted(HERE.glob("*.md")):
        code = "".join(re.findall(r"```.*?```", page.read_text(encoding="utf-8"), re.DOTALL))
        for name in set(re.findall(r"\bnr\.((?:bauer_2026\.)?\w+)", code)):
            pages.setdefault(f"neuroreel.{name}", []).append(page.stem)
    return pages


autosummary_context = {"pages_that_use": pages_that_use()}


class CommandHelp(SphinxDirective):
    """``{command-help} train`` shows what ``neuroreel train --help`` prints, so that the page cannot fall behind."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        command = ["neuroreel", *self.arguments, "--help"]
        program = [sys.executable, "-c", "from neuroreel.cli import main; main()", *command[1:]]
        plain = {**os.environ, "COLUMNS": "96", "NO_COLOR": "1", "TERM": "dumb"}
        answer = subprocess.run(program, capture_output=True, text=True, env=plain, check=False)
        if answer.returncode != 0:
            raise self.error(f"`{' '.join(command)}` failed: {answer.stderr}")
        text = f"$ {' '.join(command)}\n{answer.stdout.rstrip()}".replace("usage: -c", "usage: neuroreel")
        return [nodes.literal_block(text, text, language="text", classes=["command-help"])]


def write_formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write MathML, which browsers draw themselves: no script, and no network, is needed."""
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext().strip(), as_block=block)
    translator.body.append(f'<div class="formula">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def keep_colon(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Begin a property's docstring with an empty comment: napoleon would read "mean: over all" as type and meaning."""
    if what == "property":
        lines[:0] = ["..", ""]


def find_by_last_name(
    app: Sphinx, environment: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.reference | None:
    """Docstrings say `Recipe`, pages have it under its module's name: link it where only one object ends so."""
    if node.get("refdomain") != "py":
        return None
    objects = environment.domains.python_domain.objects
    last = node["reftarget"].rpartition(".")[2]
    places = {(entry.docname, entry.node_id) for name, entry in objects.items() if name.rpartition(".")[2] == last}
    if len(places) != 1:
        return None
    ((page, anchor),) = places
    return make_refnode(app.builder, node["refdoc"], page, anchor, content, last)


def shorten_arrays(
    app: Sphinx, what: str, name: str, obj: object, options: object, arguments: str | None, answer: str | None
) -> tuple[str | None, str | None]:
    """Say NDArray[float32] and ArrayLike in signatures, as the code does, and not what they stand for."""
    spelled_out = re.compile(r"~?numpy\.ndarray\[tuple\[[^\]]*\], ~?numpy\.dtype\[((?:[^\[\]]|\[[^\]]*\])*)\]\]")

    def shortened(text: str | None) -> str | None:
        text = text and re.sub(r"[~\w.]*TypeAliasForwardRef\('([\w.]+)'\)", r"\1", text)
        text = text and re.sub(r"~?(?=numpy\.typing\.ArrayLike)", "~", text)
        return text and spelled_out.sub(r"~numpy.typing.NDArray[\1]", text)

    return shortened(arguments), shortened(answer)


def fill_in_address(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = source[0].replace("REPOSITORY", urls["Repository"])


def setup(app: Sphinx) -> None:
    app.add_directive("command-help", CommandHelp)
    app.add_html_math_renderer("mathml", inline_renderers=(write_formula, None), block_renderers=(write_formula, None))
    app.connect("autodoc-process-docstring", keep_colon, priority=400)
    app.connect("autodoc-process-signature", shorten_arrays)
    app.connect("missing-reference", find_by_last_name)
    app.connect("source-read", fill_in_address)
