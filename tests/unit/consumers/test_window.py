"""The window of messages in progress, against a model, in any interleaving."""

from __future__ import annotations

import random
import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from messagedb import Message
from messagedb._consumers.in_flight_window import InFlightWindow
from messagedb.testing import make_message


class Model:
    """A simple and slow model of a window."""

    def __init__(self, position: int) -> None:
        self.looked_at = position
        self.messages: list[Message[Any]] = []
        self.taken: set[int] = set()
        self.finished: set[int] = set()

    @property
    def unfinished(self) -> list[Message[Any]]:
        """Return the unfinished messages, in the order of the store."""
        return [m for m in self.messages if m.global_position not in self.finished]

    @property
    def free(self) -> list[int]:
        """Return the first unfinished message of each stream, unless it is taken."""
        first: dict[str, int] = {}
        for message in self.unfinished:
            first.setdefault(message.stream_name, message.global_position)
        return [position for position in first.values() if position not in self.taken]

    @property
    def done(self) -> int:
        """The last position with nothing unfinished up to it."""
        if not self.unfinished:
            return self.looked_at
        return self.unfinished[0].global_position - 1


pages = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(1, 3), st.sampled_from("abc")), max_size=5),
        st.integers(0, 3),
    ),
    max_size=6,
)


@given(pages=pages, start=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_any_interleaving_keeps_what_a_window_promises(
    pages: list[tuple[list[tuple[int, str]], int]], start: int, seed: int
) -> None:
    chance = random.Random(seed)
    window, model = InFlightWindow(start, 4), Model(start)
    in_hand: list[Message[Any]] = []
    coming = list(pages)
    last_position = start
    while coming or model.unfinished:
        steps = ["take"]
        if coming:
            steps.append("add")
        if in_hand:
            steps.append("finish")
        step = chance.choice(steps)
        if step == "add":
            found, rest = coming.pop(0)
            position = model.looked_at
            messages: list[Message[Any]] = []
            for gap, stream in found:
                position += gap
                messages.append(make_message(f"x-{stream}", "T", global_position=position))
            position += rest
            window.add(messages, position)
            model.messages += messages
            model.looked_at = position
        elif step == "take":
            message = window.take_ready()
            free = model.free
            assert (message is None) == (not free)
            if message is not None:
                assert message.global_position in free
                model.taken.add(message.global_position)
                in_hand.append(message)
        else:
            message = in_hand.pop(chance.randrange(len(in_hand)))
            model.finished.add(message.global_position)
            assert window.mark_done(message) == window.position
        assert last_position <= window.position <= model.done
        last_position = window.position
        # It tells of every message that is done without a gap, and of no other.
        handled = [m for m in model.messages if m.global_position <= window.position]
        assert all(m.global_position in model.finished for m in handled)
        first = model.unfinished[0].global_position if model.unfinished else None
        done = [m for m in model.messages if first is None or m.global_position < first]
        assert len(handled) == len(done)
        assert window.is_empty == (not model.unfinished)
        assert len(window) >= len(model.unfinished)
        assert window.has_room == (len(window) < 4)
    assert window.position == model.looked_at
    assert len(window) == 0


def test_a_page_without_messages_moves_the_position_only_behind_what_is_done() -> None:
    window = InFlightWindow(0, 10)
    window.add([], 7)
    assert window.position == 7
    message = make_message("x-1", "T", global_position=9)
    window.add([message], 9)
    window.add([], 20)
    window.add([], 30)
    assert window.position == 7
    assert window.take_ready() is message
    assert window.mark_done(message) == 30


def test_an_older_position_does_not_move_it_back() -> None:
    window = InFlightWindow(10, 10)
    window.add([], 4)
    assert window.position == 10


def test_done_messages_behind_a_gap_take_room() -> None:
    window = InFlightWindow(0, 3)
    messages = [make_message(f"x-{n}", "T", global_position=n) for n in (1, 2, 3)]
    window.add(messages, 3)
    assert not window.has_room
    for message in messages:
        assert window.take_ready() is message
    for message in messages[1:]:
        assert window.mark_done(message) == 0
    assert not window.has_room
    assert window.mark_done(messages[0]) == 3
    assert window.has_room


def test_several_threads_take_each_message_once_in_the_order_of_its_stream() -> None:
    window = InFlightWindow(0, 10_000)
    messages = [make_message(f"x-{n % 7}", "T", global_position=n) for n in range(1, 1001)]
    window.add(messages, 1000)
    finished: list[int] = []

    def work() -> None:
        while not window.is_empty:
            message = window.take_ready()
            if message is not None:
                finished.append(message.global_position)
                window.mark_done(message)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(finished) == list(range(1, 1001))
    for stream in range(7):
        of_stream = [position for position in finished if position % 7 == stream]
        assert of_stream == sorted(of_stream)
    assert window.position == 1000


def test_the_first_message_that_is_not_done() -> None:
    window = InFlightWindow(0, 10)
    first, second = (make_message(f"x-{n}", "T", global_position=n) for n in (1, 2))
    assert window.get_first() is None
    window.add([first, second], 2)
    window.take_ready()
    window.take_ready()
    window.mark_done(second)
    assert window.get_first() is first
    window.mark_done(first)
    assert window.get_first() is None
