"""Pages of a store on several nodes by PL/Proxy: which work, and which say why they do not."""

from __future__ import annotations

import html
import re
from functools import partial
from typing import Any, LiteralString
from uuid import uuid4

import httpx2
import pytest
from psycopg import errors as server_errors
from psycopg import sql

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    Message,
    MessageDBError,
    NewMessage,
    RetryPolicy,
    schema,
)
from messagedb._ui.nodes import NodeReader
from messagedb.ui import create_app
from tests.support.background_async import eventually
from tests.support.plproxy import ProxiedStore, open_proxied
from tests.support.several_nodes import SeveralNodes
from tests.ui.conftest import TOKEN, Browse, sign_in
from tests.ui.test_access import find_form_token

END_SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'a'"
WORKING = [
    "/",
    "/categories",
    "/category",
    "/consumer",
    "/consumers",
    "/health",
    "/message",
    "/message/stored",
    "/metrics",
    "/parked",
    "/parked/message",
    "/partitions",
    "/stream",
]
FAILED = "<i>this one</i> fails"


async def park(client: AsyncClient, category: str) -> str:
    """Park the first of two messages, by two consumers, and return its id."""
    cause = {"causationMessageStreamName": "other-1", "causationMessagePosition": 0}
    first = NewMessage("Noted", {"n": "it's \\ 100%"}, metadata=cause)
    await client.write_messages(f"{category}-1", [first, NewMessage("Noted")])
    for identifier, partitions in (("single", None), ("shared", 2)):
        consumer = AsyncConsumer(
            client,
            category,
            identifier=identifier,
            partitions=partitions,
            on_error="park",
            retry=RetryPolicy(max_attempts=1),
        )

        @consumer.handler
        async def fail(message: Message[Any]) -> None:
            if message.position == 0:
                raise ValueError(FAILED)

        await consumer.run(until="caught_up")
    return str(first.id)


async def test_each_page_works_or_says_that_the_messages_are_on_nodes(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    names = [nodes.name_category(category + node, node) for node in nodes.names]
    ids = [await park(proxied, name) for name in names]
    for name, id in zip(names, ids, strict=True):
        stream, parked = f"{name}-1", f"{name}:parked-single"
        (record,) = await proxied.get_stream_messages(parked)
        given = {
            "/consumer": {"name": f"{name}:position-single"},
            "/partitions": {"category": name, "identifier": "shared"},
            "/category": {"name": name},
            "/stream": {"name": stream},
            "/message": {"stream": stream, "position": "0"},
            "/message/stored": {"id": id},
            "/parked/message": {"stream": parked, "id": str(record.id)},
        }
        for path in WORKING:
            page = await visitor.get(path, params=given.get(path))
            assert (path, page.status_code) == (path, 200), page.text
            assert name in page.text or path in ("/health", "/message/stored"), path
        await check_links(visitor, name, id)
        page = await visitor.get("/parked", params={"stream": parked})
        assert "&lt;i&gt;this one&lt;/i&gt; fails" in page.text


async def test_the_page_of_health_looks_at_each_node(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient
) -> None:
    page = (await visitor.get("/health")).text
    for node in nodes.names:
        assert f"<strong>Node {node}</strong>" in page
    assert "slots on 2 nodes" in page


async def test_a_node_that_is_away_is_named_and_the_pages_of_the_others_work(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    away, here = (nodes.name_category(category + node, node) for node in nodes.names)
    for name in (away, here):
        await proxied.write_message(f"{name}-1", NewMessage("Noted"))
    nodes.ask("postgres", "alter database a allow_connections false")
    try:
        nodes.ask("postgres", END_SESSIONS)
        assert (await visitor.get("/stream", params={"name": f"{here}-1"})).status_code == 200
        page = await visitor.get("/stream", params={"name": f"{away}-1"})
        assert page.status_code == 503
        assert "node &#39;a&#39;" in page.text or "node a" in page.text
        health = await visitor.get("/health")
        assert health.status_code == 200
        problems = health.text.split("Problems")[1].split("</section>")[0]
        assert "<strong>Node a</strong>" in problems
        assert "<strong>Node b</strong>" not in problems
    finally:
        nodes.ask("postgres", "alter database a allow_connections true")
    assert (await visitor.get("/stream", params={"name": f"{away}-1"})).status_code == 200


async def test_pages_of_a_proxying_database_of_another_make_say_where_the_messages_are(
    browse: Browse,
) -> None:
    with open_proxied(ProxiedStore) as store:
        async with AsyncClient(store.url()) as client:
            visitor = await sign_in(browse(create_app(client, token=TOKEN)))
            for path in ("/", "/categories", "/consumers", "/parked"):
                page = await visitor.get(path)
                assert (path, page.status_code) == (path, 501), page.text
                assert "The messages are in other databases" in page.text
                assert "<code>messagedb proxy status</code>" in page.text
                assert "transaction" not in page.text


async def check_links(visitor: httpx2.AsyncClient, category: str, id: str) -> None:
    """Follow the links between the pages of a category, and what is typed to find them."""
    for path, name in (("/category", category), ("/stream", f"{category}-1")):
        page = await visitor.get(path, params={"name": name})
        addresses = re.findall(r'href="(/message\?[^"]*)"', html.unescape(page.text))
        assert len(addresses) >= 3
        for address in addresses:
            assert category in (await visitor.get(address)).text
    newest = await visitor.get("/message", params={"stream": f"{category}-1", "position": "1"})
    (previous,) = re.findall(r'rel="prev" href="([^"]*)"', html.unescape(newest.text))
    page = await visitor.get(previous)
    assert id in page.text
    assert "other-1" in page.text
    assert "is not in this store" in page.text
    text = (await visitor.get("/message/stored", params={"id": id})).text
    assert text == '{"n": "it\'s \\\\ 100%"}'
    for wanted in (id, f"{category}-1", f"{category}-1/0", category):
        page = await visitor.get("/go", params={"q": wanted})
        assert page.status_code == 303, wanted
        assert (await visitor.get(page.headers["location"])).status_code == 200
    page = await visitor.get("/go", params={"q": f"{category}-2"})
    assert (page.status_code, f"{category}-1" in page.text) == (404, False)
    for params in ({"at": "1"}, {"id": str(uuid4())}, {"at": "1", "in": f"{category}none"}):
        page = await visitor.get("/message", params=params)
        assert page.status_code == (400 if params == {"at": "1"} else 404)


async def test_the_overview_is_that_of_all_nodes_without_the_copies_of_moves(
    nodes: SeveralNodes, proxied: AsyncClient, browse: Browse, category: str
) -> None:
    (first, second) = [nodes.name_category(category + node, node) for node in nodes.names]
    for name, count in ((first, 60), (second, 80)):
        await proxied.write_messages(f"{name}-1", [NewMessage("Noted") for _ in range(count)])
    await schema.move_proxy_category_async(
        nodes.admin_url(), category=second, target=nodes.names[0]
    )
    assert len(nodes.count(f"{second}-1")) == 2
    visible = sum(sum(each.values()) for each in nodes.count_messages().values()) - 80
    visitor = await sign_in(browse(create_app(proxied, token=TOKEN)))
    page = await visitor.get("/")
    assert page.status_code == 200
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.text))
    assert f"Messages {visible} counted" in text
    assert "Nodes 2 each with" in text
    assert re.search(rf"{second} 80 .*{first} 60 ", text)
    assert text.count(second) == 1


async def test_names_too_long_for_an_address_are_found_by_a_position_of_their_category(
    proxied: AsyncClient, nodes: SeveralNodes, visitor: httpx2.AsyncClient, category: str
) -> None:
    for node in nodes.names:
        name = nodes.name_category(category + node, node)
        await proxied.write_message(f"{name}-{'n' * 400}", NewMessage("Noted"))
        page = await visitor.get("/category", params={"name": name})
        (address, *_) = re.findall(r'href="(/stream\?of=[^"]*)"', html.unescape(page.text))
        page = await visitor.get(address)
        assert page.status_code == 200
        assert "n" * 60 in page.text


async def test_parked_messages_are_discarded_and_positions_reset_on_their_node(
    proxied: AsyncClient, nodes: SeveralNodes, browse: Browse, category: str
) -> None:
    app = create_app(proxied, token=TOKEN, allow_changes=True)
    browser = await sign_in(browse(app, headers={"Sec-Fetch-Site": "same-origin"}))
    names = [nodes.name_category(category + node, node) for node in nodes.names]
    for name in names:
        await park(proxied, name)
    for node, name in zip(nodes.names, names, strict=True):
        parked = f"{name}:parked-single"
        page = await browser.get("/parked/discard", params={"stream": parked})
        assert page.status_code == 200, page.text
        form = {"form_token": find_form_token(page), "stream": parked, "count": "1"}
        assert (await browser.post("/parked/discard", data=form)).status_code == 303

        discarded = "select 1 from message_store.messages where stream_name = %s and type = %s"
        await eventually(partial(nodes.ask, node, discarded, parked, "Discarded"))
        consumer = {"name": f"{name}:position-single", "to": "beginning"}
        page = await browser.get("/consumer/reset", params=consumer)
        assert page.status_code == 200, page.text
        form = {"form_token": find_form_token(page), **consumer}
        page = await browser.post("/consumer/reset", data=form)
        assert page.status_code == 303, page.text
        last = await proxied.get_last_stream_message(consumer["name"])
        assert last is not None
        assert last.data["position"] == 0
        too_far = {**consumer, "to": "1000000000"}
        assert (await browser.get("/consumer/reset", params=too_far)).status_code == 400


async def test_a_query_that_takes_too_long_is_ended_on_the_node(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    reader = NodeReader(proxied, category, 0.5)
    with pytest.raises(server_errors.QueryCanceled):
        await reader.fetch(sql.SQL("SELECT pg_sleep(60)"), None)
    running = """
        select 1 from pg_stat_activity
        where state = 'active' and datname <> current_database() and query like '%read_rows%'
    """
    await eventually(lambda: not nodes.ask("postgres", running))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT message_store.write_message(gen_random_uuid()::text, {}, 'A', '{{}}')",
        "SELECT 1) AS r; SELECT message_store.write_message('', {}, 'A', '{{}}'); SELECT (1",
        "SELECT set_config('transaction_read_only', 'off', true), message_store.write_message("
        "gen_random_uuid()::text, {}, 'A', '{{}}')",
    ],
    ids=["call", "second", "setting"],
)
async def test_a_query_of_a_node_cannot_write(
    proxied: AsyncClient, nodes: SeveralNodes, category: str, query: LiteralString
) -> None:
    stream = f"{category}-1"
    reader = NodeReader(proxied, stream, 5.0)
    with pytest.raises(MessageDBError):
        await reader.fetch(sql.SQL(query).format(sql.Literal(stream)), None)
    assert nodes.count(stream) == {}
    await proxied.write_message(stream, NewMessage("Noted"))
    assert await reader.fetch(sql.SQL("SELECT 1::bigint, NULL, 'a'::text"), None) == [
        (1, None, "a")
    ]
