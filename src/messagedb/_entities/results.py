"""Results of loading an entity and of handling a command."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from ..expected_version import NO_STREAM

__all__ = ["LoadedEntity", "TransactResult"]

S = TypeVar("S")


class LoadedEntity(msgspec.Struct, Generic[S], frozen=True):
    """An entity at a version.

    Example::

        loaded = accounts.load("123")
        print(loaded.entity, loaded.version)

    Attributes:
        entity: its state. You may change it, if it is mutable.
        version: the position of its last event, ``NO_STREAM`` (-1) if it has no events. Use it as
            ``expected_version`` of a write that depends on this state.
    """

    entity: S
    version: int

    @property
    def exists(self) -> bool:
        """True if it has any event.

        Example::

            if not accounts.load("123").exists:
                print("there is no such account")
        """
        return self.version != NO_STREAM


class TransactResult(LoadedEntity[S], Generic[S], frozen=True):
    """The result of a command that an entity handled.

    Example::

        result = accounts.transact("123", Deposit(5))
        print(result.entity, result.version, result.events, result.positions)

    Attributes:
        entity: its state after the events.
        version: the position of its last event.
        events: the events of the command as they are stored, in order; empty for no events. If a
            hook's ``before_write`` changes new events, the next load sees the changes; these
            events show them only if they were read back.
        positions: their positions in the entity's stream.
        attempts: the number of decisions that were to be written: one more after each conflict; 0
            if the key was found.
        is_repeated: True if the message that it follows, or the key, was handled before. Then
            nothing was written, and events and positions are those of the earlier call. With a
            key, entity and version are of that call, too; otherwise they are the newest.
    """

    events: tuple[Any, ...] = ()
    positions: tuple[int, ...] = ()
    attempts: int = 1
    is_repeated: bool = False
