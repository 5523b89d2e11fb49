"""Edit session of an entity: load it, add events, and write them at the end."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from messagedb._entities.cache import CachedEntity
from messagedb._entities.causation import Causation
from messagedb._entities.projection import Projector
from messagedb._errors import ValidationError

from .appender import AsyncAppender
from .loader import AsyncLoader

S = TypeVar("S")


class AsyncEntityEdit(Generic[S]):
    """An entity that events are added to: see ``edit()`` of the entity store.

    Example::

        async with accounts.edit("123") as account:
            if account.entity.balance >= 5:
                account.append(Withdrawn(5))

    Attributes:
        entity: the state, including the added events. Change it only by adding events.
        version: the version that was loaded, ``NO_STREAM`` for a new entity.
        events: the added events, in order; after the block as they are stored.
        positions: the positions of the written events, after the block; empty before.
    """

    def __init__(
        self,
        loader: AsyncLoader[S],
        appender: AsyncAppender[S],
        applier: Projector[S],
        id: str,
        cause: Causation,
    ) -> None:
        self._loader = loader
        self._appender = appender
        self._applier = applier
        self._id = id
        self._cause = cause
        self._entry: CachedEntity[S] | None = None
        self._has_ended = False
        self.events: tuple[Any, ...] = ()
        self.positions: tuple[int, ...] = ()
        self._state: S
        self.entity: S
        self.version: int

    def append(self, *events: Any) -> S:
        """Add events to the entity, and return its state after them.

        They are written at the end of the block, all or none of them.

        Example::

            async with accounts.edit("123") as account:
                state = account.append(Deposited(5), Withdrawn(2))
                print(state.balance)

        Args:
            *events: instances of registered classes.

        Raises:
            ValidationError: the block has ended, or an event is not of a registered class. Nothing
                was added.
            Exception: an error from ``evolve``, or from the projection's method. Nothing was added.
        """
        if self._entry is None or self._has_ended:
            raise ValidationError(
                "events can only be added inside the block of edit(). Nothing was added."
            )
        first = self._entry.version + 1 + len(self.events)
        self._state = self._appender.apply_uncommitted(self._id, self._state, events, first)
        self.events += events
        self.entity = self._applier.get_private_copy(self._state)
        return self.entity

    async def __aenter__(self) -> Self:
        """Load the entity.

        Raises:
            ValidationError: the block was entered before. Nothing was sent.
        """
        if self._entry is not None:
            raise ValidationError(
                "the block of edit() can be entered once. Nothing was sent. Call edit() again."
            )
        self._entry = await self._loader.load_latest(self._id)
        self._state = self._entry.entity
        self.entity = self._applier.get_private_copy(self._state)
        self.version = self._entry.version
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write the events, unless the block failed."""
        self._has_ended = True
        if exc_type is None and self._entry is not None and self.events:
            result = await self._appender.append(self._id, self._entry, self.events, self._cause)
            self.positions, self.events = result.positions, result.events
            self.entity = result.state
