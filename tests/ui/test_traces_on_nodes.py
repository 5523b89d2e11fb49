"""The graph of cause and effect of a store on several nodes, also while one of them is stopped."""

from __future__ import annotations

import asyncio
import html
import re
import time

import httpx2
import psycopg
import pytest

from messagedb import AsyncClient, Message, Metadata, NewMessage, schema
from messagedb.ui import create_app
from tests.support.several_nodes import SeveralNodes
from tests.ui.conftest import TOKEN, Browse, sign_in
from tests.ui.test_unavailable_nodes import read_text

SERVERS_APART = ["b"]
NOTICE = "Node b is unavailable. Causes and effects on this page are without it."


async def follow(
    client: AsyncClient, category: str, type: str, cause: Message | None = None
) -> Message:
    """Write a message to a stream of its type, caused by another one, and return it."""
    begin = Metadata(correlation_stream_name=f"{category}-begin")
    metadata = begin if cause is None else Metadata.following(cause)
    stream = f"{category}-{type}"
    await client.write_message(stream, NewMessage(type, metadata=metadata))
    last = await client.get_last_stream_message(stream)
    assert last is not None
    return last


async def tell(client: AsyncClient, here: str, there: str) -> list[Message]:
    """Write a story that goes from node to node, and return its messages."""
    began = await follow(client, here, "Began")
    went = await follow(client, there, "Went", began)
    came = await follow(client, here, "Came", went)
    ended = await follow(client, there, "Ended", came)
    return [began, went, came, ended, await follow(client, here, "Beside", began)]


async def open_page(
    visitor: httpx2.AsyncClient, message: Message, **given: str
) -> tuple[list[str], httpx2.Response]:
    """Return the rows of the graph on the page of a message, and the page."""
    place = {"stream": message.stream_name, "position": str(message.position)}
    page = await visitor.get("/message", params={**place, **given})
    assert page.status_code == 200, page.text
    found = re.findall(r"Level (\d+): </span><span class=\"node-type\"><bdi>([^<]*)", page.text)
    return [f"{level} {type}" for level, type in found], page


WHOLE = ["0 Began", "1 Went", "2 Came", "3 Ended", "1 Beside"]


async def test_each_message_of_a_story_on_two_nodes_shows_all_of_it(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    here, there = (nodes.name_category(category + node, node) for node in nodes.names)
    story = await tell(proxied, here, there)
    alike = await follow(proxied, there, "Alike")
    await proxied.write_message(
        f"{there}-alike",
        NewMessage("Same", metadata=Metadata(correlation_stream_name=f"{here}-begin")),
    )
    for message in story:
        rows, page = await open_page(visitor, message)
        assert rows == [*WHOLE, "0 Same"], message.type
        addresses = re.findall(r'<a data-node href="([^"]+)"', page.text)
        assert len(addresses) == 6
        (current,) = re.findall(r'<a data-node href="([^"]+)" aria-current="true"', page.text)
        again = await visitor.get(html.unescape(current))
        assert message.id.hex in again.text.replace("-", "")
        assert "the end of the store" in read_text(page)
        assert "is unavailable" not in page.text
    assert (await open_page(visitor, alike))[0] == ["0 Alike"]


async def test_an_effect_is_found_where_the_clock_is_some_seconds_behind(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    here, there = (nodes.name_category(category + node, node) for node in nodes.names)
    story = await tell(proxied, here, there)
    change = "update message_store.messages set time = time - interval '3 s' where stream_name = %s"
    for type in ("Went", "Ended"):
        nodes.ask("b", change, f"{there}-{type}")
    for message in story[:4]:
        rows, _ = await open_page(visitor, message)
        assert sorted(rows) == sorted(WHOLE), message.type


async def test_the_copy_that_a_move_leaves_is_not_shown(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    here, there = (nodes.name_category(category + node, node) for node in nodes.names)
    story = await tell(proxied, here, there)
    await schema.move_proxy_category_async(nodes.admin_url(), category=there, target="a")
    await follow(proxied, there, "Later", story[3])
    for message in story:
        rows, page = await open_page(visitor, message)
        assert sorted(rows) == sorted([*WHOLE, "4 Later"]), message.type
        for address in re.findall(r'<a data-node href="([^"]+)"', page.text):
            assert (await visitor.get(html.unescape(address))).status_code == 200


async def test_causes_in_a_circle_over_nodes_end(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    names = [f"{nodes.name_category(category + node, node)}-1" for node in nodes.names]
    for name, cause in zip(names, reversed(names), strict=True):
        metadata = Metadata(causation_message_stream_name=cause, causation_message_position=0)
        await proxied.write_message(name, NewMessage(f"Of{name[-3]}", metadata=metadata))
    for name in names:
        (message,) = await proxied.get_stream_messages(name)
        rows, _ = await open_page(visitor, message)
        assert len(rows) == 2


async def test_all_nodes_together_look_at_as_many_messages_as_one_server(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    here, there = (nodes.name_category(category + node, node) for node in nodes.names)
    began = await follow(proxied, here, "Began")
    await proxied.write_messages(f"{here}-1", [NewMessage("Other") for _ in range(30)])
    await follow(proxied, here, "Late", began)
    rows, page = await open_page(visitor, began, look="60")
    assert rows == ["0 Began"]
    assert "at most 30 messages each. Look at 100,000" in read_text(page)
    span = r"the global positions ([\d,]+) to ([\d,]+) of node a"
    ((first, last),) = re.findall(span, read_text(page))
    assert int(last.replace(",", "")) - int(first.replace(",", "")) == 29
    rows, page = await open_page(visitor, began, look="62")
    assert rows == ["0 Began", "1 Late"]
    assert there not in page.text


@pytest.mark.usefixtures("start_again")
async def test_while_a_node_is_stopped_the_others_show_what_they_have(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    here, there = (nodes.name_category(category + node, node) for node in nodes.names)
    began, _, came, _, beside = await tell(proxied, here, there)
    nodes.servers_apart["b"].stop()
    for message in (began, beside):
        rows, page = await open_page(visitor, message)
        assert rows == ["0 Began", "1 Beside", "0 Came"], message.type  # of the same correlation
        assert NOTICE in read_text(page)
    rows, page = await open_page(visitor, came)
    assert rows[0] == "0 Came"
    assert NOTICE in read_text(page)
    assert f"{there}-Went/0" in read_text(page)
    assert "not in this store" not in page.text

    nodes.servers_apart["b"].start()
    async with asyncio.timeout(40):
        while (await open_page(visitor, came))[0] != WHOLE:
            pass


async def test_a_node_that_is_too_slow_leaves_out_the_graph_and_not_the_page(
    proxied: AsyncClient, nodes: SeveralNodes, browse: Browse, category: str
) -> None:
    here, there = (nodes.name_category(category + node, node) for node in nodes.names)
    began, *_ = await tell(proxied, here, there)
    visitor = await sign_in(browse(create_app(proxied, token=TOKEN, time_limit=1.0)))
    assert (await open_page(visitor, began))[0] == WHOLE
    with psycopg.connect(nodes.admin_url("b")) as conn:
        conn.execute("lock table message_store.messages")
        begin = time.monotonic()
        rows, page = await open_page(visitor, began)
        assert time.monotonic() - begin < 3
    assert rows == []
    assert "the look for effects took longer than the time limit" in read_text(page)
    assert str(began.id) in page.text
