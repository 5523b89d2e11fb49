"""The errors except OutcomeUnknownError, which contains messages: see ``messagedb.errors``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

from .expected_version import ExpectedVersion

__all__ = [
    "DuplicateMessageError",
    "EmbeddedServerError",
    "HandlerError",
    "IncompatibleServerError",
    "LostHistoryError",
    "MessageDBError",
    "MessageDecodeError",
    "ParkingLimitError",
    "PoolTimeoutError",
    "PositionConflictError",
    "RetryableError",
    "ServerError",
    "StoreUnavailableError",
    "TransactionAbortedError",
    "TransactionTimeoutError",
    "ValidationError",
    "WrongExpectedVersionError",
]

_PACKAGE: Final = __name__.partition(".")[0]

DOCS_URL: Final = ""
"""The site's address, with a slash at its end; empty until there is one."""


class MessageDBError(Exception):
    """Base class of every error that messagedb raises deliberately.

    Attributes:
        http_status: the status of an HTTP response to a request that failed with this error. 503
            means that nothing is stored and the same request may succeed later, 504 that it is not
            known whether something is stored.
    """

    http_status: ClassVar[int] = 500

    @property
    def docs_url(self) -> str:
        """The address of the page about this class of errors; a subclass of yours has its base's.

        It is relative to the site, such as ``errors/ServerError.html``, while that has no address.
        """
        return f"{DOCS_URL}errors/{_find_documented_class(self).__name__}.html"

    if not TYPE_CHECKING:

        @cached_property
        def __notes__(self):
            """The lines that a traceback prints below the error; ``add_note`` appends to them.

            Computed when they are first read, so that raising takes no longer.
            """
            return [name_page(self)]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pickle by state: the constructors take values, not the string that they format."""
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def name_page(error: MessageDBError) -> str:
    """Return how to get to the page of an error: its address, or a command while it has none."""
    if DOCS_URL:
        return f"docs: {error.docs_url}"
    return f"help: messagedb explain {_find_documented_class(error).__name__}"


def _find_documented_class(error: MessageDBError) -> type:
    ours = (cls for cls in type(error).__mro__ if cls.__module__.partition(".")[0] == _PACKAGE)
    return next(ours)


def _rebuild(cls: type[MessageDBError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


def copy_error(error: MessageDBError) -> MessageDBError:
    """Return an error again for one more caller, as each adds its own traceback."""
    rebuild, arguments = error.__reduce__()
    copied: MessageDBError = rebuild(*arguments)
    copied.__cause__ = error.__cause__
    return copied


class ValidationError(MessageDBError, ValueError):
    """A value was refused, before anything was sent or by the server because of its content.

    In the database: nothing was written.
    """

    http_status: ClassVar[int] = 422


class WrongExpectedVersionError(MessageDBError):
    """The stream is not at the version that the write expected.

    In the database: nothing of this write is stored, and nothing will be.

    Attributes:
        stream_name: the stream that was to be written.
        expected_version: the version that the write expected: a position, or one of the constants.
        actual_version: the position of the stream's last message when the write was refused; -1 if
            the stream had none.
    """

    http_status: ClassVar[int] = 409

    def __init__(
        self, stream_name: str, expected_version: ExpectedVersion, actual_version: int
    ) -> None:
        self.stream_name = stream_name
        self.expected_version = expected_version
        self.actual_version = actual_version
        expected = "NO_STREAM (-1)" if expected_version == -1 else repr(expected_version)
        if actual_version < 0:
            where, advice = "has no messages", "To start the stream, write with NO_STREAM."
        else:
            where = f"is at version {actual_version}"
            advice = "Read the stream again, decide again, and write with its new version."
        super().__init__(
            f"wrong expected version {expected}: stream {stream_name!r} {where}. "
            f"Nothing was written. {advice}"
        )


class DuplicateMessageError(MessageDBError):
    """A message with this id is already stored in another stream.

    In the database: nothing of this write is stored; the earlier message is unchanged.

    Attributes:
        id: the message id that is already stored.
        stream_name: the stream that was to be written.
        existing_stream_name: the stream that holds the id; None if the server did not report it.
        existing_position: the position of that message in its stream; None likewise.
    """

    http_status: ClassVar[int] = 409

    def __init__(
        self,
        id: UUID | str,
        stream_name: str,
        existing_stream_name: str | None = None,
        existing_position: int | None = None,
    ) -> None:
        self.id = id
        self.stream_name = stream_name
        self.existing_stream_name = existing_stream_name
        self.existing_position = existing_position
        if existing_stream_name is None:
            where = "another stream"
        else:
            where = f"stream {existing_stream_name!r} at position {existing_position}"
        super().__init__(
            f"message id {id} is already in {where}, so it was not written to stream "
            f"{stream_name!r}. "
            "Nothing was written. An id names one message in the whole store: give this message a "
            "new id."
        )


class MessageDecodeError(MessageDBError):
    """A stored message's id, data, metadata or time cannot be decoded; other messages can.

    In the database: the message is unchanged.

    Attributes:
        stream_name: the stream of the message.
        position: its position in the stream.
        global_position: its position in the store.
        field: the field that cannot be decoded: ``data``, ``metadata``, ``type``, ``id`` or
            ``time``; with the path inside it if that is known, such as ``data.items[0].price``.
    """

    def __init__(
        self, stream_name: str, position: int, global_position: int, field: str, reason: str
    ) -> None:
        self.stream_name = stream_name
        self.position = position
        self.global_position = global_position
        self.field = field
        super().__init__(
            f"the {field} of message {position} in stream {stream_name!r} (global position "
            f"{global_position}) "
            f"cannot be decoded: {reason}. The stored message is unchanged; its other properties "
            "can be read."
        )


class StoreUnavailableError(MessageDBError):
    """The store could not be reached or could not execute the call, and certainly changed nothing.

    In the database: nothing of this call is stored: nothing was sent, or the server reported that
    it rolled back.

    Attributes:
        is_transient: whether the same call may succeed later. False if the client is closed, if an
            embedded server cannot be started, and if the connection is refused for a reason that
            needs a change of configuration: a wrong password, an unknown role or database, an
            untrusted certificate.
    """

    http_status: ClassVar[int] = 503
    is_transient: bool = True


class PoolTimeoutError(StoreUnavailableError):
    """No connection became available within the timeout.

    In the database: nothing of this call is stored: nothing was sent.

    Attributes:
        max_size: the size of the pool if all of its connections were in use; None if no connection
            could be made.
    """

    max_size: int | None = None


class EmbeddedServerError(StoreUnavailableError):
    """The embedded PostgreSQL could not be found, started or shared.

    In the database: nothing of this call is stored: nothing was sent.
    """

    is_transient: bool = False


class RetryableError(MessageDBError):
    """The server rolled back because of concurrency: deadlock, serialization failure, lock timeout.

    In the database: nothing of this call, or of the transaction that it was in, is stored. It is
    safe to run it again.

    Attributes:
        sqlstate: PostgreSQL's five-character code.
    """

    http_status: ClassVar[int] = 503

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        self.sqlstate = sqlstate
        super().__init__(message)


class TransactionAbortedError(MessageDBError):
    """An earlier statement of the transaction failed, and its error was not raised to the caller.

    In the database: nothing is stored of the transaction, or of the part that the message names.
    """


class TransactionTimeoutError(MessageDBError):
    """The transaction did not end within its time limit.

    In the database: nothing of the transaction is stored. If the server did not confirm this, for
    example because it does not answer, it rolls back as soon as it notices that the connection is
    closed: until then the transaction's locks may still be held.
    """

    http_status: ClassVar[int] = 503


class HandlerError(MessageDBError):
    """A message could not be handled, and the consumer has stopped before it.

    In the database: the position before the message is stored, so the next run of the consumer
    begins with this message. Everything that the handler itself wrote is stored, unless the
    consumer is transactional.

    Its ``__cause__`` is the handler's last error, if there was one.

    Attributes:
        consumer: the name of the consumer, as in its position stream or its row.
        stream_name: the stream of the message.
        position: its position in the stream.
        global_position: its position in the store.
        type: its message type.
        attempts: how often the handler was called, without calls that failed because the store was
            unavailable.
        reason: the outcome that the handler raised, or its error in one line.
        is_replay: whether the message was a parked message that was replayed: it stays parked.
    """

    def __init__(
        self,
        consumer: str,
        stream_name: str,
        position: int,
        global_position: int,
        type: str,
        attempts: int,
        reason: str,
        is_replay: bool = False,
    ) -> None:
        self.consumer = consumer
        self.stream_name = stream_name
        self.position = position
        self.global_position = global_position
        self.type = type
        self.attempts = attempts
        self.reason = reason
        self.is_replay = is_replay
        times = "once" if attempts == 1 else f"{attempts} times"
        if is_replay:
            end = (
                "It stays parked: fix the handler and replay it again, or discard it with "
                "discard_parked()."
            )
        else:
            end = (
                "The position stays before it: fix the handler and run the consumer again, or "
                "configure on_error to park or skip such messages."
            )
        super().__init__(
            f"consumer {consumer!r} could not handle message {position} of stream {stream_name!r} "
            f"(global position {global_position}, type {type!r}): its handler was called {times}, "
            f"last result: {reason.rstrip('.')}. {end}"
        )


class ParkingLimitError(HandlerError):
    """As many messages wait behind parked ones as may; the consumer has stopped before another.

    In the database: the position before the message is stored, and the message is not parked. All
    parked messages are unchanged.

    Attributes:
        limit: the limit that is reached.
        is_of_streams: whether it is the number of held streams; False for the number of parked
            messages in one of them.
    """

    def __init__(
        self,
        consumer: str,
        stream_name: str,
        position: int,
        global_position: int,
        type: str,
        attempts: int,
        reason: str,
        *,
        limit: int,
        is_of_streams: bool,
    ) -> None:
        super().__init__(consumer, stream_name, position, global_position, type, attempts, reason)
        self.limit = limit
        self.is_of_streams = is_of_streams
        reached = (
            f"{limit:,} streams wait for a parked message"
            if is_of_streams
            else f"{limit:,} messages of the stream are parked"
        )
        text = (
            f"consumer {consumer!r} cannot park message {position} of stream {stream_name!r} "
            f"(global position {global_position}, type {type!r}; {reason.rstrip('.')}): {reached}, "
            "and no more can be. Nothing is lost: the position stays before the message, and all "
            "parked messages are unchanged. Replay or discard parked messages, and run the "
            "consumer again."
        )
        Exception.__init__(self, text)


class ReadModelError(MessageDBError):
    """An inline read model could not be updated in the transaction that writes its messages.

    In the database: the transaction is rolled back, and nothing of it is stored. The table of the
    read model is as before.

    Its ``__cause__`` is the handler's error, if there was one.

    Attributes:
        read_model: the table of the read model, qualified and quoted.
        reason: why it could not be updated, and what to do.
    """

    def __init__(self, read_model: str, reason: str) -> None:
        self.read_model = read_model
        self.reason = reason
        super().__init__(
            f"the inline read model {read_model} could not be updated, so the transaction is "
            f"rolled back: nothing of it is stored. The reason: {reason}"
        )


class PositionConflictError(MessageDBError):
    """Another consumer stores positions under this identifier, or the stored position is not ours.

    In the database: the position is the other consumer's, or unchanged.
    """


class LostHistoryError(MessageDBError):
    """The store was set back: it has lost messages that were read from it before.

    This happens after a failover to a standby that lagged, or when the store is restored from a
    backup. New messages then get the global positions of the lost ones.

    In the database: nothing was changed. The stored position is the one that the store has now.

    Attributes:
        name: the name of the consumer, as in its position stream or its row; the category of a
            subscription; or the stream whose last message a write was decided upon.
        position: the global position of the last message that was scanned; for a write its position
            in the stream.
        message_id: the id of that message; None if it is not known.
        found_id: the id of the message that is there now; None if there is none.
        common_position: the last global position that was scanned and is unchanged in the store;
            None if none is known.
        head: the last global position of the store now; None if it is not known.
    """

    http_status: ClassVar[int] = 503

    def __init__(
        self,
        name: str,
        position: int,
        message_id: str | None,
        found_id: str | None,
        common_position: int | None,
        head: int | None,
        *,
        is_save: bool = False,
        is_stream: bool = False,
    ) -> None:
        self.name = name
        self.position = position
        self.message_id = message_id
        self.found_id = found_id
        self.common_position = common_position
        self.head = head
        if is_stream:
            super().__init__(
                f"stream {name!r} was read up to version {position}, and message {message_id} is "
                "not there any more: the store was set back, as after a failover to a standby that "
                "lagged. Nothing was written. Read the stream and decide again: transact() does."
            )
            return
        end = "" if head is None else f", and its last message is at {head}"
        if is_save:
            common = "none" if common_position is None else str(common_position)
            finding = f"the position that it had stored is missing (stored now: {common})"
        elif message_id is None:
            finding = (
                f"positions up to there are not assigned yet{end}: it was emptied, restored "
                "from a backup, or failed over to a standby that lagged"
            )
        elif found_id is not None:
            finding = f"the message there is now {found_id}, not {message_id}{end}"
        else:
            finding = (
                f"message {message_id} is not there any more{end}: either it was deleted, or it "
                "was lost when the store was restored from a backup or failed over to a standby "
                "that lagged; after a change of server these cases cannot be distinguished"
            )
        if common_position is None:
            gone = f"Some of the messages handled up to {position} are lost; the first is not known"
        else:
            gone = f"The messages handled from {common_position + 1} to {position} are lost"
        super().__init__(
            f"{name!r} had scanned the store up to global position {position}, but {finding}. "
            f"{gone}. Nothing was changed. Two ways to continue: on_lost_history='continue' starts "
            "again after the position that the store itself has; or set the position yourself, "
            "with reset_position() or the start of a subscription."
        )


class IncompatibleServerError(MessageDBError):
    """The server, its database, its settings or libpq cannot be used; the message names the fix.

    In the database: nothing was written.
    """


class ServerError(MessageDBError):
    """The server refused the call for a reason that has no separate class.

    In the database: nothing of this call is stored; a caller's own transaction is aborted.

    Attributes:
        sqlstate: PostgreSQL's five-character code, None if it sent none.
    """

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        self.sqlstate = sqlstate
        super().__init__(message)
