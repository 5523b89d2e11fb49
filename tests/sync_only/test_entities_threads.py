"""Threads that send commands to one entity: signals, and decisions that send commands."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from functools import partial
from typing import Any

import psycopg
import pytest

from messagedb import Client, Decider, EntityStore, MessageDBError, ValidationError, streams
from messagedb.entities import LoadedEntity
from tests._sync.accounts import (
    DECIDER,
    Account,
    Deposit,
    Deposited,
    Refused,
    Withdraw,
    decide,
    evolve,
)
from tests.support.alarms import TooLate, call_until, ignore, needs_alarms, raising, untraced
from tests.support.background_sync import Background, eventually
from tests.support.entities import count_commands
from tests.support.outcome import is_whole
from tests.support.store import locked, waiting_for_locks

SIGNALS = 200


def test_a_decision_that_sends_a_command_to_its_own_entity_is_refused(
    store_url: str, category: str
) -> None:
    def recursive(command: Any, account: Account) -> Any:
        if command == "recursive":
            accounts.transact("1", Deposit(1))
        if command == "other":
            accounts.transact("2", Deposit(1))
        return Deposited(2)

    decider: Any = Decider(initial=Account, decide=recursive, evolve=evolve)
    with Client(store_url) as client:
        accounts: EntityStore[Account, Any] = EntityStore(client, category, decider=decider)
        with pytest.raises(ValidationError, match="would wait for its own end"):
            accounts.transact("1", "recursive")
        assert accounts.get("1") is None
        assert accounts.transact("1", "other").version == 0
        assert accounts.transact("1", Deposit(1)).version == 1
        assert accounts.transact("2", Deposit(1)).version == 1


@needs_alarms
@untraced
@pytest.mark.parametrize("direct", [None, False])
def test_others_get_their_outcome_if_the_thread_that_sends_for_all_is_interrupted(
    store_url: str, category: str, direct: bool | None
) -> None:
    may_end = threading.Event()

    def hold() -> None:
        with locked(store_url, category):
            may_end.wait()

    with Client(store_url, max_size=3, direct_writes=direct) as client:
        accounts = EntityStore(client, category, decider=DECIDER)
        accounts.transact("1", Deposit(1))
        calls: list[Background[Any]] = []

        def interrupt() -> None:
            """Let the main thread send for all, and interrupt it while the server works."""
            eventually(lambda: count_commands(accounts) == 2)
            for number, command in enumerate((Deposit(100), Withdraw(1000), Withdraw(2)), 3):
                calls.append(Background(accounts.transact, "1", command))
                eventually(partial(has_commands, accounts, number))
            unlocking.set()
            # The holder has its turn between the first command and the others.
            eventually(lambda: first.ended and waiting_for_locks(store_url, category) == 1)
            os.kill(os.getpid(), signal.SIGALRM)

        unlocking = threading.Event()

        def lock_first() -> None:
            with locked(store_url, category):
                unlocking.wait()

        locking = Background(lock_first)
        eventually(lambda: locks(store_url, category) == 1)
        first = Background(accounts.transact, "1", Deposit(1))
        eventually(lambda: waiting_for_locks(store_url, category) == 1)
        holder = Background(hold)
        eventually(lambda: waiting_for_locks(store_url, category) == 2)
        interrupting = Background(interrupt)
        with raising(TooLate), pytest.raises(TooLate):
            accounts.transact("1", Deposit(10))
        interrupting.result()
        may_end.set()
        for each in (locking, first, holder):
            each.result()
        deposit, refused, withdrawal = [call.outcome() for call in calls]
        amounts = [message.data["amount"] for message in client.read_stream(f"{category}-1")]
        # The same messages were sent again, also those of the thread that was interrupted.
        assert amounts == [1, 1, 10, 100, 1, 1]
        assert deposit.result().positions == (3,)
        with pytest.raises(Refused, match="1000 of 112"):
            refused.result()
        assert withdrawal.result().positions == (4, 5)
        assert accounts.load("1") == LoadedEntity(Account("", 110, 6), 5)
        eventually(lambda: is_whole(client))


def has_commands(accounts: EntityStore[Account, Any], number: int) -> bool:
    """Return True if so many commands are not answered yet."""
    return count_commands(accounts) == number


def locks(url: str, category: str) -> int:
    """Return how many sessions hold or want the lock of a category."""
    with psycopg.connect(url) as conn:
        row = conn.execute(
            "select count(*) from pg_locks where locktype = 'advisory'"
            " and ((classid::bigint << 32) | objid::bigint) = %s",
            [streams.hash_64(category)],
        ).fetchone()
    assert row is not None
    return int(row[0])


@needs_alarms
@untraced
def test_signals_at_random_moments_leave_no_command_without_an_outcome(
    store_url: str, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An exception in a finalizer reaches no caller; it is not to be kept, either.
    monkeypatch.setattr(sys, "unraisablehook", ignore)
    chance = random.Random(1)
    ended = threading.Event()
    answers: list[Any] = []
    with Client(store_url, max_size=3, command_timeout=10.0) as client:
        accounts = EntityStore(
            client, category, decider=Decider(initial=Account, decide=decide, evolve=evolve)
        )

        def send() -> int:
            count = 0
            while not ended.is_set():
                answers.append(accounts.transact("1", Deposit(1)))
                count += 1
            return count

        others = [Background(send) for _ in range(3)]
        interrupted = 0
        with raising(TooLate) as raised:
            for _ in range(SIGNALS):
                raised.clear()
                try:
                    call_until(
                        raised,
                        chance.uniform(0.0005, 0.008),
                        lambda: answers.append(accounts.transact("1", Deposit(1))),
                    )
                except (TooLate, MessageDBError) as error:
                    # An error of a class's code is a MessageDecodeError, also that of a signal.
                    interrupted += TooLate in (type(error), type(error.__cause__))
        ended.set()
        sent = sum(other.result() for other in others)
        assert sent > SIGNALS / 10
        assert interrupted > SIGNALS / 2
        final = accounts.load("1")
        # Every answer is that of another event, and what was interrupted is stored once at most.
        assert len({answer.version for answer in answers}) == len(answers)
        for answer in answers:
            assert answer.entity.balance == answer.version + 1
        assert len(answers) <= final.version + 1 <= len(answers) + SIGNALS
        fresh = EntityStore(client, category, decider=DECIDER)
        assert fresh.load("1") == final
        eventually(lambda: is_whole(client), 10.0)
