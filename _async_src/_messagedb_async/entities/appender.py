"""Append events to an entity, unless another process has written to it since it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from messagedb._entities.cache import CachedEntity
from messagedb._entities.new_events import build_messages, simulate_stored
from messagedb._errors import LostHistoryError, WrongExpectedVersionError
from messagedb._operations.requests import DecisionBasis

from ..operations.internals import read_stream_page, write_batch
from .earlier_events import find_events, read_events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._entities.causation import Causation
    from messagedb._entities.projection import Projector
    from messagedb._messages.message import Message, NewMessage

    from ..operations.operations import AsyncOperations
    from .loader import AsyncLoader

S = TypeVar("S")


class AppendResult(msgspec.Struct, Generic[S], frozen=True):
    """The result of a write to an entity."""

    state: S
    version: int
    events: tuple[Any, ...]
    """The events as they are stored."""
    positions: tuple[int, ...]
    is_repeated: bool = False
    """True if the same message, or the same key, was handled before."""


class AsyncAppender(Generic[S]):
    """Appends events to the entities that a loader loads.

    The cache is filled from events read back, never from events sent: another process may have
    stored different events under the same ids.

    Args:
        store: the client or transaction to write with.
        loader: loads entities, and has the cache.
        applier: derives the state from events.
        batch_size: the number of events per read.
    """

    def __init__(
        self,
        store: AsyncOperations,
        loader: AsyncLoader[S],
        applier: Projector[S],
        batch_size: int,
    ) -> None:
        self._store = store
        self._loader = loader
        self._applier = applier
        self._batch_size = batch_size

    def apply_uncommitted(self, id: str, state: S, events: Iterable[Any], first: int) -> S:
        """Return the state after events that are not written yet; the given state is not changed.

        Raises:
            ValidationError: an event is not of a registered class, or would not be stored
                unchanged. Nothing was sent.
        """
        name = self._loader.build_stream_name(id)
        messages = build_messages(self._store.registry, events, name)
        self._applier.needs_stored_messages(messages)
        return self._applier.apply(
            self._applier.get_private_copy(state), self._simulate_stored(name, messages, first)
        )

    async def append(
        self, id: str, entry: CachedEntity[S], events: Iterable[Any], cause: Causation
    ) -> AppendResult[S]:
        """Append events to an entity at a version.

        Raises:
            WrongExpectedVersionError: another process has written meanwhile. Nothing was written.
            LostHistoryError: the store has lost the entity's last event. Nothing was written.
            ValidationError: an event is invalid, or the key is of another command. Nothing was
                written.
        """
        store = self._store
        eviction_count = self._loader.cache.eviction_count
        name = self._loader.build_stream_name(id)
        messages = build_messages(store.registry, events, name, cause, decimals=store.decimals)
        needs_stored = self._applier.needs_stored_messages(messages)
        # Before the write: an event from which no state can be derived is not written.
        simulated = self._simulate_stored(name, messages, entry.version + 1)
        state = self._applier.apply(self._applier.get_private_copy(entry.entity), simulated)
        try:
            positions = await self._write(name, messages, entry, cause)
        except WrongExpectedVersionError as error:
            if error.actual_version < entry.version:
                # Messages were deleted, or a transaction was rolled back: the cache is wrong.
                self._loader.cache.evict(id)
            elif cause.key is not None or error.actual_version == entry.version:
                # Another call with the same key may have been first. And if no other process has
                # written meanwhile, the first of the ids is stored, but not all of them.
                earlier = await self.find_earlier_result(id, cause)
                if earlier is not None:
                    return earlier
            raise
        except LostHistoryError:
            self._loader.cache.evict(id)
            raise
        if (
            cause.has_fixed_ids
            or needs_stored
            or positions != [message.position for message in simulated]
        ):
            return await self._read_back(id, entry, positions, cause, eviction_count)
        return AppendResult(state, positions[-1], self._decode_all(simulated), tuple(positions))

    async def find_earlier_result(self, id: str, cause: Causation) -> AppendResult[S] | None:
        """Return the earlier result of the same message or key; None if it is new.

        Raises:
            ValidationError: the key is of a command of another class. Nothing was written.
        """
        if not cause.has_fixed_ids:
            return None
        stored = await find_events(
            self._store, self._loader.build_stream_name(id), cause, self._batch_size
        )
        return await self._load_earlier_result(id, cause, stored) if stored else None

    async def _load_earlier_result(
        self, id: str, cause: Causation, stored: list[Message[Any]]
    ) -> AppendResult[S]:
        if cause.key is None:
            entry = await self._loader.load_latest(id)
        else:
            # Return the first result again, even if other events have followed.
            cause.check_same_command(stored[0])
            entry = await self._loader.load_version(id, stored[-1].position)
        positions = tuple(message.position for message in stored)
        return AppendResult(
            self._applier.get_private_copy(entry.entity),
            entry.version,
            self._decode_all(stored),
            positions,
            True,
        )

    async def _read_back(
        self,
        id: str,
        entry: CachedEntity[S],
        positions: list[int],
        cause: Causation,
        eviction_count: int,
    ) -> AppendResult[S]:
        """Return the entity after the events that were written, or were already stored."""
        first, last = min(positions), max(positions)
        name = self._loader.build_stream_name(id)
        page, history = await read_stream_page(self._store, name, first, last - first + 2)
        stored = [message for message in page if message.position in positions]
        is_new = first == entry.version + 1
        if cause.has_fixed_ids:
            if (
                not is_new
                or cause.count_events(page, name) > len(stored)
                or cause.is_other_call(page[0])
            ):
                stored = await read_events(self._store, name, cause, first, self._batch_size)
                return await self._load_earlier_result(id, cause, stored)
        elif not is_new:
            # decide has set the events' ids itself, and they were already stored.
            return await self._load_earlier_result(id, cause, stored)
        state = self._applier.apply(self._applier.get_private_copy(entry.entity), stored)
        new_entry = CachedEntity(state, last, entry.snapshot_version, stored[-1].id, history)
        self._loader.cache.put(id, new_entry, eviction_count)
        return AppendResult(
            self._applier.get_private_copy(state), last, self._decode_all(stored), tuple(positions)
        )

    def _simulate_stored(
        self, stream_name: str, messages: list[NewMessage], first: int
    ) -> list[Message[Any]]:
        store = self._store
        return simulate_stored(store.registry, messages, stream_name, first, store.decimals)

    def _decode_all(self, messages: Iterable[Message[Any]]) -> tuple[Any, ...]:
        return tuple(self._store.registry.decode(message) for message in messages)

    async def _write(
        self, stream_name: str, messages: list[NewMessage], entry: CachedEntity[S], cause: Causation
    ) -> list[int]:
        # None if nothing was read, or the last event read is not known.
        basis = None if entry.last_id is None else DecisionBasis(str(entry.last_id), entry.history)
        # Of two decisions for one message or key, one is stored as a whole, not a part of each.
        return await write_batch(
            self._store,
            stream_name,
            messages,
            entry.version,
            is_whole=cause.has_fixed_ids and len(messages) > 1,
            basis=basis,
        )
