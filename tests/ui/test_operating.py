"""Consumers, their positions, the store's health and its metrics on pages."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx2
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from messagedb import AsyncClient, AsyncConsumer, Message, NewMessage
from messagedb.consumers import NO_RETRY
from messagedb.ui import Change, create_app
from tests.support.background_async import Background, eventually
from tests.ui.conftest import TOKEN, Browse, sign_in
from tests.ui.test_access import find_form_token

SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def consumer(client: AsyncClient, category: str) -> AsyncConsumer:
    """Return a consumer that has handled two of five messages, and stopped."""
    consumer = AsyncConsumer(client, category, identifier="<i>mail</i>", poll_interval=0.01)

    @consumer.handler
    async def handle(message: Message[Any]) -> None:
        """Do nothing."""

    await client.write_messages(f"{category}-1", [NewMessage("A"), NewMessage("A")])
    await consumer.run(until="caught_up")
    await client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    return consumer


async def test_consumers_are_listed_with_their_lag(
    consumer: AsyncConsumer, browser: httpx2.AsyncClient, category: str
) -> None:
    page = await browser.get("/consumers", params={"q": category})
    assert page.status_code == 200
    assert f"{category} · &lt;i&gt;mail&lt;/i&gt;" in page.text
    assert "<i>mail" not in page.text
    one = await browser.get("/consumer", params={"name": consumer.name})
    assert "<dt>Lag</dt><dd>3</dd>" in one.text
    assert "/consumer/reset" not in one.text
    assert (await browser.get("/consumer", params={"name": "none"})).status_code == 404


async def test_a_position_is_reset_after_a_question(
    consumer: AsyncConsumer, client: AsyncClient, browse: Browse, category: str
) -> None:
    changes: list[Change] = []
    app = create_app(client, token=TOKEN, allow_changes=True, on_change=changes.append)
    browser = await sign_in(browse(app))
    given = {"name": consumer.name, "store": "stream", "to": "end"}
    question = await browser.get("/consumer/reset", params=given)
    assert "it skips the 3 messages that wait for it" in question.text
    form = {**given, "form_token": find_form_token(question)}
    done = await browser.post("/consumer/reset", data=form, headers=SAME)
    assert done.status_code == 303
    (info,) = await client.list_consumers(category)
    assert info.lag_messages == 0
    assert [(each.action, each.count) for each in changes] == [("reset position", 1)]
    assert consumer.name in changes[0].target


async def test_the_position_of_a_consumer_that_runs_is_not_reset(
    consumer: AsyncConsumer, client: AsyncClient, browse: Browse, category: str
) -> None:
    browser = await sign_in(browse(create_app(client, token=TOKEN, allow_changes=True)))
    given = {"name": consumer.name, "store": "stream", "to": "beginning"}
    form = {**given, "form_token": find_form_token(await browser.get("/consumers"))}
    running = Background(consumer.run)
    await eventually(lambda: consumer.status().state == "caught up")
    refused = await browser.post("/consumer/reset", data=form, headers=SAME)
    await consumer.stop()
    await running.result()
    assert refused.status_code == 409
    assert "Nothing was changed" in refused.text


@pytest.mark.parametrize("to", ["", "0", "-1", "start", "9" * 20, "0" * 20 + "9" * 5000])
async def test_a_position_that_is_none_is_refused(
    consumer: AsyncConsumer, client: AsyncClient, browse: Browse, to: str
) -> None:
    browser = await sign_in(browse(create_app(client, token=TOKEN, allow_changes=True)))
    response = await browser.get("/consumer/reset", params={"name": consumer.name, "to": to})
    assert response.status_code == 400


async def test_health_is_sentences_with_remedies(browser: httpx2.AsyncClient) -> None:
    page = await browser.get("/health")
    assert page.status_code == 200
    assert "PostgreSQL" in page.text
    assert "the server accepts writes" in page.text


async def test_metrics_of_all_consumers(
    consumer: AsyncConsumer, client: AsyncClient, browse: Browse
) -> None:
    app = create_app(client, token=TOKEN)
    scraper = browse(app, headers={"Authorization": f"Bearer {TOKEN}"})
    response = await scraper.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {each.name: each for each in text_string_to_metric_families(response.text)}
    lags = {
        sample.labels["messaging_consumer_group_name"]: sample.value
        for sample in families["messagedb_consumer_lag"].samples
    }
    assert lags[consumer.name] == 3
    assert "db_client_connection_count" in families
    assert (await browse(app).get("/metrics")).status_code == 401


async def test_many_consumers_are_on_several_pages_and_found_by_a_part_of_their_name(
    browser: httpx2.AsyncClient, client: AsyncClient, category: str
) -> None:
    for number in range(90):
        stream = f"{category}:position-worker{number}"
        await client.write_message(stream, NewMessage("Recorded", {"position": 1}))
    page = await browser.get("/consumers", params={"q": category.upper()})
    assert len(page.content) < 100_000
    assert "1 to 40 of 90" in page.text
    last = await browser.get("/consumers", params={"q": category, "skip": "80"})
    assert "81 to 90 of 90" in last.text
    one = await browser.get("/consumers", params={"q": f"{category} · worker77"})
    assert f"{category} · worker77" in one.text
    assert f"{category} · worker7<" not in one.text
    none = await browser.get("/consumers", params={"q": "<none>"})
    assert "No consumer matches." in none.text
    assert "<none>" not in none.text


@pytest.mark.parametrize("path", ["/consumers", "/parked", "/metrics", "/health"])
async def test_consumers_that_a_lock_keeps_are_given_up_at_the_time_limit(
    browse: Browse, store_url: str, database_url: str, path: str
) -> None:
    async with AsyncClient(store_url, max_size=1) as viewed:
        browser = await sign_in(browse(create_app(viewed, token=TOKEN, time_limit=0.3)))
        with psycopg.connect(database_url) as locking:
            locking.execute("LOCK TABLE message_store.messages IN ACCESS EXCLUSIVE MODE")
            response = await browser.get(path)
        assert response.status_code == 504
        assert "time limit" in response.text
        # The only connection is free again.
        patient = await sign_in(browse(create_app(viewed, token=TOKEN)))
        assert (await patient.get(path)).status_code == 200


async def test_a_position_beyond_the_end_is_refused(
    consumer: AsyncConsumer, client: AsyncClient, browse: Browse, category: str
) -> None:
    browser = await sign_in(browse(create_app(client, token=TOKEN, allow_changes=True)))
    end = (await client.get_store_head() or 0) + 1
    given = {"name": consumer.name, "store": "stream", "to": str(end + 1_000_000)}
    question = await browser.get("/consumer/reset", params=given)
    assert question.status_code == 400
    assert "is beyond the end (" in question.text
    form = {**given, "form_token": find_form_token(await browser.get("/consumers"))}
    refused = await browser.post("/consumer/reset", data=form, headers=SAME)
    assert refused.status_code == 400
    (info,) = await client.list_consumers(category)
    assert info.lag_messages == 3


async def test_the_last_failure_says_whether_its_message_is_parked_or_passed(
    client: AsyncClient, browse: Browse, category: str
) -> None:
    consumer = AsyncConsumer(
        client, category, identifier="mail", retry=NO_RETRY, on_error="park", poll_interval=0.01
    )

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        raise ValueError("no such address")

    async def read(path: str, **given: str) -> str:
        browser = await sign_in(browse(create_app(client, token=TOKEN)))
        page = await browser.get(path, params=given)
        return re.sub(r"\s+", " ", re.sub("<[^>]*>", "", page.text))

    await client.write_message(f"{category}-1", NewMessage("A"))
    await consumer.run(until="caught_up")
    for said in (", parked", ", passed since"):
        assert f" ago{said}" in await read("/consumers", q=category)
        page = await read("/consumer", name=consumer.name)
        assert f"attempt 1{said}" in page
        assert "ValueError: no such address" in page
        await consumer.discard_parked(await consumer.list_parked())


async def test_hidden_data_is_not_in_the_last_failure_of_a_consumer(
    client: AsyncClient, browse: Browse, category: str
) -> None:
    consumer = AsyncConsumer(client, category, identifier="mail", poll_interval=0.01)

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        raise KeyError("ada@example.org")

    await client.write_message(f"{category}-1", NewMessage("A"))
    running = Background(consumer.run)
    found = await client.list_consumers(category)
    async with asyncio.timeout(20):
        while not any(each.report and each.report.last_failure for each in found):
            found = await client.list_consumers(category)
    browser = await sign_in(
        browse(create_app(client, token=TOKEN, redact=lambda message_type, value: "hidden"))
    )
    pages = [
        await browser.get("/consumers", params={"q": category}),
        await browser.get("/consumer", params={"name": consumer.name}),
        await browser.get("/metrics"),
    ]
    await consumer.stop()
    await running.outcome()  # meanwhile its attempts may have come to an end
    assert all(page.status_code == 200 for page in pages)
    assert "KeyError</bdi>" in pages[0].text
    assert "KeyError</bdi>" in pages[1].text
    assert not any("ada@" in page.text for page in pages)
