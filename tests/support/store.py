"""Queries of the fault tests, on a connection that no fault reaches."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence

import psycopg

from messagedb import streams


def stored(url: str, stream_name: str) -> list[tuple[str, int]]:
    """Return id and position of each message of a stream, in order."""
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(
            "select id::text, position from message_store.messages where stream_name = %s"
            " order by global_position",
            [stream_name],
        )
        return [(row[0], row[1]) for row in cursor]


def copied(url: str, category: str) -> list[str]:
    """Return what each message of a category is a copy of: the ``of`` in its data."""
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(
            "select data->>'of' from message_store.messages"
            " where message_store.category(stream_name) = %s",
            [category],
        )
        return [str(row[0]) for row in cursor]


def count_category(url: str, category: str) -> int:
    """Return the number of messages of a category."""
    return _number(
        url,
        "select count(*) from message_store.messages"
        " where message_store.category(stream_name) = %s",
        [category],
    )


def sessions(url: str, application_name: str) -> int:
    """Return the number of sessions of a name."""
    return _number(
        url, "select count(*) from pg_stat_activity where application_name = %s", [application_name]
    )


def pids(url: str, application_name: str) -> list[int]:
    """Return the process ids of the sessions of a name."""
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(
            "select pid from pg_stat_activity where application_name = %s order by pid",
            [application_name],
        )
        return [row[0] for row in cursor]


def waiting_for_locks(url: str, category: str) -> int:
    """Return the number of sessions that wait for a category's lock."""
    return _number(
        url,
        "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        " and (classid::bigint << 32) | objid::bigint = %s",
        [streams.hash_64(category)],
    )


def locks_of(url: str, pid: int) -> int:
    """Return the number of locks that a server process holds."""
    return _number(url, "select count(*) from pg_locks where granted and pid = %s", [pid])


def terminate(url: str, pids: Sequence[int]) -> int:
    """End sessions, wait for their end, and return how many there were."""
    return _number(
        url,
        "select count(*) from unnest(%s::int[]) pid where pg_terminate_backend(pid, 5000)",
        [list(pids)],
    )


@contextlib.contextmanager
def locked(url: str, category: str) -> Generator[None]:
    """Hold a category's lock, as a writer does."""
    with psycopg.connect(url) as conn:
        conn.execute("select pg_advisory_xact_lock(%s)", [streams.hash_64(category)])
        yield


def functions_only(url: str) -> None:
    """Let the role message_store call the functions of a database, and see no table of messages.

    Args:
        url: its owner's or a superuser's.
    """
    with psycopg.connect(url) as owner:
        functions = owner.execute(
            "select p.oid::regprocedure::text from pg_proc p"
            " where p.pronamespace = 'message_store'::regnamespace"
        ).fetchall()
        for (name,) in functions:
            owner.execute(f"alter function {name} security definer".encode())
        owner.execute("revoke all on message_store.messages from message_store")


def _number(url: str, query: str, params: Sequence[object]) -> int:
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(query.encode(), params).fetchone()
        assert row is not None
        return int(row[0])
