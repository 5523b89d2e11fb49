"""The plan of a batch: its way to the server, and the strings that contain its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from . import validation
from .write_results import get_expected_at, get_stored_position, wrong_version_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .requests import EncodedMessage, WriteRequest

COPY_THRESHOLD = 400
"""From this number of messages on, COPY is faster than INSERT, although it has 3 more round trips.

On a Unix socket they are equally fast between 200 and 500 messages, of 200 bytes as of 2 kB."""


class BatchPlan(msgspec.Struct, frozen=True):
    """The plan of a batch: the position of every message, and the messages to be inserted."""

    positions: list[int]
    to_insert: list[EncodedMessage]


def plan_batch(
    write: WriteRequest, version: int, found: Mapping[str, tuple[str, int]]
) -> BatchPlan:
    """Decide the result of a batch under the category's lock, the same as that of single writes.

    Args:
        write: the batch.
        version: the stream's version, -1 for no stream.
        found: the stream and position of each id that is already stored.

    Raises:
        DuplicateMessageError: an id is in another stream.
        WrongExpectedVersionError: a message that is not stored yet expects another version than the
            stream has; or only some messages of a whole write are stored.
    """
    positions: list[int] = []
    to_insert: list[EncodedMessage] = []
    found_version = version
    for index, message in enumerate(write.encoded):
        location = found.get(message.id)
        if location is not None:
            positions.append(get_stored_position(write, message.id, location))
            continue
        expected = get_expected_at(write.expected, index)
        if not validation.is_version_expected(expected, version):
            raise wrong_version_error(write, index, found_version)
        version += 1
        positions.append(version)
        to_insert.append(message)
    if write.is_whole and 0 < len(to_insert) < len(positions):
        raise wrong_version_error(write, 0, found_version)
    return BatchPlan(positions, to_insert)


def is_inserted_as_json(messages: list[EncodedMessage]) -> bool:
    """Return True if COPY is not the better way for a batch: it is small, as are its messages."""
    return len(messages) < COPY_THRESHOLD and not has_large_message(messages)


def has_large_message(messages: list[EncodedMessage]) -> bool:
    """Return True if the server may refuse a message for its size, which no check can predict."""
    return any(message.is_large for message in messages)


# PostgreSQL limits the elements of a jsonb array to 256 MB in total, and a server reads a whole
# statement into memory.
_CHUNK_BYTES: Final = 8_000_000
_CHUNK_MESSAGES: Final = 5_000


def build_json_chunks(messages: list[EncodedMessage]) -> list[tuple[int, str]]:
    """Return the messages as counted JSON arrays for the insert, each within server limits."""
    arrays: list[tuple[int, str]] = []
    elements: list[str] = []
    size = 0
    for message in messages:
        element = _build_element(message)
        if elements and (size + len(element) > _CHUNK_BYTES or len(elements) >= _CHUNK_MESSAGES):
            arrays.append((len(elements), f"[{','.join(elements)}]"))
            elements, size = [], 0
        elements.append(element)
        size += len(element)
    if elements:
        arrays.append((len(elements), f"[{','.join(elements)}]"))
    return arrays


def build_json_array(messages: list[EncodedMessage]) -> str:
    """Return all messages as one JSON array, however large."""
    return f"[{','.join(map(_build_element, messages))}]"


def _build_element(message: EncodedMessage) -> str:
    return (
        f'{{"i":"{message.id}","t":{msgspec.json.encode(message.type).decode()},'
        f'"d":{message.data or "null"},"m":{message.metadata or "null"}}}'
    )


# psycopg passes a block to libpq unchanged: blocks are few, and small enough for little memory.
_BLOCK_CHARACTERS: Final = 250_000
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def iter_copy_blocks(
    stream_name: str, messages: list[EncodedMessage], version: int
) -> Iterator[bytes]:
    """Yield the rows of messages in COPY's text format, for a stream at *version*."""
    stream_name = stream_name.translate(_ESCAPES)
    position = version
    rows: list[str] = []
    size = 0
    for message in messages:
        position += 1
        start = f"{message.id}\t{stream_name}\t{position}\t{message.type.translate(_ESCAPES)}\t"
        if message.is_large:
            yield "".join([*rows, start]).encode()
            yield from _iter_large_fields(message)
            rows, size = [], 0
            continue
        row = f"{start}{_escape_copy_field(message.data)}\t{_escape_copy_field(message.metadata)}\n"
        rows.append(row)
        size += len(row)
        if size > _BLOCK_CHARACTERS:
            yield "".join(rows).encode()
            rows, size = [], 0
    if rows:
        yield "".join(rows).encode()


def _iter_large_fields(message: EncodedMessage) -> Iterator[bytes]:
    """Yield data and metadata in blocks, so that no other copy of them is made."""
    for json, end in ((message.data, b"\t"), (message.metadata, b"\n")):
        if json is None:
            yield rb"\N" + end
            continue
        for begin in range(0, len(json), _BLOCK_CHARACTERS):
            yield _escape_copy_field(json[begin : begin + _BLOCK_CHARACTERS]).encode()
        yield end


def _escape_copy_field(json: str | None) -> str:
    """Return JSON as a field: of the characters that COPY escapes, it contains backslashes only."""
    if json is None:
        return r"\N"
    return json.replace("\\", r"\\") if "\\" in json else json
