"""Operations that the consumers of one category and of several share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal, Self, cast

from messagedb._argument_checks import check_seconds
from messagedb._concurrency.backend_async import Task, on_signals
from messagedb._consumers.counters import Counters
from messagedb._consumers.handler_registry import HandlerRegistry
from messagedb._consumers.parked_messages import ParkedMessage
from messagedb._consumers.position_records import consumer_running_error
from messagedb._consumers.settings import ConsumerSettings
from messagedb._consumers.settings_checks import check_settings
from messagedb._consumers.status import ConsumerStatus, build_status
from messagedb._errors import ValidationError
from messagedb._messages.annotations import Namespace
from messagedb._messages.registry import MessageRegistry

from ..client_core.core import AsyncClientCore
from ..subscriptions.feeds import AsyncFeed
from .consumer_run import AsyncConsumerRun
from .handler_decorators import AsyncHandlerDecorators, check_variant
from .parked_messages import AsyncParkedMessages
from .partition_reset import reset_partitions
from .partitioned_run import AsyncPartitionedRun
from .position_reset import reset_position
from .run_waits import wait_until_caught_up, wait_until_processed
from .runnable import AsyncRunnable


class AsyncConsumerBase(AsyncHandlerDecorators, AsyncRunnable):
    """A consumer of any messages.

    Example::

        def report(consumer: AsyncConsumerBase) -> None:
            status = consumer.status()
            print(consumer.name, status.state, status.lag_messages)
    """

    def __init__(self, client: AsyncClientCore, settings: ConsumerSettings) -> None:
        check_settings(settings)
        for function in settings.middleware:
            check_variant("middleware", function)
        given = cast("object", client)
        if not isinstance(given, AsyncClientCore):
            wanted, other = AsyncClientCore.__name__.removesuffix("Core"), type(given).__name__
            raise ValidationError(
                f"this consumer needs a {wanted}, not {other}: use the consumer of the same"
                " variant as the client. Nothing was sent."
            )
        self._client = client
        self._settings = settings
        self._registry: MessageRegistry = client.registry
        self._handlers = HandlerRegistry(self._registry)
        self._parked = AsyncParkedMessages(client, settings)
        self._counters = Counters()
        self._run: AsyncConsumerRun | AsyncPartitionedRun | None = None

    def __repr__(self) -> str:
        """Return the consumer's name and its state."""
        return f"<{type(self).__name__} {self.name!r} ({self.status().state})>"

    @abstractmethod
    def _feed(self) -> AsyncFeed: ...

    @abstractmethod
    def _accepts_category(self, category: str) -> bool: ...

    @property
    def name(self) -> str:
        """The stream of its positions, or the key of its row in the table.

        Example::

            print(consumer.name)
        """
        return self._settings.position_name

    @property
    def client(self) -> AsyncClientCore:
        """The client of the consumer.

        Example::

            print(await consumer.client.get_category_head("order"))
        """
        return self._client

    @property
    def registry(self) -> MessageRegistry:
        """The classes of messages for handlers: the client's registry.

        Example::

            print(consumer.registry.get_class("Deposited"))
        """
        return self._registry

    def _add_handler(
        self, function: Any, names: tuple[str, ...], around: Namespace, is_batch: bool
    ) -> None:
        if self._is_running():
            raise ValidationError(
                f"{self.name}: it is running, and would not use another handler: add the handler"
                " before"
            )
        if is_batch and self._settings.concurrency > 1:
            raise ValidationError(
                f"{self.name}: concurrency={self._settings.concurrency} handles messages at the"
                " same time that a batch handler would get in one list: leave concurrency at 1, or"
                " divide the category among the members of a group"
            )
        check_variant("a handler", function)
        self._handlers.add(function, names, around, is_batch=is_batch)

    async def run(
        self,
        *,
        until: Literal["caught_up"] | None = None,
        signals: bool = False,
        stop_timeout: float = 10.0,
    ) -> None:
        """Handle messages until it is stopped.

        If another consumer with the same identifier runs, it waits, and takes over when that one
        ends. With ``partitions`` it claims its share of them, and gives up what is more than that:
        it finishes the message, stores the position, and releases. What other processes may own it
        neither stores nor continues: with a sign of life missing for ``lease_timeout`` it starts no
        other message. While the store is unavailable it waits and retries. At the end the current
        message is finished, and the position is stored.

        Example::

            consumer = AsyncConsumer(client, "account", identifier="balances")

            @consumer.handler
            async def print_it(message: Message, context: AsyncContext) -> None:
                print(message.stream_name, message.type)

            await consumer.run(signals=True)  # until SIGTERM or Ctrl-C

        Args:
            until: ``"caught_up"`` to return when every message is handled that was there when it
                began: of the partitions that it owns, when the others are owned by processes that
                live.
            signals: whether SIGINT and SIGTERM stop it, as ``stop()`` does; a second one ends the
                process immediately. In the main thread only; not in a web server, which handles
                them.
            stop_timeout: seconds that a handler has then to finish.

        Raises:
            HandlerError: a message could not be handled, and ``on_error`` or its handler decided to
                stop. The position is stored before it.
            BaseException: an error of a handler that is not an ``Exception``, such as
                ``SystemExit``: unchanged. There is no further attempt, and the position is stored
                before its message.
            PositionConflictError: another consumer stores positions under this identifier, or the
                stored record is not a position. The stored record is unchanged.
            LostHistoryError: the store has lost messages that were handled, and ``on_lost_history``
                is ``"stop"``; or no stored position is left to continue from.
            IncompatibleServerError: something on the server is missing; the text names the fix.
            TimeoutError: a handler did not finish in time after a stop, and was interrupted. Its
                message is handled again the next time.
            ValidationError: it is already running, or has no handler. Nothing was sent.
        """
        check_seconds("stop_timeout", stop_timeout)
        run = self._start_run(until)
        if not signals:
            await run.execute()
            return
        try:
            with on_signals(lambda number: Task(run.stop_by_signal, stop_timeout, number)):
                await run.execute()
        except ValueError as error:
            if run.state.signals.finished.is_set():
                raise
            self._run = None
            raise ValidationError(
                "signals=True works in the main thread only: call it there, or stop the consumer"
                " yourself. Nothing was sent."
            ) from error

    @asynccontextmanager
    async def running(self, *, stop_timeout: float = 10.0) -> AsyncGenerator[Self]:
        """Run it in an asyncio task during a block, and stop it at the block's end.

        Example::

            async with consumer.running():
                position = await client.write_message("account-1", Deposited(5))
                await consumer.wait_until_processed("account-1", position)

        Args:
            stop_timeout: seconds that a handler has to finish then.

        Raises:
            MessageDBError: the run failed, as ``run()`` raises it: at the end of the block.
            TimeoutError: a handler did not finish in time.
        """
        check_seconds("stop_timeout", stop_timeout)
        run = self._start_run(None)
        task = Task(run.execute_in_background)
        try:
            yield self
        finally:
            await self.stop(timeout=stop_timeout)
        await task.result()
        if run.exit is not None:
            raise run.exit

    async def stop(self, *, timeout: float = 10.0) -> None:
        """Let the current handler finish, store the position, and end, unless it has ended.

        Not to be called by a handler, which would wait for itself: raise ``Stop`` there.

        Example::

            await consumer.stop()  # from another task

        Args:
            timeout: seconds to wait.

        Raises:
            TimeoutError: the handler did not finish in time. Its asyncio task is cancelled; its
                effects so far stay (are rolled back, if transactional). The message is handled
                again the next time.
        """
        check_seconds("timeout", timeout)
        if self._run is not None:
            await self._run.stop(timeout)

    def _start_run(self, until: Any) -> AsyncConsumerRun | AsyncPartitionedRun:
        """Return a run to be executed; no other one is started before it has finished."""
        if until not in (None, "caught_up"):
            raise ValidationError(f"until must be 'caught_up' or omitted, not {until!r}")
        if self._is_running():
            raise ValidationError(f"{self.name}: it is already running. Nothing was sent.")
        if not self._handlers:
            raise ValidationError(
                f"{self.name}: it has no handler, so every message would be ignored. Decorate one"
                " with @consumer.handler. Nothing was sent."
            )
        client, settings, counters = self._client, self._settings, self._counters
        dispatch, accepts = (
            self._handlers.build_dispatch(settings.middleware),
            self._accepts_category,
        )
        if settings.partitions is not None:
            self._run = AsyncPartitionedRun(client, settings, counters, dispatch, accepts, until)
        else:
            self._run = AsyncConsumerRun(
                client, settings, counters, self._feed(), dispatch, accepts, until
            )
        return self._run

    def _is_running(self) -> bool:
        return self._run is not None and not self._run.state.signals.finished.is_set()

    def status(self) -> ConsumerStatus:
        """Return its status immediately, without a query to the server.

        Example::

            status = consumer.status()
            print(status.state, status.lag_messages, status.lag_seconds)
        """
        run, counters = self._run, self._counters
        if isinstance(run, AsyncPartitionedRun):
            counters = run.add_counters(counters)
        snapshot = None if run is None else run.snapshot()
        return build_status(self.name, snapshot, counters, datetime.now(UTC))

    async def wait_until_caught_up(self, *, timeout: float | None = None) -> None:
        """Wait until every message is handled that is in the store now: for tests.

        Of a consumer with ``partitions`` those of the partitions that this process owns.

        Example::

            async with consumer.running():
                await consumer.wait_until_caught_up(timeout=5.0)

        Args:
            timeout: the largest number of seconds to wait; None for no limit.

        Raises:
            TimeoutError: it has not caught up in that time.
            MessageDBError: the run ended before, with this error; ``ValidationError`` if it was
                stopped or never began.
        """
        state = self._require_run().state
        await wait_until_caught_up(state, self._feed(), self._settings.poll_interval, timeout)

    async def wait_until_processed(
        self, stream_name: str, position: int, *, timeout: float | None = None
    ) -> None:
        """Wait until a message is handled, such as one that was just written: for tests.

        With ``partitions``, this process has to own the partition of its stream.

        Example::

            async with consumer.running():
                position = await client.write_message("account-1", Deposited(5))
                await consumer.wait_until_processed("account-1", position, timeout=5.0)

        Args:
            stream_name: its stream.
            position: its position there, as the write returned it.
            timeout: the largest number of seconds to wait; None for no limit.

        Raises:
            TimeoutError: it was not handled in that time; or there is no such message.
            MessageDBError: as ``wait_until_caught_up`` raises it.
        """
        state, interval = self._require_run().state, self._settings.poll_interval
        await wait_until_processed(state, self._client, stream_name, position, interval, timeout)

    def _require_run(self) -> AsyncConsumerRun | AsyncPartitionedRun:
        if self._run is None:
            raise ValidationError(f"{self.name}: it is not running: there is nothing to wait for")
        return self._run

    async def reset_position(self, start: Literal["beginning", "end"] | int) -> int:
        """Store another position, for the next time that the consumer runs.

        With ``partitions`` it is stored for all of them, and no process may run one meanwhile.
        Backward, messages from it on are handled again; forward, those in between are skipped.

        Example::

            await consumer.reset_position("beginning")  # while it is stopped

        Args:
            start: ``"beginning"``; ``"end"``, so that only messages written from now on are
                handled; or the global position of the next message to handle. For a consumer of
                several categories the end is before the messages of open transactions, so it waits
                for their end, up to ``command_timeout``; messages that others wrote meanwhile are
                handled, too.

        Returns:
            The global position of the next message to handle.

        Raises:
            PositionConflictError: a consumer with this identifier runs. Nothing was changed.
            IncompatibleServerError: the role may not find the ``"end"``. Nothing was changed.
            TimeoutError: a transaction that was open did not end. Nothing was changed.
            ValidationError: it is not a position. Nothing was sent.
        """
        if self._is_running():
            raise consumer_running_error(self.name)
        reset = reset_position if self._settings.partitions is None else reset_partitions
        return await reset(self._client, self._settings, self._feed(), start)

    async def list_parked(self) -> list[ParkedMessage]:
        """List the parked messages, in the order of parking.

        Those of a held stream say which is the first, and how many wait behind it. They are read
        from a stream of the store, ``account:parked-<identifier>``, in full.

        Example::

            for each in await consumer.list_parked():
                print(each.stream_name, each.position, each.reason)
        """
        return await self._parked.list_all()

    async def discard_parked(
        self,
        parked: ParkedMessage | Iterable[ParkedMessage] | None = None,
        *,
        stream_name: str | None = None,
    ) -> int:
        """Remove parked messages from the list without handling them. Repeating it has no effect.

        After the first message of a held stream, the next one is the first; after the last one the
        stream flows again.

        Example::

            for each in await consumer.list_parked():
                if each.type == "Obsolete":
                    await consumer.discard_parked(each)

        Args:
            parked: the messages to remove.
            stream_name: instead of messages: all of this stream, also those that are parked behind
                them meanwhile.

        Returns:
            How many were on the list.

        Raises:
            ValidationError: neither of the two was passed, or both. Nothing was changed.
        """
        return await self._parked.discard(parked, stream_name)

    async def replay_parked(
        self,
        parked: ParkedMessage | Iterable[ParkedMessage] | None = None,
        *,
        stream_name: str | None = None,
        until: int | None = None,
    ) -> int:
        """Call the handlers here with parked messages again; remove the handled ones.

        Each is handled once, without the retry policy. With ``transactional`` the effects and the
        record of the replay are one transaction; otherwise a crash in between leaves it on the
        list. The consumer may run meanwhile, here or in another process: its position is not
        changed.

        The messages of a held stream are handled in order, and with them those that are parked
        behind meanwhile, unless only some of them are passed; after the last one the stream flows
        again.
        Without ``transactional`` one replay at a time handles held streams: another one waits.
        Other messages are old ones: later messages of their streams were handled before.

        Example::

            count = await consumer.replay_parked()
            print(count, "messages are handled now")

        Args:
            parked: the messages to replay; None for all. Messages no longer on the list are
                ignored.
            stream_name: instead of messages: all of this stream.
            until: only those up to this position in the stream.

        Returns:
            How many were handled.

        Raises:
            HandlerError: a handler failed, with its error as the cause, or returned an outcome or
                anything else but None. The message stays parked. In a held stream it stays the
                first, with the new reason and one more attempt, and the other streams were replayed
                before this is raised; otherwise those after it stay parked, too.
            ValidationError: a message has no handler here, or is no longer in the store: likewise.
                Or one of the passed messages waits for one that was not passed: nothing was
                changed.
            StoreUnavailableError: another replay may begin, as the lease was lost. Messages that
                were handled are off the list.
        """
        handlers = self._handlers.build_dispatch(self._settings.middleware)
        return await self._parked.replay(parked, stream_name, until, handlers)
