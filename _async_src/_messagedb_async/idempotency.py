"""Reservation: the first command with an idempotency key is handled, the others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._errors import WrongExpectedVersionError
from messagedb._operations import requests
from messagedb.expected_version import NO_STREAM
from messagedb.idempotency import build_reservation

if TYPE_CHECKING:
    from messagedb._messages.message import Message

    from .operations.operations import AsyncOperations


async def reserve_async(store: AsyncOperations, command: Message[Any], stream_name: str) -> bool:
    """Copy a command into the stream of its idempotency key, if no other one was copied there.

    The copy is the stream's first message; a second consumer, of the category of these streams,
    does what the command asks for, with handlers of its own. The copy has the command's type and
    data, and metadata that follows it; fractions keep all of their digits, but for a client with
    hooks, which get data as it reads them. Calling this again with the same command, as after a
    crash, gives the same answer.

    It protects against a command that a client sends twice with one key, however long apart, and
    against handlers that race for it. It does not make the second consumer's handlers run once:
    they get the copy again after a crash, like any message. Two commands with one key and different
    data are not told apart: the first one counts.

    Example::

        @commands.handler("Deposit")
        async def deposit(command: Message, context: AsyncContext) -> None:
            key = command.data["transactionId"]
            await reserve_async(context.client, command, f"accountTransaction-{key}")

    Args:
        store: where to write: ``context.client``, a client, a transaction, or what ``bind()``
            gives.
        command: the command as it was read.
        stream_name: the stream of the key, in a category that holds nothing but such copies, and
            what is written because of them.

    Returns:
        Whether the stream is this command's. False: another command has the key; this one is done
        with.

    Raises:
        MessageDecodeError: data or metadata of the command cannot be read. Nothing was written.
        DuplicateMessageError: the id of the copy is in another stream. Nothing was written.
        OutcomeUnknownError: sent and not answered. Call it again.
        ValidationError: the command's data is no JSON object, or an argument is none that can be
            written. Nothing was sent.
    """
    told = store._profile.settings  # pyright: ignore[reportPrivateUsage]
    try:
        if told.hooks:
            # They get data as the client reads it.
            copy = build_reservation(command, stream_name, decimals=told.decimals)
            await store.write_message(stream_name, copy, expected_version=NO_STREAM)
        else:
            copy = build_reservation(command, stream_name, decimals=True)
            write = requests.write_one(
                stream_name, copy, None, None, NO_STREAM, True, told.registry
            )
            await store._write(write)  # pyright: ignore[reportPrivateUsage]
    except WrongExpectedVersionError:
        return False
    return True
