"""Pages of a store on several nodes by PL/Proxy: which work, and which say why they do not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from messagedb import AsyncClient, AsyncConsumer, Message, NewMessage, RetryPolicy
from messagedb.ui import create_app
from tests.support.plproxy import NoPLProxyError
from tests.support.several_nodes import SeveralNodes
from tests.ui.conftest import TOKEN, Browse, sign_in


@pytest.fixture(scope="module")
def nodes() -> Generator[SeveralNodes]:
    """Return a store on two nodes."""
    try:
        nodes = SeveralNodes()
    except NoPLProxyError as error:
        pytest.skip(str(error))
    yield nodes
    nodes.close()


@pytest.fixture
async def proxied(nodes: SeveralNodes) -> AsyncGenerator[AsyncClient]:
    """Return a client of it."""
    async with AsyncClient(nodes.url()) as client:
        yield client


@pytest.fixture
async def visitor(proxied: AsyncClient, browse: Browse) -> httpx2.AsyncClient:
    """Return a browser with a session of its UI."""
    return await sign_in(browse(create_app(proxied, token=TOKEN)))


WORKING = ["/consumers", "/consumer", "/partitions", "/metrics", "/categories"]
REFUSED = [
    "/",
    "/health",
    "/category",
    "/stream",
    "/stream/live",
    "/message",
    "/message/stored",
    "/go",
    "/parked",
    "/parked/message",
]


async def test_each_page_works_or_says_that_the_messages_are_on_nodes(
    proxied: AsyncClient, visitor: httpx2.AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    await proxied.write_messages(stream, [NewMessage("Noted", {"n": 1}), NewMessage("Noted")])
    for identifier, partitions in (("single", None), ("shared", 2)):
        consumer = AsyncConsumer(
            proxied,
            category,
            identifier=identifier,
            partitions=partitions,
            on_error="park",
            retry=RetryPolicy(max_attempts=1),
        )

        @consumer.handler
        async def fail(message: Message[Any]) -> None:
            if message.position == 0:
                raise ValueError("this one fails")

        await consumer.run(until="caught_up")
    given = {
        "/consumer": {"name": f"{category}:position-single"},
        "/partitions": {"category": category, "identifier": "shared"},
        "/category": {"name": category},
        "/stream": {"name": stream},
        "/stream/live": {"name": stream},
        "/message": {"stream": stream, "position": "0"},
        "/message/stored": {"id": str(uuid4())},
        "/go": {"q": stream},
        "/parked/message": {"stream": f"{category}:parked-single", "id": str(uuid4())},
    }
    for path in WORKING:
        page = await visitor.get(path, params=given.get(path))
        assert (path, page.status_code) == (path, 200), page.text
        assert category in page.text, path
    for path in REFUSED:
        page = await visitor.get(path, params=given.get(path))
        assert (path, page.status_code) == (path, 501), page.text
        assert "The messages are in other databases" in page.text
        assert "<code>messagedb proxy status</code> names the nodes" in page.text
        assert "transaction" not in page.text
