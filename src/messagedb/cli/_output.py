"""Output of commands: a table for a terminal, one JSON object per line for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import NoneType
from typing import Any
from uuid import UUID

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_NUMBERS = frozenset({int, float, Decimal})
_NO_WRAP_TYPES = _NUMBERS | {UUID, datetime}
_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160))}
_encode = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode


class Format(StrEnum):
    """Format of rows."""

    TABLE = "table"
    JSON = "json"


def escape_controls(text: str) -> str:
    r"""Escape control characters in a string: a name cannot change a terminal's colors.

    Example::

        printable("a\nb")  # 'a\\nb'
    """
    return text.translate(_CONTROLS)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # ends like a line of JSON; rich would exit with 1


class Output:
    """Writer of rows and notes, in the format for standard output."""

    def __init__(self, format: Format | None) -> None:
        default = Format.TABLE if sys.stdout.isatty() else Format.JSON
        self.format = format or default
        self.console = _Console(highlight=False, markup=False, emoji=False)

    @property
    def is_json(self) -> bool:
        """True if rows are JSON lines."""
        return self.format is Format.JSON

    def print_rows(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Print rows: a table with these columns, or all their keys as JSON.

        A table is printed after the last row; JSON lines immediately.
        """
        if self.is_json:
            for row in rows:
                self.print_json(row)
            return
        found = list(rows)
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            kinds: set[type[object]] = {type(_to_cell(row, column)) for row in found} - {NoneType}
            table.add_column(
                column.replace("_", " "),
                justify="right" if kinds and kinds <= _NUMBERS else "left",
                no_wrap=bool(kinds) and kinds <= _NO_WRAP_TYPES,  # to be copied from the screen
                overflow="fold",
            )
        for row in found:
            table.add_row(*(Text(_format_value(row.get(column))) for column in columns))
        self.console.print(table)

    def print_pages(
        self, columns: Sequence[str], pages: Iterable[Sequence[Mapping[str, Any]]]
    ) -> int:
        """Print rows page by page as they come: in columns, or as JSON lines.

        A column grows with its contents; the last one continues to the end of the line.

        Returns:
            The number of rows.
        """
        count = 0
        widths = [len(column) for column in columns]
        headed = False
        for page in pages:
            count += len(page)
            if self.is_json:
                for row in page:
                    self.print_json(row)
            elif page:
                cells = [[_format_value(row.get(column)) for column in columns] for row in page]
                widths = [
                    max(width, *map(len, column))
                    for width, column in zip(widths, zip(*cells, strict=True), strict=True)
                ]
                if not headed:
                    self._print_columns(
                        [column.replace("_", " ") for column in columns], widths, "bold"
                    )
                    headed = True
                for row_cells in cells:
                    self._print_columns(row_cells, widths)
            sys.stdout.flush()
        return count

    def _print_columns(self, cells: Sequence[str], widths: Sequence[int], style: str = "") -> None:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        self.console.print(line.rstrip(), style=style, soft_wrap=True)

    def print_fields(self, row: Mapping[str, Any]) -> None:
        """Print one row on a terminal, a line for each field."""
        width = max(map(len, row))
        for name, value in row.items():
            self.console.print(f"{name.replace('_', ' ').ljust(width)}  {_format_value(value)}")

    def print_json(self, value: Any) -> None:
        """Print one value as a line of JSON."""
        sys.stdout.buffer.write(_encode(value) + b"\n")  # in UTF-8 for any destination

    def print_line(self, text: str) -> None:
        """Print a line on a terminal; nothing into a pipe."""
        if not self.is_json:
            self.console.print(text)

    def print_note(self, text: str) -> None:
        """Print a note beside the output, on standard error."""
        print(text, file=sys.stderr)


def _to_cell(row: Mapping[str, Any], column: str) -> object:
    return row.get(column)


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return _encode(value).decode()
    if isinstance(value, datetime):  # from the server, in UTC
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    return escape_controls(str(value))
