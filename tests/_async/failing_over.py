"""Failovers to a standby that lagged, with numbered messages: what is lost, and what fills it."""

from __future__ import annotations

import psycopg

from tests.support.replication import Cluster, Node


def cut_link(cluster: Cluster) -> None:
    """Let the standby have all that there is, and get nothing more."""
    cluster.wait_until_streaming()
    link = cluster.standby.link
    assert link is not None
    link.refuse()


def fail_over_unseen(cluster: Cluster, category: str, first: int = 1000, count: int = 0) -> Node:
    """Let the standby take over, and numbered messages be written before a client sees it."""
    standby = cluster.standby
    standby.clients.refuse()
    cluster.primary.power_cut()
    cluster.promote(standby)
    write_numbers(standby, category, first, count)
    standby.clients.resume()
    return standby


def write_numbers(node: Node, category: str, first: int, count: int) -> None:
    """Write numbered messages to three streams of a category in turn, as another program does."""
    with psycopg.connect(node.url("store"), autocommit=True) as conn:
        conn.execute(
            "select message_store.write_message(gen_random_uuid()::text,"
            " %s || '-' || n %% 3, 'Noted', jsonb_build_object('n', n))"
            " from generate_series(%s::int, %s::int) n",
            [category, first, first + count - 1],
        )


def numbers_in(node: Node, category: str) -> list[int]:
    """Return the numbers of the messages of a category that a node has, in order."""
    with psycopg.connect(node.url("store"), autocommit=True) as conn:
        cursor = conn.execute(
            "select (data->>'n')::int from message_store.messages"
            " where message_store.category(stream_name) = %s order by global_position",
            [category],
        )
        return [row[0] for row in cursor]


def position_of(node: Node, category: str, number: int) -> int:
    """Return the global position of the message of a number."""
    with psycopg.connect(node.url("store"), autocommit=True) as conn:
        row = conn.execute(
            "select global_position from message_store.messages"
            " where message_store.category(stream_name) = %s and (data->>'n')::int = %s",
            [category, number],
        ).fetchone()
        assert row is not None
        return int(row[0])
