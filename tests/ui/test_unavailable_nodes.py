"""Pages of a store on several nodes while one of them is stopped: what the others have."""

from __future__ import annotations

import asyncio
import re
from uuid import uuid4

import httpx2
import pytest

from messagedb import AsyncClient, NewMessage, StoreUnavailableError
from tests.support.several_nodes import SeveralNodes
from tests.ui.test_several_nodes import park

SERVERS_APART = ["b"]
LISTS = ["/", "/?exact=1", "/categories", "/consumers", "/parked"]
NOTICE = "Node b is unavailable. Rows and totals on this page are without it."


def read_text(page: httpx2.Response) -> str:
    """Return the text of a page without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page.text))


@pytest.mark.usefixtures("start_again")
async def test_lists_show_what_the_other_nodes_have_and_name_the_one_that_is_stopped(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    here, stopped = (nodes.name_category(category + node, node) for node in nodes.names)
    for name in (here, stopped):
        await park(proxied, name)
    for path in LISTS:
        page = await visitor.get(path)
        assert "is unavailable" not in read_text(page)
        assert here in page.text
        assert stopped in page.text
    total = sum(counts.get("a", 0) for counts in nodes.count_messages().values())
    nodes.servers_apart["b"].stop()
    for path in LISTS:
        page = await _get_with_notice(visitor, path)
        assert here in page.text, path
        assert stopped not in page.text, path
    text = read_text(await visitor.get("/"))
    assert re.search(rf"Messages ?{total} ?counted", text)
    assert re.search("Nodes ?1 of 2", text)

    nodes.servers_apart["b"].start()
    for path in LISTS:
        page = await _get_until(visitor, path, stopped)
        assert "is unavailable" not in read_text(page), path


@pytest.mark.usefixtures("start_again")
async def test_pages_of_a_stopped_node_name_it_and_those_of_the_others_work(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    here, stopped = (nodes.name_category(category + node, node) for node in nodes.names)
    ids = {name: await park(proxied, name) for name in (here, stopped)}
    nodes.servers_apart["b"].stop()
    for name, status in ((here, 200), (stopped, 503)):
        for path, params in {
            "/category": {"name": name},
            "/stream": {"name": f"{name}-1"},
            "/message": {"id": ids[name]},
            "/consumer": {"name": f"{name}:position-single"},
            "/partitions": {"category": name, "identifier": "shared"},
            "/parked": {"stream": f"{name}:parked-single"},
        }.items():
            page = await visitor.get(path, params=params)
            assert (path, page.status_code) == (path, status), page.text
            assert "ode &#39;b&#39;" in page.text or status == 200, path
    assert (await visitor.get("/message", params={"id": str(uuid4())})).status_code == 503
    # Without the consumers of a node, a list of them would look complete to a monitoring system.
    metrics = await visitor.get("/metrics")
    assert (metrics.status_code, "Node &#39;b&#39;" in metrics.text) == (503, True)
    health = await visitor.get("/health")
    assert health.status_code == 200
    assert "those of node b cannot be listed" in health.text
    assert "messages parked, by" in health.text


@pytest.mark.usefixtures("start_again")
async def test_the_client_does_not_name_another_node_when_a_list_fails(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    for node in nodes.names:
        await proxied.write_message(f"{nodes.name_category(category, node)}-1", NewMessage("Noted"))
    nodes.servers_apart["b"].stop()
    with pytest.raises(StoreUnavailableError) as raised:
        await proxied.list_categories()
    assert "node 'a'" not in str(raised.value)
    assert "[b]" in str(raised.value)


async def _get_with_notice(visitor: httpx2.AsyncClient, path: str) -> httpx2.Response:
    """Return a page when it names the node: answers are kept for some seconds."""
    return await _get_until(visitor, path, NOTICE)


async def _get_until(visitor: httpx2.AsyncClient, path: str, wanted: str) -> httpx2.Response:
    async with asyncio.timeout(40):
        while True:
            page = await visitor.get(path)
            assert page.status_code == 200, page.text
            if wanted in read_text(page):
                return page
