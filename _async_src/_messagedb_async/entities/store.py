"""The entities of a category: loaded, and changed by commands."""

from __future__ import annotations

import sys
from copy import copy
from typing import TYPE_CHECKING, Any, Generic, Never, TypeVar, cast, overload

import msgspec

from messagedb._concurrency.backend_async import sleep
from messagedb._entities.cache import EntityCache
from messagedb._entities.causation import build_causation, build_command_key
from messagedb._entities.decider import Decider
from messagedb._entities.projection import Projection, Projector, build_projection
from messagedb._entities.results import LoadedEntity, TransactResult
from messagedb._entities.validation import check_as_of, check_attempts, check_options, check_store
from messagedb._errors import LostHistoryError, ValidationError, WrongExpectedVersionError
from messagedb._transactions.options import retry_delay
from messagedb.expected_version import NO_STREAM

from ..operations.operations import AsyncOperations
from .appender import Appended, AsyncAppender
from .edit_session import AsyncEntityEdit
from .loader import AsyncLoader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from messagedb._entities.snapshots import SnapshotPolicy
    from messagedb._messages.message import Message
    from messagedb._messages.registry import MessageRegistry

S = TypeVar("S")
T = TypeVar("T")
C = TypeVar("C")


class AsyncEntityStore(Generic[S, C]):
    """Loads the entities of a category, and answers commands to them with events.

    An entity is the state that the events of one stream make: ``account-123`` of category
    ``account`` and id ``123``. The newest states are kept in memory, so that only events that are
    newer than those are read.

    The tasks of one event loop may share it. It holds no connection, and no lock but for the moment
    of a write.

    Args:
        client: where to read and to write: a client, or what ``bind`` of a client gives.
        category: the part of the stream names before the first ``-``.
        decider: what becomes of commands, and the state of events.
        projection: the state of events only: there is no ``transact`` then.
        snapshots: stores the state now and then; None for never.
        cache_size: how many entities are kept in memory; 0 for none. The least recently used goes
            first.
        batch_size: how many events are read at once.
        read_only: for another service than the one that owns the category: ``transact`` and
            ``edit`` are refused, and no snapshots are stored, only read.

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
        self._use(client, EntityCache(cache_size), stores_snapshots=not read_only)

    def _use(
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._category!r}, {len(self._loader.cache)} in memory>"

    @property
    def category(self) -> str:
        """The category of the entities' streams."""
        return self._category

    @property
    def registry(self) -> MessageRegistry:
        """The classes of events."""
        return self._client.registry

    def stream_name(self, id: str | UUID) -> str:
        """Give the stream of an entity.

        Raises:
            ValidationError: the id is not a text that is not empty, or a UUID. Nothing was sent.
        """
        return self._loader.stream_name(id)

    def bind(self, store: AsyncOperations) -> AsyncEntityStore[S, C]:
        """Give the same entities in a transaction, or with whatever else has the operations.

        It begins with what is in memory here; what it loads and writes itself it keeps to itself,
        as nobody knows yet whether it will be committed, and it stores no snapshots. In REPEATABLE
        READ and SERIALIZABLE, which see the store as it was, it begins with nothing. Use it for one
        transaction; after the rollback of a savepoint bind again.

        Args:
            store: such as a transaction, or ``context.client`` of a consumer's handler.
        """
        check_store(store, AsyncOperations)
        bound = copy(self)
        # Another client may be of another database, and what is in memory newer than a snapshot.
        ours = (
            store._profile is self._client._profile  # pyright: ignore[reportPrivateUsage]
            and not store._sees_a_snapshot  # pyright: ignore[reportPrivateUsage]
        )
        cache = EntityCache(sys.maxsize, self._loader.cache if ours else None)
        bound._use(store, cache, stores_snapshots=False)
        return bound

    async def get(self, id: str | UUID) -> S | None:
        """Give the newest state of an entity, None for one without events.

        Raises:
            MessageDecodeError: an event does not fit its class.
            Exception: what ``evolve``, or the projection's method, raised. Nothing has changed in
                memory.
        """
        loaded = await self.load(id)
        return loaded.entity if loaded.exists else None

    async def load(
        self, id: str | UUID, *, version: int | None = None, time: datetime | None = None
    ) -> LoadedEntity[S]:
        """Give an entity with its version: the initial state and ``NO_STREAM`` without events.

        One round trip where nothing is new, or nothing was there; with a snapshot two at most, up
        to ``batch_size`` events.

        Args:
            id: the part of the stream's name after the category.
            version: as it was with the event at this position as its last; the newest state where
                there are fewer events. Nothing of it is kept in memory.
            time: the state before the first event whose time is later, aware of its time zone. The
                server gives an event the time at which its transaction began. All events up to then
                are read.

        Raises:
            ValidationError: both were given, or a time without a time zone. Nothing was sent.
            MessageDecodeError: an event does not fit its class.
            Exception: what ``evolve``, or the projection's method, raised. Nothing has changed in
                memory.
        """
        key = self._key(id)
        check_as_of(version, time)
        if time is not None:
            entry = await self._loader.as_of_time(key, time)
        elif version is not None:
            entry = await self._loader.as_of_version(key, version)
        else:
            entry = await self._loader.current(key)
        return LoadedEntity(self._applier.get_private_copy(entry.entity), entry.version)

    async def exists(self, id: str | UUID) -> bool:
        """Tell whether an entity has any event, in one round trip and without reading them."""
        return await self._client.stream_version(self.stream_name(id)) != NO_STREAM

    def forget(self, id: str | UUID | None = None) -> None:
        """Drop an entity from memory, or all of them: after messages were deleted, as in tests.

        What is being loaded in this moment is given to its caller, and not kept.
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
        """Load an entity, decide, and append what was decided, if nobody wrote in between.

        If somebody did, the new events are read, and it is decided again. The lock of the category
        is held for the write only, so the decision itself holds nothing.

        Args:
            entity_id: the part of the stream's name after the category.
            command: what ``decide`` is given.
            id: the key of the command, such as the ``Idempotency-Key`` of a request; None for none.
                The events get ids that are made of it, of the stream and of *name*. They are looked
                for before it is decided: where they are stored, nothing is decided or written, and
                the result is the first one once more (``is_repeated``), the entity as it was then.
                A call that stored nothing, as it was refused or decided nothing, left no trace, and
                is decided again. The command's data are not compared, but the name of its class is
                recorded in the first event's metadata (``localProperties``, ``idempotency``).
            max_attempts: how often it is decided at most. Between two attempts it waits a random
                time, up to 20 ms at first and 1 s at most.
            following: the message that the command came as. The events follow it (``Metadata``),
                and, unless there is a key, get ids that are made of its id, of the stream and of
                *name*, so that it is answered once: where it was answered before, nothing is
                written, and the result holds what is stored (``is_repeated``), with the newest
                state. That is known when the same ids come to be written again, when the decision
                has more events than then, or raises; a decision without events says nothing about
                it.
            name: what is decided, where one message or key leads to several decisions about one
                entity, also of several consumers: each needs a name of its own.
            metadata: of each event, instead of what follows that message.

        Raises:
            WrongExpectedVersionError: somebody else wrote first each time. Nothing was written.
            LostHistoryError: each time the store had lost the events that were read. The same.
            ValidationError: the store is read-only or has no decider, or an event is of no
                registered class: nothing was sent. Or the key is that of a command of another
                class: nothing was written.
            OutcomeUnknownError: sent and not answered; the events may be stored. Send the command
                again with the same *id* or *following*, or to a decider that tells from the state
                that it was handled.
            Exception: what ``decide`` or ``evolve`` raised. Nothing was written.
        """
        entity = self._key(entity_id)
        check_attempts(max_attempts)
        self._check_writable()
        if self._decider is None:
            raise ValidationError(
                "this entity store has a projection only, and nothing that decides: give it a "
                "decider, or use edit(). Nothing was sent."
            )
        cause = build_causation(
            following, name, metadata, build_command_key(id, command, self.registry)
        )
        attempt = 0
        while True:
            entry = await self._loader.current(entity)
            # After the entity was loaded: what is decided upon has nothing of this key in it.
            before = None if cause.key is None else await self._appender.before(entity, cause)
            if before is not None:
                return _transacted(before, attempt)
            attempt += 1
            try:
                events = self._decider.decide_events(
                    command, self._applier.get_private_copy(entry.entity)
                )
            except Exception:
                before = None if cause.key else await self._appender.before(entity, cause)
                if before is None:
                    raise
                return _transacted(before, attempt)
            if not events:
                state = self._applier.get_private_copy(entry.entity)
                return TransactResult(state, entry.version, attempts=attempt)
            try:
                appended = await self._appender.append(entity, entry, events, cause)
            except (WrongExpectedVersionError, LostHistoryError) as error:
                delay = retry_delay(error, attempt, retry_version_conflicts=True)
                if delay is None or attempt >= max_attempts:
                    raise
            else:
                return _transacted(appended, attempt)
            await sleep(delay)

    def edit(
        self,
        id: str | UUID,
        *,
        following: Message[Any] | None = None,
        name: str = "",
        metadata: Mapping[str, Any] | msgspec.Struct | None = None,
    ) -> AsyncEntityEdit[S]:
        """Load an entity, and append what happens to it in a block, if nobody wrote in between.

        Example::

            async with accounts.edit("123") as account:
                if account.entity.balance >= 5:
                    account.append(Withdrawn(5))

        Nothing is written if the block ends with an error. It is not run again after a conflict:
        ``transact`` does that.

        Args:
            id: the part of the stream's name after the category.
            following: as in ``transact``.
            name: as in ``transact``.
            metadata: as in ``transact``.

        Raises:
            WrongExpectedVersionError: at the end of the block: somebody else wrote in between.
                Nothing was written.
            ValidationError: the store is read-only. Nothing was sent.
            OutcomeUnknownError: at the end of the block: sent and not answered; the events may be
                stored.
        """
        key = self._key(id)
        self._check_writable()
        cause = build_causation(following, name, metadata)
        return AsyncEntityEdit(self._loader, self._appender, self._applier, key, cause)

    def _check_writable(self) -> None:
        if self._read_only:
            raise ValidationError(
                f"this entity store of {self._category!r} is read-only: only the service that owns "
                "the category writes to it. Nothing was sent."
            )

    def _key(self, id: str | UUID) -> str:
        self.stream_name(id)
        return str(id)


def _transacted(appended: Appended[S], attempts: int) -> TransactResult[S]:
    return TransactResult(
        appended.state,
        appended.version,
        appended.events,
        appended.positions,
        attempts,
        appended.was_there,
    )
