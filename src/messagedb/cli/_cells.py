"""Cells of a table: a value as one line of characters, and where that line may be broken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Any, cast
from uuid import UUID

import msgspec
from rich.cells import cell_len
from rich.text import Text

JSON_KEY_STYLE = "cyan"
MISSING = "-"
"""Text for a value that is not known, or that there is not: never 0."""

# Beside the control characters, those that change the direction of writing, or break lines.
_TURNING = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), *_TURNING)}
_JSON_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(127, 160), *_TURNING)}
_INDENT = "  "
_LEAST_JSON = 20  # columns beside the indent, below which JSON stays on one line
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"(:?)')

encode_json = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode
"""Encode a value as JSON, with all digits of its numbers."""


class Kind(Enum):
    """Kind of a value, as the layout distinguishes them."""

    NUMBER = auto()  # to the right, and never broken
    WHOLE = auto()  # ids and times: never broken, so that they can be copied from the screen
    WORD = auto()
    PROSE = auto()
    JSON = auto()
    MISSING = auto()


class Cell(msgspec.Struct, frozen=True):
    """A value as one line of characters."""

    kind: Kind
    text: str
    value: Any = None

    @property
    def width(self) -> int:
        """Number of columns of the terminal that the text takes."""
        return cell_len(self.text)

    @property
    def is_whole(self) -> bool:
        """True if the text must not be broken."""
        return self.kind in (Kind.NUMBER, Kind.WHOLE)

    @property
    def can_wrap(self) -> bool:
        """True if the text is read as well on several lines."""
        return self.kind in (Kind.PROSE, Kind.JSON)

    def find_least_width(self, limit: int) -> int:
        """Return the width below which the text would be broken within a word.

        Words of prose and JSON that are longer than ``limit`` may be broken.
        """
        if not self.can_wrap:
            return self.width
        return min(limit, max(map(cell_len, self.text.split(" "))))

    def to_text(self, style: str = "") -> Text:
        """Return the text with its colors."""
        if self.kind is Kind.JSON:
            return color_json(self.text)
        return Text(self.text, "dim" if self.kind is Kind.MISSING else style)

    def to_wide_text(self, width: int, style: str = "") -> Text:
        """Return the text with its colors, and JSON on several lines if it is wider than this."""
        if self.kind is Kind.JSON:
            return color_json(format_json_within(self.value, width))
        return self.to_text(style)


def escape_controls(text: str) -> str:
    r"""Escape control characters in a string: a name cannot change a terminal's colors.

    Example::

        printable("a\nb")  # 'a\\nb'
    """
    return text.translate(_CONTROLS)


def build_cell(value: Any) -> Cell:
    """Build the cell of a value; times are the server's, in UTC."""
    if value is None:
        return Cell(Kind.MISSING, MISSING)
    if isinstance(value, bool):
        return Cell(Kind.WORD, "yes" if value else "no")
    if isinstance(value, int | float | Decimal):
        return Cell(Kind.NUMBER, str(value))
    if isinstance(value, datetime):
        return Cell(Kind.WHOLE, value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z")
    if isinstance(value, UUID):
        return Cell(Kind.WHOLE, str(value))
    if isinstance(value, dict | list):
        return Cell(Kind.JSON, format_json(value), value)
    text = escape_controls(str(value))
    return Cell(Kind.PROSE if " " in text else Kind.WORD, text)


def format_json(value: Any) -> str:
    """Return a value as JSON on one line."""
    return msgspec.json.format(encode_json(value), indent=0).decode().translate(_JSON_CONTROLS)


def format_json_within(value: Any, width: int, indent: int = 0, begun: int = 0) -> str:
    """Return a value as JSON with an item on each line where an object or list is too wide.

    Strings are not broken, and what is nested too deeply for the width stays on one line.

    Args:
        value: the value.
        width: columns that there are.
        indent: columns before the lines after the first.
        begun: columns that the first line has already, after the indent.
    """
    line = format_json(value)
    has_room = indent + begun + cell_len(line) + len(",") <= width
    if has_room or indent + _LEAST_JSON > width or not value:
        return line
    inner = indent + len(_INDENT)
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value)
        labels = [format_json(name) + ": " for name in pairs]
        parts = [
            label + format_json_within(item, width, inner, cell_len(label))
            for label, item in zip(labels, pairs.values(), strict=True)
        ]
        begin, end = "{", "}"
    elif isinstance(value, list):
        items = cast("Sequence[Any]", value)
        parts = [format_json_within(item, width, inner) for item in items]
        begin, end = "[", "]"
    else:
        return line
    body = ",\n".join(" " * inner + part for part in parts)
    return f"{begin}\n{body}\n{' ' * indent}{end}"


def color_json(text: str) -> Text:
    """Return JSON with its keys in a color."""
    colored = Text(text)
    for found in _JSON_STRING.finditer(text):
        if found[1]:
            colored.stylize(JSON_KEY_STYLE, found.start(), found.end() - 1)
    return colored
