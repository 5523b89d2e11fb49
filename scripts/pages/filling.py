"""Stores of a given size, with contents that a page must not stumble over."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import psycopg

from messagedb import Client, Consumer, HandlerError, Message, Stop
from messagedb.consumers import NO_RETRY

CATEGORIES = 125_000
"""The number of small categories, of which a fifth gets no message: so 100,000 are there."""

LONG_NAME = "long-" + "n" * 2667
"""A stream name of 2672 bytes, the longest that the index takes."""

HUGE_BYTES = 50_000_000
PARKED = 200

_INDEXES = """
SELECT indexdef FROM pg_indexes
WHERE schemaname = 'message_store' AND tablename = 'messages' AND indexname <> 'messages_pkey'
"""

# Half of the messages are in 20 categories of many streams, a tenth in one long stream, the others
# in a hundred thousand categories. Every third one follows the message before it.
_FILL = f"""
INSERT INTO message_store.messages (id, stream_name, position, type, data, metadata, time)
SELECT gen_random_uuid(),
       CASE WHEN n %% 2 = 0 THEN 'account' || n / 2 %% 20 || '-' || n / 40 %% 10000
            WHEN n %% 10 = 9 THEN 'ledger-1'
            ELSE 'small' || n / 2 %% {CATEGORIES} || '-1' END,
       CASE WHEN n %% 2 = 0 THEN n / 400000 WHEN n %% 10 = 9 THEN n / 10
            ELSE n / {2 * CATEGORIES} END,
       'Type' || n %% 7,
       jsonb_build_object('accountId', n::text, 'amount', n %% 1000, 'note', repeat('x', 60)),
       CASE WHEN n %% 3 = 0 AND n %% 2 = 0 THEN
            jsonb_build_object('correlationStreamName', 'transfer-' || n / 30,
                'causationMessageStreamName', 'ledger-1',
                'causationMessagePosition', n / 10, 'causationMessageGlobalPosition', n) END,
       now() AT TIME ZONE 'utc' - (%(size)s - n) * interval '1 millisecond'
FROM generate_series(0, %(size)s::bigint - 1) AS n
"""


def fill(admin: str, store: str, size: int) -> None:
    """Fill an empty store with messages, then with what may break a page.

    Args:
        admin: a superuser's conninfo.
        store: the conninfo of the role message_store.
        size: the number of ordinary messages.
    """
    with psycopg.connect(admin, autocommit=True) as conn:
        indexes = [row[0] for row in conn.execute(_INDEXES).fetchall()]
        names = [index.split(" INDEX ")[1].split(" ON ")[0] for index in indexes]
        for name in names:
            conn.execute(f"DROP INDEX message_store.{name}".encode())
        conn.execute(_FILL.encode(), {"size": size})
        for index in indexes:
            conn.execute(index.encode())
        for stream, position, data, metadata in _list_hostile():
            conn.execute(
                "INSERT INTO message_store.messages"
                " (id, stream_name, position, type, data, metadata)"
                " VALUES (gen_random_uuid(), %s, %s, 'Hostile', %s::jsonb, %s::jsonb)",
                [stream, position, data, metadata],
            )
        conn.execute(
            "INSERT INTO message_store.messages (id, stream_name, position, type, data, time)"
            " VALUES (gen_random_uuid(), 'hostile-1', 100, 'EndOfTime', '{}', 'infinity')"
        )
    _park(store)
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE message_store.messages")


def _list_hostile() -> list[tuple[str, int, str | None, str | None]]:
    """Return messages whose data is large, no object, or cannot be decoded."""
    huge = '{"text": "' + "x" * HUGE_BYTES + '"}'
    deep = "[" * 500 + "]" * 500
    markup = '{"a": "<script>alert(1)</script>", "<b>": "\\u202e"}'
    return [
        ("huge-1", 0, huge, None),
        (LONG_NAME, 0, "{}", None),
        ("long" * 667 + "-1", 0, "{}", None),
        *(
            ("hostile-1", position, data, metadata)
            for position, (data, metadata) in enumerate(
                [
                    (None, None),
                    ("[1, 2]", '["no", "object"]'),
                    ('"text"', '"text"'),
                    ("null", "null"),
                    ("1e400", "5"),
                    (deep, deep),
                    (markup, markup),
                    ("{}", '{"causationMessageStreamName": 1, "causationMessagePosition": "x"}'),
                ]
            )
        ),
    ]


def _park(store: str) -> None:
    """Let a consumer park messages, so that it and they are shown."""
    logging.getLogger("messagedb").setLevel(logging.ERROR)  # it would report each of them
    with Client(store) as client:
        consumer = Consumer(client, "account1", identifier="mail", retry=NO_RETRY, on_error="park")
        count = 0

        @consumer.handler
        def fail(message: Message[Any]) -> Stop:
            nonlocal count
            count += 1
            if count > PARKED:
                return Stop()
            raise ValueError("the mail server is unavailable")

        with contextlib.suppress(HandlerError):  # as it stops
            consumer.run(until="caught_up")
