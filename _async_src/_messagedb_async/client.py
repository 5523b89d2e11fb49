"""Client and its options."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg_pool import AsyncConnectionPool

from messagedb._connection.conninfo import conceal_password
from messagedb._connection.settings import Settings
from messagedb._consumers.consumer_info import ConsumerInfo
from messagedb._consumers.group_membership import GroupResize
from messagedb._consumers.partition_info import PartitionSetInfo
from messagedb._consumers.position_stores import StreamPositionStore, TablePositionStore
from messagedb._consumers.position_waits import build_wait_request
from messagedb._messages.registry import MessageRegistry
from messagedb.hooks import Hooks, validate_hooks

from .client_core.core import AsyncClientCore
from .consumers.consumer_info import list_consumers
from .consumers.group_resize import resize_group
from .consumers.partition_info import list_partition_sets, list_partitions
from .consumers.partition_release import release_partition
from .consumers.partition_resizing import resize_partitions
from .consumers.position_watch import close_position_watch
from .consumers.wait_for_consumer import wait_for_consumer


class AsyncClient(AsyncClientCore):
    """A client of one Message DB, with a pool of connections.

    It opens itself on the first operation; close it, or use it as a context manager. The
    tasks of one event loop may share it. In the child process after a fork it opens a new pool (a
    borrowed one remains the parent's). Each operation holds one connection while it runs, and ends
    within ``command_timeout`` and one more second. If its connection is lost, a read or a write is
    sent again within that time; the message id makes this safe for a write.

    Example::

        async with AsyncClient("postgresql://message_store@localhost/message_store") as client:
            await client.write_message("account-1", NewMessage("Deposited", {"amount": 5}))
            for message in await client.get_stream_messages("account-1"):
                print(message.type, message.data)

    Args:
        conninfo: a libpq connection string or URL; empty for libpq's environment; ``embedded:`` for
            a temporary PostgreSQL that ends with the process, ``embedded:./folder`` for one that
            keeps its data in that folder.
        pool: your psycopg pool to borrow connections from: it is never closed, and each connection
            is returned as it was. The options of the pool apply to connections;
            ``command_timeout`` is then enforced by the server only.
        schema: the schema that Message DB is installed in.
        min_size: the number of connections to keep open.
        max_size: the maximum number of open connections.
        timeout: seconds to wait for a connection.
        command_timeout: seconds that the server may take for an operation.
        pooler: True if a transaction pooler such as PgBouncer is in between. None detects it on
            opening; False is for a pooler in session mode, and faster.
        direct_writes: let batches, and writes in a transaction, insert into the table under Message
            DB's lock. None detects on opening whether the role may; False only calls the server's
            functions.
        default_batch_size: messages in a page unless a read says otherwise; -1 for no limit.
        decimals: allow writing ``Decimal``, as a JSON number, and read all numbers with a fraction
            as ``Decimal``.
        registry: the classes whose instances can be written as messages. None for a new, empty
            registry.
        hooks: hooks that wrap its operations, the outermost first: see ``messagedb.hooks``.
        group_commit: let single writes and small batches that are in flight simultaneously share a
            transaction; each keeps its own outcome. It is faster with about 16 concurrent writers
            or more. Not with a borrowed pool, ``pooler=True`` or ``direct_writes=False``; behind a
            pooler that is detected on opening, and for a role that may not insert into the table,
            it has no effect.

    Raises:
        ValidationError: an option is out of its range. Nothing was opened.
    """

    def __init__(
        self,
        conninfo: str = "",
        *,
        pool: AsyncConnectionPool[Any] | None = None,
        schema: str = "message_store",
        min_size: int = 1,
        max_size: int = 10,
        timeout: float = 10.0,
        command_timeout: float = 30.0,
        pooler: bool | None = None,
        direct_writes: bool | None = None,
        default_batch_size: int = 1000,
        decimals: bool = False,
        registry: MessageRegistry | None = None,
        hooks: Iterable[Hooks] = (),
        group_commit: bool = False,
    ) -> None:
        conninfo = conceal_password(conninfo)
        settings = Settings(
            conninfo=conninfo,
            schema=schema,
            min_size=min_size,
            max_size=max_size,
            timeout=timeout,
            command_timeout=command_timeout,
            pooler=pooler,
            direct_writes=direct_writes,
            default_batch_size=default_batch_size,
            decimals=decimals,
            registry=MessageRegistry() if registry is None else registry,
            hooks=validate_hooks(hooks),
            group_commit=group_commit,
        )
        super().__init__(settings, pool)

    async def close(self) -> None:
        """Close the pool, and release an embedded server. Do nothing if the client is closed.

        Running operations end first or fail; a borrowed pool stays open. A closed client cannot be
        opened again.

        Example::

            client = AsyncClient("postgresql://message_store@localhost/message_store")
            try:
                await client.write_message("account-1", Deposited(5))
            finally:
                await client.close()
        """
        try:
            await super().close()
        finally:
            await close_position_watch(self)

    async def wait_for_consumer(
        self,
        category: str | None,
        identifier: str | None,
        *,
        stream_name: str | None = None,
        position: int | None = None,
        global_position: int | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        position_store: StreamPositionStore | TablePositionStore | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Wait until a consumer has handled a message, in whatever process it runs.

        After it, the effects of the consumer's handlers for this message and all before it can be
        read: read your writes, as in a web request::

            position = await client.write_message("order-1", Placed("tea"))
            await client.wait_for_consumer(
                "order", "shipping", stream_name="order-1", position=position, timeout=2.0
            )

        The position that the consumer has *stored* is waited for. A message that was skipped or
        parked counts as handled. All waits of a client share one look at the stored positions, so a
        wait holds no connection. Where the trigger of ``messagedb.schema.install_notify()`` exists,
        a separate connection of the client listens while there are waits, and for half a minute
        after. A consumer with ``notify=True`` then stores its position when it reaches the message.
        Otherwise the client polls, at first ten times a second, and a consumer that is not
        transactional stores its position at the latest after ``position_update_seconds``.

        Nothing is changed or locked. A consumer that has never run is waited for, too.

        Args:
            category: the category that the consumer reads; None for a consumer of several.
            identifier: the consumer's identifier; None for a consumer without one. A read model
                has it as ``identifier``, such as ``public.balances_v1``.
            stream_name: the stream of the message.
            position: its position there, as the write returned it; of several messages the last.
            global_position: its global position, instead of ``position``.
            group_member: the member of the group that reads the stream, if the stream has no id.
            group_size: the size of a static group. The member that reads the stream is waited for;
                without a stream all members. The number of partitions is read from the store.
            position_store: the position store of the consumer. None for the position in either
                store, under the usual name.
            timeout: the largest number of seconds to wait.

        Raises:
            TimeoutError: the position was not stored in time; the text says what is stored, and
                what the consumer last reported. Or the message is not in the store. The message is
                handled later all the same.
            PositionConflictError: the group has another size now, or the stored record is not a
                position.
            StoreUnavailableError: the message could not be looked up in time.
            ValidationError: an argument is invalid. Nothing was sent.
        """
        request = build_wait_request(
            category,
            identifier,
            stream_name=stream_name,
            position=position,
            global_position=global_position,
            group_member=group_member,
            group_size=group_size,
            position_store=position_store,
            timeout=timeout,
        )
        await wait_for_consumer(self, request)

    async def list_consumers(self, category: str | None = None) -> list[ConsumerInfo]:
        """List the consumers of a store, running or not, with what they last reported.

        They are found by their position streams, also those of Eventide's consumers, and by the
        rows of ``messagedb.positions`` and ``messagedb.consumer_status``. Not found are consumers
        that have stored no position and reported nothing, as before their first run. Each consumer
        is queried separately, so they are not of the same moment.

        It reads all position records in streams, of which there is one for each save of a consumer;
        nothing is locked.

        Example::

            for each in await client.list_consumers("order"):
                print(each.name, each.state, each.lag_messages)

        Args:
                category: only consumers of this category; None for all.

        Raises:
            IncompatibleServerError: the role may not read the table of messages, or it is in
                another database (PL/Proxy, without the functions of ``messagedb``).
            StoreUnavailableError: the store is unavailable; through PL/Proxy, if any node is.
            ValidationError: the category is invalid. Nothing was sent.
        """
        return await list_consumers(self, category)

    async def list_partition_sets(self, category: str | None = None) -> list[PartitionSetInfo]:
        """List the partitioned consumers of a store, with their processes and partitions.

        Of each: see ``list_partitions()``. It is empty where the tables of partitions do not exist,
        or the role may not read them.

        Example::

            for each in await client.list_partition_sets("order"):
                print(each.name, each.size, each.owned_count, each.alarm)

        Args:
            category: only consumers of this category; None for all.

        Raises:
            StoreUnavailableError: the store is unavailable.
            ValidationError: the category is invalid. Nothing was sent.
        """
        return await list_partition_sets(self, category)

    async def list_partitions(self, category: str, identifier: str) -> PartitionSetInfo:
        """Return the partitions of a consumer: who owns which, since when, how far behind.

        Owners and free partitions are of one moment; positions, reports and lags are read after
        them. Nothing is changed or locked. One query counts the lags of all partitions, over at
        most 10,000 messages; it hashes the stream of each. They are None for a role that may not
        read the table of messages.

        Example::

            partitions = await client.list_partitions("order", "shipping")
            for each in partitions.partitions:
                print(each.number, each.state, each.lag_messages)

        Args:
            category: the category.
            identifier: the consumer's identifier.

        Raises:
            PositionConflictError: no process has run it with ``partitions`` in this store.
            IncompatibleServerError: the tables of partitions are missing, or the role may not read
                them.
            StoreUnavailableError: the store is unavailable.
            ValidationError: an argument is invalid. Nothing was sent.
        """
        return await list_partitions(self, category, identifier)

    async def release_partition(
        self, category: str, identifier: str, number: int, *, timeout: float = 10.0
    ) -> None:
        """Have the owner of a partition give it up, so that another process takes it.

        The owner finishes its message, stores its position, and releases the partition. It does not
        take it back for five seconds. Another process claims it within about a second, and gives up
        another partition for it, if it has its full share: so two partitions change their owners.
        If there is only one process, it takes the partition again after the five seconds. No
        message is skipped by this, and none is handled again.

        It returns when the partition was released; ``list_partitions()`` shows who has it then.

        Example::

            await client.release_partition("order", "shipping", 3)

        Args:
            category: the category.
            identifier: the consumer's identifier.
            number: the number of the partition, from 0.
            timeout: the largest number of seconds to wait for the owner.

        Raises:
            PositionConflictError: the partition has no live owner, or no process has run the
                consumer with ``partitions``. Nothing was changed.
            TimeoutError: the owner's handler has not finished its message in time. The request
                stays: the owner gives the partition up after that message.
            IncompatibleServerError: the tables of partitions are missing, or the role may not use
                them. Nothing was changed.
            ValidationError: there is no such partition. Nothing was changed.
            StoreUnavailableError: the store is unavailable. The partition is released or not: call
                this again after a look at ``list_partitions()``.
        """
        await release_partition(self, category, identifier, number, timeout)

    async def resize_consumer_group(
        self,
        category: str,
        *,
        identifier: str,
        old_size: int | None,
        new_size: int,
        position_store: StreamPositionStore | TablePositionStore | None = None,
        dry_run: bool = False,
    ) -> GroupResize:
        """Change the number of members of a consumer group, while none of them runs.

        A consumer without a group becomes one in the same way, or one with partitions: it goes on
        after its position. Another size assigns streams to other members. All new members begin
        after the least position of the old ones, so no message is skipped. Messages after it that
        other old members have handled are handled again, at most ``max_redelivered`` messages. To
        avoid that, first let each old member run to the end, with ``run(until="caught_up")`` and no
        more writes to the category: then all positions are equal.

        It is one transaction: afterwards the old members refuse to run (``PositionConflictError``),
        and the new ones begin at the returned position. First stop the members, then call this,
        then start the members of the new size. A size that the group had before may be used again.
        If this is called again after it was done, for example because the process was killed
        before it got the result, it changes nothing and returns the same; the new members may
        already run then.

        Example::

            await client.resize_consumer_group(
                "order", identifier="shipping", old_size=2, new_size=4
            )

        Args:
            category: the category of the group.
            identifier: the identifier of the group.
            old_size: the current number of members; None for a consumer without a group.
            new_size: the new number of members, or of partitions that run next.
            position_store: the position store that the consumers are configured with; it must not
                have a name.
            dry_run: only return the result that it would have.

        Raises:
            PositionConflictError: a member of the old or the new size runs; or a new member already
                has a position, and the group was not resized to this size. Nothing was changed.
            ValidationError: an argument is invalid. Nothing was sent.
            MessageDBError: the store was unavailable or refused. Nothing was changed, except for
                ``OutcomeUnknownError``: call this again.
        """
        return await resize_group(
            self,
            category,
            identifier=identifier,
            old_size=old_size,
            new_size=new_size,
            position_store=position_store,
            dry_run=dry_run,
        )

    async def resize_partitions(
        self, category: str, identifier: str, size: int, *, timeout: float = 60.0
    ) -> None:
        """Change the number of partitions of a consumer, while its processes run.

        The processes give up all partitions, and run each of them up to one position: the furthest
        that was stored. Then, in one transaction, the partitions of the new size begin after it,
        and the old ones are retired. So no message is skipped, and none is handled again, except
        what a process repeats that dies meanwhile. The processes go on with the new number,
        whatever they have in their code; change that, too. Messages wait meanwhile: for the
        handlers that run, for the partition that is the furthest behind, and about three seconds.

        Any process makes the next step, so that neither this call nor another process can leave it
        half done: if this call is killed, the processes finish the change, or withdraw it after the
        timeout. It is at the same time safe to call it again: a change to the same size is joined,
        and one that is done changes nothing. With the present size it withdraws a change in
        progress.

        If no process runs, it is done immediately when all partitions have the same position;
        otherwise it waits for processes.

        Example::

            await client.resize_partitions("order", "shipping", 16)

        Args:
            category: the category.
            identifier: the consumer's identifier.
            size: the new number of partitions, from 1 to 32,767.
            timeout: the largest number of seconds that it may take.

        Raises:
            PositionConflictError: there are no such partitions; or they are being changed to
                another size; or a member of a group of the new size has a position. Nothing was
                changed. Or another process has withdrawn the change.
            TimeoutError: it was not done in time. It is withdrawn: the present partitions go on,
                and the text says what it waited for.
            IncompatibleServerError: the tables of partitions are missing, or the role may not use
                them. Nothing was changed.
            ValidationError: an argument is invalid. Nothing was sent.
            MessageDBError: the store was unavailable when it began, or when it was to be
                withdrawn. The change is in progress then or not: call this again.
        """
        await resize_partitions(self, category, identifier, size, timeout)
