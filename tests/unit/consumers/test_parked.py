"""Records of parked messages, and the messages that are still parked."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from messagedb import Message, NewMessage
from messagedb._consumers.parked_messages import (
    DISCARDED,
    REPLAYED,
    build_parked_record,
    build_resolution_record,
    count_resolutions,
    list_unresolved,
)
from messagedb.consumers import ParkedMessage
from messagedb.testing import make_message

STREAM = "account:parked-x"
MESSAGE = make_message("account-1", "Deposited", {"a": 1}, position=3, global_position=40)
OTHER = make_message("account-2", "Closed", position=0, global_position=41)


class Stream:
    """A stream of records, in which an id is written once."""

    def __init__(self) -> None:
        self.records: list[Message[Any]] = []

    def write(self, record: NewMessage) -> bool:
        if any(each.id == record.id for each in self.records):
            return False
        position = len(self.records)
        self.records.append(
            make_message(
                STREAM,
                record.type,
                record.data,
                id=record.id,
                position=position,
                global_position=100 + position,
            )
        )
        return True

    def park(self, message: Message[Any] = MESSAGE, seed: str = "x") -> bool:
        times = count_resolutions(self.records, message)
        return self.write(build_parked_record(message, seed, "why", 2, times))

    @property
    def parked(self) -> list[ParkedMessage]:
        return list_unresolved(self.records)


def test_a_record_tells_all_that_a_list_shows() -> None:
    stream = Stream()
    assert stream.park()
    (parked,) = stream.parked
    assert parked == ParkedMessage(
        id=stream.records[0].id,
        message_id=MESSAGE.id,
        stream_name="account-1",
        position=3,
        global_position=40,
        type="Deposited",
        reason="why",
        attempts=2,
        time=stream.records[0].time,
    )
    assert isinstance(parked.message_id, UUID)


def test_parking_twice_is_parking_once_for_each_consumer_and_message() -> None:
    stream = Stream()
    assert stream.park()
    assert not stream.park()
    assert not stream.write(build_parked_record(MESSAGE, "x", "another reason", 9, 0))
    assert stream.park(OTHER)
    assert [parked.message_id for parked in stream.parked] == [MESSAGE.id, OTHER.id]
    assert (
        build_parked_record(MESSAGE, "x", "", 1, 0).id
        != build_parked_record(MESSAGE, "y", "", 1, 0).id
    )


def test_a_resolved_message_can_be_parked_again() -> None:
    stream = Stream()
    for times, kind in enumerate((REPLAYED, DISCARDED, REPLAYED)):
        assert stream.park()
        assert not stream.park()
        (parked,) = stream.parked
        assert stream.write(build_resolution_record(parked, kind))
        assert not stream.write(build_resolution_record(parked, REPLAYED))
        assert stream.parked == []
        assert count_resolutions(stream.records, MESSAGE) == times + 1
    assert count_resolutions(stream.records, OTHER) == 0


def test_foreign_records_are_passed_over() -> None:
    stream = Stream()
    stream.park()
    stream.write(NewMessage("Noted", {"parkedId": str(stream.records[0].id)}))
    stream.write(NewMessage(REPLAYED))
    assert len(stream.parked) == 1
