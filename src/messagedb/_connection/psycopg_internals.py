"""The private names of psycopg that are used: here, and in the file of this name that does the I/O.

Nothing else uses a private name of psycopg. Those of psycopg_pool are used in ``connection/pool``
and ``_concurrency/pooling_*``. A test for each name fails if psycopg changes it.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from psycopg import errors, generators

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

# pyright: reportPrivateUsage=false

WaitTimeout = errors._WaitTimeout
"""Raised by psycopg's wait when its timeout has passed."""

# Generators of psycopg's protocol, which a connection's ``wait`` executes: they end a COPY, send a
# query and read its results, and send what is queued.
copy_end = generators.copy_end
execute_query = generators.execute
send_queued = generators.send

current_pipeline: Callable[[Any], StorePipeline | None] = attrgetter("_pipeline")
"""Return the pipeline that psycopg has for a connection, which may not have begun yet, or None."""


class StorePipeline(Protocol):
    """The attributes needed of a pipeline that a connection is in.

    Attributes:
        is_ending: whether its end has begun.
        command_queue: the commands that were not passed to libpq yet.
    """

    is_ending: bool
    command_queue: Sized


def set_pipeline(conn: Any, pipeline: object) -> None:
    """Make psycopg use this pipeline at the next ``conn.pipeline()``; None for psycopg's own."""
    conn._pipeline = pipeline


def has_sent_everything(conn: Any) -> bool:
    """Return True if the end of a connection's pipeline was sent, as far as is known."""
    pipeline = current_pipeline(conn)
    return pipeline is None or (pipeline.is_ending and not pipeline.command_queue)
