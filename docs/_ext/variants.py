"""Show each block of Python that has two variants as two tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs_blocks import add_tabs
from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def show_tabs(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the blocks in the source of a page."""
    source[0] = add_tabs(source[0])


def trim_blocks(app: Sphinx, document: nodes.document) -> None:
    """Remove the blank lines at the end of the parts of files, which end before the next one."""
    for block in document.findall(nodes.literal_block):
        text = block.astext()
        if block.rawsource == text:
            block.rawsource = text.rstrip("\n")
            block[:] = [nodes.Text(block.rawsource)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the functions with Sphinx."""
    app.connect("source-read", show_tabs)
    app.connect("doctree-read", trim_blocks)
    return {"parallel_read_safe": True}
