"""Signals whose handlers raise: a job's time limit, as task queues have it, or Ctrl-C."""

from __future__ import annotations

import gc
import random
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from messagedb import (
    Client,
    Consumer,
    Message,
    NewMessage,
    StoreUnavailableError,
    Transaction,
    TransactionAbortedError,
)
from tests.support.alarms import TooLate, call_until, ignore, needs_alarms, raising
from tests.support.backend import make_url
from tests.support.background_sync import eventually
from tests.support.outcome import is_whole
from tests.support.store import sessions

pytestmark = needs_alarms

SIGNALS = 1000


def test_a_thousand_signals_at_random_moments_leave_the_pool_whole(
    store_url: str, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An exception in a finalizer reaches no caller; it is not to be kept, either.
    monkeypatch.setattr(sys, "unraisablehook", ignore)
    rng = random.Random(1)
    url = make_url(store_url, application_name=category)
    acknowledged: dict[str, int] = {}
    swallowed = 0
    with Client(url, max_size=2, timeout=10.0, command_timeout=10.0) as client:

        def write(count: int, stream: str) -> None:
            messages = [NewMessage("Written") for _ in range(count)]
            position = client.write_messages(stream, messages)[-1]
            acknowledged[stream] = max(position, acknowledged.get(stream, -1))

        def in_transaction(stream: str) -> None:
            with client.transaction(categories=[category]) as tx:
                tx.write_message(stream, NewMessage("Written"))
                with tx.savepoint():
                    tx.write_messages(stream, [NewMessage("Written"), NewMessage("Written")])
                position = tx.stream_version(stream)
            acknowledged[stream] = max(position, acknowledged.get(stream, -1))

        def of_its_own(stream: str) -> None:
            tx = client.begin()
            try:
                tx.write_message(stream, NewMessage("Written"))
                tx.commit()
            finally:
                tx.rollback() if tx.is_active else None

        calls: list[Callable[[str], object]] = [
            lambda stream: client.write_message(stream, NewMessage("Written")),
            lambda stream: write(2, stream),
            lambda stream: write(80, stream),
            in_transaction,
            of_its_own,
            lambda stream: client.run_transaction(
                lambda tx: tx.write_message(stream, NewMessage("Written"))
            ),
            lambda stream: client.get_stream_messages(stream, batch_size=10),
            lambda stream: client.get_stream_messages(stream, condition="true", batch_size=10),
            lambda stream: next(client.read_category(category, batch_size=5), None),
            lambda stream: next(client.subscribe(category, batch_size=5), None),
        ]
        client.write_message(f"{category}-0", NewMessage("Written"))

        def some_call() -> None:
            rng.choice(calls)(f"{category}-{rng.randrange(4)}")

        with raising(TooLate) as raised:
            for _ in range(SIGNALS):
                # An error that is kept keeps the connection that was lost with it.
                raised.clear()
                error: TooLate | None = None
                try:
                    call_until(raised, rng.uniform(0.0005, 0.008), some_call)
                except TooLate as late:
                    error = late
                if error is None:
                    # It was raised where no caller can catch it, as in a finalizer or a log's
                    # handler.
                    swallowed += 1
                else:
                    assert error is raised[-1]
                del error
            raised.clear()
        gc.collect()
        for stream, position in acknowledged.items():
            assert client.stream_version(stream) >= position
        eventually(lambda: is_whole(client), 10.0)
        # The server notices a moment later that a connection is closed.
        eventually(lambda: sessions(store_url, category) <= 2, 10.0)
    assert swallowed < SIGNALS / 10


def write_of(count: int) -> Callable[[Any, str], object]:
    """Make a call that writes so many messages."""

    def call(store: Any, category: str) -> object:
        messages = [NewMessage("Written") for _ in range(count)]
        if count == 1:
            return store.write_message(f"{category}-1", messages[0])
        return store.write_messages(f"{category}-1", messages)

    return call


def handle_all(client: Client, category: str) -> None:
    """Run a consumer to the end of a category."""
    consumer = Consumer(client, category, identifier="interrupted")

    @consumer.handler
    def handle(_message: Message[Any]) -> None:
        pass

    consumer.run(until="caught_up")


def write_in_transaction(client: Client, category: str) -> None:
    """Write messages in a transaction that is run again if need be."""

    def work(tx: Transaction) -> object:
        return write_of(2)(tx, category)

    client.run_transaction(work)


CALLS: dict[str, Callable[[Any, str], object]] = {
    "write_message": write_of(1),
    "write_messages": write_of(2),
    "write_messages_by_copy": write_of(80),
    "get_stream_messages": lambda store, category: store.get_stream_messages(f"{category}-1"),
    "get_stream_messages_with_condition": lambda store, category: store.get_stream_messages(
        f"{category}-1", condition="messages.position >= 0"
    ),
    "get_category_messages": lambda store, category: store.get_category_messages(category),
    "read_category": lambda store, category: list(store.read_category(category)),
    "stream_version": lambda store, category: store.stream_version(f"{category}-1"),
}
CLIENT_CALLS: dict[str, Callable[[Any, str], object]] = {
    **CALLS,
    "run_transaction": write_in_transaction,
    "subscribe": lambda client, category: next(client.subscribe(category)),
    "consumer": handle_all,
}
ERRORS: list[type[BaseException]] = [TooLate, TimeoutError, KeyboardInterrupt]


@pytest.fixture(autouse=True, scope="module")
def frozen_heap() -> Iterator[None]:
    """Keep what earlier tests left out of the many collections of these."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@contextmanager
def no_finalizers() -> Generator[None]:
    """Collect no garbage: what a handler raises in a finalizer, Python drops.

    Since Python 3.12 a call that waits in C collects garbage before it runs the handler.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def interrupted(url: str, kind: type[BaseException]) -> Generator[None]:
    """Block reads and writes of messages, and check that the alarm's error leaves the block."""
    with no_finalizers(), psycopg.connect(url) as conn, raising(kind) as raised:
        conn.execute("lock table message_store.messages in access exclusive mode")
        begin = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 (it is compared)
            yield
        assert caught.value is raised[0]
        assert caught.value.__cause__ is None
        assert time.monotonic() - begin < 10.0


@pytest.fixture(params=["own", "pooler", "functions", "borrowed"])
def client(request: pytest.FixtureRequest, store_url: str) -> Iterator[Client]:
    """Return a client of each kind, with few connections."""
    options: dict[str, dict[str, Any]] = {
        "own": {},
        "pooler": {"pooler": True},
        "functions": {"direct_writes": False},
    }
    with ExitStack() as stack:
        if request.param == "borrowed":
            pool: Any = ConnectionPool(store_url, min_size=1, max_size=2, open=True)
            client = Client(pool=stack.enter_context(pool))
        else:
            client = Client(store_url, max_size=2, **options[request.param])
        yield stack.enter_context(client)


@pytest.mark.parametrize("call", CLIENT_CALLS)
def test_a_signal_handlers_error_leaves_every_call(
    client: Client, database_url: str, category: str, call: str
) -> None:
    for kind in ERRORS:
        client.write_message(f"{category}-1", NewMessage("Written"))
        with interrupted(database_url, kind):
            CLIENT_CALLS[call](client, category)
    client.write_message(f"{category}-1", NewMessage("Written"))
    eventually(lambda: is_whole(client), 10.0)


@pytest.mark.parametrize("call", CALLS)
def test_a_signal_handlers_error_leaves_a_transaction(
    client: Client, database_url: str, category: str, call: str
) -> None:
    client.write_message(f"{category}-1", NewMessage("Written"))
    for kind in ERRORS:
        with interrupted(database_url, kind), client.transaction() as tx, tx.savepoint():
            CALLS[call](tx, category)
        with client.transaction() as tx:
            with interrupted(database_url, kind):
                CALLS[call](tx, category)
            # What was done of the call is not known: nothing of it may be committed.
            with pytest.raises((StoreUnavailableError, TransactionAbortedError)):
                tx.write_message(f"{category}-1", NewMessage("Written"))
            tx.rollback()
    assert client.stream_version(f"{category}-1") == 0
    eventually(lambda: is_whole(client), 10.0)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("in_block", [True, False])
def test_a_signal_handlers_error_leaves_a_bound_client(
    database_url: str, store_url: str, category: str, autocommit: bool, in_block: bool, call: str
) -> None:
    client = Client(store_url)
    for kind in ERRORS:
        with psycopg.connect(store_url, autocommit=autocommit) as conn:
            bound = client.bind(conn)
            before = bound.write_message(f"{category}-1", NewMessage("Written"))
            conn.commit()
            block = conn.transaction() if in_block else nullcontext()
            with interrupted(database_url, kind), block:
                CALLS[call](bound, category)
            # Closed, or as good as it was.
            if not conn.closed:
                conn.rollback()
                again = bound.write_message(f"{category}-1", NewMessage("Written"))
                assert again == before + 1
