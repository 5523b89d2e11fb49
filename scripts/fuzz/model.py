"""A model of a store: what Message DB and the client document, in lists. No I/O.

It uses nothing of the library: an error of the library is no error of the model as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

ANY: Final = "any"
STREAM_EXISTS: Final = "exists"
NO_STREAM: Final = -1

Expected = int | Literal["any", "exists"]
Outcome = tuple[Any, ...]


@dataclass(frozen=True)
class New:
    """A message to write."""

    id: str
    type: str
    data: dict[str, Any] | None
    metadata: dict[str, Any] | None


@dataclass(frozen=True)
class Stored:
    """A message in the store."""

    stream: str
    position: int
    message: New


@dataclass
class Block:
    """An open transaction: its messages, and the categories that it may have locked."""

    written: list[Stored] = field(default_factory=list[Stored])
    touched: list[str] = field(default_factory=list[str])
    savepoints: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def mark(self) -> None:
        """Begin a savepoint."""
        self.savepoints.append((len(self.written), len(self.touched)))

    def release(self) -> None:
        """Keep what was done since the last savepoint."""
        self.savepoints.pop()

    def roll_back(self) -> None:
        """Undo what was done since the last savepoint; its locks are released."""
        written, touched = self.savepoints.pop()
        del self.written[written:]
        del self.touched[touched:]


class Model:
    """A store, and at most one open transaction in it.

    The transaction holds the locks of its categories, so that no other write comes between its
    messages of one category: within a category, the order of the list is that of the store.

    Args:
        finds_ids: False for a role that cannot see the table. It learns only from the server that
            an id is in another stream, which looks at the version first.
    """

    def __init__(self, *, finds_ids: bool = True) -> None:
        self._finds_ids = finds_ids
        self.committed: list[Stored] = []
        self.block: Block | None = None

    def begin(self) -> None:
        """Open the transaction."""
        self.block = Block()

    def end(self, *, commit: bool) -> None:
        """End the transaction."""
        assert self.block is not None
        if commit:
            self.committed += self.block.written
        self.block = None

    def would_wait(self, stream: str, messages: Sequence[New]) -> bool:
        """Return True if a write outside of the transaction would wait for its end."""
        if self.block is None:
            return False
        ids = {each.message.id for each in self.block.written}
        return category(stream) in self.block.touched or any(each.id in ids for each in messages)

    def view(self, *, inside: bool) -> list[Stored]:
        """Return the messages that the transaction sees, or the others."""
        return self.committed + (self.block.written if inside and self.block else [])

    def write(
        self, stream: str, messages: Sequence[New], expected: Expected, *, inside: bool
    ) -> Outcome:
        """Write all messages or none, and return the positions or the error."""
        ids = [message.id for message in messages]
        if len(set(ids)) < len(ids):
            return ("ValidationError",)
        if inside and self.block and messages:
            self.block.touched.append(category(stream))
        seen = {each.message.id: each for each in self.view(inside=inside)}
        first = version = self.version(stream, inside=inside)
        positions: list[int] = []
        new: list[Stored] = []
        for index, message in enumerate(messages):
            earlier = seen.get(message.id)
            if earlier is not None and earlier.stream == stream:
                positions.append(earlier.position)
                continue
            wanted = expected + index if isinstance(expected, int) else expected
            if not _fits(wanted, version) and not (earlier and self._finds_ids):
                return ("WrongExpectedVersionError", wanted, first)
            if earlier is not None:
                place = (earlier.stream, earlier.position) if self._finds_ids else (None, None)
                return ("DuplicateMessageError", *place)
            version += 1
            positions.append(version)
            new.append(Stored(stream, version, message))
        (self.block.written if inside and self.block else self.committed).extend(new)
        return ("written", positions)

    def version(self, stream: str, *, inside: bool) -> int:
        """Return the position of a stream's last message, or -1."""
        return max((each.position for each in self._stream(stream, inside)), default=NO_STREAM)

    def read_stream(
        self, stream: str, position: int, size: int, *, inside: bool
    ) -> list[Stored] | None:
        """Return a page of a stream; None if the name is a category, which is refused."""
        if "-" not in stream:
            return None
        return _limit([e for e in self._stream(stream, inside) if e.position >= position], size)

    def last(self, stream: str, type_name: str | None, *, inside: bool) -> Stored | None:
        """Return the last message of a stream, or its last one of a type."""
        return next(
            (
                each
                for each in reversed(self._stream(stream, inside))
                if type_name in (None, each.message.type)
            ),
            None,
        )

    def read_category(
        self,
        name: str,
        chosen: Callable[[Stored], bool],
        size: int,
        correlation: str | None,
        group: tuple[int, int] | None,
        *,
        inside: bool,
    ) -> list[Stored]:
        """Return a page of those messages of a category that are chosen by their position."""
        found = [e for e in self.view(inside=inside) if category(e.stream) == name and chosen(e)]
        if correlation is not None:
            found = [e for e in found if _correlation(e.message) == correlation]
        if group is not None:
            found = [e for e in found if _is_member(e.stream, *group)]
        return _limit(found, size)

    def _stream(self, stream: str, inside: bool) -> list[Stored]:
        return [each for each in self.view(inside=inside) if each.stream == stream]


def category(stream: str) -> str:
    """Return the category of a stream."""
    return stream.split("-", 1)[0]


def hash_64(value: str) -> int:
    """Return the hash of Message DB: the first 8 bytes of MD5, as a signed number."""
    return int.from_bytes(hashlib.md5(value.encode()).digest()[:8], "big", signed=True)


def _fits(expected: Expected, version: int) -> bool:
    if expected == STREAM_EXISTS:
        return version >= 0
    return expected in (ANY, version)


def _limit(found: list[Stored], size: int) -> list[Stored]:
    return found if size == -1 else found[:size]


def _correlation(message: New) -> str | None:
    name = (message.metadata or {}).get("correlationStreamName")
    return None if name is None else category(name)


def _is_member(stream: str, member: int, size: int) -> bool:
    _, dash, id = stream.partition("-")
    return bool(dash) and abs(hash_64(id.split("+", 1)[0])) % size == member
