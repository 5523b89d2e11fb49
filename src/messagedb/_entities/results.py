"""What loading an entity, and handling a command, give."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from ..expected_version import NO_STREAM

__all__ = ["LoadedEntity", "TransactResult"]

S = TypeVar("S")


class LoadedEntity(msgspec.Struct, Generic[S], frozen=True):
    """An entity at a version.

    Attributes:
        entity: its state: yours to change, if it can be changed.
        version: the position of the last event in it, ``NO_STREAM`` (-1) where it has none: the
            ``expected_version`` of a write that rests on it.
    """

    entity: S
    version: int

    @property
    def exists(self) -> bool:
        """Whether it has any event."""
        return self.version != NO_STREAM


class TransactResult(LoadedEntity[S], Generic[S], frozen=True):
    """What a command has made of an entity.

    Attributes:
        entity: its state after the events.
        version: the position of the last event.
        events: what is stored, in that order; empty for nothing. What a hook's ``before_write``
            does to new ones is seen by the next load, unless they were read back.
        positions: of those events, in the entity's stream.
        attempts: how often it was decided: each further time after a conflict; 0 where the key was
            found.
        is_repeated: whether the message that it follows, or the key, was answered before: nothing
            was written, and events and positions are those of then; with a key so are entity and
            version, else they are the newest.
    """

    events: tuple[Any, ...] = ()
    positions: tuple[int, ...] = ()
    attempts: int = 1
    is_repeated: bool = False
