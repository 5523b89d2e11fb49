"""The server is stopped immediately and started again under eight writers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from messagedb import AsyncClient, NewMessage, OutcomeUnknownError, StoreUnavailableError, schema
from messagedb._concurrency.backend_async import run_blocking
from messagedb.errors import EmbeddedServerError
from tests.support.background_async import Background, eventually, sleep
from tests.support.outcome import is_whole
from tests.support.server import OwnServer
from tests.support.store import stored

WRITERS = 8
RESTARTS = 6
COMMAND_TIMEOUT = 1.0
LIMIT = COMMAND_TIMEOUT + 1.5


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """Return a durable server with our schema."""
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    schema.install(server.url())
    yield server
    server.close()


@dataclass
class Writer:
    """One of the writers: what it has written, in order, and how its calls went."""

    stream: str
    acknowledged: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    slowest: float = 0.0
    unknown: int = 0
    unavailable: int = 0
    problem: str | None = None
    stop: bool = False

    @property
    def failed(self) -> int:
        """How many calls have failed."""
        return self.unknown + self.unavailable


def have_written(writers: list[Writer], before: list[int]) -> bool:
    """Return True if each of them has written some more, or has stopped writing."""
    counts = [len(writer.acknowledged) for writer in writers]
    ended = [writer.problem is not None for writer in writers]
    return all(e or now > was + 5 for e, now, was in zip(ended, counts, before, strict=True))


def have_failed(writers: list[Writer], before: list[int]) -> bool:
    """Return True if a call of each of them has failed."""
    return all(writer.failed > was for writer, was in zip(writers, before, strict=True))


async def write_on(client: AsyncClient, writer: Writer, batch: bool) -> None:
    """Write message after message; one that was certainly not written is given up for another."""
    single = OneByOne(client)
    while not writer.stop:
        messages = tuple(NewMessage("Tested", {"n": n}) for n in range(3 if batch else 1))
        again = False
        while True:
            method = client.write_messages if batch or again else single.write_messages
            outcome = await Background(method, writer.stream, messages).outcome(60.0)
            writer.slowest = max(writer.slowest, outcome.seconds)
            if isinstance(outcome.error, OutcomeUnknownError):
                writer.unknown += 1
                again = True
                messages = outcome.error.messages
            elif isinstance(outcome.error, StoreUnavailableError):
                writer.unavailable += 1
                await sleep(0.02)
                # Not written by this call: but a call before it may have written them.
                if not again:
                    break
            elif outcome.error is not None:
                writer.problem = repr(outcome.error)
                raise outcome.error
            else:
                ids = [str(message.id) for message in messages]
                writer.acknowledged += zip(ids, outcome.result(), strict=True)
                break


class OneByOne:
    """Writes a single message as a batch is written, and so is called like it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def write_messages(self, stream: str, messages: tuple[NewMessage, ...]) -> list[int]:
        """Write the one message."""
        return [await self._client.write_message(stream, messages[0])]


async def test_nothing_acknowledged_is_lost_or_doubled(server: OwnServer, category: str) -> None:
    url = server.url(user="message_store")
    async with AsyncClient(
        url, max_size=4, command_timeout=COMMAND_TIMEOUT, timeout=COMMAND_TIMEOUT
    ) as client:
        # Two writers to a category, so that some wait for locks.
        writers = [Writer(f"{category}{number // 2}x-{number}") for number in range(WRITERS)]
        calls = [Background(write_on, client, w, n % 4 == 3) for n, w in enumerate(writers)]
        for restart in range(RESTARTS):
            before = [len(writer.acknowledged) for writer in writers]
            await eventually(partial(have_written, writers, before), limit=20.0)
            failed = [writer.failed for writer in writers]
            await run_blocking(server.stop, at_once=True)
            if restart % 3 == 2:
                # A short absence the client bridges by itself; this one lasts until all know.
                await eventually(partial(have_failed, writers, failed), limit=20.0)
            await run_blocking(server.start)
        for writer in writers:
            writer.stop = True
        for call in calls:
            await call.result(30.0)
        await eventually(lambda: is_whole(client))
        assert await client.write_message(f"{category}-after", NewMessage("Tested")) == 0
        for writer in writers:
            assert stored(url, writer.stream) == writer.acknowledged
            positions = [position for _, position in writer.acknowledged]
            assert positions == list(range(len(positions)))
            assert writer.slowest < LIMIT, writer
    assert sum(writer.unknown for writer in writers)
    assert sum(writer.unavailable for writer in writers)
