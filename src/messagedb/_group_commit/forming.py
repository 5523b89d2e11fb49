"""Which writes form a group, and the parameters of its statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from .._sql.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._operations.requests import EncodedMessage, WriteRequest
    from .pending_write import PendingWrite

MAX_MESSAGES: Final = 400
"""The largest number of messages of a group. A larger group is not faster, and ends later."""

MAX_CHARACTERS: Final = 1_000_000
"""The largest size of a group."""

MAX_EXAMINED: Final = 2000
"""How many waiting writes are examined for a group."""

MAX_WRITE_MESSAGES: Final = 50
MAX_WRITE_CHARACTERS: Final = 32_000
"""The largest write that joins a group. Others are efficient by themselves, and would delay it."""

# An index has an entry of stream name and correlation, of 2704 bytes at most. A character may have
# four bytes.
_MAX_NAME_CHARACTERS: Final = 640

LOCK_WAIT_MILLISECONDS: Final = 30
"""How long a group waits for a lock. Below deadlock_timeout, whose default is a second."""


def measure_write(write: WriteRequest) -> int | None:
    """Return the size of a write, None if it does not join a group.

    One that the server may refuse for its size does not: the whole group would fail.
    """
    encoded = write.encoded
    if len(encoded) > MAX_WRITE_MESSAGES or len(write.stream_name) > _MAX_NAME_CHARACTERS:
        return None
    size = 0
    for message in encoded:
        size += 100 + len(message.type) + len(message.data or "")
        metadata = message.metadata
        if metadata is not None:
            if len(metadata) > _MAX_NAME_CHARACTERS and "correlationStreamName" in metadata:
                return None
            size += len(metadata)
    return size if size <= MAX_WRITE_CHARACTERS else None


def choose_writes(waiting: Iterable[PendingWrite]) -> list[PendingWrite]:
    """Return the writes that form the next group, in the order of their arrival.

    In each stream any number of writes without an expected version, or one with one: the version
    that a write finds is that before the group. An id occurs once. Writes that do not fit are left
    for a later group.
    """
    chosen: list[PendingWrite] = []
    expecting: dict[str, bool] = {}
    ids: set[str] = set()
    messages = characters = 0
    for pending in waiting:
        write = pending.write
        encoded = write.encoded
        is_expecting = write.expected is not None
        other = expecting.get(write.stream_name)
        if other is not None and (other or is_expecting):
            continue
        if any(message.id in ids for message in encoded):
            continue
        messages += len(encoded)
        characters += pending.size
        if chosen and (messages > MAX_MESSAGES or characters > MAX_CHARACTERS):
            break
        expecting[write.stream_name] = is_expecting
        ids.update(message.id for message in encoded)
        chosen.append(pending)
    return chosen


class GroupParameters(msgspec.Struct, frozen=True):
    """The parameters of a group's statements.

    Attributes:
        keys: the keys of its locks, in the order in which every transaction locks.
        messages: its messages as a JSON array.
        streams: its streams as a JSON array.
        counts: the number of messages of each write.
    """

    keys: str
    messages: str
    streams: str
    counts: list[int]

    def build_insert(self, text: bytes, *, has_tried: bool) -> Statement:
        """Return the insert; after tried locks it inserts only what they allow."""
        return Statement(text, (self.messages, self.streams, "tried" if has_tried else None))


def build_parameters(writes: Sequence[WriteRequest], keys: Iterable[int]) -> GroupParameters:
    """Return the parameters of a group of writes, which has a key for each of them."""
    numbers: dict[str, int] = {}
    streams: list[str] = []
    elements: list[str] = []
    counts: list[int] = []
    all_keys: set[int] = set()
    for write_number, (write, key) in enumerate(zip(writes, keys, strict=True)):
        stream_number = numbers.get(write.stream_name)
        if stream_number is None:
            stream_number = numbers[write.stream_name] = len(numbers) + 1
            all_keys.add(key)
            expected = "null" if write.expected is None else write.expected
            streams.append(f'[{_quote(write.stream_name)},{expected},"|{key}|"]')
        counts.append(len(write.encoded))
        for message in write.encoded:
            elements.append(_build_element(stream_number, write_number, message))
    ordered = ",".join(map(str, sorted(all_keys)))
    return GroupParameters(
        f"{{{ordered}}}", f"[{','.join(elements)}]", f"[{','.join(streams)}]", counts
    )


def _build_element(stream_number: int, write_number: int, message: EncodedMessage) -> str:
    return (
        f'[{stream_number},{write_number},"{message.id}",{_quote(message.type)},'
        f"{message.data or 'null'},{message.metadata or 'null'}]"
    )


def _quote(value: str) -> str:
    return msgspec.json.encode(value).decode()
