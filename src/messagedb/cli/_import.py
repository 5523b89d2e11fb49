"""Import of messages from a file: with their ids, times and positions; or after existing ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from messagedb import Client, NewMessage, ValidationError, streams

from ._ndjson import BOM, COPY_COLUMNS, ExportedLine, format_copy_row, parse_line
from ._parse_input import decode_raw

RESTORE_CHUNK_SIZE = 20_000
"""Number of messages that one transaction imports."""

APPEND_CHUNK_SIZE = 2_000
"""Number of messages that one transaction appends."""


class ImportProgress(msgspec.Struct):
    """Progress of an import.

    Attributes:
        lines: number of lines read.
        imported: number of messages imported.
        skipped: number of messages that were already there.
        read: number of bytes read.
    """

    lines: int = 0
    imported: int = 0
    skipped: int = 0
    read: int = 0


def iter_chunks(
    lines: Iterable[bytes], size: int, progress: ImportProgress
) -> Iterator[list[ExportedLine]]:
    """Parse the lines, and return them in lists.

    Raises:
        ValidationError: a line is not in export format. The chunks before it were returned.
    """
    chunk: list[ExportedLine] = []
    for line in lines:
        progress.lines += 1
        progress.read += len(line)
        if not line.strip() or line.strip() == BOM:
            continue
        chunk.append(parse_line(line, progress.lines))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class Restorer:
    """Importer of unchanged messages into a store that is empty, or holds the first part of them.

    Each chunk is a transaction, under a lock that keeps other writers out, so that a store whose
    import was interrupted holds the first part of the file, and the rest can follow.

    Args:
        conn: of the owner of the table, in autocommit mode.
        schema: of the message store.
    """

    def __init__(self, conn: psycopg.Connection[Any], schema: str) -> None:
        self._conn = conn
        self._table = sql.Identifier(schema, "messages")
        self._last = 0  # in the file so far
        self._head: int | None = None  # of the store, once the file has reached it

    def import_chunk(self, chunk: list[ExportedLine], progress: ImportProgress) -> None:
        """Import a chunk; messages that are already there are skipped.

        Raises:
            ValidationError: the store holds other messages, or another session writes to it; or the
                global positions of the lines do not increase. Nothing of the chunk was written.
        """
        for line in chunk:
            if line.global_position <= self._last:
                raise ValidationError(
                    f"the global position {line.global_position} comes after {self._last}, but"
                    " those of an export increase. Use --append for other files. Nothing of this"
                    " part was written."
                )
            self._last = line.global_position
        with self._conn.transaction():
            self._conn.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(self._table))
            head = self._read_head()
            if self._head is None:
                self._compare(chunk, head)
            elif head != self._head:
                raise ValidationError(
                    f"another session has written to the store: its last message is {head}, and"
                    f" that of the import was {self._head}. {progress.imported:,} messages were"
                    " imported, and stay."
                )
            new = [line for line in chunk if line.global_position > head]
            if new:
                self._copy(new)
        if self._last >= head:
            self._head = self._last
        progress.imported += len(new)
        progress.skipped += len(chunk) - len(new)

    def finish(self) -> None:
        """Check that the file has reached the end of the store.

        Raises:
            ValidationError: the store holds messages beyond the file's. Nothing was written.
        """
        if self._head is None and self._read_head() > self._last:
            raise ValidationError(_FOREIGN_MESSAGES_TEXT)

    def _read_head(self) -> int:
        question = sql.SQL("SELECT coalesce(max(global_position), 0) FROM {}").format(self._table)
        row = self._conn.execute(question).fetchone()
        return 0 if row is None else int(row[0])

    def _compare(self, chunk: list[ExportedLine], head: int) -> None:
        """Check that the store's messages up to the chunk's end are those of the file."""
        there = [line for line in chunk if line.global_position <= head]
        if self._last >= head > 0 and (not there or there[-1].global_position != head):
            raise ValidationError(_FOREIGN_MESSAGES_TEXT)
        if there:
            question = sql.SQL("SELECT id::text FROM {} WHERE global_position = %s")
            row = self._conn.execute(
                question.format(self._table), [there[-1].global_position]
            ).fetchone()
            if row is None or row[0] != there[-1].id:
                raise ValidationError(_FOREIGN_MESSAGES_TEXT)

    def _copy(self, lines: list[ExportedLine]) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, COPY_COLUMNS))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(self._table, columns)
        with self._conn.cursor().copy(statement) as copy:
            for start in range(0, len(lines), 500):
                copy.write("".join(map(format_copy_row, lines[start : start + 500])))
        self._conn.execute(
            # Never back: positions that were used before, also by deleted messages, are not reused.
            "SELECT setval(s, greatest(%s, pg_sequence_last_value(s)))"
            " FROM (SELECT pg_get_serial_sequence(%s, 'global_position')::regclass) AS of (s)",
            [lines[-1].global_position, self._table.as_string(self._conn)],
        )


_FOREIGN_MESSAGES_TEXT = (
    "the store holds other messages than the file: messages keep their positions in an empty"
    " store only. Use --append to write them after the existing ones, with new positions and"
    " times. Nothing was written."
)


def append_chunk(client: Client, chunk: list[ExportedLine], progress: ImportProgress) -> None:
    """Write messages after the existing ones, in their order, with their ids; repeats are skipped.

    Raises:
        MessageDBError: as for ``write_messages``. Nothing of the chunk was written.
    """
    categories = {streams.category(line.stream_name) for line in chunk}
    with client.transaction(categories=categories) as tx:
        for name, run in _group_by_stream(chunk):
            before = tx.stream_version(name)
            positions = tx.write_messages(name, [_build_message(line) for line in run])
            new = sum(1 for position in positions if position > before)
            progress.imported += new
            progress.skipped += len(run) - new


def _group_by_stream(chunk: list[ExportedLine]) -> Iterator[tuple[str, list[ExportedLine]]]:
    run: list[ExportedLine] = []
    for line in chunk:
        if run and run[0].stream_name != line.stream_name:
            yield run[0].stream_name, run
            run = []
        run.append(line)
    if run:
        yield run[0].stream_name, run


def _build_message(line: ExportedLine) -> NewMessage:
    return NewMessage(
        line.type, decode_raw(line.data), metadata=decode_raw(line.metadata), id=UUID(line.id)
    )
