"""The private names of psycopg that are used: here, and in the file of this name that does the I/O.

Nothing else uses a private name of psycopg. Those of psycopg_pool are used in ``connection/pool``
and ``_concurrency/pooling_*``. A test for each name fails if psycopg changes it.
"""

from __future__ import annotations

from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from psycopg import errors, generators
from psycopg._preparing import Prepare
from psycopg.adapt import PyFormat
from psycopg.pq import Format, PipelineStatus, TransactionStatus

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from psycopg import Copy
    from psycopg.abc import PQGen

    from .._sql.statements import Statement

# pyright: reportPrivateUsage=false

WaitTimeout = errors._WaitTimeout
"""Raised by psycopg's wait when its timeout has passed."""

# Generators of psycopg's protocol, which a connection's ``wait`` executes: they end a COPY, send a
# query and read its results, read the results of the next query, and send what is queued.
copy_end = generators.copy_end
execute_query = generators.execute
_fetch_results = generators.fetch_many
send_queued = generators.send

current_pipeline: Callable[[Any], StorePipeline | None] = attrgetter("_pipeline")
"""Return the pipeline that psycopg has for a connection, which may not have begun yet, or None."""


class StorePipeline(Protocol):
    """The attributes needed of a pipeline that a connection is in.

    Attributes:
        is_ending: whether its end has begun.
        command_queue: the commands that were not passed to libpq yet.
        result_queue: the commands whose responses were not read yet.
    """

    is_ending: bool
    command_queue: deque[Any]
    result_queue: deque[Any]

    def sync(self) -> Any:
        """Send everything, and wait for the responses."""


def set_pipeline(conn: Any, pipeline: object) -> None:
    """Make psycopg use this pipeline at the next ``conn.pipeline()``; None for psycopg's own."""
    conn._pipeline = pipeline


def has_sent_everything(conn: Any) -> bool:
    """Return True if the end of a connection's pipeline was sent, as far as is known."""
    pipeline = current_pipeline(conn)
    return pipeline is None or (pipeline.is_ending and not pipeline.command_queue)


def is_synchronized(conn: Any) -> bool:
    """Return True if nothing of a connection's pipeline is left to be sent or responded to."""
    pipeline, pgconn = conn._pipeline, conn.pgconn
    return (
        not pipeline.command_queue
        and not pipeline.result_queue
        and pgconn.pipeline_status == PipelineStatus.ON
        and pgconn.transaction_status != TransactionStatus.ACTIVE
    )


def build_repetition(
    cursor: Any, text: bytes, params: tuple[Any, ...]
) -> PQGen[list[tuple[Any, ...]]] | None:
    """Return a generator that executes a prepared statement again, and returns its rows.

    It sends and checks what psycopg would, with less work: the CPU time of a write in a transaction
    is a fifth less.

    Args:
        cursor: a cursor with binary results that executes no other statement meanwhile.
        text: the statement.
        params: its parameters.

    Returns:
        The generator; None if psycopg has to execute it: the cursor's last statement was another
        one, it is not prepared, or something else is to be sent first.
    """
    conn = cursor._conn
    prepared = conn._prepared
    if cursor._last_query is not text or prepared.prepare_threshold is None:
        return None
    if prepared._to_flush or conn._pipeline is not None:
        return None
    if not conn.autocommit and conn.pgconn.transaction_status == TransactionStatus.IDLE:
        return None
    values = cursor._tx.dump_sequence(params, [PyFormat.AUTO] * len(params))
    key = (text, cursor._tx.types)
    if key not in prepared._names:
        return None
    # The statements that were not used for the longest time are the first to be dropped.
    prepared._names.move_to_end(key)
    return _repeat(cursor, prepared._names[key], values)


def _repeat(cursor: Any, name: bytes, values: Any) -> PQGen[list[tuple[Any, ...]]]:
    pgconn, transformer = cursor._pgconn, cursor._tx
    pgconn.send_query_prepared(
        name, values, param_formats=transformer.formats, result_format=Format.BINARY
    )
    results = yield from execute_query(pgconn)
    cursor._check_results(results)
    return _load_rows(transformer, results[0])


def execute_together(
    cursor: Any, statements: Sequence[Statement], prepare: bool | None
) -> PQGen[list[tuple[Any, ...]]]:
    """Execute statements in one round trip, and return the rows of the last one, in binary.

    A statement counts as prepared only after all of them were executed. psycopg's own pipeline may
    count one that it prepares at a later use, although the server skipped it after an error.

    Args:
        cursor: a cursor of a connection in no pipeline.
        statements: the statements.
        prepare: whether they are prepared at their first use; None if the connection's threshold
            decides.

    Raises:
        psycopg.Error: the first error. The statements after it were not executed.
    """
    conn, pgconn = cursor._conn, cursor._pgconn
    prepared = conn._prepared
    yield from prepared.maintain_gen(conn)
    yield from cursor._start_query()
    queries = [cursor._convert_query(text, params) for text, params in statements]
    uses = [(query, *prepared.get(query, prepare)) for query in queries]
    pgconn.enter_pipeline_mode()
    try:
        for use in uses:
            _send(pgconn, *use)
        pgconn.pipeline_sync()
        yield from send_queued(pgconn)
        responses: list[list[Any]] = []
        for _, prep, _ in uses:
            if prep is Prepare.SHOULD:
                responses.append((yield from _fetch_results(pgconn)))
            responses.append((yield from _fetch_results(pgconn)))
        yield from _fetch_results(pgconn)
    finally:
        # Of an interrupted connection: it stays in the pipeline, and is not used again.
        with suppress(errors.OperationalError):
            pgconn.exit_pipeline_mode()
    for results in responses:
        cursor._check_results(results)
    for query, prep, name in uses:
        key = prepared.maybe_add_to_cache(query, prep, name)
        if key is not None:
            prepared.validate(key, prep, name, responses[-1])
    # For a repetition.
    cursor._last_query = statements[-1].text
    rows = _load_rows(cursor._tx, responses[-1][0])
    yield from prepared.maintain_gen(conn)
    return rows


def _send(pgconn: Any, query: Any, prep: Prepare, name: bytes) -> None:
    if prep is Prepare.NO:
        pgconn.send_query_params(
            query.query,
            query.params,
            param_formats=query.formats,
            param_types=query.types,
            result_format=Format.BINARY,
        )
        return
    if prep is Prepare.SHOULD:
        pgconn.send_prepare(name, query.query, param_types=query.types)
    pgconn.send_query_prepared(
        name, query.params, param_formats=query.formats, result_format=Format.BINARY
    )


def _load_rows(transformer: Any, result: Any) -> list[tuple[Any, ...]]:
    transformer.set_pgresult(result)
    rows: list[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
    return rows


def read_copy_rows(copy: Copy, size: int) -> PQGen[list[memoryview]]:
    """Read rows of a COPY to the client until they have a size in bytes together, or it has ended.

    A connection's ``wait`` executes this: a wait for each row costs more than the row itself. The
    result is empty only after the end.
    """
    rows: list[memoryview] = []
    length = 0
    while length < size:
        row: Any = yield from copy._read_gen()
        if not row:
            break
        rows.append(row)
        length += len(row)
    return rows
