"""What a handler is given beside its message."""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from .._messages.ids import derive_id
from .._messages.message import Message
from .._messages.metadata import Metadata

S = TypeVar("S")


class BaseContext(msgspec.Struct, Generic[S], eq=False, gc=False):
    """One call of a handler: see ``Context`` and ``AsyncContext``.

    Attributes:
        message: the message, as it is stored.
        attempt: how often the handler is called with it, from 1.
        client: where to write: the transaction of a transactional consumer, else the client.
    """

    message: Message[Any]
    attempt: int
    client: S
    _seed: str

    @property
    def metadata(self) -> Metadata:
        """The message's metadata, by Eventide's conventions. Decoded anew each time.

        Raises:
            MessageDecodeError: a value in it is not of its kind; ``message.metadata`` gives it as
                it is stored.
        """
        return Metadata.from_message(self.message)

    def following(self) -> Metadata:
        """Give the metadata for what the handler writes because of this message.

        Its causation is the message; correlation, reply and properties are the message's. See
        ``Metadata.follow``.

        Raises:
            MessageDecodeError: as for `metadata`.
        """
        return Metadata.following(self.message)

    def derive_id(self, name: str) -> UUID:
        """Give the id for something that is made of this message: the same in every attempt.

        A message that the handler writes under it is stored once, however often the handler runs,
        also after a crash, in another process, or in a group of another size. The same id elsewhere
        (an e-mail's Message-ID, a payment's idempotency key) does as much there.

        Args:
            name: what is made, if several things are: another name gives another id.

        Returns:
            A UUID version 5 of the consumer, the message's id and the name.
        """
        return derive_id(self._seed, str(self.message.id), name)
