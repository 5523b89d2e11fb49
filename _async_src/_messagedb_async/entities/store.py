"""Entities of a category: load them, and change them by commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from copy import copy
from datetime import datetime
from typing import Any, Generic, Never, TypeVar, cast, overload
from uuid import UUID

import msgspec

from messagedb._entities.cache import EntityCache
from messagedb._entities.causation import build_causation, build_command_key
from messagedb._entities.decider import Decider
from messagedb._entities.joint_decision import Rules
from messagedb._entities.projection import Projection, Projector, build_projection
from messagedb._entities.results import LoadedEntity, TransactResult
from messagedb._entities.snapshots import SnapshotPolicy
from messagedb._entities.validation import check_as_of, check_attempts, check_options, check_store
from messagedb._errors import ValidationError
from messagedb._messages.message import Message
from messagedb._messages.registry import MessageRegistry
from messagedb.expected_version import NO_STREAM

from ..operations.internals import get_session_config, has_snapshot
from ..operations.operations import AsyncOperations
from .appender import AsyncAppender
from .command_handler import AsyncCommandHandler
from .edit_session import AsyncEntityEdit
from .loader import AsyncLoader

S = TypeVar("S")
T = TypeVar("T")
C = TypeVar("C")


class AsyncEntityStore(Generic[S, C]):
    """Loads the entities of a category, and handles commands to them.

    An entity is the state that is derived from the events of one stream: ``account-123`` for
    category ``account`` and id ``123``. The most recently used states are kept in memory, so only
    newer events are read.

    The tasks of one event loop may share it. It holds no connection, and a lock only during a
    write.

    Example::

        accounts = AsyncEntityStore(client, "account", decider=decider)
        result = await accounts.transact("123", Deposit(5))
        print(result.entity, result.version)

    Args:
        client: the client to read and to write with, or the result of the client's ``bind``.
        category: the part of the stream names before the first ``-``.
        decider: decides about commands, and derives the state from events.
        projection: only derives the state from events: then ``transact`` is not available.
        snapshots: stores the state at intervals; None for no snapshots.
        cache_size: the number of entities in memory; 0 for none. The least recently used one is
            removed first.
        batch_size: the number of events per read.
        read_only: for a service that does not own the category: ``transact`` and ``edit`` are
            refused, and snapshots are read but not stored.

    Raises:
        ValidationError: an option is out of its range. Nothing was sent.
    """

    @overload
    def __init__(
        self,
        client: AsyncOperations,
        category: str,
        *,
        decider: Decider[S, C, Any],
        snapshots: SnapshotPolicy[S] | None = None,
        cache_size: int = 1000,
        batch_size: int = 1000,
        read_only: bool = False,
    ) -> None: ...

    @overload
    def __init__(
        self: AsyncEntityStore[T, Never],
        client: AsyncOperations,
        category: str,
        *,
        projection: Projection[T],
        snapshots: SnapshotPolicy[T] | None = None,
        cache_size: int = 1000,
        batch_size: int = 1000,
        read_only: bool = False,
    ) -> None: ...

    def __init__(
        self,
        client: AsyncOperations,
        category: str,
        *,
        decider: Decider[Any, Any, Any] | None = None,
        projection: Projection[Any] | None = None,
        snapshots: SnapshotPolicy[Any] | None = None,
        cache_size: int = 1000,
        batch_size: int = 1000,
        read_only: bool = False,
    ) -> None:
        check_store(client, AsyncOperations)
        check_options(category, decider, projection, batch_size)
        self._category = category
        self._decider = decider
        self._snapshots = snapshots
        self._batch_size = batch_size
        self._read_only = read_only
        if projection is None:
            projection = build_projection(cast("Decider[S, C, Any]", decider))
        self._applier = Projector(projection, client.registry)
        self._set_store(client, EntityCache(cache_size), stores_snapshots=not read_only)

    def _set_store(
        self, store: AsyncOperations, cache: EntityCache[S], *, stores_snapshots: bool
    ) -> None:
        self._client = store
        self._loader = AsyncLoader(
            store,
            self._category,
            self._applier,
            cache,
            self._snapshots,
            self._batch_size,
            stores_snapshots,
        )
        self._appender = AsyncAppender(store, self._loader, self._applier, self._batch_size)
        self._handler: AsyncCommandHandler[S] | None = None
        if self._decider is not None:
            rules = Rules(self._decider, self._applier, store.registry, store.decimals)
            self._handler = AsyncCommandHandler(store, self._loader, self._appender, rules)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._category!r}, {len(self._loader.cache)} in memory>"

    @property
    def category(self) -> str:
        """The category of the entities' streams.

        Example::

            print(accounts.category)
        """
        return self._category

    @property
    def registry(self) -> MessageRegistry:
        """The classes of events.

        Example::

            print(accounts.registry.get_class("Deposited"))
        """
        return self._client.registry

    def stream_name(self, id: str | UUID) -> str:
        """Return the stream of an entity.

        Example::

            last = await client.get_last_stream_message(accounts.stream_name("123"))

        Raises:
            ValidationError: the id is neither a non-empty string nor a UUID. Nothing was sent.
        """
        return self._loader.build_stream_name(id)

    def bind(self, store: AsyncOperations) -> AsyncEntityStore[S, C]:
        """Return the same entities in a transaction, or with another client.

        The bound store begins with the entities in memory here. It keeps to itself what it loads
        and writes, because that may be rolled back, and stores no snapshots. In REPEATABLE READ and
        SERIALIZABLE, which see an earlier state of the store, it begins with no entities. Use it
        for one transaction; after the rollback of a savepoint bind again.

        Example::

            async with client.transaction() as tx:
                await accounts.bind(tx).transact("123", Deposit(5))
                await tx.connection.execute("UPDATE accounts SET seen = true")

        Args:
            store: a transaction, or ``context.client`` of a consumer's handler.
        """
        check_store(store, AsyncOperations)
        bound = copy(self)
        # Another client may use another database, and the cache may be newer than a snapshot.
        expected_class = get_session_config(store) is get_session_config(
            self._client
        ) and not has_snapshot(store)
        cache = EntityCache(sys.maxsize, self._loader.cache if expected_class else None)
        bound._set_store(store, cache, stores_snapshots=False)
        return bound

    async def get(self, id: str | UUID) -> S | None:
        """Return the newest state of an entity, None for an entity without events.

        Example::

            account = await accounts.get("123")
            if account is None:
                print("there is no such account")

        Raises:
            MessageDecodeError: an event does not fit its class.
            Exception: an error from ``evolve``, or from the projection's method. The entities in
                memory have not changed.
        """
        loaded = await self.load(id)
        return loaded.entity if loaded.exists else None

    async def load(
        self, id: str | UUID, *, version: int | None = None, time: datetime | None = None
    ) -> LoadedEntity[S]:
        """Return an entity with its version: the initial state and ``NO_STREAM`` without events.

        It takes one round trip if there are no new events, or no events at all; with a snapshot at
        most two, up to ``batch_size`` events.

        Example::

            loaded = await accounts.load("123")
            print(loaded.entity, loaded.version)

        Args:
            id: the part of the stream's name after the category.
            version: the state after the event at this position; the newest state if there are fewer
                events. It is not kept in memory.
            time: the state before the first event whose time is later; it must have a time zone.
                The time of an event is the time at which its transaction began. All events up to
                then are read.

        Raises:
            ValidationError: both were given, or a time without a time zone. Nothing was sent.
            MessageDecodeError: an event does not fit its class.
            Exception: an error from ``evolve``, or from the projection's method. The entities in
                memory have not changed.
        """
        key = self._check_id(id)
        check_as_of(version, time)
        if time is not None:
            entry = await self._loader.load_at_time(key, time)
        elif version is not None:
            entry = await self._loader.load_version(key, version)
        else:
            entry = await self._loader.load_latest(key)
        return LoadedEntity(self._applier.get_private_copy(entry.entity), entry.version)

    async def exists(self, id: str | UUID) -> bool:
        """Return True if an entity has any event, in one round trip and without reading them.

        Example::

            if not await accounts.exists("123"):
                print("there is no such account")
        """
        return await self._client.stream_version(self.stream_name(id)) != NO_STREAM

    def forget(self, id: str | UUID | None = None) -> None:
        """Remove an entity from memory, or all of them: after messages were deleted, as in tests.

        Entities that are being loaded at this moment are returned to their callers, and not kept.

        Example::

            accounts.forget("123")  # the next load reads its events again
        """
        self._loader.cache.evict(None if id is None else str(id))

    async def transact(
        self,
        entity_id: str | UUID,
        command: C,
        *,
        id: str | UUID | None = None,
        max_attempts: int = 4,
        following: Message[Any] | None = None,
        name: str = "",
        metadata: Mapping[str, Any] | msgspec.Struct | None = None,
    ) -> TransactResult[S]:
        """Load an entity, decide, and append the events, if no other process wrote meanwhile.

        For an entity in memory that takes one round trip, the write. If another process did write,
        the new events are read, and ``decide`` is called again; also before an error of ``decide``
        is raised, and before a result without events is returned. Commands of this entity store
        that wait for the same entity are decided one after the other, and stored in one batch. The
        lock of the category is held only during the write, not during the decision.

        Example::

            result = await accounts.transact("123", Deposit(5), id="request-77")
            if not result.is_repeated:
                print(result.events, result.entity)

        Args:
            entity_id: the part of the stream's name after the category.
            command: the command to pass to ``decide``.
            id: the key of the command, such as the ``Idempotency-Key`` of a request; None for none.
                The events' ids are derived from it, the stream and *name*. Before the decision the
                events are looked up by these ids. If they are stored, nothing is decided or
                written: the first result is returned again (``is_repeated``), with the entity as it
                was then. A call that stored nothing, because it raised or decided for no events,
                has no effect on a later one. The command's data are not compared, but the name of
                its class is recorded in the first event's metadata (``localProperties``,
                ``idempotency``).
            max_attempts: the maximum number of decisions that are about to be written. With 1, new
                events are read before the decision. After a conflict of a decision on newly read
                events it waits for a random time, up to 20 ms at first and at most 1 s.
            following: the message that contained the command. The events follow it (``Metadata``).
                Without a key, the events' ids are derived from the message's id, the stream and
                *name*, so that the message is handled once. If it was handled before, nothing is
                written, and the result has the stored events (``is_repeated``), with the newest
                state. This is detected when the same ids are about to be written again, also if the
                decision has more events this time, and when it raises. It is not detected if the
                decision has no events.
            name: distinguishes several decisions about one entity that have the same message or
                key, also those of several consumers: each needs a different name.
            metadata: the metadata of each event, instead of the metadata that follows the message.

        Raises:
            WrongExpectedVersionError: another process wrote first each time. Nothing was written.
            LostHistoryError: each time the store had lost the events that were read. Nothing was
                written.
            ValidationError: the store is read-only or has no decider, or an event is not of a
                registered class, or ``decide`` sends a command to the same entity: nothing was
                sent. Or the key is of a command of another class:
                nothing was written.
            OutcomeUnknownError: the response to the write was lost; the events may be stored. Send
                the command again with the same *id* or *following*, or to a decider that can tell
                from the state that it was handled.
            Exception: an error from ``decide`` or ``evolve``. Nothing was written.
        """
        entity = self._check_id(entity_id)
        check_attempts(max_attempts)
        self._check_writable()
        if self._handler is None:
            raise ValidationError(
                "this entity store has a projection only, and cannot decide. Nothing was sent. "
                "Give it a decider, or use edit()."
            )
        cause = build_causation(
            following, name, metadata, build_command_key(id, command, self.registry)
        )
        return await self._handler.handle(entity, command, cause, max_attempts)

    def edit(
        self,
        id: str | UUID,
        *,
        following: Message[Any] | None = None,
        name: str = "",
        metadata: Mapping[str, Any] | msgspec.Struct | None = None,
    ) -> AsyncEntityEdit[S]:
        """Load an entity, and append events in a block, if no other process wrote meanwhile.

        Example::

            async with accounts.edit("123") as account:
                if account.entity.balance >= 5:
                    account.append(Withdrawn(5))

        Nothing is written if the block ends with an error. The block does not run again after a
        conflict: use ``transact`` for that.

        Args:
            id: the part of the stream's name after the category.
            following: as in ``transact``.
            name: as in ``transact``.
            metadata: as in ``transact``.

        Raises:
            WrongExpectedVersionError: at the end of the block: another process wrote meanwhile.
                Nothing was written.
            ValidationError: the store is read-only. Nothing was sent.
            OutcomeUnknownError: at the end of the block: the response to the write was lost; the
                events may be stored.
        """
        key = self._check_id(id)
        self._check_writable()
        cause = build_causation(following, name, metadata)
        return AsyncEntityEdit(self._loader, self._appender, self._applier, key, cause)

    def _check_writable(self) -> None:
        if self._read_only:
            raise ValidationError(
                f"this entity store of {self._category!r} is read-only: only the service that owns "
                "the category may write to it. Nothing was sent."
            )

    def _check_id(self, id: str | UUID) -> str:
        self.stream_name(id)
        return str(id)
