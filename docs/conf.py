"""The settings of the site: ``nox -s docs`` builds it, and any warning fails it."""

from __future__ import annotations

import inspect
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import messagedb
import messagedb.testing
from docutils import nodes
from messagedb import _concurrency_async, _concurrency_sync
from sphinx.addnodes import pending_xref

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "messagedb"
author = copyright = "messagedb contributors"
version = release = installed_version("messagedb")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpicky = True
default_role = "code"  # docstrings have single and double backticks; both are code

myst_heading_anchors = 3  # pages link to #headings, as on GitHub
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.xref_missing"]  # checked by tests/test_site.py, for GitHub too

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = ["What it guarantees"]

html_theme = "furo"
html_title = f"messagedb {release}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
copybutton_exclude = ".linenos, .gp, .go"
# GitHub's picture links are those of the site, and PostgreSQL's docs turn robots away at times.
linkcheck_timeout = 20
linkcheck_retries = 2
