"""The servers that replicate: what they lose and keep is what the tests of failovers rest on."""

from __future__ import annotations

import psycopg
import pytest

from messagedb import Client, NewMessage
from tests.conftest import NewCluster
from tests.support.background_sync import Background, eventually
from tests.support.replication import Cluster, Node
from tests.support.store import stored


def connect(url: str) -> psycopg.Connection[tuple[int]]:
    """Connect as a client does."""
    return psycopg.connect(url, autocommit=True)


def write(url: str, stream: str) -> str:
    """Write a message on a new connection, and return its id."""
    message = NewMessage("Tested")
    with connect(url) as conn:
        conn.execute(
            "select message_store.write_message(%s, %s, 'Tested', '{}')", [str(message.id), stream]
        )
    return str(message.id)


def ids(node: Node, stream: str) -> list[str]:
    """Return the ids of the messages that a node has in a stream."""
    return [id for id, _ in stored(node.url("store"), stream)]


def has_port_of(node: Node, conn: psycopg.Connection[tuple[int]]) -> bool:
    """Return True if a connection leads to a node."""
    return conn.info.port == node.clients.port


def test_a_synchronous_commit_is_there_after_the_promotion(
    replicated: Cluster, category: str
) -> None:
    old = replicated.primary
    first = write(replicated.url(), f"{category}-1")
    new = replicated.fail_over()
    assert new is not old
    assert not old.runs
    assert ids(new, f"{category}-1") == [first]
    with connect(replicated.url()) as conn:
        assert has_port_of(new, conn)
    second = write(replicated.url(), f"{category}-1")
    assert ids(new, f"{category}-1") == [first, second]


def test_a_synchronous_commit_waits_for_a_standby_that_is_cut_off(
    replicated: Cluster, category: str
) -> None:
    link = replicated.standby.link
    assert link is not None
    link.refuse()
    call = Background(write, replicated.url(application_name="waiter"), f"{category}-1")
    eventually(lambda: replicated.waiting_commits("waiter") == 1)
    assert ids(replicated.primary, f"{category}-1") == []
    link.resume()
    message = call.result()
    assert ids(replicated.primary, f"{category}-1") == [message]
    assert replicated.waiting_commits() == 0


def test_a_waiting_commit_is_lost_with_the_primary(replicated: Cluster, category: str) -> None:
    link = replicated.standby.link
    assert link is not None
    link.stall()
    call = Background(write, replicated.url(), f"{category}-1")
    eventually(lambda: replicated.waiting_commits() == 1)
    new = replicated.fail_over()
    assert isinstance(call.outcome().error, psycopg.OperationalError)
    assert ids(new, f"{category}-1") == []


def test_an_asynchronous_standby_that_lags_loses_what_it_has_not(
    lagging: Cluster, category: str
) -> None:
    old, link = lagging.primary, lagging.standby.link
    assert link is not None
    first = write(lagging.url(), f"{category}-1")
    lagging.wait_until_streaming()
    link.refuse()
    second = write(lagging.url(), f"{category}-1")
    assert ids(old, f"{category}-1") == [first, second]
    assert ids(lagging.standby, f"{category}-1") == [first]
    new = lagging.fail_over()
    assert ids(new, f"{category}-1") == [first]

    third = write(lagging.url(), f"{category}-1")
    lagging.rejoin(old)
    assert lagging.standbys == [old]
    assert ids(old, f"{category}-1") == [first, third]


def test_all_processes_are_killed_and_the_server_recovers(lagging: Cluster, category: str) -> None:
    node = lagging.primary
    first = write(lagging.url(), f"{category}-1")
    with connect(node.url("store")) as conn:
        node.power_cut()
        assert not node.runs
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select 1")
    node.start()
    lagging.wait_until_streaming()
    assert ids(node, f"{category}-1") == ids(lagging.standby, f"{category}-1") == [first]


def test_a_switch_over_loses_nothing(lagging: Cluster, category: str) -> None:
    expected: list[str] = []
    for _ in range(2):
        old = lagging.primary
        expected += [write(lagging.url(), f"{category}-1") for _ in range(20)]
        new = lagging.switch_over()
        assert (lagging.primary, lagging.standbys) == (new, [old])
        assert ids(new, f"{category}-1") == ids(old, f"{category}-1") == expected


def test_a_third_server_follows_the_promoted_one(new_cluster: NewCluster, category: str) -> None:
    cluster = new_cluster(standbys=2)
    old = cluster.primary
    third = cluster.standbys[1]
    assert third.link is not None
    third.link.refuse()
    expected = [write(cluster.url(), f"{category}-1")]
    new = cluster.fail_over()
    assert (new, cluster.standbys) == (cluster.nodes[1], [third])
    # It waits for one of the two others, and only one of them is there.
    expected += [write(cluster.url(), f"{category}-1")]
    cluster.wait_until_streaming()
    assert ids(third, f"{category}-1") == expected
    cluster.copy_anew(old)
    assert ids(old, f"{category}-1") == expected
    assert set(cluster.standbys) == {old, third}


def test_clients_are_cut_off_and_find_the_other_server(lagging: Cluster, category: str) -> None:
    old = lagging.primary
    with Client(lagging.url(), max_size=2) as client:
        client.write_message(f"{category}-1", NewMessage("Tested"))
        lagging.wait_until_streaming()
        old.clients.refuse()
        new = lagging.promote(lagging.standby)
        assert client.write_message(f"{category}-1", NewMessage("Tested")) == 1
        assert old.runs
        assert (len(ids(old, f"{category}-1")), len(ids(new, f"{category}-1"))) == (1, 2)
