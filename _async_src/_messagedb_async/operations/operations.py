"""The operations of Message DB: the same on the client and on a bound connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar, overload

from messagedb import hooks
from messagedb._errors import IncompatibleServerError, WrongExpectedVersionError
from messagedb._messages.message_types import check_types, select_types
from messagedb._operations import requests
from messagedb._operations.reservation import build_reservation
from messagedb._operations.rows import messages as messages_of
from messagedb._operations.validation import LAST_POSITION, check_page_size
from messagedb.expected_version import ANY, NO_STREAM
from messagedb.hooks import Operation
from messagedb.streams.reserved import is_own

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from uuid import UUID

    import msgspec

    from messagedb._connection.server_info import Server
    from messagedb._connection.session_config import Profile
    from messagedb._messages.message import Message, NewMessage
    from messagedb._messages.message_types import MessageTypes
    from messagedb._messages.registry import DataInstance, MessageRegistry
    from messagedb.expected_version import ExpectedVersion
    from messagedb.hooks import OperationName

T = TypeVar("T")


class AsyncOperations(ABC):
    """What a Message DB can do.

    Unless a method says otherwise, it raises, besides what it names itself:

    - ``ValidationError``: an argument is refused, before anything is sent wherever that can be
      known.
    - ``StoreUnavailableError`` (``PoolTimeoutError`` when no connection became free): certainly not
      done.
    - ``IncompatibleServerError``: no Message DB there, or one that cannot be used; the text names
      the cure.
    - ``RetryableError``: deadlock or serialization failure; rolled back. Run it again. Outside a
      transaction it was run again already, for as long as ``command_timeout``.
    - ``ServerError``: anything else that the server refused; not done.

    Positions count from 0 in a stream, and from 1 in the whole store (``global_position``, with
    gaps).
    """

    _profile: Profile

    @abstractmethod
    async def _read(self, read: requests.Read) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    async def _read_in_history(
        self, *reads: requests.Read
    ) -> tuple[list[list[tuple[Any, ...]]], int]:
        """Give the rows of reads on one connection, and the number of its server's history."""

    @abstractmethod
    async def _write(self, write: requests.Write) -> list[int]: ...

    @abstractmethod
    async def _server_facts(self) -> Server: ...

    @property
    def _sees_a_snapshot(self) -> bool:
        """Whether it is known to see the store as it was when its transaction began."""
        return False

    @property
    def decimals(self) -> bool:
        """Whether numbers with a fraction are read as Decimals."""
        return self._profile.settings.decimals

    @property
    def registry(self) -> MessageRegistry:
        """The classes whose instances can be written as messages; more may be added."""
        return self._profile.settings.registry

    async def write_message(
        self,
        stream_name: str,
        message: NewMessage | DataInstance,
        *,
        id: UUID | str | None = None,
        metadata: Mapping[str, Any] | msgspec.Struct | None = None,
        expected_version: ExpectedVersion = ANY,
    ) -> int:
        """Write one message to the end of a stream, and give its position there (from 0).

        Idempotent by message id: the same id in the same stream again gives the position it has,
        and no error, whatever version was expected; type and data are not compared. The lock of the
        stream's category is held until the write, or the transaction that it is part of, ends:
        other writers of the category wait.

        Args:
            stream_name: ``category-id``, at most 2672 bytes of UTF-8. A bare category is a stream,
                too, but no member of a group gets its messages, and only ``get_category_messages``
                and ``get_last_stream_message`` read it.
            message: what to write. A NewMessage's own id and metadata are used unless the arguments
                give others. An instance of a class in the client's registry gets a new id in each
                call: to be able to repeat the write, make a NewMessage of it once
                (``registry.encode``), or give the id.
            id: the message's id, instead of its own.
            metadata: the message's metadata, such as a Metadata, instead of its own.
            expected_version: the position of the stream's last message, ``NO_STREAM``,
                ``STREAM_EXISTS``, or ``ANY``.

        Raises:
            WrongExpectedVersionError: the stream is at another version. Nothing was written.
            DuplicateMessageError: the id is in another stream. Nothing was written.
            OutcomeUnknownError: sent and not answered, also when sent again. It may be stored, or
                still come.
        """
        told = self._profile.settings
        write = requests.write_one(
            stream_name, message, id, metadata, expected_version, told.decimals, told.registry
        )
        if told.hooks:
            return (await self._write_with_hooks("write_message", write))[0]
        return (await self._write(write))[0]

    async def write_messages(
        self,
        stream_name: str,
        messages: Iterable[NewMessage | DataInstance],
        *,
        expected_version: ExpectedVersion = ANY,
    ) -> list[int]:
        """Write messages to the end of a stream, all or none, and give their positions.

        The outcome is that of as many single writes: message *k* is written at ``expected_version +
        1 + k``, and one whose id is in the stream already gives the position it has. No messages:
        ``[]``, and nothing is sent. All messages are encoded and checked before the first is sent.
        The lock of the category is held as in ``write_message``.

        Args:
            stream_name: ``category-id``, at most 2672 bytes of UTF-8. A bare category is a stream,
                too.
            messages: what to write, as in ``write_message``; any iterable, read once.
            expected_version: the position of the stream's last message, ``NO_STREAM``,
                ``STREAM_EXISTS``, or ``ANY``.

        Raises:
            ValidationError: a message is refused (the text names its index), or two have the same
                id.
            WrongExpectedVersionError: the stream is at another version. Nothing was written.
            DuplicateMessageError: an id is in another stream. Nothing was written.
            OutcomeUnknownError: sent and not answered, also when sent again. All may be stored, or
                none, or still come.
        """
        return await self._write_batch(stream_name, messages, expected_version)

    async def _write_batch(
        self,
        stream_name: str,
        messages: Iterable[NewMessage | DataInstance],
        expected_version: ExpectedVersion,
        *,
        is_whole: bool = False,
        basis: requests.Basis | None = None,
    ) -> list[int]:
        """Write a batch; a whole one conflicts where some of it is stored, and some is not.

        Raises:
            LostHistoryError: what it was decided upon is not there any more. Nothing was written.
        """
        told = self._profile.settings
        write = requests.write_many(
            stream_name,
            messages,
            expected_version,
            told.decimals,
            told.registry,
            is_whole=is_whole,
            basis=basis,
        )
        if not write.encoded:
            return []
        if told.hooks:
            return await self._write_with_hooks("write_messages", write)
        return await self._write(write)

    async def _stream_page(
        self, stream_name: str, position: int, batch_size: int
    ) -> tuple[list[Message[Any]], int]:
        """Give a page of a stream, and the number of the history of the server that gave it."""
        told = self._profile.settings
        read = requests.read_stream(self._profile.sql, stream_name, position, batch_size, None)
        if not told.hooks or is_own(stream_name):
            (rows,), history = await self._read_in_history(read)
            return messages_of(rows, told.decimals), history
        operation = Operation("get_stream_messages", stream_name)
        with hooks.enter_around(told.hooks, operation) as operation:
            (rows,), history = await self._read_in_history(read)
            operation.messages = messages_of(rows, told.decimals)
            return hooks.apply_after_read(told.hooks, operation.messages), history

    async def get_stream_messages(
        self,
        stream_name: str,
        *,
        position: int = 0,
        batch_size: int | None = None,
        condition: str | None = None,
    ) -> list[Message[Any]]:
        """Give one page of a stream, in the order of position.

        Args:
            stream_name: ``category-id``.
            position: where to start in the stream, from 0, inclusive.
            batch_size: how many messages at most; -1 for all; None for the client's
                ``default_batch_size``.
            condition: SQL, put into the server's query as it is: never made of input from outside.
        """
        read = requests.read_stream(
            self._profile.sql, stream_name, position, self._batch_size(batch_size), condition
        )
        if self._profile.settings.hooks:
            return await self._read_with_hooks("get_stream_messages", stream_name, read)
        return messages_of(await self._read(read), self._profile.settings.decimals)

    async def get_category_messages(
        self,
        category: str,
        *,
        position: int = 1,
        batch_size: int | None = None,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        condition: str | None = None,
    ) -> list[Message[Any]]:
        """Give one page of a category, in the order of global position.

        Within one category no message can appear behind a position that was read already, as long
        as all writers use Message DB's functions or this library. Streams without an id belong to
        no group member.

        Args:
            category: the part of the stream names before the first ``-``.
            position: the global position to start at, from 1, inclusive. To go on, give the last
                message's ``global_position + 1``.
            batch_size: how many messages at most; -1 for all; None for the client's
                ``default_batch_size``.
            correlation: only messages whose metadata's ``correlationStreamName`` is in this
                category.
            group_member: only streams of this member, from 0 to size - 1; needs the size.
            group_size: the number of members, from 1 to 32767.
            condition: SQL, put into the server's query as it is: never made of input from outside.
        """
        read = requests.read_category(
            self._profile.sql,
            category,
            position,
            self._batch_size(batch_size),
            correlation,
            group_member,
            group_size,
            condition,
        )
        if self._profile.settings.hooks:
            return await self._read_with_hooks("get_category_messages", category, read)
        return messages_of(await self._read(read), self._profile.settings.decimals)

    async def get_last_stream_message(
        self, stream_name: str, *, type: str | None = None
    ) -> Message[Any] | None:
        """Give the last message of a stream, or its last one of a type; None where there is none.

        Args:
            stream_name: the stream; a bare category is one, too.
            type: the message type to look for.

        Raises:
            IncompatibleServerError: a type on a Message DB before 1.3.0, which does not look for
                one.
        """
        read = requests.last_message(self._profile.sql, stream_name, type)
        if type is not None and not (await self._server_facts()).finds_last_of_type:
            raise IncompatibleServerError(
                "this Message DB is older than 1.3.0 and does not find the last message of a type. "
                "Nothing was sent. Upgrade it, or read the stream."
            )
        if self._profile.settings.hooks:
            found = await self._read_with_hooks("get_last_stream_message", stream_name, read)
            return found[0] if found else None
        rows = await self._read(read)
        return messages_of(rows, self._profile.settings.decimals)[0] if rows else None

    async def stream_version(self, stream_name: str) -> int:
        """Give the position of a stream's last message, ``NO_STREAM`` (-1) where it has none.

        Args:
            stream_name: the stream; a bare category is one, too.
        """
        rows = await self._read(requests.version(self._profile.sql, stream_name))
        version: int | None = rows[0][0]
        return NO_STREAM if version is None else version

    async def message_store_version(self) -> str:
        """Give the version that the installed Message DB calls itself, such as ``1.3.0``."""
        version: str = (await self._read(requests.store_version(self._profile.sql)))[0][0]
        return version

    @overload
    def read_stream(
        self,
        stream_name: str,
        *,
        position: int = 0,
        batch_size: int | None = None,
        condition: str | None = None,
        types: None = None,
    ) -> AsyncIterator[Message[Any]]: ...

    @overload
    def read_stream(
        self,
        stream_name: str,
        *,
        position: int = 0,
        batch_size: int | None = None,
        condition: str | None = None,
        types: MessageTypes[T],
    ) -> AsyncIterator[Message[T]]: ...

    async def read_stream(
        self,
        stream_name: str,
        *,
        position: int = 0,
        batch_size: int | None = None,
        condition: str | None = None,
        types: MessageTypes[Any] | None = None,
    ) -> AsyncIterator[Message[Any]]:
        """Iterate over a stream to its end, page by page. No connection is held between pages.

        Args:
            stream_name: ``category-id``.
            position: where to start in the stream, from 0, inclusive.
            batch_size: how many messages to read at once; -1 for all; None for the client's
                ``default_batch_size``.
            condition: SQL, put into the server's query as it is: never made of input from outside.
            types: made by ``registry.types(…)``: give only messages of these types, each with an
                instance as its ``data``. Messages of other types are read and passed over.
        """
        check_types(types)
        size = self._page_size(batch_size)
        while True:
            page = await self.get_stream_messages(
                stream_name, position=position, batch_size=size, condition=condition
            )
            for message in select_types(page, types):
                yield message
            if size == -1 or len(page) < size or page[-1].position == LAST_POSITION:
                return
            position = page[-1].position + 1

    @overload
    def read_category(
        self,
        category: str,
        *,
        position: int = 1,
        batch_size: int | None = None,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        condition: str | None = None,
        types: None = None,
    ) -> AsyncIterator[Message[Any]]: ...

    @overload
    def read_category(
        self,
        category: str,
        *,
        position: int = 1,
        batch_size: int | None = None,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        condition: str | None = None,
        types: MessageTypes[T],
    ) -> AsyncIterator[Message[T]]: ...

    async def read_category(
        self,
        category: str,
        *,
        position: int = 1,
        batch_size: int | None = None,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        condition: str | None = None,
        types: MessageTypes[Any] | None = None,
    ) -> AsyncIterator[Message[Any]]:
        """Iterate over a category to its end, page by page. No connection is held between pages.

        Args:
            category: the part of the stream names before the first ``-``.
            position: the global position to start at, from 1, inclusive.
            batch_size: how many messages to read at once; -1 for all; None for the client's
                ``default_batch_size``.
            correlation: only messages whose metadata's ``correlationStreamName`` is in this
                category.
            group_member: only streams of this member, from 0 to size - 1; needs the size.
            group_size: the number of members, from 1 to 32767.
            condition: SQL, put into the server's query as it is: never made of input from outside.
            types: made by ``registry.types(…)``: give only messages of these types, each with an
                instance as its ``data``. Messages of other types are read and passed over.
        """
        check_types(types)
        size = self._page_size(batch_size)
        while True:
            page = await self.get_category_messages(
                category,
                position=position,
                batch_size=size,
                correlation=correlation,
                group_member=group_member,
                group_size=group_size,
                condition=condition,
            )
            for message in select_types(page, types):
                yield message
            if size == -1 or len(page) < size or page[-1].global_position == LAST_POSITION:
                return
            position = page[-1].global_position + 1

    async def reserve_command(self, command: Message[Any], stream_name: str) -> bool:
        """Copy a command into the stream of its idempotency key, if no other one was copied there.

        The copy is the stream's first message; a second consumer, of the category of these streams,
        does what the command asks for, with handlers of its own. The copy has the command's type
        and data, and metadata that follows it; fractions keep all of their digits, but for a client
        with hooks, which get data as it reads them. Calling this again with the same command, as
        after a crash, gives the same answer.

        It protects against a command that a client sends twice with one key, however long apart,
        and against handlers that race for it. It does not make the second consumer's handlers run
        once: they get the copy again after a crash, like any message. Two commands with one key and
        different data are not told apart: the first one counts.

        Example::

            @commands.handler("Deposit")
            async def deposit(command: Message, context: AsyncContext) -> None:
                key = command.data["transactionId"]
                await context.client.reserve_command(command, f"accountTransaction-{key}")

        Args:
            command: the command as it was read.
            stream_name: the stream of the key, in a category that holds nothing but such copies,
                and what is written because of them.

        Returns:
            Whether the stream is this command's. False: another command has the key; this one is
            done with.

        Raises:
            MessageDecodeError: data or metadata of the command cannot be read. Nothing was written.
            DuplicateMessageError: the id of the copy is in another stream. Nothing was written.
            OutcomeUnknownError: sent and not answered. Call it again.
            ValidationError: the command's data is no JSON object, or an argument is none that can
                be written. Nothing was sent.
        """
        settings = self._profile.settings
        try:
            if settings.hooks:
                # They get data as the client reads it.
                copy = build_reservation(command, stream_name, decimals=settings.decimals)
                await self.write_message(stream_name, copy, expected_version=NO_STREAM)
            else:
                copy = build_reservation(command, stream_name, decimals=True)
                write = requests.write_one(
                    stream_name, copy, None, None, NO_STREAM, True, settings.registry
                )
                await self._write(write)
        except WrongExpectedVersionError:
            return False
        return True

    async def _write_with_hooks(self, name: OperationName, write: requests.Write) -> list[int]:
        told = self._profile.settings
        if is_own(write.stream_name):
            return await self._write(write)
        made = hooks.apply_before_write(told.hooks, write.stream_name, write.messages)
        if made is not write.messages:
            write = requests.write_many(
                write.stream_name,
                made,
                write.expected_version,
                told.decimals,
                told.registry,
                is_whole=write.is_whole,
                basis=write.basis,
            )
        with hooks.enter_around(told.hooks, Operation(name, write.stream_name, write.messages)):
            return await self._write(write)

    async def _read_with_hooks(
        self, name: OperationName, target: str, read: requests.Read
    ) -> list[Message[Any]]:
        told = self._profile.settings
        if is_own(target):
            return messages_of(await self._read(read), told.decimals)
        with hooks.enter_around(told.hooks, Operation(name, target)) as operation:
            found = messages_of(await self._read(read), told.decimals)
            operation.messages = found
            return hooks.apply_after_read(told.hooks, found)

    def _batch_size(self, batch_size: int | None) -> int:
        return self._profile.settings.default_batch_size if batch_size is None else batch_size

    def _page_size(self, batch_size: int | None) -> int:
        size = self._batch_size(batch_size)
        check_page_size(size)
        return size
