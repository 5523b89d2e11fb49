"""Context of a call of a handler."""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from .._argument_checks import check_string
from .._messages.ids import derive_id
from .._messages.message import Message
from .._messages.metadata import Metadata

S = TypeVar("S")


class BaseContext(msgspec.Struct, Generic[S], eq=False, gc=False):
    """One call of a handler: see ``Context`` and ``AsyncContext``.

    Attributes:
        message: the message, as it is stored.
        attempt: the number of this call of the handler with the message, from 1.
        client: the client to write with: a transactional consumer's transaction, else the client.
    """

    message: Message[Any]
    attempt: int
    client: S
    _id_namespace: str

    @property
    def metadata(self) -> Metadata:
        """The message's metadata, by Eventide's conventions. It is decoded each time.

        Example::

            print(context.metadata.properties.get("user"))

        Raises:
            MessageDecodeError: a value in it is of another type; ``message.metadata`` returns it as
                it is stored.
        """
        return Metadata.from_message(self.message)

    def following(self) -> Metadata:
        """Return the metadata for messages that the handler writes because of this message.

        The causation is this message. Correlation, reply address and properties are copied from the
        message. See ``Metadata.follow``.

        Example::

            event = NewMessage("Shipped", metadata=context.following())

        Raises:
            MessageDecodeError: as for `metadata`.
        """
        return Metadata.following(self.message)

    def derive_id(self, name: str) -> UUID:
        """Derive an id for a result of this message. It is the same in every attempt.

        A message that the handler writes with this id is stored once, even if the handler runs
        again, after a crash, in another process, or in a group of another size. Use the id in other
        systems in the same way: as an e-mail's Message-ID, or a payment's idempotency key.

        Example::

            event = NewMessage("Shipped", id=context.derive_id("shipped"))  # stored once

        Args:
            name: distinguishes several results of one message: each name has another id.

        Returns:
            A UUID version 5 of the consumer, the message's id and the name.

        Raises:
            ValidationError: the name is not a string, or contains NUL or a lone surrogate.
        """
        check_string("name", name)
        return derive_id(self._id_namespace, str(self.message.id), name)


class BaseBatchContext(msgspec.Struct, Generic[S], eq=False, gc=False):
    """One call of a batch handler: see ``BatchContext`` and ``AsyncBatchContext``.

    Example::

        def show(context: BatchContext) -> None:
            print(len(context.messages), context.attempt)

    Attributes:
        messages: the messages, as they are stored, in their order.
        attempt: the number of this call, from 1; later ones have a list of one message.
        client: the client to write with: a transactional consumer's transaction, else the client.
    """

    messages: list[Message[Any]]
    attempt: int
    client: S
    _id_namespace: str
