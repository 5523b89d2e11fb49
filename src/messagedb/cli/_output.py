"""What commands print: a table for a person, one JSON object a line for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"


class Output:
    """Rows and notes, in the form that standard output wants."""

    def __init__(self, format: Format | None) -> None:
        default = Format.TABLE if sys.stdout.isatty() else Format.JSON
        self.format = format or default
        self.console = Console(highlight=False, markup=False, emoji=False)
        self._encoder = msgspec.json.Encoder(enc_hook=str, decimal_format="number")

    @property
    def is_json(self) -> bool:
        """Whether rows are JSON lines."""
        return self.format is Format.JSON

    def rows(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Print rows: a table with these columns, or all their keys as JSON.

        A table is printed when the last row is there; lines as they come.
        """
        if self.is_json:
            for row in rows:
                self.json(row)
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(Text(_shown(row.get(column))) for column in columns))
        self.console.print(table)

    def json(self, value: Any) -> None:
        """Print one value as a line of JSON."""
        sys.stdout.write(self._encoder.encode(value).decode() + "\n")

    def line(self, text: str) -> None:
        """Print a line for a person; into a pipe nothing."""
        if not self.is_json:
            self.console.print(text)

    def note(self, text: str) -> None:
        """Say something beside the output: on standard error."""
        print(text, file=sys.stderr)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return msgspec.json.encode(value, enc_hook=str).decode()
    return str(value)
