"""Output of commands: tables and records for a terminal, one JSON object per line for a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ._cells import encode_json
from ._layout import Column, Records, Row, Table, leave_out_optional, make_columns

Columns = Sequence[Column | str]

_ENDLESS = 1_000_000  # columns: rich would cut the lines of a tree


class Format(StrEnum):
    """Format of rows."""

    TABLE = "table"
    RECORD = "record"
    JSON = "json"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # ends like a line of JSON; rich would exit with 1


def _make_console(width: int | None = None) -> Console:
    return _Console(highlight=False, markup=False, emoji=False, width=width)


class Output:
    """Writer of rows and notes, in the format for standard output.

    Args:
        format: None for a table on a terminal, or records where it does not fit, and JSON lines
            into a pipe.
    """

    def __init__(self, format: Format | None) -> None:
        self.console = _make_console()
        self.is_chosen: Final = format is not None
        """True if the user has chosen the format."""
        if format is None and not sys.stdout.isatty():
            format = Format.JSON
        self._format = format

    @property
    def is_json(self) -> bool:
        """True if rows are JSON lines."""
        return self._format is Format.JSON

    @property
    def width(self) -> int | None:
        """Columns of the terminal, or those of the variable COLUMNS; None in a pipe without it."""
        is_limited = self.console.is_terminal or os.environ.get("COLUMNS", "").isdigit()
        return self.console.width if is_limited else None

    def print_rows(
        self, columns: Columns, rows: Iterable[Row], *, total: str = "", empty: str = ""
    ) -> None:
        """Print rows: a table or records with these columns, or all their keys as JSON.

        A table is printed after the last row; JSON lines immediately.

        Args:
            columns: for a person.
            rows: the rows.
            total: a line below a table.
            empty: a note if there are no rows, on standard error: it says what to do.
        """
        if self.is_json:
            for row in rows:
                self.print_json(row)
            return
        found = list(rows)
        if not found and empty:
            self.print_note(empty)
            return
        for line in self.build_lines(columns, found):
            self._print_text(line)
        if total:
            self._print_text(Text(total, "dim"))

    def build_lines(self, columns: Columns, rows: Sequence[Row]) -> Iterator[Text]:
        """Iterate over the lines of a table or of records with these columns."""
        shown = leave_out_optional(make_columns(columns), rows)
        return self._lay_out(shown, [rows], is_alone=len(rows) == 1)

    def flush(self) -> None:
        """Send what was printed to the reader of a pipe now."""
        sys.stdout.flush()

    def print_pages(self, columns: Columns, pages: Iterable[Sequence[Row]]) -> int:
        """Print rows page by page as they come: in a table or as records, or as JSON lines.

        A column grows with its contents. From the first row that does not fit a table, all are
        records.

        Returns:
            The number of rows.
        """
        count = 0

        def counted() -> Iterator[Sequence[Row]]:
            nonlocal count
            for page in pages:
                count += len(page)
                if page:
                    yield page

        if self.is_json:
            for page in counted():
                for row in page:
                    self.print_json(row)
                sys.stdout.flush()
        else:
            for line in self._lay_out(make_columns(columns), counted()):
                self._print_text(line)
        return count

    def print_record(self, row: Row) -> None:
        """Print all fields of one row: as a record, or as a line of JSON."""
        if self.is_json:
            self.print_json(row)
            return
        for line in Records(make_columns(row), self.width).add([row]):
            self._print_text(line)

    def _lay_out(
        self,
        columns: Sequence[Column],
        pages: Iterable[Sequence[Row]],
        *,
        is_alone: bool = False,
    ) -> Iterator[Text]:
        """Iterate over the lines of pages; each page is written before the next is asked for."""
        rule = "-" if self.console.options.ascii_only else "─"
        has_rule = self.console.is_terminal and not is_alone
        records = Records(columns, self.width, rule=rule if has_rule else "")
        table: Table | None = None
        if self._format is not Format.RECORD:
            table = Table(columns, self.width, must_fit=self._format is not Format.TABLE)
        for page in pages:
            lines = None if table is None else table.add(page)
            if lines is None:
                table = None
            yield from records.add(page) if lines is None else lines
            sys.stdout.flush()

    def _print_text(self, line: Text) -> None:
        if self.console.is_terminal:
            self.console.print(line, soft_wrap=True)
        else:
            print(line.plain)

    def print_json(self, value: Any) -> None:
        """Print one value as a line of JSON."""
        sys.stdout.buffer.write(encode_json(value) + b"\n")  # in UTF-8 for any destination

    def print_tree(self, tree: Tree) -> None:
        """Print a tree whose labels have been broken to the width: nothing is cut."""
        _make_console(_ENDLESS).print(tree, soft_wrap=True)

    def print_line(self, text: str) -> None:
        """Print a line on a terminal; nothing into a pipe."""
        if not self.is_json:
            self.console.print(text)

    def print_note(self, text: str) -> None:
        """Print a note beside the output, on standard error."""
        print(text, file=sys.stderr)
