"""The SQL of docs/recipes/retention.md, and a restored dump of a store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from messagedb import NO_STREAM, Client, Consumer, Message, NewMessage
from tests.conftest import NewDatabase
from tests.support.dumps import dump, restore

PAGE = (Path(__file__).parents[2] / "docs" / "recipes" / "retention.md").read_text()
KEEP_NEWEST, DELETE_STREAM, DELETE_ENDED = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


def execute(url: str, statement: str) -> int:
    """Run a statement as the owner, and return the number of rows."""
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).rowcount


def consume(client: Client, category: str = "account") -> tuple[Consumer, list[int]]:
    """Create a consumer that stores each position, and the numbers that it handles."""
    consumer = Consumer(client, category, identifier="statements", position_update_interval=1)
    numbers: list[int] = []

    @consumer.handler
    def add(message: Message[Any]) -> None:
        numbers.append(message.data["number"])

    return consumer, numbers


def write(client: Client, stream_name: str, *numbers: int) -> None:
    for number in numbers:
        client.write_message(stream_name, NewMessage("Added", {"number": number}))


def test_a_consumer_goes_on_while_its_old_positions_are_deleted(url: str, client: Client) -> None:
    positions = "account:position-statements"
    consumer, numbers = consume(client)
    with consumer.running():
        for number in range(5):
            write(client, "account-1", number)
            consumer.wait_until_caught_up(timeout=30)
        before = client.stream_version(positions)
        assert execute(url, KEEP_NEWEST) > 0
        assert len(list(client.read_stream(positions))) == 1
        write(client, "account-1", 5)
        consumer.wait_until_caught_up(timeout=30)
    assert client.stream_version(positions) > before
    assert numbers == [0, 1, 2, 3, 4, 5]
    assert len(list(client.read_stream("account-1"))) == 6

    execute(url, KEEP_NEWEST)
    write(client, "account-1", 6)
    again, numbers = consume(client)
    again.run(until="caught_up")
    assert numbers == [6]


def test_a_deleted_stream_begins_again_and_consumers_go_on(url: str, client: Client) -> None:
    consumer, numbers = consume(client)
    write(client, "account-6", 1)
    write(client, "account-7", 2)
    consumer.run(until="caught_up")
    write(client, "account-7", 3)
    assert execute(url, DELETE_STREAM) == 2
    assert client.stream_version("account-7") == NO_STREAM
    write(client, "account-7", 4)
    consumer.run(until="caught_up")
    assert numbers == [1, 2, 4]
    assert client.stream_version("account-7") == 0


def test_only_streams_that_ended_long_ago_are_deleted(url: str, client: Client) -> None:
    for id in (1, 2, 3):
        write(client, f"order-{id}", id)
    for id in (1, 2):
        client.write_message(f"order-{id}", NewMessage("Closed"))
    age = "UPDATE message_store.messages SET time = time - interval '2 years'"
    execute(url, f"{age} WHERE stream_name IN ('order-1', 'order-3')")
    assert execute(url, DELETE_ENDED) == 2
    left = [message.stream_name for message in client.read_category("order")]
    assert left == ["order-2", "order-3", "order-2"]


def test_a_consumer_goes_on_after_its_position_in_a_restored_store(
    url: str, client: Client, new_database: NewDatabase, tmp_path: Path
) -> None:
    consumer, numbers = consume(client)
    write(client, "account-1", 1, 2)
    consumer.run(until="caught_up")
    write(client, "account-1", 3)
    last = client.get_last_stream_message("account-1")
    assert last is not None
    dump(url, tmp_path / "store.dump")

    restored = new_database(install=False)
    restore(restored, tmp_path / "store.dump")
    with Client(restored) as another:
        consumer, numbers = consume(another)
        write(another, "account-1", 4)
        consumer.run(until="caught_up")
        assert numbers == [3, 4]
        newest = another.get_last_stream_message("account-1")
        assert newest is not None
        assert newest.global_position > last.global_position
        assert newest.position == 3
