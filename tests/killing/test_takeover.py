"""A second consumer of the same name: it waits, and takes over when the first dies or hangs."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections.abc import Callable

import pytest

from messagedb import Client, NewMessage
from messagedb.streams import group_member
from tests.killing.effects import count_effects, effects_of, judge, messages_of, stored_position
from tests.killing.gates import closed_gate, write
from tests.killing.processes import Program, until
from tests.killing.worker import Order, Variant

Start = Callable[[Order], Program]

variants = pytest.mark.parametrize("variant", ["async", "sync"])

WAITING = "another consumer with this identifier runs"


def by_life(url: str, category: str, life: int) -> int:
    """Return the number of effects of one worker."""
    return sum(effect.life == life for effect in effects_of(url, category))


@variants
def test_the_second_takes_over_soon_when_the_first_is_killed(
    start: Start, effects_url: str, category: str, variant: Variant
) -> None:
    write(effects_url, f"{category}-1", 5)
    with closed_gate(effects_url) as gate:
        # The lease itself is much longer: the server sees immediately that its holder is dead.
        first = start(Order(variant=variant, url=effects_url, category=category, life=1, gate=2))
        gate.until_waiting(first)
        second = start(Order(variant=variant, url=effects_url, category=category, life=2))
        second.until_said(WAITING)
        assert by_life(effects_url, category, 2) == 0
        first.send(signal.SIGKILL)
        begin = time.monotonic()
        until(lambda: by_life(effects_url, category, 2), second.text)
        seconds = time.monotonic() - begin
    print(f"taken over {seconds:.2f} s after the kill")
    assert seconds < 2.0
    until(lambda: count_effects(effects_url, category) == 5, second.text)
    judge(effects_of(effects_url, category), messages_of(effects_url, category))


@variants
@pytest.mark.parametrize("table", [False, True])
def test_a_holder_that_was_paused_at_work_leaves_no_effect_twice(
    start: Start, effects_url: str, category: str, variant: Variant, table: bool
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    count = 2000
    for stream in range(10):
        write(effects_url, f"{category}-{stream}", count // 10)
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        life=1,
        transactional=True,
        table=table,
        lease_timeout=1.0,
        transaction_timeout=1.0,
    )
    first = start(order)
    some = random.Random(seed).randrange(1, 500)
    until(lambda: by_life(effects_url, category, 1) >= some, first.text)
    first.send(signal.SIGSTOP)
    paused_at = by_life(effects_url, category, 1)
    assert paused_at < count
    second = start(after(order))
    begin = time.monotonic()
    until(lambda: by_life(effects_url, category, 2), second.text)
    print(f"taken over {time.monotonic() - begin:.2f} s after the pause")
    first.send(signal.SIGCONT)
    check_conflict(first)
    until(lambda: count_effects(effects_url, category) == count, second.text, 30.0)
    second.stop()
    check_once(effects_url, category, order)


@variants
def test_a_holder_that_was_paused_in_its_handler_leaves_no_effect_of_it(
    start: Start, effects_url: str, category: str, variant: Variant
) -> None:
    write(effects_url, f"{category}-1", 5)
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        life=1,
        gate=2,
        transactional=True,
        lease_timeout=1.0,
    )
    with closed_gate(effects_url) as gate:
        first = start(order)
        gate.until_waiting(first)
        first.send(signal.SIGSTOP)
        second = start(after(order))
        until(lambda: count_effects(effects_url, category) == 5, second.text)
        # The second waits for the next one, and the first goes on with the third of them.
        gate.open()
        first.send(signal.SIGCONT)
        check_conflict(first)
    with Client(effects_url, max_size=1) as client:
        client.write_message(f"{category}-1", NewMessage("Noted"))
    until(lambda: count_effects(effects_url, category) == 6, second.text)
    second.stop()
    check_once(effects_url, category, order)


@variants
def test_an_owner_of_partitions_that_was_paused_in_its_transaction_leaves_no_effect_of_it(
    start: Start, effects_url: str, category: str, variant: Variant
) -> None:
    """It has to send its position and COMMIT, for which it holds locks; another one goes on."""
    streams = (f"{category}-{number}" for number in itertools.count())
    stream = next(each for each in streams if group_member(each, 2) == 0)
    write(effects_url, stream, 5)
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        life=1,
        gate=2,
        gate_after=True,
        partitions=2,
        transactional=True,
        table=True,
        lease_timeout=2.0,
    )
    with closed_gate(effects_url) as gate:
        first = start(order)
        gate.until_waiting(first)
        second = start(after(order))
        second.until_said("partitions gained: 1")
        first.send(signal.SIGSTOP)
        begin = time.monotonic()
        until(lambda: count_effects(effects_url, category) == 5, second.text)
        seconds = time.monotonic() - begin
        print(f"taken over {seconds:.2f} s after the pause")
        # On a machine that is not busy it is the lease timeout and 2 s.
        assert seconds < order.lease_timeout + 6
        gate.open()
        first.send(signal.SIGCONT)
        first.until_said("has joined again")
    write(effects_url, stream, 3)
    until(lambda: count_effects(effects_url, category) == 8, second.text)
    for each in (first, second):
        each.stop()
    effects = effects_of(effects_url, category)
    judge(effects, messages_of(effects_url, category))
    assert [effect.position for effect in effects] == list(range(8))
    assert [effect.life for effect in effects][:5] == [1, 1, 2, 2, 2]


@variants
def test_a_holder_that_was_paused_in_its_handler_stops_and_both_have_handled_the_message(
    start: Start, effects_url: str, category: str, variant: Variant
) -> None:
    write(effects_url, f"{category}-1", 5)
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        life=1,
        gate=2,
        lease_timeout=1.0,
        seconds=0.1,
    )
    with closed_gate(effects_url) as gate:
        first = start(order)
        gate.until_waiting(first)
        first.send(signal.SIGSTOP)
        begin = time.monotonic()
        second = start(after(order))
        until(lambda: count_effects(effects_url, category) == 5, second.text)
        print(f"taken over {time.monotonic() - begin:.2f} s after the pause")
        last = messages_of(effects_url, category)[-1].global_position
        until(lambda: stored_position(effects_url, order) == last, second.text)
        gate.open()
        first.send(signal.SIGCONT)
        check_conflict(first)
    second.stop()
    effects = effects_of(effects_url, category)
    verdict = judge(effects, messages_of(effects_url, category))
    print(verdict)
    # The current one, and those that the first one handled before it noticed that it had lost its
    # lease.
    by_first = [effect.position for effect in effects if effect.life == 1]
    assert by_first[:3] == [0, 1, 2]
    assert [effect.life for effect in effects if effect.position == 2] == [2, 1]
    # Its position is not that of the first one's.
    assert stored_position(effects_url, order) == last


def after(order: Order) -> Order:
    """Return the order of the worker that takes over."""
    return Order(
        variant=order.variant,
        url=order.url,
        category=order.category,
        life=order.life + 1,
        transactional=order.transactional,
        table=order.table,
        partitions=order.partitions,
        lease_timeout=order.lease_timeout,
    )


def check_conflict(worker: Program) -> None:
    """Check that a worker ends, and says that another one has its place."""
    assert worker.wait() == 1, worker.text()
    assert "PositionConflictError: another consumer" in worker.text(), worker.text()


def check_once(url: str, category: str, order: Order) -> None:
    """Check that each message has one effect, in order."""
    messages = messages_of(url, category)
    effects = effects_of(url, category)
    judge(effects, messages)
    assert len(effects) == len(messages)
    assert stored_position(url, order) == messages[-1].global_position
