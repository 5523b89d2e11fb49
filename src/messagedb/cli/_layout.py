"""Layout of rows for a person: a table where it fits the terminal, records where it does not.

Nothing is cut. Prose and JSON wrap within their column; numbers, ids and times stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.text import Text

from ._cells import Cell, Kind, build_cell
from ._wrapping import GAP, LEAST_WIDTH, wrap

Row = Mapping[str, Any]

HEADER_STYLE = "bold"
_LEAST_WRAP = 24  # columns that prose and JSON get in a table at least, if they need so many
_LONGEST_WORD = 40  # words of prose up to this length are not broken in a table
_MOST_LINES = 3  # lines of a row of a table on average, beyond which records are easier to read
_RULE_WIDTH = 80
_WIDEST_CHARACTER = 2


class Column(msgspec.Struct, frozen=True):
    """A column of a table, and a field of a record.

    Args:
        name: the key in the row.
        label: the heading; by default the name with spaces.
        value: what it shows, if that is not the value of the key.
        style: returns a color for a value, if it means something; empty for none.
        is_optional: True if the column is left out where it has no value.
    """

    name: str
    label: str = ""
    value: Callable[[Row], Any] | None = None
    style: Callable[[Any], str] | None = None
    is_optional: bool = False

    @property
    def heading(self) -> str:
        """The label for a person."""
        return self.label or self.name.replace("_", " ")

    def get_value(self, row: Row) -> Any:
        """Return what the column shows of a row."""
        return row.get(self.name) if self.value is None else self.value(row)

    def build_cell(self, row: Row) -> Cell:
        """Build the cell of this column in a row."""
        return build_cell(self.get_value(row))

    def find_style(self, row: Row) -> str:
        """Return the color of this column in a row."""
        return "" if self.style is None else self.style(row.get(self.name))


def make_columns(columns: Iterable[Column | str]) -> tuple[Column, ...]:
    """Return columns, where a string is the name of one."""
    return tuple(Column(each) if isinstance(each, str) else each for each in columns)


def leave_out_optional(columns: Iterable[Column], rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns without the optional ones that are empty in all rows."""
    return tuple(
        column
        for column in columns
        if not column.is_optional or any(column.get_value(row) for row in rows)
    )


class Table:
    """A table whose columns grow with its rows, within a width.

    Args:
        columns: its columns.
        width: columns of the terminal; None for no limit.
        must_fit: True if rows that do not fit are refused, False if their lines are longer then.
    """

    def __init__(
        self, columns: Sequence[Column], width: int | None, *, must_fit: bool = True
    ) -> None:
        self._columns = columns
        self._limit = width
        self._must_fit = must_fit
        self._has_headings = False
        self._naturals = [0] * len(columns)
        self._leasts = [0] * len(columns)
        self._kinds: list[set[Kind]] = [set() for _ in columns]
        self._widths: list[int] = []

    def add(self, rows: Sequence[Row]) -> list[Text] | None:
        """Return the lines of more rows, after those of the headings; None if they do not fit."""
        cells = [[column.build_cell(row) for column in self._columns] for row in rows]
        self._grow(cells)
        is_first = not self._has_headings
        widths = self._choose_widths()
        if widths is None:
            return None
        self._widths = widths
        lines = list(self._iter_lines(rows, cells))
        if is_first and self._must_fit and len(lines) > _MOST_LINES * len(rows):
            return None
        headings = list(self._iter_headings()) if is_first else []
        self._has_headings = True
        return headings + lines

    def _grow(self, cells: Sequence[Sequence[Cell]]) -> None:
        for row in cells:
            for at, cell in enumerate(row):
                self._naturals[at] = max(self._naturals[at], cell.width)
                least = cell.find_least_width(_LONGEST_WORD)
                self._leasts[at] = max(self._leasts[at], least)
                self._kinds[at].add(cell.kind)

    def _choose_widths(self) -> list[int] | None:
        """Return the width of each column; None if the table does not fit."""
        headings = [cell_len(column.heading) for column in self._columns]
        natural = list(map(max, self._naturals, headings))
        if self._limit is None:
            return natural
        left = self._limit - len(GAP) * (len(self._columns) - 1)
        if sum(natural) <= left:
            return natural
        words = [max(map(cell_len, column.heading.split())) for column in self._columns]
        natural = list(map(max, self._naturals, words))
        if sum(natural) <= left:
            return natural
        least = [
            max(word, min(natural, max(least, _LEAST_WRAP if self._canwrap(at) else natural)))
            for at, (word, natural, least) in enumerate(
                zip(words, self._naturals, self._leasts, strict=True)
            )
        ]
        if sum(least) > left:
            return None if self._must_fit else least
        return _share(natural, least, left)

    def _canwrap(self, at: int) -> bool:
        return bool(self._kinds[at] & {Kind.PROSE, Kind.JSON})

    def _is_number(self, at: int) -> bool:
        kinds = self._kinds[at] - {Kind.MISSING}
        return kinds == {Kind.NUMBER}

    def _iter_headings(self) -> Iterator[Text]:
        texts = [Text(column.heading, HEADER_STYLE) for column in self._columns]
        wrapped = [wrap(text, width) for text, width in zip(texts, self._widths, strict=True)]
        height = max(map(len, wrapped), default=0)
        # Headings stand on the line above their column.
        yield from self._join([[Text("")] * (height - len(each)) + each for each in wrapped])

    def _iter_lines(self, rows: Sequence[Row], cells: Sequence[Sequence[Cell]]) -> Iterator[Text]:
        for row, row_cells in zip(rows, cells, strict=True):
            texts = [
                cell.to_text(column.find_style(row))
                for column, cell in zip(self._columns, row_cells, strict=True)
            ]
            yield from self._join(
                [
                    [text] if cell.width <= width or not cell.can_wrap else wrap(text, width)
                    for text, cell, width in zip(texts, row_cells, self._widths, strict=True)
                ]
            )

    def _join(self, parts: Sequence[Sequence[Text]]) -> Iterator[Text]:
        """Join the lines of each cell to the lines of a row."""
        for number in range(max(map(len, parts), default=0)):
            line = Text()
            gap = 0  # spaces that are due before the next text: none at the end of a line
            for at, (lines, width) in enumerate(zip(parts, self._widths, strict=True)):
                text = lines[number] if number < len(lines) else Text()
                padding = width - text.cell_len
                before = padding if self._is_number(at) else 0
                if text.plain:
                    line.append(" " * (gap + before))
                    line.append_text(text)
                    gap = max(padding, 0) - before + len(GAP)
                else:
                    gap += width + len(GAP)
            yield line


class Records:
    """Records: a line for each field, with values that wrap beside their labels.

    Args:
        columns: the fields.
        width: columns of the terminal; None for no limit.
        rule: the character of the line with its number above each; without one, an empty line is
            between them.
    """

    def __init__(self, columns: Sequence[Column], width: int | None, *, rule: str = "") -> None:
        self._columns = columns
        self._width = width
        self._rule = rule
        self._label_width = max(cell_len(column.heading) for column in columns)
        self._count = 0

    def add(self, rows: Iterable[Row]) -> Iterator[Text]:
        """Iterate over the lines of more rows."""
        for row in rows:
            self._count += 1
            if self._rule:
                size = min(self._width or _RULE_WIDTH, _RULE_WIDTH)
                line = f"{self._rule * 2} {self._count} ".ljust(size, self._rule)
                yield Text(line, "dim")
            elif self._count > 1:
                yield Text()
            for column in self._columns:
                if not column.is_optional or column.get_value(row):
                    yield from self._iter_field(column, row)

    def _iter_field(self, column: Column, row: Row) -> Iterator[Text]:
        label = Text.assemble((column.heading.ljust(self._label_width) + GAP, HEADER_STYLE))
        cell = column.build_cell(row)
        style = column.find_style(row)
        if self._width is None or label.cell_len + cell.width <= self._width:
            yield label + cell.to_text(style)
            return
        space = self._width - label.cell_len
        may_fit_below = not cell.can_wrap and cell.width <= self._width - len(GAP)
        if space < LEAST_WIDTH or may_fit_below or cell.is_whole:
            yield Text(column.heading, HEADER_STYLE)  # the value is whole on the next line
            label, space = Text(GAP), max(self._width - len(GAP), _WIDEST_CHARACTER)
        if cell.is_whole:
            yield label + cell.to_text(style)
            return
        for line in wrap(cell.to_wide_text(space, style), space):
            yield label + line
            label = Text(" " * label.cell_len)


def _share(natural: Sequence[int], least: Sequence[int], space: int) -> list[int]:
    """Return widths of this sum: the widest are reduced to the same width, but not too far."""
    low, high = 0, max(natural)
    while low < high:  # the largest limit for all with which they fit
        limit = (low + high + 1) // 2
        if sum(_limit(natural, least, limit)) <= space:
            low = limit
        else:
            high = limit - 1
    widths = _limit(natural, least, low)
    left = space - sum(widths)
    for at, width in enumerate(widths):
        if left and width < natural[at]:
            widths[at] += 1
            left -= 1
    return widths


def _limit(natural: Sequence[int], least: Sequence[int], limit: int) -> list[int]:
    return [max(low, min(high, limit)) for high, low in zip(natural, least, strict=True)]
