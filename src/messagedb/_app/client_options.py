"""Options of the client that an app opens when it runs."""

from __future__ import annotations

from typing import TypedDict


class ClientOptions(TypedDict, total=False):
    """The options of an app's client: those of ``Client`` that are no objects of the app.

    Example::

        options: ClientOptions = {"max_size": 20, "command_timeout": 5.0}
        app = App(**options)

    Attributes:
        schema: the schema that Message DB is installed in. Default: ``"message_store"``.
        min_size: the number of connections to keep open. Default: ``1``.
        max_size: the maximum number of open connections. Default: ``10``.
        timeout: seconds to wait for a connection. Default: ``10.0``.
        command_timeout: seconds that the server may take for an operation. Default: ``30.0``.
        pooler: whether a transaction pooler is in between; None detects it. Default: ``None``.
        direct_writes: whether batches may insert into the table; None detects it. Default:
            ``None``.
        default_batch_size: messages in a page unless a read says otherwise. Default: ``1000``.
        decimals: whether ``Decimal`` is written and read. Default: ``False``.
        group_commit: whether writes in flight share a transaction. Default: ``False``.
    """

    schema: str
    min_size: int
    max_size: int
    timeout: float
    command_timeout: float
    pooler: bool | None
    direct_writes: bool | None
    default_batch_size: int
    decimals: bool
    group_commit: bool
