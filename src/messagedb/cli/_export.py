"""Export of messages to a file: pages of one moment, formatted as lines by the server."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from psycopg import sql

from messagedb import Client, IncompatibleServerError, StoreUnavailableError, ValidationError
from messagedb import streams as names
from messagedb._argument_checks import check_string
from messagedb._connection.psycopg_internals import read_copy_rows

from ._ndjson import LINE_PREFIX, build_export_query, join_lines, parse_line

PAGE_SIZE: int = 50_000
"""Number of positions that one query covers."""

BLOCK_SIZE: int = 1 << 18
"""Number of bytes that are read, and written, together."""

_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.05


class ExportRange(msgspec.Struct, frozen=True):
    """The range to export: positions of a stream, or global ones of a category or the whole store.

    Attributes:
        name: of the stream or category; None for the whole store.
        column: the column of the positions.
        first: the first position.
        last: the last position; less than the first one if there is nothing to export.
    """

    name: str | None
    column: str
    first: int
    last: int

    def build_condition(self, schema: str, first: int, last: int) -> sql.Composed:
        """Return the condition for the messages from one position to another."""
        column = sql.Identifier(self.column)
        of_positions = sql.SQL("{column} BETWEEN {first} AND {last}").format(
            column=column, first=sql.Literal(first), last=sql.Literal(last)
        )
        if self.name is None:
            return of_positions
        if names.is_category(self.name):
            return sql.SQL("{category}(stream_name) = ANY (ARRAY[{name}::varchar]) AND {}").format(
                of_positions,
                category=sql.Identifier(schema, "category"),
                name=sql.Literal(self.name),
            )
        return sql.SQL("stream_name = {name} AND {}").format(
            of_positions, name=sql.Literal(self.name)
        )


def get_position_column(name: str | None) -> str:
    """Return the column of the positions that an export is ordered by."""
    is_stream = name is not None and not names.is_category(name)
    return "position" if is_stream else "global_position"


def find_range(client: Client, name: str | None, first: int | None) -> ExportRange:
    """Find the range to export now. Wait until all messages written at this moment are visible.

    Raises:
        IncompatibleServerError: the role may not read the table of messages.
        StoreUnavailableError: a transaction that writes did not end within a minute.
        ValidationError: the name is not one that PostgreSQL can store.
    """
    if name is not None:
        check_string("the name", name)
    column = get_position_column(name)
    if name is not None and column == "position":
        return ExportRange(name, column, first or 0, client.stream_version(name))
    head = client.get_store_head()
    if head is None:
        raise IncompatibleServerError(
            "the role may not read the table of messages, which export needs, or the messages are"
            " on several nodes (PL/Proxy): use another role, or connect to the node that has the"
            " category (messagedb proxy status). Nothing was written."
        )
    end = time.monotonic() + _WAIT_SECONDS
    writers = set(client.list_open_write_transactions())
    while writers := writers & set(client.list_open_write_transactions()):
        if time.monotonic() > end:
            raise StoreUnavailableError(
                f"{len(writers)} transactions have been writing messages for more than a minute:"
                " their messages would be missing. End them, or try again later. Nothing was"
                " written."
            )
        time.sleep(_POLL_SECONDS)
    return ExportRange(name, column, first or 1, head)


def iter_blocks(client: Client, schema: str, wanted: ExportRange) -> Iterator[tuple[bytes, int]]:
    """Iterate over the lines in blocks of bytes, each with the last position that it covers.

    No connection is held between pages.
    """
    for first in range(wanted.first, wanted.last + 1, PAGE_SIZE):
        last = min(first + PAGE_SIZE - 1, wanted.last)
        question = build_export_query(
            schema, wanted.build_condition(schema, first, last), wanted.column
        )
        with (
            client.transaction(read_only=True) as tx,
            tx.connection.cursor().copy(question) as copy,
        ):
            while rows := copy.connection.wait(read_copy_rows(copy, BLOCK_SIZE)):
                yield join_lines(rows), first
        yield b"", last


def read_last_position(file: Path, column: str) -> int | None:
    """Return the position in the last complete line of a file, and cut the file after it.

    None if the file has no line.

    Raises:
        ValidationError: that line is not in export format. The file was not changed.
    """
    with file.open("r+b") as opened:
        end = opened.seek(0, os.SEEK_END)
        tail = b""
        start = end
        while start > 0 and tail.count(b"\n") < 2:
            size = min(1 << 16, start)
            start -= size
            opened.seek(start)
            tail = opened.read(size) + tail
        whole, newline, _ = tail.rpartition(b"\n")
        if not newline:
            if tail[: len(LINE_PREFIX)] != LINE_PREFIX[: len(tail)]:
                raise ValidationError(f"{file} is not in export format. The file was not changed.")
            opened.truncate(0)
            return None
        line = whole.rpartition(b"\n")[2]
        try:
            position: int = getattr(parse_line(line, 0), column)
        except ValidationError as error:
            raise ValidationError(
                f"the last line of {file} is not in export format ({error}). The file was not"
                " changed."
            ) from None
        opened.truncate(start + len(whole) + 1)
        return position


@contextmanager
def open_target(target: str, resume: bool) -> Generator[BinaryIO]:
    """Open the file to write to. A new one is readable by its owner only: it holds all messages.

    Raises:
        ValidationError: it exists, and is not to be continued; or it cannot be opened.
    """
    try:
        with open(target, "ab" if resume else "xb", opener=_open_private) as file:
            yield file
    except FileExistsError:
        raise ValidationError(
            f"{target} already exists: use another name, or --resume to continue it"
        ) from None
    except OSError as error:
        raise ValidationError(f"{target} cannot be written ({error.strerror})") from None


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
