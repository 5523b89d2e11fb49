"""A consumer that is killed just when it parks a message, or when it replays a parked one."""

from __future__ import annotations

import msgspec
import pytest

from messagedb import Client, Consumer, NewMessage
from tests.killing.effects import effects_of, stored_position
from tests.killing.gates import closed_gate, write
from tests.killing.processes import until
from tests.killing.scenario import Fork
from tests.killing.worker import IDENTIFIER, Order, Variant
from tests.support.store import locked, stored, waiting_for_locks

PARKED = 1

variants = pytest.mark.parametrize("variant", ["async", "sync"])
transactional_or_not = pytest.mark.parametrize("transactional", [False, True])


def order_of(
    variant: Variant, url: str, category: str, *, transactional: bool, holds_stream: bool = False
) -> Order:
    """Return the order of the first worker, which parks the second message."""
    return Order(
        variant=variant,
        url=url,
        category=category,
        life=1,
        transactional=transactional,
        parks=PARKED,
        holds_stream=holds_stream,
        interval=1,
    )


def next_of(order: Order, *, replays: bool = False) -> Order:
    """Return the order of the worker after one: it waits for nothing."""
    return Order(
        variant=order.variant,
        url=order.url,
        category=order.category,
        life=order.life + 1,
        transactional=order.transactional,
        parks=None if replays else PARKED,
        holds_stream=order.holds_stream,
        replays=replays,
        interval=1,
    )


def parked_in(url: str, category: str) -> list[int]:
    """Return the positions of the messages that are parked."""
    with Client(url, max_size=2) as client:
        consumer = Consumer(client, category, identifier=IDENTIFIER)
        return [parked.position for parked in consumer.list_parked()]


def records(url: str, category: str) -> int:
    """Return how much was ever written of parked messages."""
    return len(stored(url, f"{category}:parked-{IDENTIFIER}"))


@variants
@transactional_or_not
@pytest.mark.parametrize("moment", ["before it is parked", "before the position is stored"])
def test_a_message_is_parked_once_across_kills(
    fork: Fork, effects_url: str, category: str, variant: Variant, transactional: bool, moment: str
) -> None:
    url = effects_url
    messages = write(url, f"{category}-1", 3)
    order = order_of(variant, url, category, transactional=transactional)
    name = f"{category}:parked" if moment == "before it is parked" else f"{category}:position"
    with closed_gate(url) as gate:
        first = fork(order_with_gate(order))
        gate.until_waiting(first)
        until(lambda: stored_position(url, order) == messages[0], first.text)
        with locked(url, name):
            gate.open()
            until(lambda: waiting_for_locks(url, name) == 1, first.text)
            first.kill()
            # A message that is parked and whose position is not stored is not reported.
            is_parked = moment == "before the position is stored" and not transactional
            assert parked_in(url, category) == ([PARKED] if is_parked else [])
            assert stored_position(url, order) == messages[0]
    second = fork(next_of(order))
    until(lambda: stored_position(url, order) == messages[-1], second.text)
    second.stop()
    assert parked_in(url, category) == [PARKED]
    assert records(url, category) == 1
    effects = [effect.position for effect in effects_of(url, category)]
    # The first one may have gone on with the next message while the save was under way.
    assert effects in ([[0, 2]] if transactional else [[0, 2], [0, 2, 2]])


@variants
@transactional_or_not
@pytest.mark.parametrize("moment", ["before the effect", "after the effect"])
def test_a_message_whose_replay_is_killed_stays_parked(
    fork: Fork, effects_url: str, category: str, variant: Variant, transactional: bool, moment: str
) -> None:
    url, after = effects_url, moment == "after the effect"
    messages = write(url, f"{category}-1", 3)
    parking = order_of(variant, url, category, transactional=transactional)
    first = fork(parking)
    until(lambda: stored_position(url, parking) == messages[-1], first.text)
    first.stop()
    replaying = next_of(parking, replays=True)
    with closed_gate(url) as gate:
        second = fork(order_with_gate(replaying, after=after))
        gate.until_waiting(second)
        second.kill()
        assert parked_in(url, category) == [PARKED]
    third = fork(next_of(replaying, replays=True))
    assert third.wait() == 0, third.text()
    assert parked_in(url, category) == []
    assert records(url, category) == 2
    # What was done by the one that was killed is done again, unless it was rolled back.
    again = [2, 3] if after and not transactional else [3]
    effects = effects_of(url, category)
    assert [effect.life for effect in effects if effect.position == PARKED] == again
    assert stored_position(url, parking) == messages[-1]


@variants
@transactional_or_not
@pytest.mark.parametrize("moment", ["before it is parked", "before the position is stored"])
def test_a_message_behind_a_parked_one_is_parked_once_across_kills(
    fork: Fork, effects_url: str, category: str, variant: Variant, transactional: bool, moment: str
) -> None:
    url = effects_url
    messages = write(url, f"{category}-1", 2)
    order = order_of(variant, url, category, transactional=transactional, holds_stream=True)
    first = fork(order)
    until(lambda: stored_position(url, order) == messages[-1], first.text)
    name = f"{category}:parked" if moment == "before it is parked" else f"{category}:position"
    with locked(url, name):
        write_one(url, f"{category}-1")
        until(lambda: waiting_for_locks(url, name) == 1, first.text)
        first.kill()
        is_parked = moment == "before the position is stored" and not transactional
        assert parked_in(url, category) == ([PARKED, 2] if is_parked else [PARKED])
        assert stored_position(url, order) == messages[-1]
    second = fork(next_of(order))
    # The server may have stored the position for the dead one.
    until(lambda: second.text().count("it has caught up") == 2, second.text)
    second.stop()
    assert parked_in(url, category) == [PARKED, 2]
    assert records(url, category) == 2
    third = fork(next_of(order, replays=True))
    assert third.wait() == 0, third.text()
    assert parked_in(url, category) == []
    assert [effect.position for effect in effects_of(url, category)] == [0, 1, 2]


@variants
@transactional_or_not
def test_the_replay_of_a_held_stream_goes_on_after_a_kill_where_it_was(
    fork: Fork, effects_url: str, category: str, variant: Variant, transactional: bool
) -> None:
    url = effects_url
    messages = write(url, f"{category}-1", 5)
    parking = order_of(variant, url, category, transactional=transactional, holds_stream=True)
    first = fork(parking)
    until(lambda: stored_position(url, parking) == messages[-1], first.text)
    replaying = next_of(parking, replays=True)
    with closed_gate(url) as gate:
        second = fork(msgspec.structs.replace(replaying, gate=3))
        gate.until_waiting(second)
        assert parked_in(url, category) == [3, 4]
        second.kill()
        # It is held as before, also for what comes now.
        write_one(url, f"{category}-1")
        if not transactional:
            until(lambda: parked_in(url, category) == [3, 4, 5], first.text)
    until(lambda: parked_in(url, category) == [3, 4, 5], first.text)
    third = fork(next_of(replaying, replays=True))
    assert third.wait() == 0, third.text()
    write_one(url, f"{category}-1")
    until(lambda: len(effects_of(url, category)) == 7, first.text)
    assert parked_in(url, category) == []
    assert [effect.position for effect in effects_of(url, category)] == [0, 1, 2, 3, 4, 5, 6]
    first.stop()


def write_one(url: str, stream: str) -> None:
    """Write one more message to a stream."""
    with Client(url, max_size=1) as client:
        client.write_message(stream, NewMessage("Noted", {"n": 0}))


def order_with_gate(order: Order, *, after: bool = False) -> Order:
    """Return an order with a gate for the message that is parked."""
    return msgspec.structs.replace(order, gate=PARKED, gate_after=after)
