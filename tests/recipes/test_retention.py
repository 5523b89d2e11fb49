"""The SQL of docs/recipes/retention.md, and restored dumps of a store."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import ObjectInUse

from messagedb import (
    NO_STREAM,
    Client,
    Consumer,
    LostHistoryError,
    Message,
    NewMessage,
    TablePositionStore,
    embedded,
)
from tests.conftest import NewDatabase
from tests.support.background_sync import eventually
from tests.support.dumps import dump, find_programs, restore

PAGE = (Path(__file__).parents[2] / "docs" / "recipes" / "retention.md").read_text()
KEEP_NEWEST, REMOVE, DELETE_STREAM, DELETE_ENDED = re.findall(
    r"^```sql\n(.*?)^```$", PAGE, re.M | re.S
)
_, DUMP_AND_RESTORE, DUMP_EMBEDDED = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)


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


def consume(client: Client, category: str = "account", **more: Any) -> tuple[Consumer, list[int]]:
    """Create a consumer that stores each position, and the numbers that it handles."""
    options: dict[str, Any] = {"position_update_interval": 1, "poll_interval": 0.01, **more}
    consumer = Consumer(client, category, identifier="statements", **options)
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


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"position_store": TablePositionStore()},
        {"partitions": 2},
        {"group_member": 1, "group_size": 2},
    ],
    ids=["stream", "table", "partitions", "group"],
)
def test_a_consumer_that_is_removed_is_not_listed(
    url: str, client: Client, more: dict[str, Any]
) -> None:
    write(client, "account-1", 1)
    consume(client, **more)[0].run(until="caught_up")
    other = Consumer(client, "account", identifier="statementsToo")
    other.handler(lambda message: None)
    other.run(until="caught_up")
    assert {each.identifier for each in client.list_consumers("account")} == {
        "statements",
        "statementsToo",
    }
    execute(url, REMOVE)
    (left,) = client.list_consumers("account")
    assert left.identifier == "statementsToo"
    again, numbers = consume(client)
    again.run(until="caught_up")
    assert numbers == [1]


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


def run_commands(block: str, folder: Path, url: str, **more: str) -> None:
    """Run a block of the page, by the programs that belong to the server."""
    done = subprocess.run(
        ["sh", "-ec", block],
        cwd=folder,
        env={**os.environ, "PATH": f"{find_programs(url)}:{os.environ['PATH']}", **more},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout.replace("CREATE DATABASE\n", ""), done.stderr) == (
        0,
        "",
        "",
    )


def test_the_commands_of_the_page_copy_a_store_into_a_new_database(
    url: str, client: Client, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write(client, "order-1", 1, 2, 3)
    written = client.get_stream_messages("order-1")
    server, store = simple_address(url)
    restored = f"restored_{uuid4().hex}"
    request.addfinalizer(lambda: drop_database(url, restored))
    first, *rest = DUMP_AND_RESTORE.splitlines()
    assert first.startswith("server=postgresql://")
    block = "\n".join([f"server={shlex.quote(server)}", *rest])
    assert (block.count("/store"), block.count("restored")) == (1, 2)
    block = block.replace("/store", f"/{store}").replace("restored", restored)
    run_commands(block, tmp_path, url)
    with Client(make_conninfo(url, dbname=restored)) as other:
        assert other.get_stream_messages("order-1") == written
        assert other.write_message("order-1", NewMessage("Paid"), expected_version=2) == 3


def test_the_commands_of_the_page_dump_an_embedded_store(tmp_path: Path) -> None:
    with Client(f"embedded:{tmp_path / 'data'}") as client:
        client.write_message("order-1", NewMessage("Placed", {"item": "lamp"}))
        with embedded.start(tmp_path / "data") as server:
            run_commands(DUMP_EMBEDDED, tmp_path, server.admin_url, MESSAGEDB_URL=server.admin_url)
            text = subprocess.run(
                [find_programs(server.admin_url) / "pg_restore", "--file=-", "store.dump"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
            )
    assert (text.returncode, "lamp" in text.stdout) == (0, True), text.stderr


def simple_address(url: str) -> tuple[str, str]:
    """Return the address of a server as a URL that ends before the database, and the database."""
    found = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(url).items()}
    user = found["user"] + (f":{found['password']}" if found.get("password") else "")
    return f"postgresql://{user}@{found['host']}:{found['port']}", found["dbname"]


def drop_database(url: str, name: str) -> None:
    """Drop a database that has no clients."""
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def replace_database(url: str, restored: str) -> None:
    """Let clients of one database find another one there: the two change their names.

    No client sees a moment without the database: the renaming is one transaction.
    """
    ours, theirs = (
        sql.Identifier(str(conninfo_to_dict(each)["dbname"])) for each in (url, restored)
    )
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    end_sessions = sql.SQL(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}"
    )
    between = sql.Identifier(f"between_{uuid4().hex}")

    def replace() -> bool:
        with psycopg.connect(make_conninfo(url, dbname="postgres")) as admin:
            try:
                admin.execute(rename.format(theirs, between))
                admin.execute(end_sessions.format(sql.Literal(conninfo_to_dict(url)["dbname"])))
                admin.execute(rename.format(ours, theirs))
                admin.execute(rename.format(between, ours))
            except ObjectInUse:  # a client has connected since its session was ended
                admin.rollback()
                return False
            return True

    eventually(replace, 30.0)


def test_an_older_backup_stops_a_running_consumer_before_it_skips_a_message(
    url: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Restored on the same server, under the same name: only the database is another one."""
    with Client(url) as client:
        consumer, numbers = consume(client)
        with pytest.raises(LostHistoryError) as raised, consumer.running():
            write(client, "account-1", 1, 2)
            consumer.wait_until_caught_up(timeout=30)
            dump(url, tmp_path / "store.dump")
            write(client, "account-1", 3, 4)
            consumer.wait_until_caught_up(timeout=30)
            restored = new_database(install=False)
            restore(restored, tmp_path / "store.dump")
            # They get the global positions of those that are lost.
            with Client(restored) as other:
                write(other, "account-1", 5, 6, 7, 8, 9)
            replace_database(url, restored)
            consumer.wait_until_caught_up(timeout=30)
    assert raised.value.message_id not in (None, raised.value.found_id)
    assert numbers == [1, 2, 3, 4]
    with Client(url) as client:
        after, numbers = consume(client)
        after.run(until="caught_up")
    assert numbers == [5, 6, 7, 8, 9]
