"""Lines of a width: between words, and within those that are too long. Nothing is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

GAP = "  "
"""Between columns, and before lines that continue another."""

LEAST_WIDTH = 20
"""Columns beside an indent or a label, below which a string begins on the next line."""

_ruler = Console(width=1, color_system=None)  # wrapping asks one for its settings


def wrap(text: Text, width: int) -> list[Text]:
    """Return the lines of a cell, broken between words, and within those that are too long."""
    lines: list[Text] = []
    for part in text.split("\n"):
        indent = len(part.plain) - len(part.plain.lstrip(" "))
        if part.cell_len <= width or indent + LEAST_WIDTH > width:
            lines += part.wrap(_ruler, width, overflow="fold")
            continue
        # The lines of a long value within JSON stand below its beginning.
        wrapped = part[indent:].wrap(_ruler, width - indent, overflow="fold")
        lines += [Text(" " * indent) + line for line in wrapped]
    for line in lines:
        line.rstrip()
    return lines


def stack(parts: Sequence[Text], width: int | None) -> Text:
    """Join parts to lines of this width, where those after the first are indented.

    A part is only broken if it is longer than a line.
    """
    lines = [Text()]
    for part in parts:
        line = lines[-1]
        if width is None or line.cell_len + len(GAP) + part.cell_len <= width:
            line.append(GAP if line else "").append_text(part)
        elif part.cell_len <= width and not line:
            line.append_text(part)
        else:
            lines += [Text(GAP) + each for each in wrap(part, max(width - len(GAP), LEAST_WIDTH))]
    return Text("\n").join(lines)
