"""Behind a peer that accepts and never answers, each call ends in time, and the pool recovers."""

from __future__ import annotations

from messagedb import AsyncClient, NewMessage, OutcomeUnknownError, StoreUnavailableError
from messagedb.errors import PoolTimeoutError
from messagedb.testing import FaultPoint, FaultProxy
from tests._async.client_calls import CASES, READS, WRITES, seed
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually, sleep
from tests.support.outcome import Outcome, is_whole
from tests.support.store import sessions, stored

COMMAND_TIMEOUT = 1.0
LIMIT = COMMAND_TIMEOUT + 1.5


async def serves_again(client: AsyncClient, category: str) -> None:
    """Write until it works, then see that the pool has all of its connections."""
    message = NewMessage("Tested")
    for _ in range(50):
        try:
            await client.write_message(f"{category}-again", message)
        except (StoreUnavailableError, OutcomeUnknownError):
            await sleep(0.05)
        else:
            break
    assert (await client.get_stream_messages(f"{category}-again"))[0].id == message.id
    await eventually(lambda: is_whole(client))


async def test_each_call_on_an_open_pool_ends_in_time(store_url: str, category: str) -> None:
    count = len(CASES)
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(
            proxy.url, min_size=count, max_size=count, command_timeout=COMMAND_TIMEOUT
        ) as client:
            await seed(client, category)
            await eventually(lambda: is_whole(client))
            proxy.stall()
            calls = {n: Background(case.call, client, category) for n, case in CASES.items()}
            outcomes = {name: await call.outcome() for name, call in calls.items()}
            proxy.resume()
            for name, outcome in outcomes.items():
                wanted = OutcomeUnknownError if name in WRITES else StoreUnavailableError
                assert isinstance(outcome.error, wanted), (name, outcome)
                assert outcome.seconds < LIMIT, (name, outcome)
            await serves_again(client, category)


async def test_each_call_on_a_small_pool_ends_in_time(store_url: str, category: str) -> None:
    with FaultProxy(store_url) as proxy:
        url = make_url(proxy.url, application_name=category)
        async with AsyncClient(
            url, min_size=2, max_size=2, command_timeout=COMMAND_TIMEOUT
        ) as client:
            await seed(client, category)
            await eventually(lambda: is_whole(client))
            proxy.stall()
            calls = {n: Background(case.call, client, category) for n, case in CASES.items()}
            outcomes = {name: await call.outcome() for name, call in calls.items()}
            proxy.resume()
            waited = [o for o in outcomes.values() if isinstance(o.error, PoolTimeoutError)]
            assert len(waited) == len(CASES) - 2
            for name, outcome in outcomes.items():
                sent = OutcomeUnknownError if name in WRITES else StoreUnavailableError
                assert isinstance(outcome.error, (sent, PoolTimeoutError)), (name, outcome)
                assert outcome.seconds < LIMIT, (name, outcome)
            assert "Nothing was sent" in str(waited[0].error)
            await serves_again(client, category)
            await eventually(lambda: sessions(store_url, category) == 2)
        await eventually(lambda: sessions(store_url, category) == 0)


async def test_each_first_call_of_a_client_ends_in_time(
    client: AsyncClient, store_url: str, category: str
) -> None:
    await seed(client, category)
    with FaultProxy(store_url) as proxy:
        proxy.stall()
        fresh = {
            name: AsyncClient(proxy.url, command_timeout=COMMAND_TIMEOUT, timeout=1.0)
            for name in CASES
        }
        calls = {name: Background(CASES[name].call, fresh[name], category) for name in CASES}
        outcomes = {name: await call.outcome() for name, call in calls.items()}
        proxy.resume()
        for name, outcome in outcomes.items():
            assert isinstance(outcome.error, StoreUnavailableError), (name, outcome)
            assert "Nothing was sent" in str(outcome.error)
            assert outcome.seconds < LIMIT, (name, outcome)
        for name in CASES:
            await CASES[name].call(fresh[name], category)
            await fresh[name].close()
    assert len(READS) + len(WRITES) == len(CASES)


async def test_a_first_write_ends_in_time_wherever_the_silence_begins(
    store_url: str, category: str
) -> None:
    # Through connecting, looking at the server, connecting again and writing, to the end of it.
    points: list[FaultPoint] = ["before_request", "within_answer"]
    cases: list[tuple[bool, int, FaultPoint]] = [
        (pooler, skip, point) for pooler in (False, True) for skip in range(12) for point in points
    ]
    proxies = [FaultProxy(store_url) for _ in cases]
    clients: list[AsyncClient] = []
    outcomes: list[Outcome[list[int]]] = []
    streams = [f"{category}{number}x-1" for number in range(len(cases))]
    messages = [[NewMessage("Tested"), NewMessage("Tested")] for _ in cases]
    # A few at a time: to begin with, each takes tens of milliseconds of a core to connect.
    for begin in range(0, len(cases), 8):
        calls: list[Background[list[int]]] = []
        for number, (pooler, skip, point) in enumerate(cases[begin : begin + 8], begin):
            proxies[number].stall_at(point, skip=skip)
            url = proxies[number].url
            client = AsyncClient(url, command_timeout=COMMAND_TIMEOUT, timeout=5.0, pooler=pooler)
            clients.append(client)
            calls.append(Background(client.write_messages, streams[number], messages[number]))
        outcomes += [await call.outcome() for call in calls]
    for proxy in proxies:
        proxy.resume()
    for case, outcome in zip(cases, outcomes, strict=True):
        assert outcome.seconds < LIMIT, (case, outcome)
        if outcome.error is not None:
            assert isinstance(outcome.error, (StoreUnavailableError, OutcomeUnknownError))
        assert (outcome.error is None) or case[1] < 11, (case, outcome)
    assert isinstance(outcomes[0].error, StoreUnavailableError)
    assert any(isinstance(outcome.error, OutcomeUnknownError) for outcome in outcomes)
    for number, client in enumerate(clients):
        assert await client.write_messages(streams[number], messages[number]) == [0, 1]
        await client.close()
        proxies[number].close()
        assert [position for _, position in stored(store_url, streams[number])] == [0, 1]
