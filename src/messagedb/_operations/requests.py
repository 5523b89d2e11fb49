"""The requests of operations to the server, built from their arguments. No I/O."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .._errors import IncompatibleServerError, ValidationError
from .._messages.class_codecs import get_codec
from .._messages.json_objects import encode_object
from .._messages.jsonb_size import SURELY_FITS, check_size
from .._messages.message import Message, NewMessage
from .._messages.metadata import encode_metadata
from .._messages.registry import MessageRegistry, get_entry
from .._sql.statements import Statement, Statements, with_condition
from . import validation
from .direction import check_table_readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from .._connection.server_info import ServerInfo
    from ..expected_version import ExpectedVersion
    from .direction import Direction

# Sent to the functions for -1, which Message DB understands only from 1.2.2 on.
_ALL_MESSAGES = 2**63 - 1


class ReadRequest(msgspec.Struct, frozen=True):
    """A read: the call of a server function, and the equivalent query of the table."""

    call: Statement
    query: Statement
    has_condition: bool = False
    is_query_preferred: bool = False
    """True if the query is preferred where the role may read the table."""
    has_user_sql: bool = False
    """True if both contain SQL of the user that needs no setting of the server."""


LARGE_CHARACTERS: Final = 16_000_000
"""From this size of its JSON on, the server may refuse a message that fits into its limits.

It parses JSON into a tree, which takes 16 bytes for a character of ``[1,1,…]``, and allocates no
more than 1 GB in one piece."""


class EncodedMessage(msgspec.Struct, frozen=True, gc=False):
    """A message as parameters of statements."""

    id: str
    type: str
    data: str | None
    metadata: str | None

    @property
    def is_large(self) -> bool:
        """Return True if it is written by COPY, which needs no second copy of it in memory."""
        return len(self.data or "") + len(self.metadata or "") >= LARGE_CHARACTERS


class DecisionBasis(msgspec.Struct, gc=False):
    """The basis of the decision to write: the last message of the stream, as it was read.

    Attributes:
        message_id: the id of the message at the expected version, '' for a stream without messages.
        history: the number of the history that it was read in.
        checked_in: the number of the history in which the message was last looked for; 0 if it is
            not known.
        sent_in: the number of the history of each connection that the write was sent on, in order,
            as far as it is known.
    """

    message_id: str
    history: int
    checked_in: int = 0
    sent_in: list[int] = msgspec.field(default_factory=list[int])

    @property
    def history_written(self) -> int:
        """The number of the history that the write was stored in; 0 if it is not known."""
        return self.sent_in[-1] if self.sent_in else 0


class WriteRequest(msgspec.Struct, frozen=True, gc=False):
    """A write of one or many messages to one stream, all or none."""

    stream_name: str
    messages: tuple[NewMessage, ...]
    encoded: list[EncodedMessage]
    expected: int | None
    is_whole: bool = False
    """True if a batch of which only a part is stored is a conflict."""
    basis: DecisionBasis | None = None
    """The message that must still be there, also after a change of server."""

    @property
    def expected_version(self) -> ExpectedVersion:
        """The expected version as the caller passed it."""
        return validation.decode_expected_version(self.expected)


def build_stream_read(
    sql: Statements,
    stream_name: str,
    position: int,
    batch_size: int,
    condition: str | None,
    direction: Direction = "forwards",
) -> ReadRequest:
    """Return the read of a page of one stream; backwards it is to be adapted."""
    validation.check_readable_stream_name(stream_name)
    validation.check_position(position)
    validation.check_batch_size(batch_size)
    validation.check_condition(condition)
    if direction != "forwards":
        page = (stream_name, position, batch_size)
        return _build_backwards_read(
            sql.stream_query_backwards, sql.stream_backwards_on_node, page, condition
        )
    limit = _get_limit(batch_size)
    return ReadRequest(
        Statement(sql.get_stream_messages, (stream_name, position, limit, condition)),
        Statement(with_condition(sql.stream_query, condition), (stream_name, position, batch_size)),
        condition is not None,
    )


def build_category_read(
    sql: Statements,
    category: str,
    position: int,
    batch_size: int,
    correlation: str | None,
    group_member: int | None,
    group_size: int | None,
    condition: str | None,
    direction: Direction = "forwards",
) -> ReadRequest:
    """Return the read of a page of a category; backwards it is to be adapted."""
    validation.check_category(category)
    validation.check_position(position)
    validation.check_batch_size(batch_size)
    if correlation is not None:
        validation.check_category(correlation, "correlation")
    validation.check_group(group_member, group_size)
    validation.check_condition(condition)
    page, group = (category, position), (correlation, group_member, group_size)
    if direction != "forwards":
        return _build_backwards_read(
            sql.category_query_backwards,
            sql.category_backwards_on_node,
            (*page, batch_size, *group),
            condition,
        )
    limit = _get_limit(batch_size)
    return ReadRequest(
        Statement(sql.get_category_messages, (*page, limit, *group, condition)),
        Statement(with_condition(sql.category_query, condition), (*page, batch_size, *group)),
        condition is not None,
        # The query filters a consumer group in plain SQL. It always uses the index on categories;
        # the function may scan the primary key instead.
        is_query_preferred=True,
    )


def build_last_message_read(
    sql: Statements, stream_name: str, type_name: str | None
) -> ReadRequest:
    """Return the read of the last message of a stream, or of its last one of a type."""
    validation.check_stream_name(stream_name)
    validation.check_type(type_name)
    if type_name is None:
        return _build_read(sql.get_last_stream_message, sql.last_query, stream_name)
    return _build_read(
        sql.get_last_stream_message_of_type, sql.last_of_type_query, stream_name, type_name
    )


def adapt_last_of_type_read(read: ReadRequest, server: ServerInfo) -> ReadRequest:
    """Return the read of a stream's last message of a type, as a server supports it.

    Raises:
        IncompatibleServerError: neither its function nor its table can serve the read. Nothing was
            sent.
    """
    if server.has_last_of_type:
        return read
    if server.table_readable:
        return ReadRequest(read.query, read.query, is_query_preferred=True)
    raise IncompatibleServerError(
        "the function get_last_stream_message of this Message DB has no parameter for a type "
        f"(it is older than 1.3.0), and role {server.role!r} may not read the table of messages "
        "instead. Nothing was sent. Upgrade Message DB, or GRANT SELECT on the table, or read the "
        "stream and filter it."
    )


def adapt_backwards_read(read: ReadRequest, server: ServerInfo, what: str) -> ReadRequest:
    """Return a read backwards, as a server supports it.

    Raises:
        IncompatibleServerError: neither the table nor our function on its node can serve the read.
            Nothing was sent.
    """
    if not server.has_nodes:
        check_table_readable(server, what)
        return read
    return msgspec.structs.replace(read, has_condition=read.has_user_sql)


def build_stream_version_read(sql: Statements, stream_name: str) -> ReadRequest:
    """Return the read of the version of a stream."""
    validation.check_stream_name(stream_name)
    return _build_read(sql.stream_version, sql.version_query, stream_name)


def build_store_version_read(sql: Statements) -> ReadRequest:
    """Return the read of the installed Message DB's version."""
    return _build_read(sql.message_store_version, sql.message_store_version)


def build_message_lookup(sql: Statements, id: str) -> ReadRequest:
    """Return the read of a message id's stream and position, if the role may read the table."""
    return _build_read(sql.look_for_message, sql.look_for_message, id)


def _build_backwards_read(
    query: bytes, on_node: bytes, params: tuple[Any, ...], condition: str | None
) -> ReadRequest:
    """Return a read for which Message DB has no function; through PL/Proxy there is one of ours."""
    return ReadRequest(
        Statement(on_node, (*params, condition)),
        Statement(with_condition(query, condition), params),
        is_query_preferred=True,
        has_user_sql=condition is not None,
    )


def _get_limit(batch_size: int) -> int:
    """Return the batch size for a server's function of any version."""
    return _ALL_MESSAGES if batch_size == -1 else batch_size


def _build_read(call: bytes, query: bytes, *params: str) -> ReadRequest:
    return ReadRequest(Statement(call, params), Statement(query, params))


def build_message_write(
    stream_name: str,
    message: Any,
    id: UUID | str | None,
    metadata: Mapping[str, Any] | msgspec.Struct | None,
    expected_version: ExpectedVersion,
    decimals: bool,
    registry: MessageRegistry,
) -> WriteRequest:
    """Return a write of one message, checked and encoded."""
    validation.check_stream_name(stream_name)
    expected = validation.encode_expected_version(expected_version)
    message = _to_new_message(message, "message", registry)
    if id is not None or metadata is not None:
        message = NewMessage(
            message.type,
            message.data,
            metadata=message.metadata if metadata is None else metadata,
            id=message.id if id is None else id,
        )
    return WriteRequest(stream_name, (message,), [_encode(message, decimals, registry)], expected)


def build_batch_write(
    stream_name: str,
    messages: Iterable[Any],
    expected_version: ExpectedVersion,
    decimals: bool,
    registry: MessageRegistry,
    *,
    is_whole: bool = False,
    basis: DecisionBasis | None = None,
) -> WriteRequest:
    """Return a write of many messages, all of them checked and encoded before any is sent."""
    validation.check_stream_name(stream_name)
    expected = validation.encode_expected_version(expected_version)
    try:
        iterator = iter(messages)
    except TypeError:
        raise ValidationError(
            f"messages must be an iterable of NewMessage, not {type(messages).__name__}; write "
            "one message with write_message(). Nothing was sent."
        ) from None
    new_messages = tuple(
        _to_new_message(message, f"messages[{index}]", registry)
        for index, message in enumerate(iterator)
    )
    encoded = encode_messages(new_messages, decimals, registry)
    return WriteRequest(stream_name, new_messages, encoded, expected, is_whole, basis)


def encode_messages(
    messages: Iterable[NewMessage], decimals: bool, registry: MessageRegistry
) -> list[EncodedMessage]:
    """Return messages of one write as parameters of statements.

    Raises:
        ValidationError: one is invalid, or two have the same id. Nothing was sent.
    """
    encoded = [
        _encode(message, decimals, registry, index) for index, message in enumerate(messages)
    ]
    if len(encoded) > 1:
        _check_distinct(encoded)
    return encoded


def _check_distinct(encoded: list[EncodedMessage]) -> None:
    first_index: dict[str, int] = {}
    for index, message in enumerate(encoded):
        if first_index.setdefault(message.id, index) != index:
            raise ValidationError(
                f"messages[{first_index[message.id]}] and messages[{index}] have the same id "
                f"{message.id}: "
                "an id names one message. Nothing was sent."
            )


def _to_new_message(message: Any, label: str, registry: MessageRegistry) -> NewMessage:
    if isinstance(message, NewMessage):
        return message
    if type(message) in registry:
        return registry.encode(message)
    class_name, advice = type(message).__name__, 'pass NewMessage("Deposited", {"amount": 5})'
    if isinstance(message, type):
        advice += ", or an instance of the class"
    elif isinstance(message, msgspec.Struct) or dataclasses.is_dataclass(message):
        advice += f", or register the class, client.registry.add({class_name})"
    else:
        advice += ", or an instance of a class in the client's registry"
    if isinstance(message, Message):
        advice = "convert it, NewMessage(read.type, read.data, metadata=read.metadata)"
    raise ValidationError(
        f"{label} must be a NewMessage, not {class_name}: {advice}. Nothing was sent."
    )


def _encode(
    message: NewMessage, decimals: bool, registry: MessageRegistry, index: int | None = None
) -> EncodedMessage:
    instance: Any = message.data
    data: str | None = None
    metadata: str | None = None
    is_dict = instance.__class__ is dict
    entry = None if is_dict else get_entry(registry, instance)
    try:
        if is_dict:
            data = encode_object(instance, label="data", decimals=decimals)
        elif entry is not None:
            data = entry.encode(message, decimals)
        elif instance is not None:
            data = _encode_unregistered(instance, decimals)
        if message.metadata is not None:
            metadata = encode_metadata(message.metadata, decimals=decimals)
        if entry is not None:
            metadata = entry.metadata(message, metadata)
        if data is not None and len(data) > SURELY_FITS:
            check_size(data, "data")
        if metadata is not None and len(metadata) > SURELY_FITS:
            check_size(metadata, "metadata")
    except ValidationError as error:
        if index is None:
            raise
        raise ValidationError(f"messages[{index}].{error}") from error.__cause__
    return EncodedMessage(str(message.id), message.type, data, metadata)


def _encode_unregistered(instance: Any, decimals: bool) -> str | None:
    cls: type[Any] = instance.__class__
    if issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls):
        try:
            return get_codec(cls).encode_unchecked(instance, decimals)
        except ValidationError:
            pass  # a class that could not be read: its fields are written
    return encode_object(instance, label="data", decimals=decimals)
