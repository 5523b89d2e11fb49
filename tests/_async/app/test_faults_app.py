"""An app goes on by itself while its store is unavailable, and handles each message once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from messagedb import AsyncApp, AsyncClient, AsyncContext, Message, NewMessage, schema
from messagedb._concurrency.backend_async import run_blocking
from messagedb.app import AsyncOpenedApp
from messagedb.errors import EmbeddedServerError
from messagedb.testing import FaultProxy
from tests._async.load import (
    COMMAND_TIMEOUT,
    FAST,
    GOES_ON,
    Load,
    handled,
    have_gone_on,
    numbers_of,
)
from tests.support.background_async import Background, eventually
from tests.support.server import OwnServer


@pytest.fixture
def server() -> Iterator[OwnServer]:
    """Return a server of the test's own with our schema."""
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    schema.install(server.url())
    yield server
    server.close()


def build_app(category: str) -> AsyncApp:
    """Return an app of two consumers: the second notes what the first has copied."""
    app = AsyncApp(max_size=6, command_timeout=COMMAND_TIMEOUT, timeout=1.0)
    copying = app.consumer(category, identifier="copying", **FAST)
    noting = app.consumer(f"{category}Copy", identifier="noting", transactional=True, **FAST)

    @copying.handler
    async def copy(message: Message[dict[str, int]], context: AsyncContext) -> None:
        id = message.stream_name.rpartition("-")[2]
        copied = NewMessage("Copied", message.data, id=context.derive_id("copy"))
        await context.client.write_message(f"{category}Copy-{id}", copied)

    @noting.handler
    async def note(message: Message[dict[str, int]], context: AsyncContext) -> None:
        id = message.stream_name.rpartition("-")[2]
        await context.client.write_message(f"{category}Note-{id}", NewMessage("N", message.data))

    return app


def states(opened: AsyncOpenedApp) -> set[str]:
    """Return the states of its consumers."""
    return {each.status().state for each in opened.list_consumers()}


async def go_on(opened: AsyncOpenedApp) -> None:
    """Wait until each consumer has handled some more."""
    consumers = opened.list_consumers()
    await eventually(partial(have_gone_on, consumers, handled(consumers)), limit=2 * GOES_ON)


async def test_an_app_goes_on_after_cuts_and_a_restart_of_its_server(
    server: OwnServer, category: str
) -> None:
    url = server.url(user="message_store")
    app = build_app(category)
    with FaultProxy(url) as proxy:
        async with (
            AsyncClient(url, command_timeout=COMMAND_TIMEOUT, timeout=1.0) as writer,
            app.running(proxy.url) as opened,
        ):
            load = Load(writer, category, 0.01)
            writing = Background(load.run)
            await go_on(opened)
            proxy.cut()
            await go_on(opened)
            proxy.refuse()
            await eventually(lambda: states(opened) == {"reconnecting"}, limit=GOES_ON)
            proxy.resume()
            await go_on(opened)
            await run_blocking(server.stop)
            await run_blocking(server.start)
            await go_on(opened)
            load.stop = True
            await writing.result()
            for consumer in opened.list_consumers():
                await consumer.wait_until_caught_up(timeout=30.0)
        assert states(opened) == {"stopped"}
        async with AsyncClient(url) as reader:
            # Once by its id, and once with the position in its transaction.
            assert await numbers_of(reader, f"{category}Copy") == load.written
            assert await numbers_of(reader, f"{category}Note") == load.written
