"""Groups of writes under faults: locked categories, lost answers, races, the end of the client."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import psycopg
import pytest

from messagedb import (
    ANY,
    AsyncClient,
    DuplicateMessageError,
    NewMessage,
    OutcomeUnknownError,
    StoreUnavailableError,
    WrongExpectedVersionError,
)
from messagedb.expected_version import ExpectedVersion
from messagedb.testing import FaultProxy
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.store import count_category, locked, pids, stored, terminate, waiting_for_locks


async def start_waiting(client: AsyncClient, url: str, category: str) -> Background[int]:
    """Begin a write into a category that another session has locked, and see that it waits."""
    first = Background(client.write_message, f"{category}-1", NewMessage("First"))
    await eventually(lambda: waiting_for_locks(url, category) == 1)
    return first


def start_writes(
    client: AsyncClient, category: str, count: int, *, streams: int = 4
) -> list[Background[int]]:
    """Begin writes without an expected version."""
    return [
        Background(client.write_message, f"{category}-{n % streams}", NewMessage("Tested"))
        for n in range(count)
    ]


def count_of(url: str, category: str) -> int:
    """Return the number of messages of three categories."""
    return sum(count_category(url, f"{category}{number}") for number in range(3))


async def check_positions(url: str, category: str, calls: list[Background[int]]) -> None:
    """See that each write has another place, without gaps, and that all are stored."""
    found = [await call.result() for call in calls]
    places = Counter((number % 4, position) for number, position in enumerate(found))
    assert max(places.values()) == 1
    for number in range(4):
        mine = sorted(position for stream, position in places if stream == number)
        assert mine == list(range(len(mine)))
        assert [position for _, position in stored(url, f"{category}-{number}")] == mine


async def test_others_go_on_while_a_category_is_locked_and_its_writes_are_one_session(
    store_url: str, category: str
) -> None:
    held, free, other = f"{category}held", f"{category}free", f"{category}other"
    async with AsyncClient(store_url, group_commit=True, max_size=4) as client:
        with locked(store_url, held):
            with locked(store_url, other):
                first = await start_waiting(client, store_url, other)
                waiting = start_writes(client, held, 12)
                await check_positions(store_url, free, start_writes(client, free, 40))
                # One transaction waits for all of them.
                await eventually(lambda: waiting_for_locks(store_url, held) == 1)
                joining = start_writes(client, held, 8)
                await check_positions(store_url, f"{free}x", start_writes(client, f"{free}x", 40))
                assert waiting_for_locks(store_url, held) == 1
            assert await first.result() == 0
            assert not any(call.ended for call in (*waiting, *joining))
            assert stored(store_url, f"{held}-0") == []
        await check_positions(store_url, held, [*waiting, *joining])
        await eventually(lambda: is_whole(client))
        # It is a category like others again.
        assert await client.write_message(f"{held}-new", NewMessage("Tested")) == 0


async def test_three_locked_categories_leave_connections_for_the_others(
    store_url: str, category: str
) -> None:
    names = [f"{category}{number}" for number in range(3)]
    async with AsyncClient(store_url, group_commit=True, max_size=4) as client:
        with locked(store_url, names[0]), locked(store_url, names[1]), locked(store_url, names[2]):
            first = await start_waiting(client, store_url, names[0])
            calls = [start_writes(client, name, 8) for name in names]
            await check_positions(
                store_url, f"{category}free", start_writes(client, f"{category}free", 20)
            )
            # The one that was alone, and two of the groups.
            waits = sum(waiting_for_locks(store_url, name) for name in names)
            assert waits <= 3
            assert not any(call.ended for each in calls for call in each)
        await first.result()
        for name, each in zip(names[1:], calls[1:], strict=True):
            await check_positions(store_url, name, each)
        await eventually(lambda: is_whole(client))


async def test_a_write_whose_category_stays_locked_has_the_error_of_a_single_one(
    store_url: str, category: str
) -> None:
    held = f"{category}held"
    async with (
        AsyncClient(store_url, group_commit=True, max_size=4, command_timeout=1.0) as client,
        AsyncClient(store_url, max_size=1, command_timeout=1.0) as plain,
    ):
        with locked(store_url, held):
            first = await start_waiting(client, store_url, held)
            calls = start_writes(client, held, 5)
            single = Background(plain.write_message, f"{held}-0", NewMessage("Tested"))
            wanted = (await single.outcome()).error
            outcomes = [await call.outcome() for call in calls]
            assert isinstance((await first.outcome()).error, StoreUnavailableError)
        assert isinstance(wanted, StoreUnavailableError)
        for number, outcome in enumerate(outcomes):
            assert isinstance(outcome.error, StoreUnavailableError)
            assert str(outcome.error) == str(wanted).replace(f"{held}-0", f"{held}-{number % 4}")
            assert 0.8 < outcome.seconds < 2.5
        assert stored(store_url, f"{held}-0") == []
        assert await client.write_message(f"{held}-0", NewMessage("Tested")) == 0
        await eventually(lambda: is_whole(client))


async def test_an_id_that_a_session_without_the_lock_stores_meanwhile_hurts_no_other(
    store_url: str, category: str
) -> None:
    message = NewMessage("Tested")
    async with AsyncClient(store_url, group_commit=True, max_size=4) as client:
        with psycopg.connect(store_url) as foreign:
            foreign.execute(
                "insert into message_store.messages (id, stream_name, position, type)"
                " values (%s, %s, 0, 'Foreign')",
                [message.id, f"{category}foreign-1"],
            )
            with locked(store_url, f"{category}blocked"):
                first = await start_waiting(client, store_url, f"{category}blocked")
                # As without groups, this one holds the lock of its category while it waits.
                refused = Background(client.write_message, f"{category}9-1", message)
                calls = start_writes(client, category, 20)
                await check_positions(store_url, category, calls)
                assert not refused.ended
            foreign.commit()
        assert isinstance((await refused.outcome()).error, DuplicateMessageError)
        assert await first.result() == 0
        await eventually(lambda: is_whole(client))
    assert stored(store_url, f"{category}9-1") == []


@pytest.mark.parametrize(
    "moment",
    [
        "before_request",
        "within_request",
        "after_request",
        "before_answer",
        "within_answer",
        "after_answer",
    ],
)
async def test_the_connection_of_a_group_is_cut(store_url: str, category: str, moment: Any) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, group_commit=True, max_size=4) as client:
            with locked(store_url, f"{category}blocked"):
                first = await start_waiting(client, store_url, f"{category}blocked")
                proxy.cut_at(moment, "Marked")
                marked = Background(client.write_message, f"{category}-m", NewMessage("Marked"))
                calls = start_writes(client, category, 20)
                await check_positions(store_url, category, calls)
                assert await marked.result() == 0
            await first.result()
            assert proxy.injected == 1
            await eventually(lambda: is_whole(client))
    assert len(stored(store_url, f"{category}-m")) == 1


async def test_no_answer_until_the_time_is_up_is_an_unknown_outcome(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(
            proxy.url, group_commit=True, max_size=4, command_timeout=1.0
        ) as client:
            with locked(store_url, f"{category}blocked"):
                first = await start_waiting(client, store_url, f"{category}blocked")
                proxy.drop_at("before_answer", "Marked", times=1000)
                messages = [NewMessage("Marked") for _ in range(6)]
                calls = [
                    Background(client.write_message, f"{category}-{n}", message)
                    for n, message in enumerate(messages)
                ]
                outcomes = [await call.outcome() for call in calls]
                assert (await first.outcome()).error is not None
            proxy.resume()
            for message, outcome in zip(messages, outcomes, strict=True):
                error = outcome.error
                assert isinstance(error, OutcomeUnknownError), outcome
                assert error.messages == (message,)
                assert outcome.seconds < 3.5
                stream = error.stream_name
                assert stream is not None
                assert await client.write_message(stream, error.messages[0]) == 0
    for number in range(6):
        assert len(stored(store_url, f"{category}-{number}")) == 1


async def test_sessions_are_ended_again_and_again_and_nothing_is_lost_or_doubled(
    store_url: str, category: str
) -> None:
    url = make_url(store_url, application_name=category)
    stops: list[bool] = []

    async def work(client: AsyncClient, stream: str) -> list[tuple[str, int]]:
        written: list[tuple[str, int]] = []
        while not stops:
            message = NewMessage("Tested")
            written.append((str(message.id), await client.write_message(stream, message)))
        return written

    streams = [f"{category}{number % 3}-{number}" for number in range(16)]
    async with AsyncClient(url, group_commit=True, max_size=4) as client:
        calls = [Background(work, client, stream) for stream in streams]
        ended = 0
        for _ in range(12):
            enough = count_of(store_url, category) + 50
            await eventually(lambda: count_of(store_url, category) >= enough, 30.0)  # noqa: B023
            ended += terminate(store_url, pids(store_url, category))
        stops.append(True)
        for stream, call in zip(streams, calls, strict=True):
            assert await call.result() == stored(store_url, stream)
        assert ended >= 12
        await eventually(lambda: is_whole(client))


async def test_close_waits_for_groups_and_refuses_writes_whose_lock_is_not_free(
    store_url: str, category: str
) -> None:
    held = f"{category}held"
    client = AsyncClient(store_url, group_commit=True, max_size=4)
    await client.open()
    with locked(store_url, f"{category}blocked"), locked(store_url, held):
        first = await start_waiting(client, store_url, f"{category}blocked")
        waiting = start_writes(client, held, 6)
        await eventually(lambda: waiting_for_locks(store_url, held) == 1)
        calls = start_writes(client, category, 10)
        await eventually(lambda: vars(client)["_groups"] is not None)
        await client.close()
        outcomes = [await call.outcome() for call in waiting]
        for outcome in outcomes:
            assert isinstance(outcome.error, StoreUnavailableError)
            assert "was closed" in str(outcome.error) or "is closed" in str(outcome.error)
        for call in calls:
            error = (await call.outcome()).error
            assert error is None or isinstance(error, StoreUnavailableError)
        await eventually(lambda: waiting_for_locks(store_url, held) == 0)
    assert (await first.outcome()).error is None
    assert stored(store_url, f"{held}-0") == []
    with pytest.raises(StoreUnavailableError, match="client is closed"):
        await client.write_message(f"{category}-1", NewMessage("Tested"))


async def test_many_writers_with_random_writes_agree_with_a_model(
    store_url: str, category: str
) -> None:
    """The acknowledged are stored where they were said to be, and the refused are not."""
    acknowledged: dict[str, list[tuple[str, int]]] = {}
    refused: set[str] = set()
    known = [NewMessage("Known") for _ in range(30)]

    async def work(client: AsyncClient, number: int) -> None:
        rng = random.Random(number)
        for _ in range(25):
            stream = f"{category}{rng.randrange(4)}-{rng.randrange(12)}"
            messages = [NewMessage("Tested") for _ in range(rng.choice((1, 1, 1, 3)))]
            if rng.random() < 0.15:
                messages = [rng.choice(known)]
            expected: ExpectedVersion = ANY
            if rng.random() < 0.4:
                expected = await client.stream_version(stream)
            try:
                positions = await client.write_messages(stream, messages, expected_version=expected)
            except (WrongExpectedVersionError, DuplicateMessageError):
                refused.update(str(each.id) for each in messages if each not in known)
            else:
                places = acknowledged.setdefault(stream, [])
                places.extend(
                    (str(each.id), position)
                    for each, position in zip(messages, positions, strict=True)
                )

    async with (
        AsyncClient(store_url, group_commit=True, max_size=5) as client,
        AsyncClient(store_url, group_commit=True, max_size=5) as second,
        AsyncClient(store_url, max_size=3) as plain,
    ):
        clients = (client, second, client, second, plain)
        calls = [Background(work, clients[number % 5], number) for number in range(64)]
        for call in calls:
            await call.result(120.0)
        await eventually(lambda: is_whole(client))
    seen: Counter[str] = Counter()
    for stream, places in acknowledged.items():
        rows = stored(store_url, stream)
        assert [position for _, position in rows] == list(range(len(rows)))
        assert set(places) <= set(rows)
        assert not refused & {id for id, _ in rows}
        # Every stored message was acknowledged.
        assert set(rows) <= set(places)
        seen.update(id for id, _ in rows)
    assert max(seen.values()) == 1
    assert sum(seen.values()) > 500
