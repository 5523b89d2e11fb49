"""Hostile strings, and the check that none of them did more than it may."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from messagedb import NewMessage

from .stores import Store

VALUES: tuple[str, ...] = (
    "'; DROP TABLE message_store.messages; --",
    "'); DELETE FROM message_store.messages; --",
    "' OR '1'='1",
    '"; DROP SCHEMA message_store CASCADE; --',
    '" OR 1=1 --',
    "1; TRUNCATE message_store.messages",
    "1) OR true --",
    "$$; DROP ROLE victim; $$",
    "$1",
    ":x",
    "%s",
    "%(name)s",
    "%",
    "_",
    "{}",
    "{table}",
    "\\'; SELECT pg_sleep(9); --",
    "\\",
    "E'\\x27'",
    "/*",
    "*/ OR true /*",
    "--",
    "\t\r\n",
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udcffb",
    "\u202egnp.exe",
    "\u2028",
    "שלום",
    "é e\u0301 😀",
    "",
    " ",
    "-",
    "+",
    ":",
    "a" * 63,
    "a" * 5000,
    "😀" * 1000,
)
"""One of each kind: quotes, comments, placeholders of drivers, escapes, controls, lengths."""

_FRAGMENTS = st.sampled_from([value for value in VALUES if 0 < len(value) < 100])
_TEXT = st.text(max_size=12)  # lone surrogates and NUL included
_LONG = st.tuples(st.sampled_from("aé😀'"), st.integers(600, 2800)).map(lambda t: t[0] * t[1])


def strings() -> st.SearchStrategy[str]:
    """Return a strategy of hostile strings: fragments, any characters, and long ones."""
    pieces = st.one_of(_FRAGMENTS, _TEXT, _FRAGMENTS, _TEXT, _LONG)
    return st.lists(pieces, min_size=1, max_size=3).map("".join)


def can_be_stored(value: str) -> bool:
    """Return True if PostgreSQL can hold a string: NUL and lone surrogates it cannot."""
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


VICTIMS = ("victim-1", "victim-2")


class Guard:
    """The state of a database that no hostile value may change.

    That is: the names of all its tables, views, functions, of roles and databases, and the rows of
    some messages. Other messages may only come to the stream that a call names.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        for stream in VICTIMS:
            if not store.ask("select count(*) from messages where stream_name = %s", stream):
                message = NewMessage("Kept", {"stream": stream})
                store.variant.call(store.client.write_message, stream, message)
        self._state = self._read()
        self._last = self._read_last()

    def check(self, stream: str | None) -> int:
        """Check the state after a call, and return the number of new messages.

        Args:
            stream: the stream that may have new messages; None for no stream.
        """
        assert self._read() == self._state, "tables, functions, roles or other messages changed"
        rows: list[tuple[Any, ...]] = self._store.admin.execute(
            "select stream_name from message_store.messages where global_position > %s",
            [self._last],
        ).fetchall()
        if others := {name for (name,) in rows} - {stream}:
            raise AssertionError(f"messages in other streams: {sorted(others)}")
        self._last = self._read_last()
        return len(rows)

    def skip(self) -> None:
        """Accept the messages that others have written since."""
        self._last = self._read_last()

    def _read(self) -> str:
        return str(self._store.ask(_STATE, list(VICTIMS)))

    def _read_last(self) -> int:
        return int(self._store.ask("select coalesce(max(global_position), 0) from messages"))


_STATE = r"""
select md5(concat_ws('|',
    (select string_agg(n.nspname || '.' || c.relname || c.relkind::text, ',' order by c.oid)
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'models')),
    (select string_agg(p.oid::regprocedure::text || p.proacl::text, ',' order by p.oid)
     from pg_proc p where p.pronamespace = 'message_store'::regnamespace),
    (select string_agg(nspname, ',' order by oid) from pg_namespace where nspname !~ '^pg_'),
    (select string_agg(rolname, ',' order by oid) from pg_roles),
    (select string_agg(datname, ',' order by oid) from pg_database),
    (select string_agg(m::text, ',' order by global_position)
     from message_store.messages m where stream_name = any(%s))))
"""
