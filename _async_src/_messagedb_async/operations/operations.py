"""Operations of Message DB, the same on the client and on a bound connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, TypeVar, overload
from uuid import UUID

import msgspec

from messagedb import hooks
from messagedb._connection.server_info import ServerInfo
from messagedb._connection.session_config import SessionConfig
from messagedb._errors import WrongExpectedVersionError
from messagedb._messages.message import Message, NewMessage
from messagedb._messages.message_types import MessageTypes, check_types, select_types
from messagedb._messages.registry import DataInstance, MessageRegistry
from messagedb._operations import requests
from messagedb._operations.direction import (
    Direction,
    check_direction,
    get_step,
    resolve_position,
)
from messagedb._operations.reservation import build_reservation
from messagedb._operations.rows import parse_messages as messages_of
from messagedb._operations.validation import check_iteration_batch_size
from messagedb.expected_version import ANY, NO_STREAM, ExpectedVersion
from messagedb.hooks import Operation, OperationName
from messagedb.streams.reserved import is_own

T = TypeVar("T")


class AsyncOperations(ABC):
    """The operations of a Message DB.

    Unless a method says otherwise, it raises these errors besides those that it documents:

    - ``ValidationError``: an argument is invalid. It is raised before anything is sent, if that can
      be known.
    - ``StoreUnavailableError`` (``PoolTimeoutError`` if no connection became free): the operation
      was certainly not done.
    - ``IncompatibleServerError``: there is no Message DB, or one that cannot be used; the text
      names the fix.
    - ``RetryableError``: deadlock or serialization failure; rolled back. Run it again. Outside a
      transaction it was already retried, for up to ``command_timeout``.
    - ``ServerError``: the server refused it for another reason; it was not done.

    Positions count from 0 in a stream, and from 1 in the whole store (``global_position``, with
    gaps).

    Example::

        async def deposit(store: AsyncOperations, account: str) -> None:
            await store.write_message(f"account-{account}", Deposited(5))

        async with client.transaction() as tx:
            await deposit(tx, "1")
        await deposit(client, "2")
    """

    _session_config: SessionConfig

    @abstractmethod
    async def _read(self, read: requests.ReadRequest) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    async def _read_in_history(
        self, *reads: requests.ReadRequest
    ) -> tuple[list[list[tuple[Any, ...]]], int]:
        """Return the rows of reads on one connection, and the number of its server's history."""

    @abstractmethod
    async def _write(self, write: requests.WriteRequest) -> list[int]: ...

    @abstractmethod
    async def _get_server(self) -> ServerInfo: ...

    @property
    def _has_snapshot(self) -> bool:
        """True if it is known to see the store as it was when its transaction began."""
        return False

    @property
    def decimals(self) -> bool:
        """True if numbers with a fraction are read as Decimals.

        Example::

            client = AsyncClient("embedded:", decimals=True)
            print(client.decimals)
        """
        return self._session_config.settings.decimals

    @property
    def registry(self) -> MessageRegistry:
        """The classes whose instances can be written as messages. More may be added.

        Example::

            print(client.registry.get_class("Deposited"))
        """
        return self._session_config.settings.registry

    async def write_message(
        self,
        stream_name: str,
        message: NewMessage | DataInstance,
        *,
        id: UUID | str | None = None,
        metadata: Mapping[str, Any] | msgspec.Struct | None = None,
        expected_version: ExpectedVersion = ANY,
    ) -> int:
        """Write one message to the end of a stream, and return its position there (from 0).

        The write is idempotent by message id: writing the same id to the same stream again returns
        the position that it has, without an error, whatever the expected version; type and data are
        not compared. The lock of the stream's category is held until the write, or the transaction
        that it is part of, ends: other writers of the category wait.

        Example::

            message = NewMessage("Deposited", {"amount": 5})
            position = await client.write_message("account-1", message, expected_version=NO_STREAM)

        Args:
            stream_name: ``category-id``, at most 2672 bytes of UTF-8. A bare category is a stream,
                too, but no member of a group gets its messages, and only ``get_category_messages``
                and ``get_last_stream_message`` read it.
            message: the message to write. The id and metadata of a NewMessage are used unless the
                arguments replace them. An instance of a class in the client's registry gets a new
                id in each call: to be able to repeat the write, convert it to a NewMessage once
                (``registry.encode``), or pass the id.
            id: the message's id, instead of the id of a NewMessage.
            metadata: the message's metadata, such as a Metadata, instead of a NewMessage's.
            expected_version: the position of the stream's last message, ``NO_STREAM``,
                ``STREAM_EXISTS``, or ``ANY``.

        Raises:
            WrongExpectedVersionError: the stream is at another version. Nothing was written.
            DuplicateMessageError: the id is in another stream. Nothing was written.
            OutcomeUnknownError: the response was lost, also when the write was sent again. The
                message may be stored, now or a little later.
        """
        settings = self._session_config.settings
        write = requests.build_message_write(
            stream_name,
            message,
            id,
            metadata,
            expected_version,
            settings.decimals,
            settings.registry,
        )
        if settings.hooks:
            return (await self._write_with_hooks("write_message", write))[0]
        return (await self._write(write))[0]

    async def write_messages(
        self,
        stream_name: str,
        messages: Iterable[NewMessage | DataInstance],
        *,
        expected_version: ExpectedVersion = ANY,
    ) -> list[int]:
        """Write messages to the end of a stream, all or none, and return their positions.

        The result is the same as that of single writes: message ``k`` is written at
        ``expected_version + 1 + k``, and a message whose id is already in the stream returns the
        position that it has. For no messages it returns ``[]``, and nothing is sent. All messages
        are encoded and checked before the first is sent. The lock of the category is held as in
        ``write_message``.

        Example::

            positions = await client.write_messages(
                "account-1", [Deposited(5), Withdrawn(2)], expected_version=NO_STREAM
            )

        Args:
            stream_name: ``category-id``, at most 2672 bytes of UTF-8. A bare category is a stream,
                too.
            messages: the messages to write, as in ``write_message``; any iterable, read once.
            expected_version: the position of the stream's last message, ``NO_STREAM``,
                ``STREAM_EXISTS``, or ``ANY``.

        Raises:
            ValidationError: a message is invalid (the text names its index), or two have the same
                id.
            WrongExpectedVersionError: the stream is at another version. Nothing was written.
            DuplicateMessageError: an id is in another stream. Nothing was written.
            OutcomeUnknownError: the response was lost, also when the batch was sent again. All
                messages or none may be stored, now or a little later.
        """
        settings = self._session_config.settings
        write = requests.build_batch_write(
            stream_name, messages, expected_version, settings.decimals, settings.registry
        )
        return await self._write_prepared(write) if write.encoded else []

    async def _write_prepared(self, write: requests.WriteRequest) -> list[int]:
        """Write a batch that was checked and encoded before.

        Raises:
            LostHistoryError: the message that it is based on is not stored any more. Nothing was
                written.
        """
        if self._session_config.settings.hooks:
            return await self._write_with_hooks("write_messages", write)
        return await self._write(write)

    async def _read_stream_page(
        self, stream_name: str, position: int, batch_size: int
    ) -> tuple[list[Message[Any]], int]:
        """Return a page of a stream, and the number of the history of the server it came from."""
        settings = self._session_config.settings
        read = requests.build_stream_read(
            self._session_config.sql, stream_name, position, batch_size, None
        )
        if not settings.hooks or is_own(stream_name):
            (rows,), history = await self._read_in_history(read)
            return messages_of(rows, settings.decimals), history
        operation = Operation("get_stream_messages", stream_name)
        with hooks.enter_around(settings.hooks, operation) as operation:
            (rows,), history = await self._read_in_history(read)
            operation.messages = messages_of(rows, settings.decimals)
            return hooks.apply_after_read(settings.hooks, operation.messages), history

    async def get_stream_messages(
        self,
        stream_name: str,
        *,
        position: int | None = None,
        batch_size: int | None = None,
        condition: str | None = None,
        direction: Direction = "forwards",
    ) -> list[Message[Any]]:
        """Return one page of a stream, in the order of position or in the reverse one.

        Message DB only has a function for reading forwards. Backwards it is a query of the table,
        by the same index.

        Example::

            for message in await client.get_stream_messages("account-1", batch_size=10):
                print(message.position, message.type, message.data)

        Args:
            stream_name: ``category-id``.
            position: the position in the stream to start at, from 0, inclusive. None for the
                beginning, or for the end if the direction is backwards.
            batch_size: the maximum number of messages; -1 for all; None for the client's
                ``default_batch_size``.
            condition: an SQL condition that is inserted into the server's query unchanged: never
                build it from untrusted input.
            direction: ``"forwards"``, or ``"backwards"`` for the newest message first. To continue
                backwards, pass the last message's ``position - 1``, until that is -1.

        Raises:
            IncompatibleServerError: backwards, and the role may not read the table of messages, or
                it is in another database (PL/Proxy, without the functions of ``messagedb``).
                Nothing was sent.
        """
        check_direction(direction)
        read = requests.build_stream_read(
            self._session_config.sql,
            stream_name,
            resolve_position(position, direction, 0),
            self._get_batch_size(batch_size),
            condition,
            direction,
        )
        if direction == "backwards":
            server = await self._get_server()
            read = requests.adapt_backwards_read(read, server, "reading a stream backwards")
        if self._session_config.settings.hooks:
            return await self._read_with_hooks("get_stream_messages", stream_name, read)
        return messages_of(await self._read(read), self._session_config.settings.decimals)

    async def get_category_messages(
        self,
        category: str,
        *,
        position: int | None = None,
        batch_size: int | None = None,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        condition: str | None = None,
        direction: Direction = "forwards",
    ) -> list[Message[Any]]:
        """Return one page of a category, in the order of global position or in the reverse one.

        Within one category no message can appear before a position that was already read, if all
        writers use Message DB's functions or this library. Streams without an id belong to no group
        member.

        Example::

            newest = await client.get_category_messages(
                "account", batch_size=10, direction="backwards"
            )

        Args:
            category: the part of the stream names before the first ``-``.
            position: the global position to start at, from 1, inclusive. To continue, pass the last
                message's ``global_position + 1``, or ``- 1`` if the direction is backwards. None
                for the beginning, or for the end if the direction is backwards.
            batch_size: the maximum number of messages; -1 for all; None for the client's
                ``default_batch_size``.
            correlation: only messages whose metadata's ``correlationStreamName`` is in this
                category.
            group_member: only streams of this member, from 0 to size - 1; needs the size.
            group_size: the number of members, from 1 to 32767.
            condition: an SQL condition that is inserted into the server's query unchanged: never
                build it from untrusted input.
            direction: ``"forwards"``, or ``"backwards"`` for the newest message first, which is a
                query of the table.

        Raises:
            IncompatibleServerError: backwards, and the role may not read the table of messages, or
                it is in another database (PL/Proxy, without the functions of ``messagedb``).
                Nothing was sent.
        """
        check_direction(direction)
        read = requests.build_category_read(
            self._session_config.sql,
            category,
            resolve_position(position, direction, 1),
            self._get_batch_size(batch_size),
            correlation,
            group_member,
            group_size,
            condition,
            direction,
        )
        if direction == "backwards":
            server = await self._get_server()
            read = requests.adapt_backwards_read(read, server, "reading a category backwards")
        if self._session_config.settings.hooks:
            return await self._read_with_hooks("get_category_messages", category, read)
        return messages_of(await self._read(read), self._session_config.settings.decimals)

    async def get_last_stream_message(
        self, stream_name: str, *, type: str | None = None
    ) -> Message[Any] | None:
        """Return the last message of a stream, or its last one of a type; None if there is none.

        For a type, the server reads the stream backwards to the last message of it: all of the
        stream if there is none. The page "Performance" names an index that helps.

        Example::

            last = await client.get_last_stream_message("account-1")
            if last is not None:
                print(last.position, last.type)

        Args:
            stream_name: the stream; a bare category is one, too.
            type: the message type to search for.

        Raises:
            IncompatibleServerError: a type was given, Message DB is older than 1.3.0, whose
                function cannot search for it, and the role may not read the table of messages.
        """
        read = requests.build_last_message_read(self._session_config.sql, stream_name, type)
        if type is not None:
            read = requests.adapt_last_of_type_read(read, await self._get_server())
        if self._session_config.settings.hooks:
            messages = await self._read_with_hooks("get_last_stream_message", stream_name, read)
            return messages[0] if messages else None
        rows = await self._read(read)
        return messages_of(rows, self._session_config.settings.decimals)[0] if rows else None

    async def stream_version(self, stream_name: str) -> int:
        """Return the position of a stream's last message, ``NO_STREAM`` (-1) if it has none.

        Example::

            version = await client.stream_version("account-1")  # -1 if it has no message
            await client.write_message("account-1", Deposited(5), expected_version=version)

        Args:
            stream_name: the stream; a bare category is one, too.
        """
        rows = await self._read(
            requests.build_stream_version_read(self._session_config.sql, stream_name)
        )
        version: int | None = rows[0][0]
        return NO_STREAM if version is None else version

    async def message_store_version(self) -> str:
        """Return the version that the installed Message DB reports, such as ``1.3.0``.

        Example::

            print(await client.message_store_version())
        """
        version: str = (
            await self._read(requests.build_store_version_read(self._session_config.sql))
        )[0][0]
        return version

    @overload
    def read_stream(
        self,
        stream_name: str,
        *,
        position: int | None = None,
        batch_size: int | None = None,
        condition: str | None = None,
        types: None = None,
        direction: Direction = "forwards",
    ) -> AsyncIterator[Message[Any]]: ...

    @overload
    def read_stream(
        self,
        stream_name: str,
        *,
        position: int | None = None,
        batch_size: int | None = None,
        condition: str | None = None,
        types: MessageTypes[T],
        direction: Direction = "forwards",
    ) -> AsyncIterator[Message[T]]: ...

    async def read_stream(
        self,
        stream_name: str,
        *,
        position: int | None = None,
        batch_size: int | None = None,
        condition: str | None = None,
        types: MessageTypes[Any] | None = None,
        direction: Direction = "forwards",
    ) -> AsyncIterator[Message[Any]]:
        """Iterate over a stream to its end, page by page. No connection is held between pages.

        Example::

            async for message in client.read_stream("account-1"):
                print(message.position, message.type, message.data)

        Args:
            stream_name: ``category-id``.
            position: the position in the stream to start at, from 0, inclusive. None for the
                beginning, or for the end if the direction is backwards.
            batch_size: the number of messages per page; -1 for all; None for the client's
                ``default_batch_size``.
            condition: an SQL condition that is inserted into the server's query unchanged: never
                build it from untrusted input.
            types: a result of ``registry.types(…)``: yield only messages of these types, each with
                an instance as its ``data``. Messages of other types are read and skipped.
            direction: ``"forwards"``, or ``"backwards"`` for the newest message first, to the
                beginning of the stream.

        Raises:
            IncompatibleServerError: backwards, and the role may not read the table of messages, or
                it is in another database (PL/Proxy, without the functions of ``messagedb``).
                Nothing was sent.
        """
        check_types(types)
        check_direction(direction)
        size = self._get_page_size(batch_size)
        step, last = get_step(direction)
        while True:
            page = await self.get_stream_messages(
                stream_name,
                position=position,
                batch_size=size,
                condition=condition,
                direction=direction,
            )
            for message in select_types(page, types):
                yield message
            if size == -1 or len(page) < size or page[-1].position == last:
                return
            position = page[-1].position + step

    @overload
    def read_category(
        self,
        category: str,
        *,
        position: int | None = None,
        batch_size: int | None = None,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        condition: str | None = None,
        types: None = None,
        direction: Direction = "forwards",
    ) -> AsyncIterator[Message[Any]]: ...

    @overload
    def read_category(
        self,
        category: str,
        *,
        position: int | None = None,
        batch_size: int | None = None,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        condition: str | None = None,
        types: MessageTypes[T],
        direction: Direction = "forwards",
    ) -> AsyncIterator[Message[T]]: ...

    async def read_category(
        self,
        category: str,
        *,
        position: int | None = None,
        batch_size: int | None = None,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        condition: str | None = None,
        types: MessageTypes[Any] | None = None,
        direction: Direction = "forwards",
    ) -> AsyncIterator[Message[Any]]:
        """Iterate over a category to its end, page by page. No connection is held between pages.

        Example::

            async for message in client.read_category("account"):
                print(message.global_position, message.stream_name, message.type)

        Args:
            category: the part of the stream names before the first ``-``.
            position: the global position to start at, from 1, inclusive. None for the
                beginning, or for the end if the direction is backwards.
            batch_size: the number of messages per page; -1 for all; None for the client's
                ``default_batch_size``.
            correlation: only messages whose metadata's ``correlationStreamName`` is in this
                category.
            group_member: only streams of this member, from 0 to size - 1; needs the size.
            group_size: the number of members, from 1 to 32767.
            condition: an SQL condition that is inserted into the server's query unchanged: never
                build it from untrusted input.
            types: a result of ``registry.types(…)``: yield only messages of these types, each with
                an instance as its ``data``. Messages of other types are read and skipped.
            direction: ``"forwards"``, or ``"backwards"`` for the newest message first, to the
                beginning of the category.

        Raises:
            IncompatibleServerError: backwards, and the role may not read the table of messages, or
                it is in another database (PL/Proxy, without the functions of ``messagedb``).
                Nothing was sent.
        """
        check_types(types)
        check_direction(direction)
        size = self._get_page_size(batch_size)
        step, last = get_step(direction)
        while True:
            page = await self.get_category_messages(
                category,
                position=position,
                batch_size=size,
                correlation=correlation,
                group_member=group_member,
                group_size=group_size,
                condition=condition,
                direction=direction,
            )
            for message in select_types(page, types):
                yield message
            if size == -1 or len(page) < size or page[-1].global_position == last:
                return
            position = page[-1].global_position + step

    async def reserve_command(self, command: Message[Any], stream_name: str) -> bool:
        """Copy a command to the stream of its idempotency key, unless another one was copied there.

        The copy is the stream's first message. A second consumer, of the category of these streams,
        executes the command, with other handlers. The copy has the command's type and data, and
        metadata that follows it. Fractions keep all of their digits, except for a client with
        hooks, which get data as the client reads it. Calling this again with the same command, as
        after a crash, returns the same result.

        It protects against a command that a client sends twice with one key, at any interval, and
        against handlers that race for it. It does not make the second consumer's handlers run once:
        like any message, they get the copy again after a crash. Two commands with one key and
        different data are not distinguished: the first one counts.

        Example::

            @commands.handler("Deposit")
            async def deposit(command: Message, context: AsyncContext) -> None:
                key = command.data["transactionId"]
                await context.client.reserve_command(command, f"accountTransaction-{key}")

        Args:
            command: the command as it was read.
            stream_name: the stream of the key, in a category that contains only such copies, and
                messages that are written because of them.

        Returns:
            True if the stream is this command's. False if another command has the key; then there
            is nothing more to do for this one.

        Raises:
            MessageDecodeError: data or metadata of the command cannot be decoded. Nothing was
                written.
            DuplicateMessageError: the id of the copy is in another stream. Nothing was written.
            OutcomeUnknownError: the response was lost. Call this again.
            ValidationError: the command's data is not a JSON object, or an argument is invalid.
                Nothing was sent.
        """
        settings = self._session_config.settings
        try:
            if settings.hooks:
                # Hooks get data as the client reads it.
                copy = build_reservation(command, stream_name, decimals=settings.decimals)
                await self.write_message(stream_name, copy, expected_version=NO_STREAM)
            else:
                copy = build_reservation(command, stream_name, decimals=True)
                write = requests.build_message_write(
                    stream_name, copy, None, None, NO_STREAM, True, settings.registry
                )
                await self._write(write)
        except WrongExpectedVersionError:
            return False
        return True

    async def _write_with_hooks(
        self, name: OperationName, write: requests.WriteRequest
    ) -> list[int]:
        settings = self._session_config.settings
        if is_own(write.stream_name):
            return await self._write(write)
        messages = hooks.apply_before_write(settings.hooks, write.stream_name, write.messages)
        if messages is not write.messages:
            write = requests.build_batch_write(
                write.stream_name,
                messages,
                write.expected_version,
                settings.decimals,
                settings.registry,
                is_whole=write.is_whole,
                basis=write.basis,
            )
        with hooks.enter_around(settings.hooks, Operation(name, write.stream_name, write.messages)):
            return await self._write(write)

    async def _read_with_hooks(
        self, name: OperationName, stream_or_category: str, read: requests.ReadRequest
    ) -> list[Message[Any]]:
        settings = self._session_config.settings
        if is_own(stream_or_category):
            return messages_of(await self._read(read), settings.decimals)
        with hooks.enter_around(settings.hooks, Operation(name, stream_or_category)) as operation:
            messages = messages_of(await self._read(read), settings.decimals)
            operation.messages = messages
            return hooks.apply_after_read(settings.hooks, messages)

    def _get_batch_size(self, batch_size: int | None) -> int:
        return (
            self._session_config.settings.default_batch_size if batch_size is None else batch_size
        )

    def _get_page_size(self, batch_size: int | None) -> int:
        size = self._get_batch_size(batch_size)
        check_iteration_batch_size(size)
        return size
