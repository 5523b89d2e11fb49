"""Append events to an entity, unless another process has written to it since it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from messagedb._entities.cache import CachedEntity
from messagedb._entities.joint_decision import build_basis, has_own_messages
from messagedb._entities.new_events import build_messages, simulate_stored
from messagedb._errors import LostHistoryError, WrongExpectedVersionError
from messagedb._operations.requests import build_batch_write
from messagedb.expected_version import ANY

from ..operations.internals import read_stream_page, write_prepared
from .earlier_events import find_events, read_events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._entities.causation import Causation
    from messagedb._entities.projection import Projector
    from messagedb._messages.message import Message
    from messagedb._operations.requests import WriteRequest

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

    The cache is filled from events read back; and from events sent, if their ids are new: another
    process may have stored different events under the same derived ids.

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
        name, store = self._loader.build_stream_name(id), self._store
        messages = build_messages(store.registry, events, name)
        self._applier.needs_stored_messages(messages)
        write = build_batch_write(name, messages, ANY, store.decimals, store.registry)
        stored = simulate_stored(write.encoded, messages, name, first, store.decimals)
        return self._applier.apply(self._applier.get_private_copy(state), stored)

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
        store, events = self._store, list(events)
        eviction_count = self._loader.cache.eviction_count
        name = self._loader.build_stream_name(id)
        messages = build_messages(store.registry, events, name, cause, decimals=store.decimals)
        write = build_batch_write(
            name,
            messages,
            entry.version,
            store.decimals,
            store.registry,
            # Of two decisions for one message or key, one is stored as a whole, not a part of each.
            is_whole=cause.has_fixed_ids and len(messages) > 1,
            basis=build_basis(entry),
        )
        needs_stored = self._applier.needs_stored_messages(messages)
        # Before the write: an event from which no state can be derived is not written.
        simulated = simulate_stored(
            write.encoded, messages, name, entry.version + 1, store.decimals
        )
        state = self._applier.apply(self._applier.get_private_copy(entry.entity), simulated)
        try:
            positions = await write_prepared(store, write)
        except WrongExpectedVersionError as error:
            self._loader.forget_lost(id, entry, error)
            if error.actual_version >= entry.version and (
                cause.key is not None or error.actual_version == entry.version
            ):
                # Another call with the same key may have been first. And if no other process has
                # written meanwhile, the first of the ids is stored, but not all of them.
                earlier = await self.find_earlier_result(id, cause)
                if earlier is not None:
                    return earlier
            raise
        except LostHistoryError as error:
            self._loader.forget_lost(id, entry, error)
            raise
        if (
            cause.has_fixed_ids
            or needs_stored
            or positions != [message.position for message in simulated]
            or (self._loader.decides_in_memory and has_own_messages(events))
        ):
            return await self._read_back(id, entry, positions, cause, eviction_count)
        if self._loader.decides_in_memory:
            self._keep(id, entry, state, write, eviction_count)
            state = self._applier.get_private_copy(state)
        return AppendResult(state, positions[-1], self._decode_all(simulated), tuple(positions))

    def _keep(
        self,
        id: str,
        entry: CachedEntity[S],
        state: S,
        write: WriteRequest,
        eviction_count: int,
    ) -> None:
        """Keep the state after events whose ids are new: they are stored as they were sent."""
        basis = write.basis
        kept = CachedEntity(
            state,
            entry.version + len(write.messages),
            entry.snapshot_version,
            write.messages[-1].id,
            0 if basis is None else basis.history_written,
        )
        self._loader.cache.put(id, kept, eviction_count)

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

    def _decode_all(self, messages: Iterable[Message[Any]]) -> tuple[Any, ...]:
        return tuple(self._store.registry.decode(message) for message in messages)
