"""Messages out of a file, as they were: with their ids, times and positions; or behind others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from messagedb import Client, NewMessage, ValidationError, streams

from ._ndjson import BOM, COPY_COLUMNS, Line, copy_text, parse
from ._parse_input import data_of

CHUNK = 20_000
"""How many messages one transaction brings."""

APPENDED = 2_000
"""How many messages one transaction appends."""


class Progress(msgspec.Struct):
    """How far an import is.

    Attributes:
        lines: how many lines were read.
        imported: how many messages were brought.
        skipped: how many were there already.
        read: how many bytes were read.
    """

    lines: int = 0
    imported: int = 0
    skipped: int = 0
    read: int = 0


def chunks(lines: Iterable[bytes], size: int, progress: Progress) -> Iterator[list[Line]]:
    """The lines in lists, each parsed.

    Raises:
        ValidationError: a line is none of an export. The chunks before it were given.
    """
    chunk: list[Line] = []
    for line in lines:
        progress.lines += 1
        progress.read += len(line)
        if not line.strip() or line.strip() == BOM:
            continue
        chunk.append(parse(line, progress.lines))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class Restoring:
    """Brings messages as they were into a store that holds nothing, or the first part of them.

    Each chunk is a transaction, under a lock that keeps other writers out, so that a store whose
    import was cut off holds the first part of the file, and the rest can follow.

    Args:
        conn: of the owner of the table, in autocommit mode.
        schema: of the message store.
    """

    def __init__(self, conn: psycopg.Connection[Any], schema: str) -> None:
        self._conn = conn
        self._table = sql.Identifier(schema, "messages")
        self._last = 0  # in the file so far
        self._head: int | None = None  # of the store, once the file has come to it

    def bring(self, chunk: list[Line], progress: Progress) -> None:
        """Bring a chunk: what of it is there already is skipped.

        Raises:
            ValidationError: the store holds something else, or somebody else writes to it; or the
                global positions of the lines do not rise. Nothing of the chunk was written.
        """
        for line in chunk:
            if line.global_position <= self._last:
                raise ValidationError(
                    f"the global position {line.global_position} comes after {self._last}, and the "
                    "lines of an export rise. Take --append for other files. Nothing of this part "
                    "was written."
                )
            self._last = line.global_position
        with self._conn.transaction():
            self._conn.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(self._table))
            head = self._read_head()
            if self._head is None:
                self._compare(chunk, head)
            elif head != self._head:
                raise ValidationError(
                    f"somebody else has written to the store: its last message is {head}, and that "
                    f"of the import was {self._head}. {progress.imported:,} messages were "
                    "imported, and stay."
                )
            new = [line for line in chunk if line.global_position > head]
            if new:
                self._copy(new)
        if self._last >= head:
            self._head = self._last
        progress.imported += len(new)
        progress.skipped += len(chunk) - len(new)

    def finish(self) -> None:
        """Check that the file came to the end of the store.

        Raises:
            ValidationError: the store holds messages beyond the file's. Nothing was written.
        """
        if self._head is None and self._read_head() > self._last:
            raise ValidationError(_OTHERS)

    def _read_head(self) -> int:
        question = sql.SQL("SELECT coalesce(max(global_position), 0) FROM {}").format(self._table)
        row = self._conn.execute(question).fetchone()
        return 0 if row is None else int(row[0])

    def _compare(self, chunk: list[Line], head: int) -> None:
        """See that what is there up to the chunk's end is what the file holds."""
        there = [line for line in chunk if line.global_position <= head]
        if self._last >= head > 0 and (not there or there[-1].global_position != head):
            raise ValidationError(_OTHERS)
        if there:
            question = sql.SQL("SELECT id::text FROM {} WHERE global_position = %s")
            row = self._conn.execute(
                question.format(self._table), [there[-1].global_position]
            ).fetchone()
            if row is None or row[0] != there[-1].id:
                raise ValidationError(_OTHERS)

    def _copy(self, lines: list[Line]) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, COPY_COLUMNS))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(self._table, columns)
        with self._conn.cursor().copy(statement) as copy:
            for start in range(0, len(lines), 500):
                copy.write("".join(map(copy_text, lines[start : start + 500])))
        self._conn.execute(
            # Never back: what was given out before, as to messages that are deleted, is not reused.
            "SELECT setval(s, greatest(%s, pg_sequence_last_value(s)))"
            " FROM (SELECT pg_get_serial_sequence(%s, 'global_position')::regclass) AS of (s)",
            [lines[-1].global_position, self._table.as_string(self._conn)],
        )


_OTHERS = (
    "the store holds other messages than the file: with their positions, messages are imported "
    "into an empty store only. Take --append to write them behind what is there, with new "
    "positions and times. Nothing was written."
)


def append_chunk(client: Client, chunk: list[Line], progress: Progress) -> None:
    """Write messages behind what is there, in their order, with their ids: what is there, is there.

    Raises:
        MessageDBError: as of ``write_messages``. Nothing of the chunk was written.
    """
    categories = {streams.category(line.stream_name) for line in chunk}
    with client.transaction(categories=categories) as tx:
        for name, run in _runs(chunk):
            before = tx.stream_version(name)
            positions = tx.write_messages(name, [_message(line) for line in run])
            new = sum(1 for position in positions if position > before)
            progress.imported += new
            progress.skipped += len(run) - new


def _runs(chunk: list[Line]) -> Iterator[tuple[str, list[Line]]]:
    run: list[Line] = []
    for line in chunk:
        if run and run[0].stream_name != line.stream_name:
            yield run[0].stream_name, run
            run = []
        run.append(line)
    if run:
        yield run[0].stream_name, run


def _message(line: Line) -> NewMessage:
    return NewMessage(line.type, data_of(line.data), data_of(line.metadata), UUID(line.id))
