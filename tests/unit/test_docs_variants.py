"""The async variant of an example of the docs is made from the sync one."""

from __future__ import annotations

import pytest
from docs_blocks import add_tabs
from docs_variants import VariantError, to_async

SYNC = """\
from messagedb import Client, Consumer, NewMessage, embedded

with embedded.start() as server, Client(server.url) as client:
    consumer = Consumer(client, "order", identifier="mail")

    @consumer.handler
    def mail(message: NewMessage) -> None:
        print(message.type)

    # A line alone.
    client.write_message("order-1", NewMessage("Placed"))     # stored
    consumer.run(until="caught_up")
    for message in client.read_stream("order-1"):
        print(message, client.get_stream_messages("order-1")[0])
    print(len(list(client.read_category("order"))))
"""
ASYNC = """\
import asyncio

from messagedb import AsyncClient, AsyncConsumer, NewMessage, embedded

async def main() -> None:
    with embedded.start() as server:
        async with AsyncClient(server.url) as client:
            consumer = AsyncConsumer(client, "order", identifier="mail")

            @consumer.handler
            async def mail(message: NewMessage) -> None:
                print(message.type)

            # A line alone.
            await client.write_message("order-1", NewMessage("Placed"))  # stored
            await consumer.run(until="caught_up")
            async for message in client.read_stream("order-1"):
                print(message, (await client.get_stream_messages("order-1"))[0])
            print(len([message async for message in client.read_category("order")]))

asyncio.run(main())
"""


def test_a_program_becomes_one_with_an_event_loop() -> None:
    assert to_async([SYNC]) == [ASYNC]


def test_a_coroutine_function_of_another_file_is_awaited() -> None:
    first = "# orders.py\nfrom messagedb import Client\n\ndef place(client: Client) -> int:\n"
    first += "    return client.stream_version('order-1')\n"
    second = "from orders import place\n\ndef twice(client: Client) -> int:\n"
    second += "    return place(client) + place(client)\n"
    _, converted = to_async([first, second])
    assert "async def twice" in converted
    assert "await place(client) + await place(client)" in converted


def test_plain_code_has_one_variant() -> None:
    source = "import duckdb\n\nprint(duckdb.execute('SELECT 1').fetchone())\n"
    assert to_async([source]) == [source]


def test_a_lambda_that_would_await_is_refused_with_its_line() -> None:
    with pytest.raises(VariantError, match="line 1: a lambda cannot await"):
        to_async(["count = lambda client: client.stream_version('order-1')\n"])


def test_a_page_shows_two_tabs_except_where_it_says_one_variant() -> None:
    block = f"```python\n{SYNC}```\n"
    page = add_tabs(f"{block}\n<!-- one variant -->\n{block}\n```text\nx\n```\n")
    assert page.count("```python\n") == 3
    assert page.count(SYNC) == 2
    assert page.count(ASYNC) == 1
    assert page.index(SYNC) < page.index(ASYNC)
    assert page.count("{tab-item}") == 2
