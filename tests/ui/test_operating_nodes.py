"""Changes and live rows of a store on several nodes: each is on the node of its category."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import AsyncClient, AsyncConsumer, Message, NewMessage
from messagedb.consumers import NO_RETRY
from messagedb.ui import create_app
from tests.support.background_async import eventually
from tests.support.several_nodes import SeveralNodes
from tests.ui.conftest import TOKEN, Browse, sign_in
from tests.ui.test_access import find_form_token
from tests.ui.test_live import follow, open_app
from tests.ui.test_parked import SAME, find_fields, finish


@pytest.mark.parametrize("node", [0, 1])
async def test_a_parked_message_is_replayed(
    proxied: AsyncClient, nodes: SeveralNodes, browse: Browse, category: str, node: int
) -> None:
    name = nodes.name_category(category, nodes.names[node])
    handled: list[int] = []
    broken = [True]
    consumer = AsyncConsumer(proxied, name, identifier="mail", retry=NO_RETRY, on_error="park")

    @consumer.handler
    async def send(message: Message[Any]) -> None:
        if broken:
            raise ValueError("broken")
        handled.append(message.position)

    await proxied.write_message(f"{name}-1", NewMessage("Placed"))
    await consumer.run(until="caught_up")
    app = create_app(proxied, token=TOKEN, allow_changes=True, consumers=[consumer])
    browser = await sign_in(browse(app))
    broken.clear()
    question = await browser.get("/parked/replay", params={"stream": f"{name}:parked-mail"})
    assert question.status_code == 200, question.text
    begun = await browser.post("/parked/replay", data=find_fields(question), headers=SAME)
    assert "Done" in (await finish(browser, begun)).text
    assert handled == [0]
    assert await consumer.list_parked() == []


@pytest.mark.parametrize("node", [0, 1])
async def test_new_messages_of_a_stream_arrive_live(
    proxied: AsyncClient, nodes: SeveralNodes, category: str, node: int
) -> None:
    stream = f"{nodes.name_category(category, nodes.names[node])}-1"
    app, headers = await open_app(proxied)
    await proxied.write_message(stream, NewMessage("Old"))
    async with follow(app, headers, name=stream, after=0) as followed:
        for position in (1, 2):
            await proxied.write_message(stream, NewMessage("Live"))
            assert (await followed.read_event())[0] == position
    assert followed.status == 200


@pytest.mark.parametrize("node", [0, 1])
async def test_a_partition_is_released(
    proxied: AsyncClient, nodes: SeveralNodes, browse: Browse, category: str, node: int
) -> None:
    name = nodes.name_category(category, nodes.names[node])
    consumer = AsyncConsumer(proxied, name, identifier="shared", partitions=2)

    @consumer.handler
    async def handle(message: Message[Any]) -> None:
        """Do nothing."""

    await proxied.write_message(f"{name}-1", NewMessage("Noted"))
    browser = await sign_in(browse(create_app(proxied, token=TOKEN, allow_changes=True)))
    given = {"category": name, "identifier": "shared", "number": "1"}
    async with consumer.running():
        await eventually(lambda: len(consumer.status().partitions or ()) == 2, 20)
        before = (await proxied.list_partitions(name, "shared")).partitions[1]
        question = await browser.get("/partitions/release", params=given)
        assert question.status_code == 200, question.text
        form = {**given, "form_token": find_form_token(question)}
        done = await browser.post("/partitions/release", data=form, headers=SAME)
        assert done.status_code == 303, done.text
        after = (await proxied.list_partitions(name, "shared")).partitions[1]
        assert after.owner is None or after.epoch > before.epoch
