"""Show each block of Python that has two variants as two tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs_blocks import add_tabs

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def show_tabs(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the blocks in the source of a page."""
    source[0] = add_tabs(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the function with Sphinx."""
    app.connect("source-read", show_tabs)
    return {"parallel_read_safe": True}
