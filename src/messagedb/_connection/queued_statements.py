"""Statements behind those that the caller has queued in a pipeline. No I/O."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from psycopg import errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, Format

from .psycopg_internals import current_pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.pq.abc import PGresult

    from .._sql.statements import Statement


class _QueuedStatement:
    """A statement that keeps its results: its error is not one of the caller's statements.

    psycopg passes them to these methods, as to those of a cursor.

    Attributes:
        results: the results; empty until they have come.
    """

    def __init__(self) -> None:
        self.results: list[PGresult] = []

    def _check_results(self, results: list[PGresult]) -> None:
        self.results = results

    def _set_results(self, results: list[PGresult]) -> None:
        pass


class QueuedStatements:
    """Statements that were queued behind the caller's, and their results once these have come.

    The caller's statements end with a Sync: they are executed as if nothing followed.

    Args:
        cursor: a cursor of the connection, for the adapters.
        statements: the statements. If the server refuses the first one, it skips the others.
    """

    def __init__(self, cursor: Any, statements: Sequence[Statement]) -> None:
        self._transformer = Transformer(cursor)
        self._queued: list[_QueuedStatement] = []
        pgconn, pipeline = cursor.connection.pgconn, current_pipeline(cursor.connection)
        assert pipeline is not None
        pipeline.command_queue.append(pgconn.pipeline_sync)
        pipeline.result_queue.append(None)
        for text, params in statements:
            values = self._transformer.dump_sequence(params, [PyFormat.AUTO] * len(params))
            send = partial(
                pgconn.send_query_params,
                text,
                values,
                param_formats=self._transformer.formats,
                param_types=self._transformer.types,
                result_format=Format.BINARY,
            )
            statement = _QueuedStatement()
            self._queued.append(statement)
            pipeline.command_queue.append(send)
            pipeline.result_queue.append((statement, None))

    @property
    def has_begun(self) -> bool:
        """Return True if the first one was executed."""
        results = self._queued[0].results
        return bool(results) and results[0].status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)

    def get_rows(self) -> list[tuple[Any, ...]]:
        """Return the rows of the last one.

        Raises:
            psycopg.Error: one of them failed. Those after it were not executed.
        """
        for statement in self._queued:
            for result in statement.results:
                if result.status == ExecStatus.FATAL_ERROR:
                    raise errors.error_from_result(result, encoding="utf-8")
        result = self._queued[-1].results[0]
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)
