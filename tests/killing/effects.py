"""Effects that the workers have recorded in the table, and the check of the promises."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psycopg

from tests.killing.worker import Order

TABLE = """
CREATE TABLE effects (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    category text NOT NULL,
    member int NOT NULL,
    life int NOT NULL,
    stream_name text NOT NULL,
    position bigint NOT NULL,
    global_position bigint NOT NULL
);
CREATE INDEX ON effects (category, global_position);
GRANT SELECT, INSERT ON effects TO message_store;
"""


class Effect(NamedTuple):
    """One message, handled once."""

    member: int
    life: int
    stream_name: str
    position: int
    global_position: int


class Stored(NamedTuple):
    """One message, as it is stored."""

    stream_name: str
    position: int
    global_position: int


class Verdict(NamedTuple):
    """Summary of the effects of several lives.

    Attributes:
        lives: how many of them have handled anything.
        repeats: the most messages that one life handled that had been handled before it.
        usual: the same of half of the lives.
        total: how many effects were of messages that had been handled before.
        members: how many members have handled anything.
    """

    lives: int
    repeats: int
    usual: int
    total: int
    members: int


def effects_of(url: str, category: str) -> list[Effect]:
    """Return the effects in the order in which they were noted."""
    return [
        Effect(*row)
        for row in _rows(
            url,
            "SELECT member, life, stream_name, position, global_position FROM effects"
            " WHERE category = %s ORDER BY seq",
            category,
        )
    ]


def messages_of(url: str, category: str) -> list[Stored]:
    """Return the messages in the order of the store."""
    return [
        Stored(*row)
        for row in _rows(
            url,
            "SELECT stream_name, position, global_position FROM message_store.messages"
            " WHERE message_store.category(stream_name) = %s ORDER BY global_position",
            category,
        )
    ]


def count_effects(url: str, category: str) -> int:
    """Return the number of messages that were handled at least once."""
    query = "SELECT count(DISTINCT global_position) FROM effects WHERE category = %s"
    return int(_rows(url, query, category)[0][0])


def handled(url: str, category: str) -> list[int]:
    """Return the positions of handled messages in the order of handling, of all streams."""
    return [effect.position for effect in effects_of(url, category)]


def stored_position(url: str, order: Order) -> int | None:
    """Return the global position that is stored for a worker's consumer."""
    query = (
        "SELECT position FROM messagedb.positions WHERE consumer = %s"
        if order.table
        else "SELECT (data->>'position')::bigint FROM message_store.messages"
        " WHERE stream_name = %s ORDER BY position DESC LIMIT 1"
    )
    rows = _rows(url, query, order.position_name)
    return int(rows[0][0]) if rows else None


def waiting_at(url: str, gate: int) -> int:
    """Return the number of handlers that wait at the gate."""
    query = "SELECT count(*) FROM pg_locks WHERE objid = %s AND locktype = 'advisory'"
    database = " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    return int(_rows(url, query + " AND NOT granted" + database, gate)[0][0])


def judge(
    effects: Sequence[Effect], messages: Sequence[Stored], *, order_is_total: bool = True
) -> Verdict:
    """Check that each message was handled, and in order; tell how often again.

    Every life handles messages one after the other as they are stored, without a gap: those of its
    share of the streams, or (``order_is_total=False``) those of each stream.

    Raises:
        AssertionError: it is not so.
    """
    seen: set[int] = set()
    newest: dict[str, int] = {}
    owner: dict[str, int] = {}
    lives: dict[tuple[int, int], list[Effect]] = defaultdict(list)
    repeats: dict[tuple[int, int], int] = defaultdict(int)
    for effect in effects:
        life = (effect.member, effect.life)
        lives[life].append(effect)
        repeats[life] += effect.global_position in seen
        if effect.global_position not in seen:
            # First handlings of a stream: each message of it, none before the one before it.
            assert effect.position == newest.get(effect.stream_name, -1) + 1, effect
            newest[effect.stream_name] = effect.position
            seen.add(effect.global_position)
        assert owner.setdefault(effect.stream_name, effect.member) == effect.member, effect
    missing = [message for message in messages if message.global_position not in seen]
    assert not missing, f"{len(missing)} not handled: {missing[:5]}"
    assert len(seen) == len(messages)

    share = _shares(messages, owner)
    for life, done in lives.items():
        for part in _parts(done, order_is_total):
            whole = share[life[0]] if order_is_total else _stream(messages, part[0].stream_name)
            _check_run(part, whole)
    again = sorted(repeats.values())
    return Verdict(
        lives=len(lives),
        repeats=again[-1],
        usual=again[len(again) // 2],
        total=sum(again),
        members=len(set(owner.values())),
    )


def _shares(messages: Iterable[Stored], owner: dict[str, int]) -> dict[int, list[int]]:
    share: dict[int, list[int]] = defaultdict(list)
    for message in messages:
        share[owner[message.stream_name]].append(message.global_position)
    return share


def _parts(done: list[Effect], order_is_total: bool) -> list[list[Effect]]:
    if order_is_total:
        return [done]
    parts: dict[str, list[Effect]] = defaultdict(list)
    for effect in done:
        parts[effect.stream_name].append(effect)
    return list(parts.values())


def _stream(messages: Iterable[Stored], stream_name: str) -> list[int]:
    return [each.global_position for each in messages if each.stream_name == stream_name]


def _check_run(part: list[Effect], whole: list[int]) -> None:
    did = [effect.global_position for effect in part]
    begin = whole.index(did[0])
    assert did == whole[begin : begin + len(did)], f"a gap or no order in life {part[0].life}"


def _rows(url: str, query: str, *params: object) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(query.encode(), params).fetchall()
