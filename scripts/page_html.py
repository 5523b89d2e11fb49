"""Correct the HTML of pages where Sphinx and Furo have no settings for it.

docs/conf.py calls ``correct`` for each page.
"""

from __future__ import annotations

import re
from pathlib import Path

PARAMETERS = re.compile(r"<dl>\n(<dd><(?:em|span) class=\"(?:sig-param|n).*?)</dl>\n", re.DOTALL)
PRIVATE_TITLE = re.compile(
    r'(?<= title=")(?:messagedb(?:\.\w+)*?\._\w+|_messagedb_async)(?:\.[a-z_]\w*)*\.(?=\w)'
)
CHART = re.compile(r'(<img\b[^>]* src="[^"]*_images/([^"/]+\.svg)")')
CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
LONG_NAME = re.compile(r'(?<=<span class="pre">)[\w./:()=-]{20,}(?=</span>)')
SVG_SIZE = re.compile(r'<svg\b[^>]* viewBox="0 0 ([\d.]+) ([\d.]+)"')
RELATIVE_TAG = re.compile(r'<meta property="og:(?:url|image)" content="(?!https?://)[^"]*" />\n?')


def list_parameters(body: str) -> str:
    """Show the parameters of a signature as lines: a ``dl`` without ``dt`` is not valid."""

    def to_lines(found: re.Match[str]) -> str:
        lines = found[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
        return f'<span class="sig-lines">\n{lines}</span>\n'

    return PARAMETERS.sub(to_lines, body)


def hide_private_titles(body: str) -> str:
    """Leave the public part of the names that are shown when the mouse is over a link."""
    return PRIVATE_TITLE.sub("", body)


def add_sizes(body: str, files: dict[str, Path]) -> str:
    """Return a body whose charts have sizes, so that nothing moves when they are loaded, late."""

    def add_size(found: re.Match[str]) -> str:
        size = SVG_SIZE.search(files[found[2]].read_text("utf-8")[:2000])
        if size is None:
            return found[0]
        width, height = (round(float(each)) for each in size.groups())
        return f'{found[1]} width="{width}" height="{height}" loading="lazy"'

    return CHART.sub(add_size, body)


def add_line_breaks(body: str) -> str:
    """Let long names in tables continue on the next line, so that other columns keep their width.

    A name is copied without these places.
    """

    def in_name(found: re.Match[str]) -> str:
        return re.sub(r"(?<=[_/.(])(?=\w)", "<wbr/>", found[0])

    return CELL.sub(lambda cell: LONG_NAME.sub(in_name, cell[0]), body)


def remove_relative_tags(tags: str) -> str:
    """Remove addresses that OpenGraph's readers cannot use: they need whole ones.

    There are such addresses if the address of the site is not known.
    """
    return RELATIVE_TAG.sub("", tags)


def correct(body: str, images: dict[str, Path]) -> str:
    """Return the HTML of a page with all corrections.

    Args:
        body: the HTML of the page's text.
        images: the source of each picture, by its name in the site.
    """
    return hide_private_titles(list_parameters(add_sizes(add_line_breaks(body), images)))
