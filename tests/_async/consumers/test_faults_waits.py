"""A store takes no writes for a reason that passes: nothing counts, and nothing is skipped."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    Park,
    StreamPositionStore,
    TablePositionStore,
    schema,
)
from messagedb.consumers import NO_RETRY
from messagedb.errors import EmbeddedServerError
from tests._async.consuming import stream_of, write
from tests.support.background_async import eventually
from tests.support.server import OwnServer

COUNT = 3
# More than the pages that a table has in reserve.
LARGE = 200_000


def new_server() -> OwnServer:
    """Start a server of the test's own with our schema."""
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    schema.install(server.url())
    return server


def execute(server: OwnServer, text: str) -> None:
    """Execute a statement as the server's owner, whatever is read-only there."""
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute("set default_transaction_read_only = off")
        conn.execute(text.encode())


def be_read_only(server: OwnServer, flag: str) -> None:
    """Set whether transactions of a server are read-only unless they say otherwise."""
    execute(server, f"alter system set default_transaction_read_only = {flag}")
    server.reload()


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """Return a server of the tests' own."""
    server = new_server()
    yield server
    server.close()


def copying(consumer: AsyncConsumer, category: str, how: str, size: int = 1) -> list[int]:
    """Add a handler that copies to a consumer, and return the list of its attempts."""
    attempts: list[int] = []
    statement = (
        "select message_store.write_message(%s, %s, 'Copied', jsonb_build_object('n', %s::int))"
    )

    @consumer.handler
    async def copy(message: Message[Any], context: AsyncContext) -> None:
        attempts.append(context.attempt)
        id, number = context.derive_id("copy"), message.data["n"]
        if how == "sql":
            values = (str(id), f"{category}Copy-1", number)
            await context.transaction.connection.execute(statement, values)
            return
        data = {"n": number, "filler": os.urandom(size).hex()}
        await context.client.write_message(f"{category}Copy-1", NewMessage("Copied", data, id=id))

    return attempts


async def copies(client: AsyncClient, category: str) -> list[int]:
    """Return the numbers that were copied, in order."""
    return [message.data["n"] for message in await stream_of(client, f"{category}Copy-1")]


@pytest.mark.parametrize(
    ("how", "options"),
    [
        ("client", {}),
        ("client", {"concurrency": 3}),
        ("client", {"transactional": True}),
        ("client", {"transactional": True, "position_store": TablePositionStore()}),
        ("sql", {"transactional": True}),
    ],
    ids=["plain", "concurrent", "transactional", "table", "sql"],
)
@pytest.mark.parametrize("when", ["before the start", "while it runs"])
async def test_nothing_is_skipped_while_the_server_is_read_only(
    server: OwnServer, category: str, how: str, options: dict[str, Any], when: str
) -> None:
    url = server.url(user="message_store")
    async with AsyncClient(url) as writer, AsyncClient(url, max_size=6) as client:
        consumer = AsyncConsumer(
            client, category, identifier="waits", on_error="skip", retry=NO_RETRY, **options
        )
        attempts = copying(consumer, category, how)
        await write(writer, f"{category}-1", 0, COUNT)
        if when == "before the start":
            be_read_only(server, "on")
        async with consumer.running():
            try:
                if when == "while it runs":
                    await consumer.wait_until_caught_up(timeout=10.0)
                    await write(writer, f"{category}-1", COUNT, COUNT)
                    be_read_only(server, "on")
                else:
                    await eventually(lambda: consumer.status().last_error, limit=20.0)
            finally:
                be_read_only(server, "off")
            await consumer.wait_until_caught_up(timeout=20.0)
        assert set(attempts) == {1}
        assert consumer.status().skipped_count == 0
        expected = list(range(COUNT if when == "before the start" else 2 * COUNT))
        assert sorted(await copies(client, category)) == expected


@pytest.mark.parametrize("store", [StreamPositionStore(), TablePositionStore()])
async def test_a_parking_consumer_waits_until_it_can_park(
    server: OwnServer, category: str, store: Any
) -> None:
    url = server.url(user="message_store")
    async with AsyncClient(url) as writer, AsyncClient(url, max_size=4) as client:
        consumer = AsyncConsumer(client, category, identifier="parks", position_store=store)

        @consumer.handler
        async def park(message: Message[Any]) -> None:
            raise Park("later")

        async with consumer.running():
            be_read_only(server, "on")
            try:
                # A session that was there before learns it between two statements.
                execute(
                    server,
                    "set default_transaction_read_only = off; select message_store.write_message("
                    f"gen_random_uuid()::text, '{category}-1', 'Noted', '{{\"n\": 0}}')",
                )
                await eventually(lambda: consumer.status().state == "reconnecting", limit=20.0)
            finally:
                be_read_only(server, "off")
            await consumer.wait_until_caught_up(timeout=20.0)
        assert [parked.reason for parked in await consumer.list_parked()] == ["later"]
        assert (await writer.get_stream_messages(f"{category}-1"))[0].data == {"n": 0}


@pytest.mark.parametrize("transactional", [False, True])
async def test_nothing_is_skipped_while_commits_wait_for_a_standby(
    server: OwnServer, category: str, transactional: bool
) -> None:
    url = server.url(user="message_store")
    async with AsyncClient(url, max_size=4, command_timeout=0.3, timeout=0.5) as client:
        await write(client, f"{category}-1", 0, COUNT)
        consumer = AsyncConsumer(
            client,
            category,
            identifier="waits",
            on_error="skip",
            retry=NO_RETRY,
            transactional=transactional,
        )
        attempts = copying(consumer, category, "client")
        execute(server, "alter system set synchronous_standby_names = 'nobody'")
        server.reload()
        try:
            async with consumer.running():
                try:
                    await eventually(lambda: len(attempts) >= 4, limit=30.0)
                finally:
                    execute(server, "alter system reset synchronous_standby_names")
                    server.reload()
                await consumer.wait_until_caught_up(timeout=30.0)
        finally:
            execute(server, "alter system reset synchronous_standby_names")
            server.reload()
        assert set(attempts) == {1}
        assert consumer.status().skipped_count == 0
        assert await copies(client, category) == list(range(COUNT))


@contextmanager
def small_disk(server: OwnServer) -> Generator[Path]:
    """Return a folder of the server's on a disk of a few megabytes."""
    folder = Path(tempfile.mkdtemp(prefix="mdbt-disk-", dir=server.folder))
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m,mode=0777", "tmpfs", str(folder)]
    try:
        answer = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no disk can be made here: {error}")
    if answer.returncode:
        pytest.skip(f"no disk can be made here: {answer.stderr}")
    try:
        place = folder / "data"
        place.mkdir()
        owner = server.data.stat()
        os.chown(place, owner.st_uid, owner.st_gid)
        yield place
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("transactional", [False, True])
async def test_nothing_is_skipped_while_the_disk_is_full(
    category: str, transactional: bool
) -> None:
    server = new_server()
    try:
        with small_disk(server) as place:
            execute(server, f"create tablespace small location '{place}'")
            execute(server, "create database small tablespace small")
            schema.install(server.url("small"))
            url = server.url("small", user="message_store")
            async with AsyncClient(url, max_size=4) as client:
                await write(client, f"{category}-1", 0, COUNT)
                consumer = AsyncConsumer(
                    client,
                    category,
                    identifier="waits",
                    on_error="skip",
                    retry=NO_RETRY,
                    transactional=transactional,
                )
                attempts = copying(consumer, category, "client", LARGE)
                filler = place.parent / "filler"
                fill(filler)
                async with consumer.running():
                    await eventually(lambda: len(attempts) >= 4, limit=30.0)
                    assert "disk is full" in (consumer.status().last_error or "")
                    filler.unlink()
                    await consumer.wait_until_caught_up(timeout=30.0)
                assert set(attempts) == {1}
                assert consumer.status().skipped_count == 0
                assert await copies(client, category) == list(range(COUNT))
    finally:
        server.close()


def fill(path: Path) -> None:
    """Fill the disk that a file is on."""
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)):
            pass
