"""Tasks that write again as soon as they may: all of them are in each group."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from messagedb import NO_STREAM, AsyncClient, NewMessage, WrongExpectedVersionError

_TASKS = 16
_ROUNDS = 10


async def write_together(client: AsyncClient, category: str, rounds: int) -> None:
    async def work(task: int) -> None:
        for _ in range(rounds):
            await client.write_message(f"{category}x{task}-1", NewMessage("Tested"))

    await asyncio.gather(*(work(task) for task in range(_TASKS)))


async def test_tasks_that_write_again_and_again_share_each_transaction(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, group_commit=True) as client:
        await write_together(client, category, _ROUNDS)
    with psycopg.connect(store_url, autocommit=True) as conn:
        row = conn.execute(
            "select count(*), count(distinct xmin::text) from message_store.messages"
            " where stream_name like %s",
            [f"{category}x%"],
        ).fetchone()
    assert row is not None
    stored, transactions = row
    assert stored == _TASKS * _ROUNDS
    # There is one more than rounds, as the first write is alone. If the first of each round
    # were alone, too, there would be two in each round.
    assert transactions <= _ROUNDS * 3 // 2


async def test_a_task_that_goes_on_alone_calls_the_function_of_the_server_again(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, group_commit=True) as client:
        await write_together(client, category, 1)
        await client.write_message(f"{category}-1", NewMessage("Tested"))
        with pytest.raises(WrongExpectedVersionError) as caught:
            await client.write_message(
                f"{category}-1", NewMessage("Tested"), expected_version=NO_STREAM
            )
    assert "Wrong expected version" in str(caught.value.__cause__)
