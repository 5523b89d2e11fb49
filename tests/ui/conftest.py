"""The UI as an ASGI application, and browsers without a browser."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp

from messagedb import AsyncClient
from messagedb.ui import create_app
from tests.support.plproxy import open_proxied
from tests.support.several_nodes import SeveralNodes

TOKEN = "the token of the tests"
BASE = "http://127.0.0.1"

Browse = Callable[..., httpx2.AsyncClient]


@pytest.fixture
async def client(store_url: str) -> AsyncGenerator[AsyncClient]:
    """Return a client of the store of the tests."""
    async with AsyncClient(store_url) as client:
        yield client


@pytest.fixture
async def browse() -> AsyncGenerator[Browse]:
    """Return a function that opens a browser at an application; it has no session."""
    browsers: list[httpx2.AsyncClient] = []

    def make(app: ASGIApp, base: str = BASE, **options: Any) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        browsers.append(httpx2.AsyncClient(transport=transport, base_url=base, **options))
        return browsers[-1]

    yield make
    for browser in browsers:
        await browser.aclose()


@pytest.fixture
async def browser(client: AsyncClient, browse: Browse) -> httpx2.AsyncClient:
    """Return a browser with a session of a UI that may only read."""
    return await sign_in(browse(create_app(client, token=TOKEN)))


@pytest.fixture(scope="module")
def nodes(request: pytest.FixtureRequest) -> Generator[SeveralNodes]:
    """Return a store on two nodes; those in ``SERVERS_APART`` have servers that can be stopped."""
    module: Any = request.node.getparent(pytest.Module)
    apart: list[str] = getattr(module.obj, "SERVERS_APART", [])
    with open_proxied(lambda: SeveralNodes(apart=apart)) as nodes:
        yield nodes


@pytest.fixture
def start_again(nodes: SeveralNodes) -> Generator[None]:
    """Start the servers apart after the test, if they are stopped."""
    yield
    for server in nodes.servers_apart.values():
        server.stop()
        server.start()


@pytest.fixture
async def proxied(nodes: SeveralNodes) -> AsyncGenerator[AsyncClient]:
    """Return a client of a store on several nodes."""
    async with AsyncClient(nodes.url()) as client:
        yield client


@pytest.fixture
async def visitor(proxied: AsyncClient, browse: Browse) -> httpx2.AsyncClient:
    """Return a browser with a session of the UI of several nodes."""
    return await sign_in(browse(create_app(proxied, token=TOKEN)))


async def sign_in(browser: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """Exchange the token for a cookie."""
    response = await browser.get("/", params={"token": TOKEN})
    assert response.status_code == 303
    return browser
