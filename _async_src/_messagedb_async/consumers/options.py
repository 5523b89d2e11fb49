"""The options of consumers and read models: their types and meanings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypedDict

from messagedb._consumers.callables import AsyncMiddleware, AsyncOnError
from messagedb._consumers.position_stores import StreamPositionStore, TablePositionStore
from messagedb._consumers.settings import Start
from messagedb._subscriptions.backoff import RetryPolicy


class AsyncCommonOptions(TypedDict, total=False):
    """The options that all consumers and read models have.

    Example::

        options: AsyncCommonOptions = {"batch_size": 100, "on_error": "park"}
        consumer = AsyncConsumer(client, "order", identifier="shipping", **options)

    Attributes:
        batch_size: how many messages are examined in one read. Default: ``1000``.
        poll_interval: seconds from one read to the next where nothing was found. Several consumers
            of a client that wait share a look instead. Default: ``0.1``.
        idle_poll_interval: seconds to which that grows after a hundred such reads, and seconds
            between reads while notifications come. Default: ``1.0``.
        position_store: where the position is stored. Default: ``StreamPositionStore()``, for a read
            model ``TablePositionStore()``.
        transaction_timeout: seconds for a transaction. Default: ``30.0``.
        transaction_size: how many messages are handled in one transaction with one position, if the
            consumer is transactional; a page or 50 ms end it earlier. If it fails, it is rolled
            back, and its messages are handled one by one, each in its own transaction. Default:
            ``None``, for one.
        write_categories: the categories that handlers write to: each transaction locks all of them
            when it begins, in one order, so that such transactions cannot deadlock. Default:
            ``()``.
        condition: SQL about ``messages``, put into the query as it is: never made of input from
            outside. Only the messages for which it is true are delivered. Default: ``None``.
        types: only messages of these types. Default: ``None``, for all.
        retry: how often a failing handler is called again. Default: ``RetryPolicy()``.
        on_error: what then: ``"stop"``; ``"park"`` the message and continue; ``"park_stream"``:
            the same, and later messages of its stream are parked behind it, unhandled, until it is
            replayed or discarded; ``"skip"`` it; or a function of the context and the error that
            returns one of these, or an outcome. Default: ``"stop"``.
        middleware: functions around each call of a handler: of the context and of the next one,
            which is called with the context. Default: ``()``.
        notify: whether to be woken by notifications; needs ``messagedb.schema.install_notify()``.
            Default: ``False``.
        lease_timeout: seconds without a sign of life after which another consumer may take over;
            None for no lease: a second one is then stopped only when it stores its position.
            Default: ``10.0``.
        on_lost_history: what to do when the store has lost messages that were handled, as after a
            failover to a standby that lagged: ``"stop"`` with ``LostHistoryError``, or
            ``"continue"`` behind the stored position, which the store has kept. Default:
            ``"stop"``.
    """

    batch_size: int
    poll_interval: float
    idle_poll_interval: float
    position_store: StreamPositionStore | TablePositionStore | None
    transaction_timeout: float
    transaction_size: int | None
    write_categories: Iterable[str]
    condition: str | None
    types: Iterable[str] | None
    retry: RetryPolicy | None
    on_error: AsyncOnError
    middleware: Iterable[AsyncMiddleware[Any]]
    notify: bool
    lease_timeout: float | None
    on_lost_history: Literal["stop", "continue"]


class AsyncReadModelOptions(AsyncCommonOptions, total=False):
    """The options of a read model: besides these, the common ones.

    Example::

        options: AsyncReadModelOptions = {"batch_size": 500}
        create = "CREATE TABLE {table} (account text PRIMARY KEY, balance int)"
        model = AsyncReadModel(client, "account", name="sums", version=1, create=create, **options)

    Attributes:
        correlation: only messages whose metadata's ``correlationStreamName`` is in this category.
            Default: ``None``, for all.
    """

    correlation: str | None


class AsyncAllConsumerOptions(AsyncCommonOptions, total=False):
    """The options of a consumer of several categories: besides these, the common ones.

    Example::

        options: AsyncAllConsumerOptions = {"start": "end"}
        consumer = AsyncAllConsumer(client, identifier="audit", **options)

    Attributes:
        start: ``"stored"``: after the stored position, from the beginning if there is none.
            ``"beginning"``, ``"end"`` (only what is written from now on), or the global position of
            the first message: there, whatever is stored, each time that it runs. For several
            categories ``"end"`` waits for transactions that are open at that moment, and delivers
            what they have written. Default: ``"stored"``.
        position_update_interval: after how many messages the position is stored. Default: ``100``.
        position_update_seconds: after which time it is stored, if a message was delivered. Default:
            ``1.0``.
        transactional: whether each message is handled in a transaction, with its position. Default:
            ``False``.
        concurrency: how many handlers run simultaneously, for different streams; at most
            ``batch_size``. Default: ``1``.
    """

    start: Start
    position_update_interval: int
    position_update_seconds: float
    transactional: bool
    concurrency: int


class AsyncConsumerOptions(AsyncAllConsumerOptions, AsyncReadModelOptions, total=False):
    """The options of a consumer of one category: besides these, those of the other two.

    Example::

        options: AsyncConsumerOptions = {"group_member": 0, "group_size": 2}
        consumer = AsyncConsumer(client, "order", identifier="shipping", **options)

    Attributes:
        group_member: the number of this member of a consumer group, from 0; needs the size.
            Default: ``None``.
        group_size: the number of members: each gets the streams of its share of the cardinal ids.
            See ``group_member_from_env()``. Default: ``None``.
        streams_without_id: the member that also gets the messages of streams without an id, which
            the server gives to none; the same for all members. With ``partitions``, 0: partition 0
            gets them. Default: ``None``.
        partitions: how many partitions the category is divided into, 1 to 32,767, as a group of
            that size. Any number of processes run the same line, and share them: each claims as
            many as the others, within a second or two after one comes or goes, and
            ``lease_timeout`` after one is gone without a word. The number counts at the first
            start; then the stored one does, which ``resize_partitions()`` of the client changes.
            ``start`` counts for a partition without a stored position. With ``transactional``,
            positions are in the table unless you pass a ``position_store``, and a handler may be
            without a statement for ``lease_timeout`` at most: the server rolls its transaction
            back then. Default: ``None``.
        member_name: the name of this process among those that run the partitions, such as that of
            its pod. Default: ``None``, for host and process id.
    """

    group_member: int | None
    group_size: int | None
    streams_without_id: int | None
    partitions: int | None
    member_name: str | None
