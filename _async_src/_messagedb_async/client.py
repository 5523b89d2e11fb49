"""The client and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._connection.conninfo import concealed
from messagedb._connection.settings import Settings
from messagedb._messages.registry import MessageRegistry
from messagedb.hooks import Hooks, validate_hooks

from .client_core.core import AsyncClientCore
from .consumers.consumer_info import list_consumers
from .consumers.group_resize import resize_group

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg_pool import AsyncConnectionPool

    from messagedb._consumers.consumer_info import ConsumerInfo
    from messagedb._consumers.group_membership import GroupResize
    from messagedb._consumers.position_stores import StreamPositionStore, TablePositionStore


class AsyncClient(AsyncClientCore):
    """A client of one Message DB, with a pool of connections.

    It opens itself on the first operation; close it, or use it as a context manager. It may be
    shared by all tasks of one event loop. In the child after a fork it opens a pool of its own (a
    borrowed one stays the parent's). Each operation holds one connection while it runs, and ends
    within ``command_timeout`` and one second more; a write whose connection was lost is sent again
    within that time, which its message id makes safe, and a read is, too.

    Example::

        async with AsyncClient("postgresql://message_store@localhost/message_store") as client:
            await client.write_message("account-1", NewMessage("Deposited", {"amount": 5}))
            for message in await client.get_stream_messages("account-1"):
                print(message.type, message.data)

    Args:
        conninfo: a libpq connection string or URL; empty for libpq's environment; ``embedded:`` for
            a temporary PostgreSQL that ends with the process, ``embedded:./folder`` for one that
            keeps its data there.
        pool: a psycopg pool of yours to borrow connections from instead: used, never closed, each
            connection given back as it was. Its own options decide about connections;
            ``command_timeout`` is then the server's alone.
        schema: the schema that Message DB is installed in.
        min_size: how many connections to keep open.
        max_size: how many connections to open at most.
        timeout: seconds to wait for a connection.
        command_timeout: seconds that the server may take for an operation.
        pooler: whether a transaction pooler such as PgBouncer is in between. None finds out on
            opening; False is for a pooler in session mode, and faster.
        direct_writes: whether batches, and writes in a transaction, may insert into the table under
            Message DB's own lock. None finds out on opening whether the role may; False calls the
            server's functions only.
        default_batch_size: messages in a page unless a read says otherwise; -1 for no limit.
        decimals: whether ``Decimal`` may be written, as a JSON number, and all numbers with a
            fraction are read as ``Decimal``.
        registry: the classes whose instances can be written as messages. None for one of its own,
            empty at first.
        hooks: what goes around its operations, the outermost first: see ``messagedb.hooks``.

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
    ) -> None:
        conninfo = concealed(conninfo)
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
        )
        super().__init__(settings, pool)

    async def list_consumers(self, category: str | None = None) -> list[ConsumerInfo]:
        """List the consumers that have stored a position in a store, whether or not they run now.

        They are found by their streams of positions, also those of Eventide's consumers, and by the
        rows of ``messagedb.positions``. Not found are those that have stored nothing yet, and those
        whose stream has another name of its own. Each is asked for by itself, so that two of them
        are not of the same moment.

        It reads all records of positions in streams, of which there is one for each time that a
        consumer has stored its own; nothing is locked.

        Args:
                category: only consumers of this one; None for all.

        Raises:
            IncompatibleServerError: the role may not read the table of messages.
            StoreUnavailableError: the store is away.
            ValidationError: the category is none. Nothing was sent.
        """
        return await list_consumers(self, category)

    async def resize_consumer_group(
        self,
        category: str,
        *,
        identifier: str,
        old_size: int,
        new_size: int,
        position_store: StreamPositionStore | TablePositionStore | None = None,
        dry_run: bool = False,
    ) -> GroupResize:
        """Give a consumer group another number of members, while none of them runs.

        Another size gives streams to other members. All new members begin after the least position
        of the old ones, so that nothing is skipped; what the other old members have handled after
        it is handled again, at most ``max_redelivered`` messages. To have none of them again, let
        each old member run to the end first, with ``run(until="caught_up")`` and no more writes to
        the category: then all positions are equal.

        It is one transaction: afterwards the old members refuse to run (``PositionConflictError``),
        and the new ones begin where it says. The order of work: stop the members, call this, start
        the members of the new size. A size that the group had before may be given again. Called
        again after it was done, also by a process that was killed before it knew, it changes
        nothing and tells the same; the new members may run by then.

        Args:
            category: the category of the group.
            identifier: the identifier of the group.
            old_size: how many members there are.
            new_size: how many there are to be.
            position_store: where the positions are, as the consumers were told; not one with a name
                of its own.
            dry_run: only look at what it would do.

        Raises:
            PositionConflictError: a member runs, of the old size or the new one; or a new member
                has a position already, and the group was not given this size. Nothing was changed.
            ValidationError: an argument is refused. Nothing was sent.
            MessageDBError: the store is away or refused. Nothing was changed, but for
                ``OutcomeUnknownError``: call it again.
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
