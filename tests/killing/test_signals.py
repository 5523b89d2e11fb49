"""Effects of SIGTERM and SIGINT on a consumer whose handler is running."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from tests.killing.effects import handled, stored_position
from tests.killing.gates import closed_gate, write
from tests.killing.processes import Program, until
from tests.killing.worker import Order, Variant
from tests.support.store import locked, waiting_for_locks

Start = Callable[[Order], Program]

variants = pytest.mark.parametrize("variant", ["async", "sync"])
both = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])

# What the log says when a signal was taken, and of the consumer that it stops.
TAKEN = "it is stopping"

# So long that nothing but the stop itself stores a position.
NEVER = 60.0


@both
@variants
@pytest.mark.parametrize("transactional", [False, True])
def test_the_handler_in_hand_finishes_and_no_other_begins(
    start: Start,
    effects_url: str,
    category: str,
    variant: Variant,
    number: signal.Signals,
    transactional: bool,
) -> None:
    places = write(effects_url, f"{category}-1", 5)
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        gate=2,
        seconds=NEVER,
        transactional=transactional,
    )
    with closed_gate(effects_url) as gate:
        worker = start(order)
        gate.until_waiting(worker)
        worker.send(number)
        worker.until_said(TAKEN)
        assert worker.process.poll() is None
        gate.open()
        begin = time.monotonic()
        assert worker.wait() == 0, worker.text()
    assert time.monotonic() - begin < order.stop_timeout / 2
    assert handled(effects_url, category) == [0, 1, 2]
    assert stored_position(effects_url, order) == places[2]


@variants
def test_an_idle_consumer_ends_at_once(
    start: Start, effects_url: str, category: str, variant: Variant
) -> None:
    places = write(effects_url, f"{category}-1", 3)
    order = Order(variant=variant, url=effects_url, category=category, seconds=NEVER)
    worker = start(order)
    while len(handled(effects_url, category)) < 3:
        assert worker.process.poll() is None, worker.text()
    worker.send(signal.SIGTERM)
    begin = time.monotonic()
    assert worker.wait() == 0, worker.text()
    assert time.monotonic() - begin < 2.0
    assert stored_position(effects_url, order) == places[2]


@variants
@pytest.mark.parametrize(
    ("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)]
)
def test_a_second_signal_ends_at_once(
    start: Start,
    effects_url: str,
    category: str,
    variant: Variant,
    first: signal.Signals,
    second: signal.Signals,
) -> None:
    write(effects_url, f"{category}-1", 5)
    order = Order(variant=variant, url=effects_url, category=category, gate=2, seconds=NEVER)
    with closed_gate(effects_url) as gate:
        worker = start(order)
        gate.until_waiting(worker)
        worker.send(first)
        worker.until_said(TAKEN)
        worker.send(second)
        begin = time.monotonic()
        assert worker.wait() == -second, worker.text()
        assert time.monotonic() - begin < 1.0
        assert handled(effects_url, category) == [0, 1]
    assert stored_position(effects_url, order) is None


@both
@variants
def test_done_messages_are_saved_when_a_handler_does_not_finish_in_time(
    start: Start, effects_url: str, category: str, variant: Variant, number: signal.Signals
) -> None:
    places = write(effects_url, f"{category}-1", 5)
    order = Order(
        variant=variant, url=effects_url, category=category, gate=2, seconds=NEVER, stop_timeout=0.3
    )
    with closed_gate(effects_url) as gate:
        worker = start(order)
        gate.until_waiting(worker)
        worker.send(number)
        # A task is interrupted, and its error raised; nothing but its end ends a thread.
        assert worker.wait() == (1 if variant == "async" else -number), worker.text()
        assert "did not finish" in worker.text()
        assert handled(effects_url, category) == [0, 1]
        assert stored_position(effects_url, order) == places[1]


@both
@variants
def test_a_signal_stops_all_consumers_of_a_process(
    start: Start, effects_url: str, category: str, variant: Variant, number: signal.Signals
) -> None:
    beside = f"{category}Beside"
    places = [write(effects_url, f"{each}-1", 5) for each in (category, beside)]
    order = Order(
        variant=variant, url=effects_url, category=category, beside=beside, gate=2, seconds=NEVER
    )
    with closed_gate(effects_url) as gate:
        worker = start(order)
        gate.until_waiting(worker, 2)
        worker.send(number)
        for each in (category, beside):
            worker.until_said(f"{each}:position-killed: {TAKEN}")
        gate.open()
        assert worker.wait() == 0, worker.text()
    for each, place in zip((category, beside), places, strict=True):
        assert handled(effects_url, each) == [0, 1, 2]
        assert stored_position(effects_url, of(order, each)) == place[2]


@variants
def test_done_messages_of_all_consumers_are_saved_when_none_finishes_in_time(
    start: Start, effects_url: str, category: str, variant: Variant
) -> None:
    beside = f"{category}Beside"
    places = [write(effects_url, f"{each}-1", 5) for each in (category, beside)]
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        beside=beside,
        gate=2,
        seconds=NEVER,
        stop_timeout=0.3,
    )
    with closed_gate(effects_url) as gate:
        worker = start(order)
        gate.until_waiting(worker, 2)
        # One of them takes longer to store its position.
        with locked(effects_url, f"{beside}:position"):
            worker.send(signal.SIGTERM)
            worker.until_said("did not finish")
            until(lambda: waiting_for_locks(effects_url, f"{beside}:position"), worker.text)
            assert worker.process.poll() is None, "ended before all positions were stored"
        assert worker.wait() == (1 if variant == "async" else -signal.SIGTERM), worker.text()
        for each, place in zip((category, beside), places, strict=True):
            assert handled(effects_url, each) == [0, 1]
            assert stored_position(effects_url, of(order, each)) == place[1]


@variants
def test_a_signal_ends_a_process_whose_consumers_stop_already_as_one_has_failed(
    start: Start, effects_url: str, category: str, variant: Variant
) -> None:
    beside = f"{category}Beside"
    places = write(effects_url, f"{category}-1", 5)
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        beside=beside,
        beside_fails=True,
        gate=2,
        seconds=NEVER,
        stop_timeout=0.3,
    )
    with closed_gate(effects_url) as gate:
        worker = start(order)
        gate.until_waiting(worker)
        write(effects_url, f"{beside}-1", 1)
        worker.until_said("did not finish")
        if variant == "async":
            # A task can be interrupted: the failure ends the process by itself.
            assert worker.wait() == 1, worker.text()
            assert "HandlerError" in worker.text()
        else:
            assert worker.process.poll() is None
            worker.send(signal.SIGTERM)
            assert worker.wait() == -signal.SIGTERM, worker.text()
        assert stored_position(effects_url, order) == places[1]


def of(order: Order, category: str) -> Order:
    """Return the order of a consumer beside another one as if it were alone."""
    return Order(variant=order.variant, url=order.url, category=category)
