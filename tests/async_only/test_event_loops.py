"""A client and the event loops of its process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncTransaction,
    NewMessage,
    ValidationError,
    embedded,
)

UNCLOSED = """
import asyncio, sys
from messagedb import AsyncClient

async def main():
    client = AsyncClient(sys.argv[1])
    await asyncio.gather(*[client.stream_version("a-1") for _ in range(3)])
    raise ValueError("the user's own error")

asyncio.run(main())
"""


@pytest.mark.parametrize("attempt", range(3))
def test_an_unclosed_client_does_not_keep_the_loop_from_ending(
    store_url: str, attempt: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCLOSED, store_url], capture_output=True, text=True, timeout=30
    )
    assert "ValueError: the user's own error" in done.stderr, attempt


def test_a_client_belongs_to_the_loop_that_opened_it(store_url: str) -> None:
    client = AsyncClient(store_url)

    async def version() -> int:
        return await client.stream_version("a-1")

    with asyncio.Runner() as runner:
        assert runner.run(version()) == -1
        with asyncio.Runner() as other, pytest.raises(ValidationError, match="another event loop"):
            other.run(version())
        runner.run(client.close())


class ProactorEventLoop(asyncio.SelectorEventLoop):
    """A loop that watches no sockets for others, as that of Windows."""

    add_reader = asyncio.AbstractEventLoop.add_reader
    remove_reader = asyncio.AbstractEventLoop.remove_reader


async def use(client: AsyncClient) -> None:
    """Use a client in each way, and check that it is refused immediately."""

    async def work(tx: AsyncTransaction) -> None:
        await tx.message_store_version()

    calls: list[Callable[[], Coroutine[Any, Any, object]]] = [
        client.open,
        lambda: client.write_message("a-1", NewMessage("Tested")),
        lambda: client.stream_version("a-1"),
        lambda: client.run_transaction(work),
        AsyncConsumer(client, "a").run,
        client.connect,
    ]
    for call in calls:
        with pytest.raises(ValidationError, match="Nothing was sent"):
            await call()
    async for _ in refused_iterator(client):
        pass


async def refused_iterator(client: AsyncClient) -> AsyncIterator[object]:
    """Return nothing, and check that an iterator is refused."""
    with pytest.raises(ValidationError, match="Nothing was sent"):
        async for message in client.subscribe("a"):
            yield message


def test_a_loop_that_psycopg_cannot_use_is_refused_at_once(store_url: str) -> None:
    client = AsyncClient(store_url)
    with asyncio.Runner(loop_factory=ProactorEventLoop) as runner:
        with pytest.raises(ValidationError, match="ProactorEventLoop"):
            runner.run(client.open())
        runner.run(use(client))
        runner.run(client.close())


def test_without_a_loop_of_asyncios_a_client_is_refused_at_once(store_url: str) -> None:
    client = AsyncClient(store_url)
    with pytest.raises(ValidationError, match="trio"):
        # Driven by hand, as another library's loop would.
        client.stream_version("a-1").send(None)
    with asyncio.Runner() as runner:
        assert runner.run(client.stream_version("a-1")) == -1
        with pytest.raises(ValidationError, match="trio"):
            client.stream_version("a-1").send(None)
        runner.run(client.close())


def test_under_trio_a_client_is_refused_at_once(store_url: str) -> None:
    async def main() -> None:
        client = AsyncClient(store_url)
        with pytest.raises(ValidationError, match="trio"):
            await client.write_message("a-1", NewMessage("Tested"))

    trio.run(main)


def test_closing_elsewhere_is_no_error(store_url: str) -> None:
    client = AsyncClient(store_url)
    with asyncio.Runner() as runner:
        runner.run(client.open())
    with asyncio.Runner() as other:
        other.run(client.close())
    assert "closed" in repr(client)


async def test_an_embedded_server_that_nobody_waits_for_is_stopped(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[embedded.EmbeddedServer] = []
    stopped = threading.Event()
    may_start = threading.Event()
    start, stop = embedded.start, embedded.EmbeddedServer.stop

    def slow_start(folder: str) -> embedded.EmbeddedServer:
        assert may_start.wait(30)
        started.append(start(folder, install=False))
        return started[0]

    def noted_stop(server: embedded.EmbeddedServer) -> None:
        stop(server)
        stopped.set()

    monkeypatch.setattr(embedded, "start", slow_start)
    monkeypatch.setattr(embedded.EmbeddedServer, "stop", noted_stop)
    task = asyncio.create_task(AsyncClient(f"embedded:{open_folder}/store").open())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_start.set()
    assert await asyncio.to_thread(stopped.wait, 30)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(started[0].url)
