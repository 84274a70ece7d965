"""Settings of the documentation; `make docs` builds it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version as installed_version

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

project = "neuroreel"
author = "neuroreel developers"
copyright = "neuroreel developers"
release = version = installed_version("neuroreel")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build", "jupyter_execute", "**/.ipynb_checkpoints"]
nitpicky = False

# Pages
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
source_suffix = {".md": "myst-nb"}

# Notebooks run while the docs are built, and a cell that fails fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_merge_streams = True
suppress_warnings = ["myst-nb.lexer"]  # cells that are not executed do not say which language they are in
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

# The reference
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings tell shapes and units, which annotations cannot
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "neuroreel"
html_static_path = ["_static"]
html_css_files = ["neuroreel.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"**": []}  # few pages: the bar at the top names them all
html_theme_options = {
    "logo": {"text": "neuroreel"},
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "navbar_persistent": ["search-button"],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


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


def setup(app: Sphinx) -> None:
    app.add_directive("command-help", CommandHelp)
