"""Partitioned consumers on pages: who owns what, the release of one, and their metrics."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from messagedb import AsyncClient, AsyncConsumer, Message, NewMessage
from messagedb.ui import Change, create_app
from tests.support.background_async import eventually
from tests.ui.conftest import TOKEN, Browse, sign_in
from tests.ui.test_access import find_form_token

SAME = {"Sec-Fetch-Site": "same-origin"}
NAME = "<i>shared</i>"


@pytest.fixture
async def consumer(client: AsyncClient, category: str) -> AsyncGenerator[AsyncConsumer]:
    """Yield a consumer of four partitions that runs in one process."""
    consumer = AsyncConsumer(
        client,
        category,
        identifier=NAME,
        partitions=4,
        lease_timeout=20.0,
        member_name="<b>pod</b>",
    )

    @consumer.handler
    async def handle(message: Message[Any]) -> None:
        """Do nothing."""

    await client.write_message(f"{category}-1", NewMessage("A"))
    async with consumer.running():
        await eventually(lambda: len(consumer.status().partitions or ()) == 4, 20)
        yield consumer


async def test_a_partitioned_consumer_is_one_row_and_its_page_shows_who_owns_what(
    consumer: AsyncConsumer, client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    listed = await browser.get("/consumers", params={"q": category})
    assert "4 of 4 partitions owned, 1 process" in listed.text
    assert listed.text.count("<tr>") == 2
    page = await browser.get("/partitions", params={"category": category, "identifier": NAME})
    assert page.status_code == 200
    assert "&lt;b&gt;pod&lt;/b&gt;" in page.text
    assert "<b>pod" not in page.text
    assert "4 of 4" in page.text
    assert ">0-3<" in page.text
    for each in (await client.list_partitions(category, NAME)).partitions:
        assert each.since is not None
        since = each.since.strftime("%Y-%m-%d %H:%M:%S")
        assert re.search(f'<small><time datetime="[^"]+" title="{since}[^"]*UTC">', page.text)
    # It may only read.
    assert "Release" not in page.text
    given = {"category": category, "identifier": NAME, "number": "0"}
    assert (await browser.get("/partitions/release", params=given)).status_code == 403
    none = {"category": category, "identifier": "none"}
    assert (await browser.get("/partitions", params=none)).status_code == 404
    assert (await browser.get("/partitions")).status_code == 400


async def test_the_page_of_one_partition_leads_to_all_in_place_of_a_reset(
    consumer: AsyncConsumer, client: AsyncClient, browse: Browse, category: str
) -> None:
    browser = await sign_in(browse(create_app(client, token=TOKEN, allow_changes=True)))
    await consumer.wait_until_caught_up(timeout=20)
    known = await client.list_consumers(category)
    one = {"name": known[0].name, "store": "stream"}
    page = await browser.get("/consumer", params=one)
    assert "Positions of partitions are reset together" in page.text
    assert "/partitions?category=" in page.text
    assert "/consumer/reset" not in page.text
    refused = await browser.post(
        "/consumer/reset",
        data={**one, "to": "end", "form_token": find_form_token(page)},
        headers=SAME,
    )
    assert refused.status_code == 409
    assert "partitions are owned by" in refused.text


async def test_a_partition_is_released_after_a_question(
    consumer: AsyncConsumer, client: AsyncClient, browse: Browse, category: str
) -> None:
    changes: list[Change] = []
    app = create_app(client, token=TOKEN, allow_changes=True, on_change=changes.append)
    browser = await sign_in(browse(app))
    given = {"category": category, "identifier": NAME, "number": "2"}
    question = await browser.get("/partitions/release", params=given)
    assert "Release partition 2 of" in question.text
    before = (await client.list_partitions(category, NAME)).partitions[2]
    form = {**given, "form_token": find_form_token(question)}
    done = await browser.post("/partitions/release", data=form, headers=SAME)
    assert done.status_code == 303
    after = (await client.list_partitions(category, NAME)).partitions[2]
    assert after.owner is None or after.epoch > before.epoch
    assert [each.action for each in changes] == ["release partition"]
    for number in ("4", "-1", "x", "", "9" * 20):
        wrong = {**given, "number": number}
        assert (await browser.get("/partitions/release", params=wrong)).status_code == 400


async def test_metrics_count_owned_and_unowned_partitions(
    consumer: AsyncConsumer, client: AsyncClient, browse: Browse
) -> None:
    scraper = browse(create_app(client, token=TOKEN), headers={"Authorization": f"Bearer {TOKEN}"})
    text = (await scraper.get("/metrics")).text
    lines = [each for each in text.splitlines() if consumer.name in each]
    counts = [each for each in lines if each.startswith("messagedb_consumer_partitions{")]
    assert sorted(each.rpartition(" ")[2] for each in counts) == ["0", "4"]
