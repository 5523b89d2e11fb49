"""The streams that parked messages hold, their limits, and the order of a replay."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb import Message, NewMessage, ValidationError
from messagedb._consumers.held_streams import (
    MAX_HELD_MESSAGES,
    MAX_HELD_STREAMS,
    HeldStreams,
)
from messagedb._consumers.parked_messages import (
    DISCARDED,
    REPLAYED,
    ParkedList,
    build_failure_record,
    build_held_record,
    build_parked_record,
    build_resolution_record,
)
from messagedb._consumers.replay_plan import (
    ReplayUnit,
    parse_selection,
    plan_replay,
    select_parked,
)
from messagedb.consumers import ParkedMessage
from messagedb.errors import ParkingLimitError
from messagedb.testing import make_message


def message_of(stream: str, position: int) -> Message[Any]:
    return make_message(f"a-{stream}", "Noted", position=position, global_position=position + 1)


class Records:
    """A stream of records, and what two readers know of it."""

    def __init__(self) -> None:
        self.count = 0
        self.held = HeldStreams()
        self.list = ParkedList()

    def write(self, record: NewMessage) -> None:
        stored = make_message(
            "a:parked-x", record.type, record.data, id=record.id, position=self.count
        )
        self.count += 1
        self.held.apply(stored)
        self.list.apply(stored)

    def park(self, stream: str, position: int) -> None:
        message = message_of(stream, position)
        first = self.held.first.get(message.stream_name)
        behind = first if first is not None and first < position else None
        self.write(build_held_record(message, "x", "no", 1, version=self.count, behind=behind))

    def end(self, parked: ParkedMessage, kind: str = REPLAYED) -> None:
        self.write(build_resolution_record(parked, kind))

    def places(self) -> list[tuple[str, int, int | None, int]]:
        return [
            (each.stream_name[2:], each.position, each.waits_for, each.behind_count)
            for each in self.list.list_all()
        ]


def test_the_first_holds_its_stream_and_the_next_one_follows_it() -> None:
    records = Records()
    for position in (3, 5, 4):
        records.park("1", position)
    records.park("2", 0)
    records.write(build_parked_record(message_of("3", 7), "x", "no", 1, 0))
    assert records.places() == [
        ("1", 3, None, 2),
        ("1", 5, 3, 0),
        ("1", 4, 3, 0),
        ("2", 0, None, 0),
        ("3", 7, None, 0),
    ]
    held = records.held
    assert (held.first, held.count, held.behind_count) == ({"a-1": 3, "a-2": 0}, 4, 2)
    assert [held.is_behind(message_of("1", n)) for n in (2, 3, 4, 9)] == [False, True, True, True]
    assert not held.is_behind(message_of("3", 9))
    assert [held.contains(message_of("1", n)) for n in (2, 3, 6)] == [False, True, False]
    first = records.list.find_first("a-1")
    assert first is not None
    records.end(first, DISCARDED)
    records.end(first)
    assert held.first["a-1"] == 4
    assert records.places()[:2] == [("1", 5, 4, 0), ("1", 4, None, 1)]
    for parked in records.list.list_all():
        records.end(parked)
    assert (held.first, held.count, held.behind_count) == ({}, 0, 0)
    assert records.list.find_first("a-1") is None


def test_a_failed_replay_leaves_the_message_in_its_place_with_the_new_reason() -> None:
    records = Records()
    records.park("1", 0)
    records.park("1", 1)
    first, second = records.list.list_all()
    records.write(build_failure_record(first, "still no"))
    records.write(NewMessage("ReplayFailed", {"parkedId": str(second.id)}))
    again, unchanged = records.list.list_all()
    assert again == msgspec.structs.replace(first, reason="still no", attempts=2)
    assert unchanged == second
    records.end(first)
    records.write(build_failure_record(first, "late"))
    assert records.places() == [("1", 1, None, 0)]


def test_damaged_records_hold_nothing() -> None:
    records = Records()
    for data in (None, {}, {"holdsStream": True}, {"holdsStream": True, "streamName": 1}):
        for kind in ("Parked", "Replayed", "ReplayFailed"):
            records.write(NewMessage(kind, data))
    assert (records.held.first, records.places()) == ({}, [])


@given(st.lists(st.tuples(st.sampled_from("123"), st.integers(0, 8), st.booleans())))
def test_both_readers_know_the_same(steps: list[tuple[str, int, bool]]) -> None:
    records = Records()
    for stream, position, ends in steps:
        known = {(each.stream_name[2:], each.position): each for each in records.list.list_all()}
        if ends and (stream, position) in known:
            records.end(known[stream, position])
        elif (stream, position) not in known:
            records.park(stream, position)
        left = {place[:2] for place in records.places()}
        assert records.held.count == len(left)
        firsts = {f"a-{name}": min(n for s, n in left if s == name) for name, _ in left}
        assert records.held.first == firsts


def test_the_limits_name_what_is_reached() -> None:
    held = HeldStreams()
    for number in range(MAX_HELD_STREAMS):
        held.add(f"a-{number}", 0)
    for position in range(1, MAX_HELD_MESSAGES):
        held.check_limits("c", message_of("0", position), 1, "no")
        held.add("a-0", position)
    with pytest.raises(ParkingLimitError, match="1,024 messages of the stream are parked") as full:
        held.check_limits("c", message_of("0", 5000), 1, "no")
    assert not full.value.is_of_streams
    with pytest.raises(ParkingLimitError, match="1,024 streams wait for a parked message") as many:
        held.check_limits("c", message_of("other", 0), 1, "no")
    assert many.value.is_of_streams
    held.check_limits("c", message_of("7", 1), 1, "no")


def test_a_replay_takes_streams_as_a_whole_and_others_one_by_one() -> None:
    records = Records()
    records.park("1", 0)
    records.write(build_parked_record(message_of("3", 7), "x", "no", 1, 0))
    for position in (1, 2):
        records.park("1", position)
    current = records.list.list_all()
    zero, plain, one, two = current
    everything = parse_selection(None, None, None)
    stream = ReplayUnit(None, "a-1", None, None)
    alone = ReplayUnit(plain, "a-3", None, None)
    assert plan_replay(current, everything) == [stream, alone]
    assert plan_replay(current, parse_selection([two, zero, one], None, None)) == [stream]
    assert plan_replay(current, parse_selection(None, "a-1", 1)) == [
        ReplayUnit(None, "a-1", None, 1)
    ]
    (some,) = plan_replay(current, parse_selection([one, zero], None, None))
    assert [some.includes(each) for each in (zero, one, two)] == [True, True, False]
    for wrong in (one, [zero, two]):
        with pytest.raises(ValidationError, match="waits for message"):
            plan_replay(current, parse_selection(wrong, None, None))
    # What is known of a message now counts, not what a caller was given.
    old = msgspec.structs.replace(one, holds_stream=False)
    assert select_parked(current, parse_selection(old, None, None)) == [one]
