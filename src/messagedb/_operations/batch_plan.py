"""What a batch asks of the server: which way it goes, and the texts that hold its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from . import validation
from .write_results import expected_at, position_of, wrong_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .requests import EncodedMessage, Write

COPY_FROM = 400
"""From so many messages on COPY is faster than one INSERT, in spite of its three more round trips.

On a Unix socket the two meet between 200 and 500 messages, of 200 bytes as of 2 kB."""


class Plan(msgspec.Struct, frozen=True):
    """What a batch comes to: the position of every message, and those to be inserted."""

    positions: list[int]
    missing: list[EncodedMessage]


def plan(write: Write, version: int, found: Mapping[str, tuple[str, int]]) -> Plan:
    """Decide what a batch does under the category's lock, as that many single writes would.

    Args:
        write: the batch.
        version: the stream's version, -1 for no stream.
        found: the stream and position of each id that is stored already.

    Raises:
        DuplicateMessageError: an id is in another stream.
        WrongExpectedVersionError: a message that is not stored yet expects another version than it
            finds; or some messages of a whole write are stored, and others are not.
    """
    positions: list[int] = []
    missing: list[EncodedMessage] = []
    found_version = version
    for index, message in enumerate(write.encoded):
        place = found.get(message.id)
        if place is not None:
            positions.append(position_of(write, message.id, place))
            continue
        expected = expected_at(write.expected, index)
        if not validation.meets(expected, version):
            raise wrong_version(write, index, found_version)
        version += 1
        positions.append(version)
        missing.append(message)
    if write.is_whole and 0 < len(missing) < len(positions):
        raise wrong_version(write, 0, found_version)
    return Plan(positions, missing)


# An element of an array of jsonb may not be larger than 256 MB in all; and a server reads a
# statement whole.
_CHUNK_BYTES: Final = 8_000_000
_CHUNK_MESSAGES: Final = 5_000


def chunks(messages: list[EncodedMessage]) -> list[tuple[int, str]]:
    """The messages as counted JSON arrays for the insert, none too long for the server."""
    arrays: list[tuple[int, str]] = []
    elements: list[str] = []
    size = 0
    for message in messages:
        element = (
            f'{{"i":"{message.id}","t":{msgspec.json.encode(message.type).decode()},'
            f'"d":{message.data or "null"},"m":{message.metadata or "null"}}}'
        )
        if elements and (size + len(element) > _CHUNK_BYTES or len(elements) >= _CHUNK_MESSAGES):
            arrays.append((len(elements), f"[{','.join(elements)}]"))
            elements, size = [], 0
        elements.append(element)
        size += len(element)
    if elements:
        arrays.append((len(elements), f"[{','.join(elements)}]"))
    return arrays


# psycopg hands a block to libpq as it is: large enough to be few, small enough to be no burden.
_BLOCK_CHARACTERS: Final = 250_000
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def copy_blocks(write: Write, version: int) -> Iterator[bytes]:
    """The rows of a batch in COPY's text format, for a stream at *version*."""
    stream_name = write.stream_name.translate(_ESCAPES)
    position = version
    rows: list[str] = []
    size = 0
    for message in write.encoded:
        position += 1
        row = (
            f"{message.id}\t{stream_name}\t{position}\t{message.type.translate(_ESCAPES)}"
            f"\t{_field(message.data)}\t{_field(message.metadata)}\n"
        )
        rows.append(row)
        size += len(row)
        if size > _BLOCK_CHARACTERS:
            yield "".join(rows).encode()
            rows, size = [], 0
    if rows:
        yield "".join(rows).encode()


def _field(json: str | None) -> str:
    """A JSON text as a field: of what COPY escapes it can only hold backslashes."""
    if json is None:
        return r"\N"
    return json.replace("\\", r"\\") if "\\" in json else json
