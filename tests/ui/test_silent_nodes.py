"""Pages of several nodes while servers are silent, or none answers: each says which, in time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Generator, Iterable

import httpx2
import pytest

from messagedb import AsyncClient
from messagedb.ui import create_app
from tests.support.server import OwnServer
from tests.support.several_nodes import SeveralNodes
from tests.ui.conftest import TOKEN, Browse, sign_in
from tests.ui.test_several_nodes import park
from tests.ui.test_unavailable_nodes import LISTS, read_text

SERVERS_APART = ["a", "b"]
TIME_LIMIT = 1.0
LONGEST = 2 * TIME_LIMIT + 1.5
"""Seconds of the slowest page: two time limits and a second, and the work of this process."""

WHOLE = [*LISTS, "/health", "/metrics"]
SILENT = "Node '{}': it does not answer."
NO_PROXY = "The proxying database does not answer, and all nodes need it."


@pytest.fixture
async def visitor(proxied: AsyncClient, browse: Browse) -> httpx2.AsyncClient:
    """Return a browser with a session of a UI with a short time limit."""
    return await sign_in(browse(create_app(proxied, token=TOKEN, time_limit=TIME_LIMIT)))


@contextlib.contextmanager
def stopped(servers: Iterable[OwnServer]) -> Generator[None]:
    """Stop servers for the block."""
    servers = list(servers)
    for server in servers:
        server.stop()
    try:
        yield
    finally:
        for server in servers:
            server.start()


def list_pages(category: str, id: str) -> list[tuple[str, dict[str, str]]]:
    """Return the pages of a category: paths and parameters."""
    return [
        ("/category", {"name": category}),
        ("/stream", {"name": f"{category}-1"}),
        ("/message", {"id": id}),
        ("/message", {"stream": f"{category}-1", "position": "0"}),
        ("/message/stored", {"id": id}),
        ("/consumer", {"name": f"{category}:position-single"}),
        ("/partitions", {"category": category, "identifier": "shared"}),
        ("/parked", {"stream": f"{category}:parked-single"}),
        ("/go", {"q": f"{category}-1"}),
        ("/go", {"q": id}),
    ]


async def get(
    visitor: httpx2.AsyncClient, path: str, params: dict[str, str] | None = None
) -> tuple[int, str]:
    """Return the status of a page and its text; it has to come in time."""
    begin = time.monotonic()
    async with asyncio.timeout(60):
        page = await visitor.get(path, params=params)
    seconds = time.monotonic() - begin
    assert seconds < LONGEST, (path, params, seconds)
    assert page.status_code != 500, (path, params)
    return page.status_code, read_text(page).replace("&#39;", "'")


async def forget(visitor: httpx2.AsyncClient) -> None:
    """Open the lists until none is an answer from before the fault, which is kept for a while."""
    for path in WHOLE:
        async with asyncio.timeout(60):
            while True:
                status, text = await get(visitor, path)
                if status >= 500 or "unavailable" in text or "Problem" in text:
                    break


async def check_back(visitor: httpx2.AsyncClient, paths: Iterable[str]) -> None:
    """Wait until the pages are whole again."""
    for path in paths:
        async with asyncio.timeout(60):
            while True:
                status, text = await get(visitor, path)
                if status == 200 and "unavailable" not in text:
                    break


async def test_pages_name_a_node_that_is_silent(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    here, silent = (nodes.name_category(category + node, node) for node in nodes.names)
    ids = {name: await park(proxied, name) for name in (here, silent)}
    with nodes.servers_apart["b"].frozen():
        for path, params in list_pages(silent, ids[silent]):
            status, text = await get(visitor, path, params)
            assert (path, status) == (path, 503)
            assert SILENT.format("b") in text, (path, text)
            assert "'a'" not in text
        for path, params in list_pages(here, ids[here]):
            status, text = await get(visitor, path, params)
            assert (path, status in (200, 303)) == (path, True), text
        await forget(visitor)
        for path in LISTS:
            status, text = await get(visitor, path)
            assert (path, status) == (path, 200)
            assert "Node b is unavailable." in text
            assert here in text
            assert silent not in text
        status, text = await get(visitor, "/health")
        assert status == 200
        assert "those of node b cannot be listed: it does not answer." in text
        assert "Node b" in text.split("Problems")[1]
        status, text = await get(visitor, "/metrics")
        assert (status, SILENT.format("b") in text) == (503, True)
    await check_back(visitor, LISTS)


@pytest.mark.parametrize("fault", ["silent", "stopped"])
async def test_pages_without_any_node_name_them(
    proxied: AsyncClient,
    nodes: SeveralNodes,
    visitor: httpx2.AsyncClient,
    category: str,
    fault: str,
) -> None:
    names = [nodes.name_category(category + node, node) for node in nodes.names]
    ids = {name: await park(proxied, name) for name in names}
    with contextlib.ExitStack() as faults:
        if fault == "stopped":
            faults.enter_context(stopped(nodes.servers_apart.values()))
        else:
            for server in nodes.servers_apart.values():
                faults.enter_context(server.frozen())
        for node, name in zip(nodes.names, names, strict=True):
            for path, params in list_pages(name, ids[name]):
                status, text = await get(visitor, path, params)
                assert (path, status) == (path, 503), text
                is_by_id = "id" in params or params.get("q") == ids[name]
                assert f"ode '{node}'" in text or (is_by_id and "ode 'a'" in text), (path, text)
        await forget(visitor)
        for path in [*LISTS, "/metrics"]:
            status, text = await get(visitor, path)
            assert (path, status) == (path, 503)
            assert "Node 'a': " in text
            assert "Node 'b': " in text
        status, text = await get(visitor, "/health")
        problems = text.split("Problems")[1]
        assert (status, "Node a" in problems, "Node b" in problems) == (200, True, True)
    await check_back(visitor, LISTS)


@pytest.mark.parametrize("fault", ["silent", "stopped"])
async def test_pages_without_the_proxying_database_blame_no_node(
    proxied: AsyncClient,
    nodes: SeveralNodes,
    visitor: httpx2.AsyncClient,
    category: str,
    fault: str,
) -> None:
    name = nodes.name_category(category, "a")
    id = await park(proxied, name)
    assert (await get(visitor, "/"))[0] == 200
    with nodes.server.frozen() if fault == "silent" else stopped([nodes.server]):
        await forget(visitor)
        for path, params in [*list_pages(name, id), *((path, None) for path in WHOLE)]:
            status, text = await get(visitor, path, params)
            assert (path, status) == (path, 503), text
            assert NO_PROXY in text or "cannot connect to the store" in text, (path, text)
            assert "ode 'a'" not in text
            assert "ode 'b'" not in text
    await check_back(visitor, [*WHOLE[:-1], f"/stream?name={name}-1"])
