"""A message as a line of JSON, with all that is stored of it: made by the server, read here."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from psycopg import sql

from messagedb import ValidationError

# No JSON text has these characters in it, so that CSV leaves each line as it is.
RAW: Final = "FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01'"

BEGINNING: Final = b'{"global_position":'
"""What every line begins with."""

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
|| '}}'
"""

BOM: Final = b"\xef\xbb\xbf"
"""What some programs put before UTF-8, though no part of the text."""

_OTHER_ZONE: Final = re.compile(r"T.*(?:[+-](?!00(?::?00)?$)[0-9:]+|[A-Ya-y]+)$")

# What a text of COPY must not hold as it is.
_SPECIAL: Final = re.compile(r"[\\\t\n\r]")
_ESCAPES: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line that was exported. Data and metadata that are SQL NULL are left out of it."""

    global_position: int
    stream_name: str
    position: int
    type: str
    id: str
    time: str
    data: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(Line).decode


def export_page(schema: str, where: sql.Composable, order: str) -> sql.Composed:
    """The COPY of a page of messages as lines.

    Args:
        schema: of the message store.
        where: which messages, without parameters: COPY takes none.
        order: the column that they are in the order of.
    """
    return sql.SQL(
        "COPY (SELECT " + _LINE + " FROM {table} WHERE {where} ORDER BY {order}) TO "
    ).format(
        table=sql.Identifier(schema, "messages"), where=where, order=sql.Identifier(order)
    ) + sql.SQL("STDOUT (" + RAW + ")")


def parse(line: bytes, number: int) -> Line:
    """A line that was read.

    Raises:
        ValidationError: it is none; the text names it.
    """
    try:
        found = _decode(line.removeprefix(BOM) if number == 1 else line)
    except msgspec.MsgspecError as error:
        raise ValidationError(
            f"line {number} is no message as messagedb export writes it ({error})"
        ) from None
    if _OTHER_ZONE.search(found.time):
        # The column has no zone: the server would pass over this one.
        raise ValidationError(
            f"line {number} has the time {found.time!r}, which is not in UTC: write it with Z"
        )
    return found


def copy_text(line: Line) -> str:
    """The line as a row of COPY, in the order of ``COPY_COLUMNS``."""
    return (
        f"{line.global_position}\t{line.position}\t{_text(line.time)}\t{_text(line.stream_name)}\t"
        f"{_text(line.type)}\t{_json(line.data)}\t{_json(line.metadata)}\t{_text(line.id)}\n"
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


def _json(raw: msgspec.Raw) -> str:
    text = bytes(raw).decode()
    return text.replace("\\", "\\\\") if text else "\\N"


def _text(value: str) -> str:
    if _SPECIAL.search(value) is None:
        return value
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value)
