"""Add the words that people search for to the index of the site, with the page for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_words import add_entries

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def add_to_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add the entries of a page to its source."""
    source[0] = add_entries(docname, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the function with Sphinx."""
    app.connect("source-read", add_to_page, priority=400)  # before there are tabs with headings
    return {"parallel_read_safe": True}
