"""A message as a line of JSON with all its stored fields: formatted by the server, parsed here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from psycopg import sql

from messagedb import ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

LINE_PREFIX: Final = b'{"global_position":'
"""Beginning of every line."""

# The formats for text look for characters to escape in every byte of a line.
_COPY_OPTIONS: Final = "FORMAT binary"
_COPY_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
_COPY_HEADER: Final = len(_COPY_SIGNATURE) + 8  # before the first row: flags, an empty extension
_COPY_FIELD: Final = 6  # before the only field of a row: the number of fields, its length

_LINE: Final = """
'{{"global_position":' || global_position
|| ',"stream_name":' || to_json(stream_name)
|| ',"position":' || position
|| ',"type":' || to_json(type)
|| ',"id":"' || id
|| '","time":"' || trim('"' from to_json(time)::text)
|| CASE WHEN isfinite(time) THEN 'Z"' ELSE '"' END
|| coalesce(',"data":' || data::text, '')
|| coalesce(',"metadata":' || metadata::text, '')
|| E'}}\\n'
"""

BOM: Final = b"\xef\xbb\xbf"
"""Byte order mark that some programs put before UTF-8."""

_OTHER_ZONE: Final = re.compile(r"T.*(?:[+-](?!00(?::?00)?$)[0-9:]+|[A-Ya-y]+)$")

# Characters that must be escaped in COPY's text format.
_SPECIAL: Final = re.compile(r"[\\\t\n\r]")
_ESCAPES: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


class ExportedLine(msgspec.Struct, frozen=True, gc=False):
    """An exported line. Data and metadata that are SQL NULL are omitted from it."""

    global_position: int
    stream_name: str
    position: int
    type: str
    id: str
    time: str
    data: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(ExportedLine).decode


def build_export_query(schema: str, where: sql.Composable, order: str) -> sql.Composed:
    """Return the COPY of a page of messages as lines, whose rows ``join_lines`` takes.

    Args:
        schema: of the message store.
        where: condition for the messages, without parameters: COPY takes none.
        order: the column that they are ordered by.
    """
    return sql.SQL(
        "COPY (SELECT " + _LINE + " FROM {table} WHERE {where} ORDER BY {order}) TO "
    ).format(
        table=sql.Identifier(schema, "messages"), where=where, order=sql.Identifier(order)
    ) + sql.SQL("STDOUT (" + _COPY_OPTIONS + ")")


def join_lines(rows: Sequence[memoryview]) -> bytes:
    """Return the lines in consecutive rows of the COPY; the mark after the last row has none."""
    lines = [row[_COPY_FIELD:] for row in rows]
    if rows and bytes(rows[0][: len(_COPY_SIGNATURE)]) == _COPY_SIGNATURE:
        lines[0] = rows[0][_COPY_HEADER + _COPY_FIELD :]
    return b"".join(lines)


def parse_line(line: bytes, number: int) -> ExportedLine:
    """Parse a line of a file.

    Raises:
        ValidationError: it is not in export format; the text names the line.
    """
    try:
        found = _decode(line.removeprefix(BOM) if number == 1 else line)
    except msgspec.MsgspecError as error:
        raise ValidationError(
            f"line {number} is not a message in the format of messagedb export ({error})"
        ) from None
    if _OTHER_ZONE.search(found.time):
        # The column has no time zone: the server would ignore this one.
        raise ValidationError(
            f"line {number} has the time {found.time!r}, which is not in UTC: write it with Z"
        )
    return found


def format_copy_row(line: ExportedLine) -> str:
    """Return the line as a row of COPY, in the order of ``COPY_COLUMNS``."""
    return (
        f"{line.global_position}\t{line.position}\t{_escape_string(line.time)}\t{_escape_string(line.stream_name)}\t"
        f"{_escape_string(line.type)}\t{_format_json(line.data)}\t{_format_json(line.metadata)}\t{_escape_string(line.id)}\n"
    )


COPY_COLUMNS: Final = (
    "global_position",
    "position",
    "time",
    "stream_name",
    "type",
    "data",
    "metadata",
    "id",
)


def _format_json(raw: msgspec.Raw) -> str:
    text = bytes(raw).decode()
    return text.replace("\\", "\\\\") if text else "\\N"


def _escape_string(value: str) -> str:
    if _SPECIAL.search(value) is None:
        return value
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value)
